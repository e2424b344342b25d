"""doorward: who is calling an MCP server, may they, may they now - and one record of that decision.

::

    gate = doorward.Gate.from_file("doorward.toml")
    app = gate.protect(server)

The parts are usable alone in any Python server: `Verifier`, `Limiter`, `hash_arguments`.
"""

import typing as _typing

from doorward import limits, testing
from doorward._core import IMPLEMENTATION, Charge, Charges, Claims, Grant, KeySet, Limiter, Verifier, Verifiers
from doorward.arguments import hash_arguments
from doorward.confirmation import Question
from doorward.decision import Decision, current
from doorward.errors import Forbidden, Limited, Malformed, Refused, Unauthenticated, Unavailable
from doorward.explanation import Explanation
from doorward.gate import Gate
from doorward.principal import Principal
from doorward.request import Call, Request
from doorward.settings import (
    Agents,
    Audit,
    AuditSink,
    Budget,
    Checkpoint,
    Configuration,
    Confirmation,
    Introspection,
    Issuer,
    Limits,
    MethodRule,
    PromptRule,
    ResourceRule,
    Revocation,
    Secret,
    ToolRule,
)

__all__ = [
    "IMPLEMENTATION",
    "Agents",
    "Audit",
    "AuditSink",
    "Budget",
    "Call",
    "Charge",
    "Charges",
    "Checkpoint",
    "Claims",
    "Configuration",
    "Confirmation",
    "Decision",
    "Explanation",
    "Forbidden",
    "Gate",
    "Grant",
    "Introspection",
    "Issuer",
    "KeySet",
    "Limited",
    "Limiter",
    "Limits",
    "Malformed",
    "MethodRule",
    "Principal",
    "PromptRule",
    "Question",
    "Refused",
    "Request",
    "ResourceRule",
    "Revocation",
    "Secret",
    "ToolRule",
    "Unauthenticated",
    "Unavailable",
    "Verifier",
    "Verifiers",
    "current",
    "hash_arguments",
    "limits",
    "testing",
]

if _typing.TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        if name != "__version__":
            raise AttributeError(f"module 'doorward' has no attribute {name!r}")
        # Looking it up takes a fifth of what importing all this takes, and hardly anybody asks.
        from doorward.version import version

        return version()

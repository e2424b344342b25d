"""toolgate: who is calling an MCP server, may they, may they now - and one record of that decision.

::

    gate = toolgate.Gate.from_file("toolgate.toml")
    app = gate.protect(server)

The parts are usable alone in any Python server: `Verifier`, `Limiter`, `hash_arguments`.
"""

import typing as _typing

from toolgate import limits, testing
from toolgate._core import IMPLEMENTATION, Charge, Charges, Claims, Grant, KeySet, Limiter, Verifier, Verifiers
from toolgate.arguments import hash_arguments
from toolgate.confirmation import Question
from toolgate.decision import Decision, current
from toolgate.errors import Forbidden, Limited, Malformed, Refused, Unauthenticated, Unavailable
from toolgate.gate import Gate
from toolgate.principal import Principal
from toolgate.request import Call, Request
from toolgate.settings import (
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
            raise AttributeError(f"module 'toolgate' has no attribute {name!r}")
        # Looking it up takes a fifth of what importing all this takes, and hardly anybody asks.
        from toolgate.version import version

        return version()

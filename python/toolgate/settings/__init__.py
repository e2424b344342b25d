"""The element types of a `Gate`, one for each table of ``toolgate.toml``: frozen, and right once they exist.

Whatever cannot be right raises `ValueError` whose first word is the name of the field; what each field means stands in
``docs/configuration.md``.
"""

from toolgate.settings.budgets import Budget, budgets_of
from toolgate.settings.checkpoints import Checkpoint
from toolgate.settings.configuration import MAX_BODY_BYTES, Configuration
from toolgate.settings.confirmation import Confirmation
from toolgate.settings.hierarchy import Circular, closure_of
from toolgate.settings.issuers import Agents, Introspection, Issuer, Revocation
from toolgate.settings.limits import MEMORY, Limits
from toolgate.settings.recording import MIN_KEY_BYTES, Audit
from toolgate.settings.rules import MAX_NAME_BYTES, MAX_URI_BYTES, MethodRule, PromptRule, ResourceRule, Rule, ToolRule
from toolgate.settings.secrets import Secret, known_secrets
from toolgate.settings.sinks import AuditSink, LineSink

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_NAME_BYTES",
    "MAX_URI_BYTES",
    "MEMORY",
    "MIN_KEY_BYTES",
    "Agents",
    "Audit",
    "AuditSink",
    "Budget",
    "Checkpoint",
    "Circular",
    "Configuration",
    "Confirmation",
    "Introspection",
    "Issuer",
    "Limits",
    "LineSink",
    "MethodRule",
    "PromptRule",
    "ResourceRule",
    "Revocation",
    "Rule",
    "Secret",
    "ToolRule",
    "budgets_of",
    "closure_of",
    "known_secrets",
]

"""The element types of a `Gate`, one for each table of ``doorward.toml``: frozen, and right once they exist.

Whatever cannot be right raises `ValueError` whose first word is the name of the field; what each field means stands in
``docs/configuration.md``.
"""

from doorward.settings.budgets import Budget, budgets_of
from doorward.settings.checkpoints import Checkpoint
from doorward.settings.configuration import MAX_BODY_BYTES, MAX_MESSAGE_BYTES, Configuration
from doorward.settings.confirmation import Confirmation
from doorward.settings.hierarchy import Circular, closure_of
from doorward.settings.issuers import Agents, Introspection, Issuer, Revocation
from doorward.settings.limits import MEMORY, Limits
from doorward.settings.recording import MIN_KEY_BYTES, Audit
from doorward.settings.rules import MAX_NAME_BYTES, MAX_URI_BYTES, MethodRule, PromptRule, ResourceRule, Rule, ToolRule
from doorward.settings.secrets import Secret, known_secrets
from doorward.settings.sinks import AuditSink, LineSink
from doorward.settings.syslog import SyslogAddress, parse_syslog

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_MESSAGE_BYTES",
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
    "SyslogAddress",
    "ToolRule",
    "budgets_of",
    "closure_of",
    "known_secrets",
    "parse_syslog",
]

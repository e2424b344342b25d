"""All settings of a gate together: what a reload replaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from doorward import checks
from doorward.resource import parse_resource
from doorward.settings.confirmation import Confirmation
from doorward.settings.issuers import Agents, Issuer, Revocation
from doorward.settings.limits import Limits
from doorward.settings.recording import Audit
from doorward.settings.rules import MethodRule, PromptRule, ResourceRule, Rule, ToolRule

__all__ = ["MAX_BODY_BYTES", "MAX_MESSAGE_BYTES", "Configuration"]

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""The SDK's own bound: a larger body could not be served anyway."""

MAX_MESSAGE_BYTES: Final = 128 * 1024
"""Of a request or notification that calls no tool, resource or prompt: it carries a cursor, a few capabilities or up to
a thousand URIs, and mostly no budget pays for it."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The tables of ``doorward.toml``."""

    resource: str
    issuers: Sequence[Issuer] = ()
    agents: Agents | None = None
    revocation: Revocation | None = None
    tools: Sequence[ToolRule] = ()
    resources: Sequence[ResourceRule] = ()
    prompts: Sequence[PromptRule] = ()
    methods: Sequence[MethodRule] = ()
    scopes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    audit: Audit = field(default_factory=Audit)
    confirmation: Confirmation = field(default_factory=Confirmation)
    audiences: Sequence[str] = ()
    organization_claim: str | None = None
    challenge_scopes: Sequence[str] | None = None
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()
    trusted_proxies: Sequence[str] = ()
    client_certificate: str | None = None
    """The one header in which the trusted proxies pass the client's certificate on."""
    max_body_bytes: int = MAX_BODY_BYTES
    max_message_bytes: int = MAX_MESSAGE_BYTES
    """Of requests and notifications that call nothing."""
    filter_lists: bool = True
    """Whether lists leave out what the caller could not call."""

    def __post_init__(self) -> None:
        for name, kind in _MEMBERS.items():
            checks.members_of(name, getattr(self, name), kind)
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, kind in _ELEMENTS.items():
            if getattr(self, name) is not None or name not in _OPTIONAL:
                checks.made_of(name, getattr(self, name), kind)
        checks.hierarchy("scopes", self.scopes)
        checks.whole("max_message_bytes", self.max_message_bytes, at_least=1)
        checks.flag("filter_lists", self.filter_lists)
        if not self.issuers and self.agents is None:
            raise ValueError("issuers must name at least one issuer, where there are no agents")
        if self.limits.organization and self.issuers and self.organization_claim is None:
            raise ValueError(
                "organization_claim is missing: [limits] organization counts by it, and without it all callers of an "
                'issuer share one bucket. Name the claim, like organization_claim = "org_id", or remove that budget'
            )
        object.__setattr__(self, "resource", parse_resource(checks.text("resource", self.resource)))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of every kind."""
        return (*self.tools, *self.resources, *self.prompts, *self.methods)

    @property
    def asks_humans(self) -> bool:
        """Whether any call has to be confirmed."""
        return any(rule.confirm and rule.mode != "observe" for rule in self.rules)

    def check_successor(self, other: Configuration) -> None:
        """Raises `ValueError` for what a running gate cannot change."""
        fixed = {
            "resource": (self.resource, other.resource),
            "audit": (self.audit.lasting, other.audit.lasting),
            **{f"limits.{name}": (getattr(self.limits, name), getattr(other.limits, name)) for name in _KEPT},
        }
        for name, (before, after) in fixed.items():
            if before != after:
                raise ValueError(f"{name} has changed: that needs a restart, everything else does not")


_MEMBERS: Final = {
    "issuers": Issuer,
    "tools": ToolRule,
    "resources": ResourceRule,
    "prompts": PromptRule,
    "methods": MethodRule,
}
_ELEMENTS: Final = {
    "agents": Agents,
    "revocation": Revocation,
    "limits": Limits,
    "audit": Audit,
    "confirmation": Confirmation,
}
_OPTIONAL: Final = ("agents", "revocation")

_KEPT: Final = ("max_keys", "store", "mode", "instances", "prefix", "snapshot")
"""Where budgets are kept: moving them while calls are decided would admit some twice."""

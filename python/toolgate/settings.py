"""The element types of a `Gate`, one for each table of ``toolgate.toml``: frozen, and right once they exist.

Whatever cannot be right raises `ValueError` with the name of the field; what each field means stands in
``docs/configuration.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolgate._core import Charge

__all__ = ["Audit", "Budget", "Issuer", "Limits", "MethodRule", "PromptRule", "ResourceRule", "Rule", "Secret", "ToolRule"]

_MODES = ("enforce", "observe")
_DURABILITIES = ("written",)
_ON_FAILURE = ("deny", "allow")


@dataclass(frozen=True, slots=True)
class Budget:
    """A rate: ``"600/minute"`` or ``"600/minute burst 50"``; ``strict`` is never exceeded in any window, and mode ``observe``
    counts without refusing."""

    rate: str
    strict: bool = False
    mode: str = "enforce"

    def __post_init__(self) -> None:
        _one_of("mode", self.mode, _MODES)
        Charge("", self.limit)

    @property
    def limit(self) -> str:
        """The rate in the core's words."""
        return f"{self.rate} strict" if self.strict else self.rate

    @property
    def unit(self) -> str:
        """``second``, ``minute``, ``hour`` or ``day``."""
        return self.rate.partition("/")[2].split()[0]


@dataclass(frozen=True)
class Rule:
    """What one call may cost and needs; the first rule whose ``match`` fits governs."""

    match: str
    """Case-sensitive; ``*`` stands for any characters, and nothing else is special."""
    scopes: Sequence[str]
    """Every one of them is needed; always written out, ``[]`` means none."""
    limit: Sequence[Budget | str] = ()
    """Per client."""
    total_limit: Sequence[Budget | str] = ()
    """Everyone together."""
    cost: int = 1
    confirm: bool = False
    mode: str = "enforce"

    def __post_init__(self) -> None:
        if not self.match:
            raise ValueError("match must not be empty")
        if isinstance(self.scopes, str):
            raise ValueError('scopes must be a list, like ["mcp:tools:read"]')
        for scope in self.scopes:
            _scope_token(scope)
        _one_of("mode", self.mode, _MODES)
        if self.cost < 0:
            raise ValueError("cost must not be negative")
        object.__setattr__(self, "scopes", tuple(dict.fromkeys(self.scopes)))
        object.__setattr__(self, "limit", _budgets("limit", self.limit))
        object.__setattr__(self, "total_limit", _budgets("total_limit", self.total_limit))


class ToolRule(Rule):
    """Governs ``tools/call`` by the tool's name."""


class ResourceRule(Rule):
    """Governs ``resources/read`` and subscriptions by the resource's URI."""


class PromptRule(Rule):
    """Governs ``prompts/get`` by the prompt's name."""


class MethodRule(Rule):
    """Adds scopes and limits to a method that needs no other rule, such as ``tools/list``."""


@dataclass(frozen=True)
class Limits:
    """The budgets of every caller, whatever it calls."""

    client: Sequence[Budget | str] = ()
    organization: Sequence[Budget | str] = ()
    failed_auth: Budget | str = "20/minute"
    """Per peer address, spent by failed attempts alone."""
    max_keys: int = 100_000
    """Buckets held at most."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", _budgets("client", self.client))
        object.__setattr__(self, "organization", _budgets("organization", self.organization))
        object.__setattr__(self, "failed_auth", _budgets("failed_auth", [self.failed_auth])[0])
        if self.max_keys < 1:
            raise ValueError("max_keys must be at least 1")


@dataclass(frozen=True)
class Issuer:
    """An authorization server whose tokens are accepted."""

    url: str
    """Compared with ``iss`` and emitted byte for byte."""
    algorithms: Sequence[str]
    jwks: Mapping[str, Any] | str | bytes = field(repr=False)
    """Its JWK Set."""
    leeway: float = 30.0
    """Seconds."""
    types: Sequence[str] | None = None
    max_token_lifetime: float | None = None
    """Seconds; a token that lives longer is refused."""

    def __post_init__(self) -> None:
        if not self.url:
            raise ValueError("url must not be empty")
        if isinstance(self.algorithms, str) or not self.algorithms:
            raise ValueError('algorithms must be a list, like ["ES256"]')


@dataclass(frozen=True)
class Secret:
    """A secret's bytes and the id it is known by; the bytes never show in a repr."""

    value: bytes = field(repr=False)
    id: str = ""


@dataclass(frozen=True)
class Audit:
    """Where the record goes, and what happens when it cannot go there."""

    path: str = "stdout"
    durability: str = "written"
    on_failure: str = "deny"
    key: Secret | None = None
    """For HMAC fingerprints of arguments instead of bare hashes."""

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path must not be empty")
        _one_of("durability", self.durability, _DURABILITIES)
        _one_of("on_failure", self.on_failure, _ON_FAILURE)


def _budgets(name: str, given: Sequence[Budget | str]) -> tuple[Budget, ...]:
    if isinstance(given, str):
        raise ValueError(f'{name} must be a list, like ["{given}"]')
    made = tuple(Budget(each) if isinstance(each, str) else each for each in given)
    units = [budget.unit for budget in made]
    if len(set(units)) < len(units):
        raise ValueError(f"{name} has two budgets for the same unit")
    return made


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: it must be {' or '.join(allowed)}")


def _scope_token(scope: str) -> None:
    # RFC 6749 section 3.3: it goes into a quoted string of a header as it is.
    if not scope or any(not "!" <= character <= "~" or character in '"\\' for character in scope):
        raise ValueError(f"{scope!r} is not a scope (RFC 6749 section 3.3: visible ASCII without quotes and backslashes)")

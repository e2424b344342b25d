"""The element types of a `Gate`, one for each table of ``toolgate.toml``: frozen, and right once they exist.

Whatever cannot be right raises `ValueError` whose first word is the name of the field; what each field means stands in
``docs/configuration.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from toolgate import checks
from toolgate._core import Charge, KeySet, Limiter, Verifier
from toolgate.errors import Limited, Malformed
from toolgate.methods import GOVERNED_BY_METHOD
from toolgate.patterns import Pattern
from toolgate.uris import is_disguised

__all__ = [
    "Audit",
    "Budget",
    "Issuer",
    "Limits",
    "MethodRule",
    "PromptRule",
    "ResourceRule",
    "Rule",
    "Secret",
    "ToolRule",
    "budgets_of",
]

MAX_NAME_BYTES: Final = 256
"""The longest name of a tool or prompt that a message may carry: the envelope's own bound."""

MAX_URI_BYTES: Final = 8192
"""The longest URI that a message may carry: the envelope's own bound."""

MIN_KEY_BYTES: Final = 32
"""Of a key for HMAC-SHA-256: the hash's own length (RFC 2104 section 3)."""

_MODES: Final = ("enforce", "observe")
_DURABILITIES: Final = ("written",)
_ON_FAILURE: Final = ("deny", "allow")


@dataclass(frozen=True, slots=True)
class Budget:
    """A rate: ``"600/minute"`` or ``"600/minute burst 50"``; ``strict`` is never exceeded in any window, and mode
    ``observe`` counts without refusing."""

    rate: str
    strict: bool = False
    mode: str = "enforce"
    unit: str = field(init=False, repr=False, default="")
    """``second``, ``minute``, ``hour`` or ``day``."""

    def __post_init__(self) -> None:
        checks.text("rate", self.rate)
        if self.rate.endswith(" strict"):
            raise ValueError("rate must not say strict: give strict = true beside it")
        checks.flag("strict", self.strict)
        checks.one_of("mode", self.mode, _MODES)
        try:
            Charge("", self.limit)
        except ValueError as error:
            raise ValueError(f"rate is wrong: {error}") from None
        object.__setattr__(self, "unit", self.rate.partition("/")[2].split()[0])

    @property
    def limit(self) -> str:
        """The rate in the core's words."""
        return f"{self.rate} strict" if self.strict else self.rate


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

    _longest: ClassVar[int] = MAX_NAME_BYTES

    def __post_init__(self) -> None:
        checks.text("match", self.match)
        if len(self.match.replace("*", "").encode()) > self._longest:
            raise ValueError(f"match can never match: nothing that is called has more than {self._longest} bytes")
        object.__setattr__(self, "scopes", checks.scopes("scopes", self.scopes))
        object.__setattr__(self, "limit", _budgets("limit", self.limit))
        object.__setattr__(self, "total_limit", _budgets("total_limit", self.total_limit))
        checks.whole("cost", self.cost, at_least=0)
        _check_cost(self.cost, budgets_of(self.limit) + budgets_of(self.total_limit))
        checks.flag("confirm", self.confirm)
        checks.one_of("mode", self.mode, _MODES)


class ToolRule(Rule):
    """Governs ``tools/call`` by the tool's name."""


class ResourceRule(Rule):
    """Governs ``resources/read`` and subscriptions by the resource's URI."""

    _longest = MAX_URI_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        if all(is_disguised(self.match.replace("*", anything)) for anything in ("", "x", "x/x")):
            raise ValueError(
                "match can never match: dot segments, empty segments and needless encodings are always refused"
            )


class PromptRule(Rule):
    """Governs ``prompts/get`` by the prompt's name."""


class MethodRule(Rule):
    """Adds scopes and limits to a method that needs no other rule, such as ``tools/list``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(map(Pattern(self.match).fits, GOVERNED_BY_METHOD)):
            raise ValueError(f"match can never match: the methods are {', '.join(sorted(GOVERNED_BY_METHOD))}")


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
        checks.whole("max_keys", self.max_keys, at_least=1)
        try:
            Limiter(max_keys=self.max_keys)
        except ValueError as error:
            raise ValueError(f"max_keys is out of bounds: {error}") from None


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
        checks.web_url("url", self.url)
        object.__setattr__(self, "algorithms", checks.texts("algorithms", self.algorithms))
        if self.types is not None:
            object.__setattr__(self, "types", checks.texts("types", self.types))
        checks.number("leeway", self.leeway)
        if self.max_token_lifetime is not None:
            checks.number("max_token_lifetime", self.max_token_lifetime)
        try:
            self.verifier(["urn:toolgate:any"])
        except ValueError as error:
            # The core says what is wrong; about the algorithms it says so in words of its own.
            named = str(error).startswith(("jwks ", "algorithms ", "types ", "leeway ", "max_token_lifetime "))
            raise ValueError(f"{'' if named else 'algorithms are wrong: '}{error}") from None

    def verifier(self, audiences: Sequence[str]) -> Verifier:
        """What verifies its tokens for these audiences."""
        return Verifier(
            self._keys(),
            issuer=self.url,
            audience=audiences,
            algorithms=self.algorithms,
            leeway=self.leeway,
            types=self.types,
            max_token_lifetime=self.max_token_lifetime,
        )

    def _keys(self) -> KeySet:
        try:
            keys = KeySet.from_json(self.jwks)
        except (Malformed, TypeError) as error:
            detail = error.detail if isinstance(error, Malformed) else "it must be JSON"
            raise ValueError(f"jwks is not a JSON Web Key Set: {detail}") from None
        if len(keys) == 0:
            raise ValueError(f"jwks has no key that can be used: {'; '.join(keys.skipped) or 'it is empty'}")
        return keys


@dataclass(frozen=True)
class Secret:
    """A secret's bytes and the id it is known by; the bytes never show in a repr."""

    value: bytes = field(repr=False)
    id: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.value, bytes) or not self.value:
            raise ValueError("value must be bytes, and not empty")
        if not isinstance(self.id, str):
            raise ValueError("id must be a string")


@dataclass(frozen=True)
class Audit:
    """Where the record goes, and what happens when it cannot go there."""

    path: str = "stdout"
    durability: str = "written"
    on_failure: str = "deny"
    key: Secret | None = None
    """For HMAC fingerprints of arguments instead of bare hashes."""

    def __post_init__(self) -> None:
        checks.text("path", self.path)
        checks.one_of("durability", self.durability, _DURABILITIES)
        checks.one_of("on_failure", self.on_failure, _ON_FAILURE)
        if self.key is not None and not isinstance(self.key, Secret):
            raise ValueError("key must be a Secret")
        if self.key is not None and len(self.key.value) < MIN_KEY_BYTES:
            raise ValueError(f"key must have at least {MIN_KEY_BYTES} bytes")


def budgets_of(given: Sequence[Budget | str]) -> tuple[Budget, ...]:
    """The budgets in a field of what stands here: every text has become one."""
    return tuple(budget for budget in given if isinstance(budget, Budget))


def _budgets(name: str, given: Sequence[Budget | str]) -> tuple[Budget, ...]:
    if not isinstance(given, list | tuple):
        raise ValueError(f'{name} must be a list, like ["600/minute"]')
    try:
        made = [each if isinstance(each, Budget) else Budget(each) for each in given]
    except ValueError as error:
        raise ValueError(f"{name} has a wrong budget: {error}") from None
    units = [budget.unit for budget in made]
    if len(set(units)) < len(units):
        raise ValueError(f"{name} has two budgets for the same unit")
    return tuple(made)


def _check_cost(cost: int, budgets: Sequence[Budget]) -> None:
    try:
        Charge("", "1/second", cost=cost)
    except ValueError as error:
        raise ValueError(f"cost is out of bounds: {error}") from None
    for budget in budgets if cost > 1 else ():  # a limit of 0 is meant: it admits nothing
        _check_fits(cost, budget)


def _check_fits(cost: int, budget: Budget) -> None:
    try:
        Limiter(max_keys=1).admit(domain="", charges=(Charge("", budget.limit, cost=cost),), tick=0)
    except Limited:
        raise ValueError(f"cost is {cost}: more than {budget.limit} ever holds") from None

"""Issuers: whose tokens are accepted, and what they are verified with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolgate import checks
from toolgate._core import KeySet, Verifier
from toolgate.errors import Malformed

__all__ = ["Issuer"]


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

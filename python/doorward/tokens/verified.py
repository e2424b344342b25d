"""What a credential was found to mean, and under which conditions it still means it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from doorward.errors import refusal
from doorward.principal import Principal

__all__ = ["Verified", "Voucher", "organization_of"]


class Voucher(Protocol):
    """Whoever vouched for a credential: an issuer's keys, its introspection endpoint, the file of agent tokens."""

    @property
    def generation(self) -> int:
        """Changes whenever something was withdrawn that it vouched with: what was verified before is verified anew."""

    def withdraw(self) -> None:
        """It vouches for nothing that it vouched for so far: the configuration has it no longer."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified credential. Remembering it saves the signature and the parsing, nothing else: what can change
    between two requests stands here and is looked at on each of them."""

    principal: Principal
    voucher: Voucher
    generation: int
    not_before: float
    """Seconds since the epoch, leeway included: a clock that steps back finds the token not valid yet."""
    fresh_until: float = float("inf")
    """Seconds since the epoch; then the issuer is asked again (introspection)."""
    certificate_sha256: bytes | None = None
    """The certificate the credential is bound to (RFC 8705): nobody else's connection may show it."""

    def holds(self, *, now: float, certificate_sha256: bytes | None) -> bool:
        """Whether nothing has happened since that could change the answer; expiry is the cache's to check."""
        return (
            self.voucher.generation == self.generation
            and self.not_before <= now < self.fresh_until
            and (self.certificate_sha256 is None or self.certificate_sha256 == certificate_sha256)
        )


def organization_of(claims: Mapping[str, Any], claim: str | None) -> str | None:
    """The caller's organisation by the configured claim. Raises `Unauthenticated` where it is not a string."""
    organization = claims.get(claim) if claim is not None else None
    if organization is not None and not isinstance(organization, str):
        raise refusal("invalid_claim", "the organization claim is not a string")
    return organization

"""What a credential was found to mean, and under which conditions it still means it."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from doorward.errors import refusal
from doorward.principal import Principal

__all__ = ["Standing", "Verified", "Voucher", "organization_of"]


class Standing:
    """Whether one source of trust is still valid: one key of an issuer, one agent's token, one introspection endpoint.
    All credentials that were verified by it share this object, so withdrawing one source affects no other."""

    __slots__ = ("good_until", "withdrawn")

    def __init__(self, *, good_until: float = float("inf")) -> None:
        """``good_until``: seconds since the epoch, for a source that ends by itself."""
        self.good_until = good_until
        self.withdrawn = False

    def withdraw(self) -> None:
        """The source is not valid any more, for good: what it vouched for is verified anew."""
        self.withdrawn = True


class Voucher(Protocol):
    """What verifies credentials: an issuer's keys, its introspection endpoint, the file of agent tokens."""

    @property
    def standings(self) -> Collection[Standing]:
        """Those of the sources that are valid now."""

    def retire(self, *, keep: Container[Standing]) -> None:
        """The configuration does not contain it any more: withdraw every source that is not in ``keep``, and every one
        that is still to come."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified credential. Remembering it saves the signature and the parsing, nothing else: what can change
    between two requests stands here and is looked at on each of them."""

    principal: Principal
    standing: Standing
    not_before: float
    """Seconds since the epoch, leeway included: a clock that steps back finds the token not valid yet."""
    fresh_until: float = float("inf")
    """Seconds since the epoch; then the issuer is asked again (introspection)."""
    certificate_sha256: bytes | None = None
    """The certificate the credential is bound to (RFC 8705): nobody else's connection may show it."""

    def holds(self, *, now: float, certificate_sha256: bytes | None) -> bool:
        """Whether nothing has happened since that could change the answer; expiry is the cache's to check."""
        return (
            not self.standing.withdrawn
            and now < self.standing.good_until
            and self.not_before <= now < self.fresh_until
            and (self.certificate_sha256 is None or self.certificate_sha256 == certificate_sha256)
        )


def organization_of(claims: Mapping[str, Any], claim: str | None) -> str | None:
    """The caller's organisation by the configured claim. Raises `Unauthenticated` where it is not a string."""
    organization = claims.get(claim) if claim is not None else None
    if organization is not None and not isinstance(organization, str):
        raise refusal("invalid_claim", "the organization claim is not a string")
    return organization

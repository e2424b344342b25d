"""Access tokens that are JWTs: the configured issuers' verifiers, and the principal a verified token stands for."""

from __future__ import annotations

from collections.abc import Sequence

from toolgate._core import Claims, Verifiers
from toolgate.errors import refusal
from toolgate.principal import Principal
from toolgate.settings import Issuer

__all__ = ["Tokens"]


class Tokens:
    """The tokens of several issuers, for one resource."""

    def __init__(self, issuers: Sequence[Issuer], *, audiences: Sequence[str], organization_claim: str | None) -> None:
        """Raises `ValueError` for a configuration that cannot be right."""
        self._organization_claim = organization_claim
        self._leeway = {issuer.url: issuer.leeway for issuer in issuers}
        self._verifiers = Verifiers([issuer.verifier(audiences) for issuer in issuers])

    def verify(self, token: str, *, now: float, certificate_sha256: bytes | None = None) -> Principal:
        """Who the token stands for. Never caches. Raises `Unauthenticated`."""
        claims = self._verifiers.verify(token, now=now, certificate_sha256=certificate_sha256)
        return self._principal(claims)

    def good_until(self, principal: Principal) -> float:
        """When the principal's token stops to count, leeway included; seconds since the epoch."""
        return principal.expires_at + self._leeway[principal.issuer]

    def _principal(self, claims: Claims) -> Principal:
        raw = claims.raw
        organization = raw.get(self._organization_claim) if self._organization_claim is not None else None
        if organization is not None and not isinstance(organization, str):
            raise refusal("invalid_claim", "the organization claim is not a string")
        return Principal(
            issuer=claims.issuer,
            subject=claims.subject,
            client_id=claims.client_id,
            organization=organization,
            scopes=claims.scopes,
            token_id=claims.token_id,
            expires_at=claims.expires_at,
            claims=raw,
        )

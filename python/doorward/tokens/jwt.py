"""Access tokens that are JWTs: the issuer named in the token chooses the keys, and keys are never mixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from doorward._core import Claims
from doorward.errors import Unauthenticated, refusal
from doorward.principal import Principal
from doorward.tokens.keys import Keys, Published
from doorward.tokens.shapes import foreign_issuer
from doorward.tokens.verified import Standing, Verified, organization_of

__all__ = ["AccessTokens", "principal_of"]


class AccessTokens:
    """The JWT access tokens of several issuers, for one resource."""

    def __init__(self, keys: Mapping[str, Keys], *, organization_claim: str | None) -> None:
        """``keys``: those of each issuer, by its URL."""
        self._keys = dict(keys)
        self._organization_claim = organization_claim

    async def verify(
        self,
        token: str,
        issuer: str,
        *,
        now: float,
        certificate_sha256: bytes | None,
        charge: Callable[[], None] = lambda: None,
    ) -> Verified:
        """What the token means, by the keys of the ``issuer`` it names. Never caches. ``charge`` is called before a
        signature that does not verify makes the gate fetch keys, and may refuse. Raises `Unauthenticated`, and
        `Unavailable` where its issuer's keys cannot be had."""
        keys = self._keys.get(issuer)
        if keys is None:
            raise refusal("invalid_issuer", foreign_issuer(issuer, self._keys))
        claims, standing = await self._claims(token, keys, now, certificate_sha256, charge)
        return Verified(
            principal=principal_of(claims, self._organization_claim),
            standing=standing,
            not_before=claims.not_before,
            fresh_until=keys.fresh_until,
            certificate_sha256=claims.certificate_sha256,
        )

    async def _claims(
        self, token: str, keys: Keys, now: float, certificate_sha256: bytes | None, charge: Callable[[], None]
    ) -> tuple[Claims, Standing]:
        published = await keys.published(now=now)
        try:
            return published.verify(token, now=now, certificate_sha256=certificate_sha256)
        except Unauthenticated as refused:
            if not await _has_changed(keys, published, refused.code, now, charge):
                raise
        published = await keys.published(now=now)
        return published.verify(token, now=now, certificate_sha256=certificate_sha256)


def principal_of(claims: Claims, organization_claim: str | None) -> Principal:
    """Who a verified token names. Raises `Unauthenticated` for an organisation that is not a string."""
    raw = claims.raw
    return Principal(
        issuer=claims.issuer,
        subject=claims.subject,
        client_id=claims.client_id,
        organization=organization_of(raw, organization_claim),
        scopes=claims.scopes,
        token_id=claims.token_id,
        expires_at=claims.expires_at,
        claims=raw,
    )


async def _has_changed(keys: Keys, seen: Published, code: str, now: float, charge: Callable[[], None]) -> bool:
    """Whether other keys than those ``seen`` may accept a token that was refused with this ``code``."""
    if code == "unknown_key":
        return await keys.renewed(seen, now=now)
    if code == "bad_signature":
        return await keys.replaced(seen, now=now, charge=charge)
    return False

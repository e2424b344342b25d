"""Access tokens (RFC 8725, RFC 9068 section 4): token, keys and a time in, claims out.

Order matters: what costs little is refused before what costs a signature, and nothing an unverified payload says
decides anything, but for the `iss` that chooses whose keys to try.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, final

from doorward._pure import claims as read_claims
from doorward._pure import crypto
from doorward._pure.claims import Claims
from doorward._pure.jwk import KeySet, PreparedKey
from doorward._pure.jws import DEFAULT_MAX_TOKEN_BYTES, Header, Parts, malformed, read_algorithms, token_bytes
from doorward._pure.kind import ASCII_LOWER
from doorward._pure.subject import RULES
from doorward.errors import Refused, refusal

__all__ = ["MAX_LEEWAY", "Verifier", "Verifiers"]

MAX_LEEWAY: Final = 300.0
"""A longer leeway would hide a clock that is wrong, and lengthens the life of every stolen token."""

_MOST_HEADERS: Final = 4
"""An issuer signs with one key, with two while they change, and may write the header in two ways. Each is as long as a
token at most."""

_Approved = tuple[bool, PreparedKey]
"""What a header says that is right in every respect: whether `typ` says that this is an access token, and the key."""


@final
class Verifier:
    """Verifies the access tokens of one issuer for one resource."""

    __slots__ = (
        "_algorithms",
        "_audience",
        "_headers",
        "_issuer",
        "_keys",
        "_leeway",
        "_max_token_lifetime",
        "_subject",
        "_types",
        "max_token_bytes",
    )

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audience: str | Sequence[str],
        algorithms: Sequence[str],
        leeway: float = 30.0,
        types: Sequence[str] | None = None,
        max_token_bytes: int = DEFAULT_MAX_TOKEN_BYTES,
        max_token_lifetime: float | None = None,
        subject: str = "sub",
    ) -> None:
        if isinstance(types, str):
            raise TypeError("types is a str, not a sequence of them")
        if not issuer:
            raise ValueError("issuer is empty")
        self._issuer = issuer
        self._audience = frozenset((audience,) if isinstance(audience, str) else audience)
        if not self._audience or "" in self._audience:
            raise ValueError("audience is empty")
        if types is not None and not types:
            raise ValueError("types is empty: None accepts at+jwt, JWT and absent")
        self._types = None if types is None else frozenset(map(_media_type, types))
        if not 0 <= leeway <= MAX_LEEWAY:
            raise ValueError("leeway is not from 0 to 300 seconds")
        self._leeway = float(leeway)
        if max_token_bytes <= 0:
            raise ValueError("max_token_bytes is 0")
        self.max_token_bytes = max_token_bytes
        if max_token_lifetime is not None and not 0 < max_token_lifetime < math.inf:
            raise ValueError("max_token_lifetime is not a positive number of seconds")
        self._max_token_lifetime = max_token_lifetime
        if subject not in RULES:
            raise ValueError("subject must be sub, username or client")
        self._subject = subject
        self._algorithms = read_algorithms(algorithms)
        if keys.secret_algorithm is None and any(crypto.hmac_bytes(one) for one in self._algorithms):
            raise ValueError("HMAC with published keys: anybody could sign; use KeySet.from_secret")
        if keys.secret_algorithm is not None and set(self._algorithms) != {keys.secret_algorithm}:
            raise ValueError("a shared secret is for its own algorithm alone")
        if any(crypto.hmac_bytes(one) is None for one in self._algorithms):
            crypto.ensure_available()
        self._keys = keys
        # Of tokens that were right in every respect: an issuer writes the same header into all of them. Whoever cannot
        # sign puts nothing here.
        self._headers: dict[bytes, _Approved] = {}

    @property
    def issuer(self) -> str:
        return self._issuer

    def verify(self, token: str | bytes, *, now: float, certificate_sha256: bytes | str | None = None) -> Claims:
        """The token's claims, or raises `Refused`."""
        certificate = _certificate(certificate_sha256)
        parts = Parts.split(token_bytes(token), self.max_token_bytes)
        approved = self._headers.get(parts.header) or self.approve(Header.parse(parts.decode_header()))
        claims = self.judge(parts, approved, now=_finite(now), certificate=certificate)
        if len(self._headers) < _MOST_HEADERS:
            self._headers[parts.header] = approved
        return claims

    def approve(self, header: Header) -> _Approved:
        """What comes before the signature."""
        return self._check_header(header), header.key(self._keys, self._algorithms)

    def judge(self, parts: Parts, approved: _Approved, *, now: float, certificate: bytes | None) -> Claims:
        """What is left once the header is approved."""
        declared, prepared = approved
        parts.verify(prepared.key)
        claims = read_claims.read(
            parts.payload,
            declared=declared,
            leeway=self._leeway,
            rule=self._subject,
            key_fingerprint=prepared.fingerprint,
        )
        self._check_parties(claims)
        self._check_times(claims, now)
        _check_proof(claims, certificate)
        return claims

    def _check_header(self, header: Header) -> bool:
        """Whether `typ` says that this is an access token, where it may say nothing."""
        header.check_types()
        if "zip" in header.parameters or _media_type(header.text("cty") or "") == "jwt":
            raise malformed("a compressed or nested token")
        typ = header.text("typ")
        kind = None if typ is None else _media_type(typ)
        if kind not in ((_AT_JWT, "jwt", None) if self._types is None else self._types):
            raise refusal("invalid_type", "typ is not that of an access token")
        return kind == _AT_JWT

    def _check_parties(self, claims: Claims) -> None:
        if claims.issuer != self._issuer:
            raise _foreign_issuer()
        if self._audience.isdisjoint(claims.audience):
            raise refusal("invalid_audience", "aud does not name this resource")

    def _check_times(self, claims: Claims, now: float) -> None:
        if not claims.expires_at > now - self._leeway:  # RFC 7519 section 4.1.4: on or after exp is too late
            raise refusal("token_expired", "exp has passed")
        if not claims.not_before <= now:
            raise refusal("token_not_yet_valid", "nbf or iat lies in the future")
        if self._max_token_lifetime is None:
            return
        if claims.issued_at is None:
            raise refusal("missing_claim", "without iat the lifetime cannot be told")
        if not claims.expires_at - claims.issued_at <= self._max_token_lifetime:
            raise refusal("token_lifetime_too_long", "exp lies too far behind iat")


@final
class Verifiers:
    """Several issuers: the token's exact `iss` chooses, keys are never mixed."""

    __slots__ = ("_by_issuer", "_max_token_bytes")

    def __init__(self, verifiers: Sequence[Verifier]) -> None:
        self._by_issuer = {verifier.issuer: verifier for verifier in verifiers}
        if len(self._by_issuer) != len(verifiers):
            raise ValueError("two verifiers have the same issuer")
        if not verifiers:
            raise ValueError("there is no verifier")
        self._max_token_bytes = max(verifier.max_token_bytes for verifier in verifiers)

    def verify(self, token: str | bytes, *, now: float, certificate_sha256: bytes | str | None = None) -> Claims:
        """See `Verifier.verify`."""
        certificate = _certificate(certificate_sha256)
        data = token_bytes(token)
        parts = Parts.split(data, self._max_token_bytes)
        header = Header.parse(parts.decode_header())
        verifier = self._by_issuer.get(read_claims.issuer(read_claims.parse(parts.payload)))
        if verifier is None:
            raise _foreign_issuer()
        if len(data) > verifier.max_token_bytes:
            raise refusal("token_too_large", "longer than the bound of its issuer")
        return verifier.judge(parts, verifier.approve(header), now=_finite(now), certificate=certificate)


_AT_JWT: Final = "at+jwt"  # RFC 9068 section 2.1


def _media_type(name: str) -> str:
    """RFC 7515 section 4.1.9: case does not matter, and ``application/`` may be left out."""
    lower = name.translate(ASCII_LOWER)
    short = lower.removeprefix("application/")
    return lower if "/" in short else short


def _finite(now: float) -> float:
    if not math.isfinite(now):
        raise ValueError("now is not a finite number")
    return float(now)


def _certificate(certificate: bytes | str | None) -> bytes | None:
    if certificate is None:
        return None
    data = read_claims.thumbprint_bytes(certificate) if isinstance(certificate, str) else certificate
    if data is None or len(data) != 32:
        raise ValueError("certificate_sha256 is not a SHA-256")
    return data


def _foreign_issuer() -> Refused:
    return refusal("invalid_issuer", "iss is not a trusted issuer")


def _check_proof(claims: Claims, certificate: bytes | None) -> None:
    """RFC 8705 section 3: a bound token is worth nothing without its certificate."""
    if claims.certificate_sha256 in (None, certificate):
        return
    shown = "bound to a certificate, and none was shown" if certificate is None else "bound to another certificate"
    raise refusal("proof_required", shown)

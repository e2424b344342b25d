"""What an introspection endpoint answered (RFC 7662 section 2.2), and whether that is enough.

Two kinds of fault are kept apart. Without a boolean `active` the endpoint has not answered the question: that is a
`ValueError` here, and the token cannot be checked now. Any other member of a wrong type is about this one token, which
is refused by the name of the member. A member that is null is absent, as several servers write it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from doorward._core import subject_by, token_kind
from doorward.errors import Refused, Unauthenticated, refusal
from doorward.settings import Issuer
from doorward.tokens.shapes import unexpected_audience

__all__ = ["Answer", "Judge"]

_MAX_TIME: Final = 253_402_300_799
"""The last second of the year 9999, as for the times of a JWT."""

_SHA256: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""32 bytes in base64url without padding."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read into types."""

    active: bool
    issuer: str | None = None
    subject: str | None = None
    client_id: str | None = None
    audience: tuple[str, ...] | None = None
    scopes: tuple[str, ...] = ()
    issued_at: float | None = None
    not_before: float | None = None
    expires_at: float | None = None
    token_id: str | None = None
    token_type: str | None = None
    """In lower case: types of tokens are case-insensitive (RFC 6749 section 5.1)."""
    kind: Literal["access", "unknown", "other"] = "unknown"
    """What its members show of the kind of token: endpoints answer about refresh tokens too (RFC 7662 section 2.1)."""
    username: str | None = None
    bound: bool = False
    """Whether the token is worth nothing without a proof."""
    certificate_sha256: bytes | None = None
    """The certificate it is bound to (RFC 8705 section 3.2), if that is the proof."""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Answer:
        """Raises `ValueError`, in fixed words, where ``active`` is not a boolean, and `Unauthenticated` with the name
        of the member for any other one of a wrong type."""
        active = document.get("active")
        if not isinstance(active, bool):  # "true" and 1 are neither
            raise ValueError("active is not a boolean")
        if not active:
            return cls(active=False)  # whatever else stands there means nothing
        authorized_party = _text(document, "azp")
        client_id = _text(document, "client_id") or authorized_party
        token_type = _text(document, "token_type")
        bound, certificate = _binding(document)
        return cls(
            active=True,
            issuer=_text(document, "iss"),
            subject=_text(document, "sub"),
            client_id=client_id,
            audience=_audience(document),
            scopes=_scopes(document),
            issued_at=_time(document, "iat"),
            not_before=_time(document, "nbf"),
            expires_at=_time(document, "exp"),
            token_id=_text(document, "jti"),
            token_type=None if token_type is None else token_type.lower(),
            kind=_kind(document),
            username=_username(document),
            bound=bound,
            certificate_sha256=certificate,
            claims={name: value for name, value in document.items() if name != "active"},
        )

    @property
    def starts_at(self) -> float:
        """Seconds since the epoch: the token does not count before."""
        return max(-_MAX_TIME if start is None else start for start in (self.not_before, self.issued_at))


class Judge:
    """Asks of an answer what a JWT is asked as well. Every check raises `Unauthenticated`."""

    def __init__(self, issuer: Issuer, audiences: Sequence[str]) -> None:
        self._issuer = issuer.url
        self._accepted = tuple(audiences)
        self._audiences = frozenset(audiences)
        self._leeway = issuer.leeway
        self._max_token_lifetime = issuer.max_token_lifetime
        self._subject = issuer.subject

    def check(self, answer: Answer, *, now: float, certificate_sha256: bytes | None) -> tuple[str, float]:
        """The subject and the expiry of a token that nothing but this answer vouches for."""
        self.check_beside_jwt(answer, now=now, certificate_sha256=certificate_sha256)
        if answer.audience is None:
            # A token for any other resource of the issuer would be as good as one for this.
            raise refusal("missing_claim", "aud is missing in the introspection answer")
        if answer.expires_at is None:
            raise refusal("missing_claim", "exp is missing in the introspection answer")
        if answer.kind != "access":
            raise refusal("invalid_type", "nothing shows an access token: the answer has no token_type and no scope")
        subject = subject_by(self._subject, answer.subject, answer.username, answer.client_id)
        self._check_lifetime(answer.issued_at, answer.expires_at)
        return subject, answer.expires_at

    def check_beside_jwt(self, answer: Answer, *, now: float, certificate_sha256: bytes | None) -> None:
        """The answer about a JWT that is verified: what it leaves out stands in the token."""
        if not answer.active:
            raise refusal("token_inactive", "its issuer says so")
        self._check_kind(answer)
        self._check_parties(answer)
        self._check_times(answer, now)
        if answer.bound and (answer.certificate_sha256 is None or answer.certificate_sha256 != certificate_sha256):
            raise refusal("proof_required", "cnf binds the token to a proof that was not given")

    def _check_kind(self, answer: Answer) -> None:
        if answer.token_type == "dpop":  # noqa: S105
            raise refusal("proof_required", "token_type binds the token to a proof other than a certificate")
        if answer.kind == "other":
            raise refusal("invalid_type", "the answer is about another kind of token")

    def _check_parties(self, answer: Answer) -> None:
        # Absent: the endpoint is this issuer's own, configured by the operator, and answers for its own tokens.
        if answer.issuer not in (None, self._issuer):
            raise refusal("invalid_issuer", "iss is not the issuer whose endpoint this is")
        if answer.audience is not None and self._audiences.isdisjoint(answer.audience):
            raise refusal("invalid_audience", unexpected_audience(self._accepted, answer.audience))

    def _check_times(self, answer: Answer, now: float) -> None:
        if answer.expires_at is not None and not answer.expires_at > now - self._leeway:
            raise refusal("token_expired", "exp has passed")
        if not answer.starts_at <= now + self._leeway:
            raise refusal("token_not_yet_valid", "nbf or iat lies in the future")

    def _check_lifetime(self, issued_at: float | None, expires_at: float) -> None:
        if self._max_token_lifetime is None:
            return
        if issued_at is None:
            raise refusal("missing_claim", "without iat the lifetime cannot be told")
        if not expires_at - issued_at <= self._max_token_lifetime:
            raise refusal("token_lifetime_too_long", "exp lies too far behind iat")


def _kind(document: Mapping[str, Any]) -> Literal["access", "unknown", "other"]:
    """By the rule for the claims of a JWT: the answer has the same members (RFC 7662 section 2.2)."""
    try:
        return token_kind(json.dumps(document).encode())
    except Unauthenticated:
        raise ValueError("not one strict JSON value") from None


def _username(document: Mapping[str, Any]) -> str | None:
    """Only some issuers fill it, and one that is no string is no name."""
    username = document.get("username")
    return username if isinstance(username, str) and username else None


def _wrong(problem: str) -> Refused:
    return refusal("invalid_claim", f"in the introspection answer {problem}")


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is None or (isinstance(value, str) and value):
        return value
    raise _wrong(f"{name} is not a string, or empty")


def _audience(document: Mapping[str, Any]) -> tuple[str, ...] | None:
    """RFC 7662 section 2.2: a string or a list of strings."""
    given = document.get("aud")
    if given is None:
        return None
    audience = [given] if isinstance(given, str) else given
    if not isinstance(audience, list) or not all(isinstance(each, str) for each in audience):
        raise _wrong("aud is not a string or a list of strings")
    return tuple(audience)


def _scopes(document: Mapping[str, Any]) -> tuple[str, ...]:
    """RFC 7662 section 2.2: one string, separated by spaces."""
    given = document.get("scope")
    if given is None:
        return ()
    if not isinstance(given, str):
        raise _wrong("scope is not a string")
    return tuple(dict.fromkeys(filter(None, given.split(" "))))


def _time(document: Mapping[str, Any], name: str) -> float | None:
    given = document.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not -_MAX_TIME <= given <= _MAX_TIME:
        raise _wrong(f"{name} is not a number of seconds before the year 10000")
    return float(given)


def _binding(document: Mapping[str, Any]) -> tuple[bool, bytes | None]:
    """Whether the token is bound, and to which certificate. Anything else, or more, cannot be proven here."""
    confirmation = document.get("cnf")
    if confirmation is None:
        return False, None
    if not isinstance(confirmation, dict) or not confirmation:
        raise _wrong("cnf is not an object with a member")
    if list(confirmation) != ["x5t#S256"]:
        return True, None
    thumbprint = confirmation["x5t#S256"]
    if not isinstance(thumbprint, str) or _SHA256.fullmatch(thumbprint) is None:
        raise _wrong("x5t#S256 is not a SHA-256")
    try:
        decoded = base64.b64decode(f"{thumbprint}=", altchars=b"-_", validate=True)
    except binascii.Error:
        raise _wrong("x5t#S256 is not a SHA-256") from None
    return True, decoded

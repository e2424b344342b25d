"""Who vouches for callers: issuers, their introspection, the file of agent tokens, and what was revoked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from doorward import checks
from doorward._core import KeySet, Verifier
from doorward.errors import Malformed
from doorward.hosts import is_loopback_host
from doorward.settings.secrets import Secret

__all__ = ["Agents", "Introspection", "Issuer", "Revocation"]

_MAX_STALE: Final = 30 * 86_400.0
"""Keys that nobody could look at for longer have most likely been replaced."""


_ALGORITHMS: Final = ("ES256", "ES384", "EdDSA", "Ed25519", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
"""Those of the core that are for published keys."""

_HMAC: Final = ("HS256", "HS384", "HS512")

_SUBJECTS: Final = ("sub", "username", "client")
"""The rules of the core."""

_KNOWN_TO_THE_CORE: Final = ("none", "ES512")
"""It says why it takes neither."""


@dataclass(frozen=True)
class Introspection:
    """An issuer's introspection endpoint (RFC 7662), and how this server shows itself to it."""

    url: str
    client_id: str
    secret: Secret | None = None
    """For ``client_secret_basic`` (RFC 6749 section 2.3.1)."""
    private_key: Secret | None = None
    """A PEM private key for ``private_key_jwt`` (RFC 7523 section 2.2) instead of a secret; its id is the ``kid``."""
    max_revocation_delay: float = 30.0
    """Seconds for which an answer is believed."""
    opaque: bool = True
    """Whether it is asked about tokens that are no JWTs; of all issuers one may be."""
    jwts: bool = False
    """Whether it is asked about this issuer's JWTs, whose revocation then shows within the delay."""

    def __post_init__(self) -> None:
        checks.web_url("url", self.url)
        if self.url.startswith("http:") and not is_loopback_host(urlsplit(self.url).netloc):
            raise ValueError("url must be https, or on this machine: tokens and the secret are sent there")
        checks.text("client_id", self.client_id)
        for name in ("secret", "private_key"):
            if getattr(self, name) is not None and not isinstance(getattr(self, name), Secret):
                raise ValueError(f"{name} must be a Secret")
        if self.secret is None and self.private_key is None:
            raise ValueError("secret is missing: give it, or a private_key")
        if self.secret is not None and self.private_key is not None:
            raise ValueError("private_key must not stand beside secret: give one of them")
        checks.number("max_revocation_delay", self.max_revocation_delay)
        if not 1 <= self.max_revocation_delay <= 3600:
            raise ValueError("max_revocation_delay must be from 1 to 3600 seconds")
        checks.flag("opaque", self.opaque)
        checks.flag("jwts", self.jwts)
        if not self.opaque and not self.jwts:
            raise ValueError("jwts must be true where opaque is false: else nothing is ever asked")


@dataclass(frozen=True)
class Issuer:
    """An authorization server whose tokens are accepted.

    Its keys are given (``jwks``), fetched from one URL (``jwks_url``), or found by discovery (RFC 8414, then OpenID)
    when neither is given.
    """

    url: str
    """Compared with ``iss`` and emitted byte for byte."""
    algorithms: Sequence[str]
    jwks: Mapping[str, Any] | str | bytes | None = field(default=None, repr=False)
    """Its JWK Set."""
    jwks_url: str | None = None
    max_stale: float = 86_400.0
    """Seconds for which known keys still count while the issuer cannot be reached."""
    leeway: float = 30.0
    """Seconds."""
    types: Sequence[str] | None = None
    max_token_lifetime: float | None = None
    """Seconds; a token that lives longer is refused."""
    introspection: Introspection | None = None
    subject: str = "sub"
    """What names the caller in JWTs and introspection answers without ``sub``: ``sub`` (nothing: they are refused),
    ``username`` (RFC 7662 section 2.2), or ``client``, the client id, for an issuer that serves machines alone."""

    def __post_init__(self) -> None:
        checks.web_url("url", self.url)
        if self.jwks is not None and self.jwks_url is not None:
            raise ValueError("jwks_url must not stand beside jwks: the keys are given or fetched")
        if self.jwks_url is not None:
            checks.web_url("jwks_url", self.jwks_url)
        if self.jwks is None:
            _check_asked("url" if self.jwks_url is None else "jwks_url", self.jwks_url or self.url)
        checks.number("max_stale", self.max_stale)
        if not 0 <= self.max_stale <= _MAX_STALE:
            raise ValueError("max_stale must be from 0 seconds to 30 days")
        object.__setattr__(self, "algorithms", checks.texts("algorithms", self.algorithms))
        for name in self.algorithms:
            _check_algorithm(name)
        if self.types is not None:
            object.__setattr__(self, "types", checks.texts("types", self.types))
        checks.number("leeway", self.leeway)
        if self.max_token_lifetime is not None:
            checks.number("max_token_lifetime", self.max_token_lifetime)
        checks.one_of("subject", self.subject, _SUBJECTS)
        if self.introspection is not None and not isinstance(self.introspection, Introspection):
            raise ValueError("introspection must be an Introspection")
        try:
            self.verifier(self.given_keys(), ["urn:doorward:any"])
        except ValueError as error:
            # The core says what is wrong; about the algorithms it says so in words of its own.
            named = str(error).startswith(("jwks ", "algorithms ", "types ", "leeway ", "max_token_lifetime "))
            raise ValueError(f"{'' if named else 'algorithms are wrong: '}{error}") from None

    def verifier(self, keys: KeySet, audiences: Sequence[str]) -> Verifier:
        """What verifies its tokens for these audiences with these keys."""
        return Verifier(
            keys,
            issuer=self.url,
            audience=audiences,
            algorithms=self.algorithms,
            leeway=self.leeway,
            types=self.types,
            max_token_lifetime=self.max_token_lifetime,
            subject=self.subject,
        )

    def given_keys(self) -> KeySet:
        """The keys that the configuration gives; none where they are fetched."""
        if self.jwks is None:
            return KeySet.from_json(b'{"keys":[]}')
        try:
            keys = KeySet.from_json(self.jwks)
        except (Malformed, TypeError) as error:
            detail = error.detail if isinstance(error, Malformed) else "it must be JSON"
            raise ValueError(f"jwks is not a JSON Web Key Set: {detail}") from None
        if len(keys) == 0:
            raise ValueError(f"jwks has no key that can be used: {'; '.join(keys.skipped) or 'it is empty'}")
        return keys


@dataclass(frozen=True)
class Agents:
    """Long-lived tokens, one for each agent, kept as hashes in a file (``doorward tokens create``)."""

    file: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", checks.path("file", self.file))


@dataclass(frozen=True)
class Revocation:
    """A file of what was revoked before it expired: token ids, subjects, clients, agents."""

    file: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", checks.path("file", self.file))


def _check_asked(name: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback_host(parts.netloc):
        raise ValueError(f"{name} must be https, or on this machine: keys that come in the clear are anybody's")


def _check_algorithm(name: str) -> None:
    """What the core refuses too, in words for whoever wrote the list."""
    if name in _HMAC:
        raise ValueError(
            f"algorithms has {name!r}, a shared secret: published keys are no secrets, so that anybody could sign. "
            "Have the issuer sign with a pair of keys, by ES256 or RS256"
        )
    if name not in _ALGORITHMS and name not in _KNOWN_TO_THE_CORE:
        from difflib import get_close_matches

        near = get_close_matches(name.upper(), _ALGORITHMS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"algorithms has {name!r}, which is not offered; {hint}offered are {', '.join(_ALGORITHMS)}")

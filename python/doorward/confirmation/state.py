"""The state that travels by the client: what the gate and the tool have to know when the call comes back.

``doorward1.nonce.payload.tag``: the tag is HMAC-SHA-256 over all that stands before it and over what the state is bound
to, which travels beside it in the call itself. It is no secret: the client learns when its question expires, and what
the tool would have told it anyway.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Final

from doorward.errors import refusal

__all__ = ["ASKED", "MAX_STATE", "RUNNING", "State", "Unread", "new_key", "new_nonce", "read"]

ASKED: Final = "asked"
"""The client was asked, and nothing has run."""

RUNNING: Final = "running"
"""The call was confirmed, and the tool itself has asked for something since."""

MAX_STATE: Final = 1024 * 1024
"""Characters: a quarter of the largest body. It has the tool's own state in it."""

_NONCE_BYTES: Final = 16
_KEY_BYTES: Final = 32
_VERSION: Final = "doorward1"


@dataclass(frozen=True, slots=True)
class State:
    """What a state says, once it is verified."""

    stage: str
    question: str
    """The id of the request that was answered with the question."""
    expires: float
    """Seconds since the epoch."""
    round: int
    """How often the tool itself has asked."""
    inner: str | None
    """The tool's own state."""

    def sealed(self, nonce: str, *, key: bytes, binding: str) -> str:
        """The state as it travels. Raises `ValueError` where the tool's own is too large."""
        payload = json.dumps([self.stage, self.question, self.expires, self.round, self.inner], separators=(",", ":"))
        signed = f"{_VERSION}.{nonce}.{_encoded(payload.encode())}"
        text = f"{signed}.{_tag(signed, key, binding)}"
        if len(text) > MAX_STATE:
            raise ValueError("the tool's own state is too large")
        return text


@dataclass(frozen=True, slots=True)
class Unread:
    """A state of our form, of which nothing is verified yet: only its nonce may be used, to find its key."""

    nonce: str
    _signed: str
    _tag: str

    def verified(self, *, key: bytes, binding: str) -> State:
        """What it says. Raises `Forbidden` where it was not sealed with this key for this call."""
        if not hmac.compare_digest(self._tag, _tag(self._signed, key, binding)):
            raise refusal("confirmation_invalid", "forged, or another caller's, or for another call")
        stage, question, expires, round_, inner = json.loads(_decoded(self._signed.rpartition(".")[2]))
        return State(stage, question, expires, round_, inner)


def read(text: str) -> Unread:
    """Raises `Forbidden` for what is no state of the gate."""
    parts = text.split(".") if len(text) <= MAX_STATE and text.isascii() else []
    if len(parts) != 4 or parts[0] != _VERSION:
        raise refusal("confirmation_invalid", "no state of the gate")
    return Unread(parts[1], text.rpartition(".")[0], parts[3])


def new_nonce() -> str:
    """Unguessable: 128 bits."""
    return secrets.token_urlsafe(_NONCE_BYTES)


def new_key() -> bytes:
    """Of one question: as long as the hash (RFC 2104 section 3)."""
    return secrets.token_bytes(_KEY_BYTES)


def _tag(signed: str, key: bytes, binding: str) -> str:
    # The length first, so that no binding can take over a part of the state.
    message = f"{len(binding)}:{binding}{signed}".encode("utf-8", "surrogatepass")
    # Compared as text: base64 has several spellings of the same bytes.
    return _encoded(hmac.new(key, message, hashlib.sha256).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

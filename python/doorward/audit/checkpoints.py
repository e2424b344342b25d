"""Signed checkpoints: lines of the chain that only the holder of a key can make (Ed25519, RFC 8032).

The hash chain alone can be computed anew by whoever can write the file. A checkpoint signs its own line, and with it
the hash of the line before: up to the last one, nothing can be changed, taken out or put in without the key.
A signature takes some 30 us and is made where the record is written; in a thread it would sign an earlier line, and
leave the last ones open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final

from doorward.audit.chain import Chain, seal_signed
from doorward.audit.record import NO_CALL, SCHEMA, timestamp
from doorward.extras import ensure_cryptography
from doorward.settings import Checkpoint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["CONTEXT", "Checkpoints", "key_id", "load_private_key"]

CONTEXT: Final = b"doorward audit checkpoint\n"
"""Signed before the line, so that no signature made for another purpose with the same key is one of these."""

_KEY_ID_DIGITS: Final = 16
"""Of the hash that names a key without a name: 64 bits tell an operator's keys apart."""

_DAY: Final = 86_400.0

_USUAL_BYTES: Final = 1024
"""Of a checkpoint's line."""


class Checkpoints:
    """Says after each record whether a checkpoint is due, and makes it. One for each chain, under its lock."""

    def __init__(self, settings: Checkpoint, *, beside: Callable[[float], Sequence[str]] = lambda since: ()) -> None:
        """``beside``: the other instances that wrote since then. Raises `ValueError` for a key that cannot sign."""
        self._key = load_private_key(settings.key.value)
        self._key_id = encode_basestring_ascii(settings.key.id or key_id(self._key.public_key()))
        self._every = settings.every
        self._seconds = settings.seconds
        self._beside = beside
        self._unsigned = 0
        self._last: float | None = None
        self.length = _USUAL_BYTES
        """Bytes of the last one: the next will be about as long."""

    def after(self, chain: Chain, *, at: float) -> bytes | None:
        """To be called after every sealed record: the line to append behind it, if one is due. ``at`` in seconds since
        the epoch."""
        self._unsigned += 1
        return self._line(chain, at) if self.due(at) else None

    def due(self, at: float) -> bool:
        """Whether records wait for a signature for too long; for a timer, as the last record has none behind it."""
        if self._unsigned == 0:
            return False
        # The first record of a process is signed at once, so that no honest chain is without a signature; and so is the
        # next one when the clock went back.
        return self._last is None or self._unsigned >= self._every or not 0 <= at - self._last < self._seconds

    def now(self, chain: Chain, *, at: float) -> bytes | None:
        """The line that signs all records so far, if there are any without: for a timer, and before a file is closed
        or rotated."""
        return self._line(chain, at) if self._unsigned else None

    def _line(self, chain: Chain, at: float) -> bytes:
        beside = self._beside(at - _DAY if self._last is None else self._last)
        named = ",".join(map(encode_basestring_ascii, beside))
        record = (
            f'{{"event":"checkpoint","timestamp":"{timestamp(at)}",{NO_CALL},'
            f'"schema":{SCHEMA},"signing_key":{self._key_id},"beside":[{named}]'
        )
        line = seal_signed(chain, record, lambda signed: self._key.sign(CONTEXT + signed))
        self._unsigned, self._last, self.length = 0, at, len(line)
        return line


def load_private_key(pem: bytes) -> Ed25519PrivateKey:
    """An Ed25519 key from PKCS #8 in PEM. Raises `ValueError`, which repeats nothing of the key."""
    ensure_cryptography("checkpoints are signed with it")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("key must be an Ed25519 key in PEM, as `doorward audit keygen` makes it") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("key must be an Ed25519 key: it is one of another kind")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """What a key is called that was given no id."""
    import hashlib

    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_KEY_ID_DIGITS]

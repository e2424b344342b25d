"""A throw-away key for checkpoints, and what its tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from doorward.audit.checkpoints import Checkpoints
from doorward.settings import Checkpoint, Secret

_private = Ed25519PrivateKey.generate()
KEY = _private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC_KEY = _private.public_key()
PUBLIC_PEM = PUBLIC_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def checkpoints(
    *, every: int = 1000, seconds: float = 60.0, beside: Callable[[float], Sequence[str]] = lambda since: ()
) -> Checkpoints:
    """Checkpoints with that key."""
    return Checkpoints(Checkpoint(key=Secret(KEY, "2026-11"), every=every, seconds=seconds), beside=beside)

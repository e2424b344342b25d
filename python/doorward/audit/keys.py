"""The key of the fingerprints: the one that is in its file now.

Rotation needs no restart: the file is put in place of the old one, and within a second new calls are hashed with it. A
record names its key; where the key comes from a file, by the configured id and by a fingerprint of the key itself, so
that two keys never go by one name, whoever forgot to change it.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Callable
from typing import Final

from doorward.settings import MIN_KEY_BYTES, Secret

__all__ = ["HashKey", "key_name"]

INTERVAL: Final = 1.0
"""Seconds between two looks at the file: how late a new key is used, at most."""

_MAX_BYTES: Final = 64 * 1024
"""Of a key's file: far more than any key."""

_NAME_DIGITS: Final = 8
"""Of the fingerprint: 32 bits tell one operator's keys apart, and say nothing about a key of 256."""

_log = logging.getLogger("doorward.audit")


def key_name(key: Secret) -> str:
    """What a record calls the key."""
    if not key.file:
        return key.id
    fingerprint = hmac.new(key.value, b"doorward hash_key", hashlib.sha256).hexdigest()[:_NAME_DIGITS]
    return f"{key.id}/{fingerprint}" if key.id else fingerprint


class HashKey:
    """The key that is configured, read again when its file changes. What cannot be a key never replaces one."""

    def __init__(self, key: Secret | None, *, alarm: Callable[[str], None] = lambda slug: None) -> None:
        """``alarm`` is told ``audit_key_unreadable`` when the file goes bad."""
        self._configured = key
        self._alarm = alarm
        self._key = None if key is None else Secret(key.value, key_name(key))
        self._looked_at = float("-inf")
        self._stamp: tuple[int, ...] | None = None
        self._told = False

    def now(self, at: float) -> Secret | None:
        """The key at this moment (seconds, of any clock), with the name for the record as its id."""
        if self._configured is not None and self._configured.file and not 0 <= at - self._looked_at < INTERVAL:
            self._looked_at = at
            self._look(self._configured)
        return self._key

    def _look(self, configured: Secret) -> None:
        try:
            status = os.stat(configured.file)
            stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if stamp == self._stamp:
                return
            with open(configured.file, "rb") as file:
                value = file.read(_MAX_BYTES + 1).strip()
            if not MIN_KEY_BYTES <= len(value) <= _MAX_BYTES:
                raise OSError(0, f"a key has from {MIN_KEY_BYTES} to {_MAX_BYTES} bytes")
        except OSError as error:
            if not self._told:
                self._told = True
                self._alarm("audit_key_unreadable")
                _log.error("%s: %s; the key before goes on to count", configured.file, error.strerror)
            return
        # Two changes within one tick of the file system's clock have one stamp: only what was read twice is settled.
        settled = self._key is not None and value == self._key.value
        self._stamp = stamp if settled else None
        self._told = False
        if self._key is None or value != self._key.value:
            self._key = Secret(value, key_name(Secret(value, configured.id, configured.file)))

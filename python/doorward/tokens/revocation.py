"""What was revoked before it expired, by token, subject, client or agent. It wins over every cache."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from doorward.principal import Principal
from doorward.settings import Revocation
from doorward.tokens.agent_tokens import AGENTS_ISSUER
from doorward.tokens.toml_tables import Entry, entries
from doorward.tokens.watched import INTERVAL, Watched

if TYPE_CHECKING:
    from doorward._redis import Store
    from doorward.tokens.shared_revocations import SharedRevocations

__all__ = ["KINDS", "MAX_REVOCATIONS", "Key", "Revocations", "key_of"]

KINDS: Final = ("token_id", "subject", "client", "agent")

MAX_REVOCATIONS: Final = 100_000
"""Beside those of the file; some 30 MiB. Whoever needs more revokes clients or subjects, not tokens."""

_MAX_CHARACTERS: Final = 16_384
"""Of what is revoked: no claim is longer than the longest token."""

_PURGE_INTERVAL: Final = 60.0
"""Seconds between two sweeps for what has passed: a sweep looks at everything."""

_FOREVER: Final = float("inf")

Key = tuple[str, str | None, str]
"""What is revoked: one of `KINDS`, the issuer within which (None: within any), and its value."""


class Revocations:
    """Everything revoked that this process knows of: from the file, from whoever calls `add`, and from the other
    instances that use the same store."""

    def __init__(
        self,
        settings: Revocation | None,
        *,
        alarm: Callable[[str], None] | None = None,
        store: Store | None = None,
        prefix: str = "doorward",
        before: Revocations | None = None,
    ) -> None:
        """``alarm`` is told ``revocation_file_unreadable`` when the file goes bad; ``store``: how instances of the same
        ``prefix`` hear of each other; ``before``: whose additions stay,
        and go on to be shared. Raises `ValueError` that names the file and, where it is known, the line."""
        self._alarm = alarm or (lambda slug: None)
        self._file: Watched[dict[Key, float]] | None = None
        self._listed: dict[Key, float] = {}
        if settings is not None:
            self._file = Watched(settings.file, _parse, alarm=alarm, slug="revocation_file_unreadable")
            self._listed = self._file.value
        self._looked_at = float("-inf")
        self._purged_at = float("-inf")
        # One for both: who still decides by the earlier settings sees what is revoked from now on.
        self._added: dict[Key, float] = {} if before is None else before._added
        self._lock: threading.Lock = threading.Lock() if before is None else before._lock
        self._shared: SharedRevocations | None = None if before is None else before._shared
        if store is not None and before is None:
            self._share(store, prefix)

    def __len__(self) -> int:
        return len(self._listed) + len(self._added)

    @property
    def is_live(self) -> bool:
        """Whether it can be told what the other instances revoked; where it cannot, `ready` sees to that."""
        return self._shared is None or self._shared.is_live

    async def ready(self) -> None:
        """Have heard of the other instances once. Takes no longer than a moment, and raises nothing."""
        if self._shared is not None and not self._shared.is_live:
            await self._shared.ready()

    def cover(self, principal: Principal, *, now: float) -> bool:
        """Whether the caller's credential was revoked, for all that is known here."""
        if not 0.0 <= now - self._looked_at < INTERVAL:
            self._look(now)
        return bool(self._added or self._listed) and self._covers(principal, now)

    def spare(self, principal: Principal, *, now: float) -> bool:
        """Whether it is known that the caller's credential was not revoked, here or elsewhere. On the path of every
        request."""
        if self._shared is None and not self._added and not self._listed and 0.0 <= now - self._looked_at < INTERVAL:
            return True
        return self.is_live and not self.cover(principal, now=now)

    def revoke(
        self,
        *,
        token_id: str | None = None,
        subject: str | None = None,
        client: str | None = None,
        agent: str | None = None,
        issuer: str | None = None,
        until: float | None = None,
    ) -> None:
        """Revoke one thing: from now on in this process, within a second in all that use the same store, and until it
        ends or ``until`` (seconds since the epoch). Raises `ValueError`."""
        given = {"token_id": token_id, "subject": subject, "client": client, "agent": agent}
        self.add(key_of({kind: value for kind, value in given.items() if value is not None}, issuer), until=until)

    def add(self, key: Key, *, until: float | None = None) -> None:
        """What any source of revocations calls; the later of two ends counts. Raises `ValueError` when there are too
        many."""
        ends = _FOREVER if until is None else until
        self._put(key, ends)
        if self._shared is not None:
            self._shared.publish(key, ends)

    def _share(self, store: Store, prefix: str) -> None:
        # Here, because whoever has no store need not have the library.
        from doorward.tokens.shared_revocations import SharedRevocations

        self._shared = SharedRevocations(store, known=self._known, learn=self._learn, alarm=self._alarm, prefix=prefix)

    def _known(self) -> dict[Key, float]:
        with self._lock:
            return dict(self._added)

    def _learn(self, key: Key, ends: float) -> bool:
        try:
            self._put(key, ends)
        except ValueError:
            return False
        return True

    def _put(self, key: Key, ends: float) -> None:
        with self._lock:
            if key not in self._added and len(self._added) >= MAX_REVOCATIONS:
                raise ValueError(
                    f"more than {MAX_REVOCATIONS} revocations: revoke clients or subjects instead of tokens"
                )
            self._added[key] = max(ends, self._added.get(key, ends))

    def _covers(self, principal: Principal, now: float) -> bool:
        issuer = principal.issuer
        for kind, value in _values(principal):
            for key in ((kind, issuer, value), (kind, None, value)):
                if self._listed.get(key, now) > now or self._added.get(key, now) > now:
                    return True
        return False

    def _look(self, now: float) -> None:
        self._looked_at = now
        if self._file is not None and self._file.look(now):
            self._listed = self._file.value
        if not 0.0 <= now - self._purged_at < _PURGE_INTERVAL:
            self._purged_at = now
            with self._lock:
                for key in [key for key, until in self._added.items() if until <= now]:
                    del self._added[key]
            self._listed = {key: until for key, until in self._listed.items() if until > now}


def key_of(given: Mapping[str, str], issuer: str | None) -> Key:
    """What is meant by one of `KINDS` and perhaps an issuer. Raises `ValueError`."""
    if len(given) != 1:
        raise ValueError(f"give one of {', '.join(KINDS)}, and no second one")
    ((kind, value),) = given.items()
    for name, text in ((kind, value), ("issuer", issuer)):
        if text is not None and (not isinstance(text, str) or not 0 < len(text) <= _MAX_CHARACTERS):
            raise ValueError(f"{name} must be a string, not empty, and no longer than a token")
    if kind == "agent":
        if issuer is not None:
            raise ValueError("an agent has no issuer")
        issuer = AGENTS_ISSUER
    return kind, issuer, value


def _values(principal: Principal) -> list[tuple[str, str]]:
    """By what the caller could have been revoked."""
    values = [("subject", principal.subject)]
    if principal.token_id is not None:
        values.append(("token_id", principal.token_id))
    if principal.client_id is not None:
        values.append(("client", principal.client_id))
    if principal.issuer == AGENTS_ISSUER:
        # By its id or by its name: a revocation that is written the other way must not do nothing.
        values += [("agent", principal.subject), ("agent", principal.client_id or "")]
    return values


def _parse(data: bytes) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for entry in entries(data, "revoked"):
        key, until = _revoked(entry)
        found[key] = max(until, found.get(key, until))
    return found


def _revoked(entry: Entry) -> tuple[Key, float]:
    entry.check_keys((*KINDS, "issuer", "until"))
    given = entry.members
    try:
        key = key_of({kind: given[kind] for kind in KINDS if kind in given}, given.get("issuer"))
    except ValueError as error:
        raise entry.wrong(str(error)) from None
    until = entry.instant("until")
    return key, _FOREVER if until is None else until

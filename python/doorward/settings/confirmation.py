"""Confirmation: how long a question stands, how often one may be asked, and who answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from doorward import checks
from doorward.settings.budgets import Budget, budgets
from doorward.settings.recording import MIN_KEY_BYTES
from doorward.settings.secrets import Secret

__all__ = ["Confirmation"]

_MIN_SECONDS: Final = 10.0
"""Nobody reads and decides faster."""

_MAX_SECONDS: Final = 3600.0
"""Whoever is asked an hour later no longer knows what for."""


@dataclass(frozen=True)
class Confirmation:
    """How calls under a rule with ``confirm = true`` are confirmed."""

    lifetime: float = 600.0
    """Seconds for which a question stands: time to find the person, and as long as the SDK's own state lives."""
    asks: Sequence[Budget | str] = ("10/minute", "200/day")
    """Per client: whoever is asked all the time says yes without looking."""
    key: Secret | None = None
    """What the state is authenticated with, beside each question's own key in the store: then whoever can write
    there cannot make questions up."""
    webhook: str | None = None
    """Where the operator's approver is asked, instead of the client; https only."""
    webhook_key: Secret | None = None
    """What those requests are signed with."""

    def __post_init__(self) -> None:
        checks.number("lifetime", self.lifetime)
        if not _MIN_SECONDS <= self.lifetime <= _MAX_SECONDS:
            raise ValueError(f"lifetime must be from {_MIN_SECONDS:g} seconds to {_MAX_SECONDS / 60:g} minutes")
        object.__setattr__(self, "asks", budgets("asks", self.asks))
        if not self.asks:
            raise ValueError('asks must name a budget, like ["10/minute"]: without one a client asks without end')
        _check_key("key", self.key)
        _check_key("webhook_key", self.webhook_key)
        if (self.webhook is None) != (self.webhook_key is None):
            missing, other = ("webhook_key", "webhook") if self.webhook_key is None else ("webhook", "webhook_key")
            raise ValueError(f"{missing} must stand beside {other}: requests to the approver are signed")
        if self.webhook is not None:
            _check_webhook(checks.text("webhook", self.webhook))


def _check_key(name: str, key: object) -> None:
    if key is None:
        return
    if not isinstance(key, Secret):
        raise ValueError(f"{name} must be a Secret")
    if len(key.value) < MIN_KEY_BYTES:
        raise ValueError(f"{name} must have at least {MIN_KEY_BYTES} bytes")


def _check_webhook(url: str) -> None:
    """Repeats nothing of what stands there: a path may be a secret."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment
        good = good and (parts.port is None or parts.port > 0) and all("!" <= each <= "~" for each in url)
    except ValueError:
        good = False
    if not good:
        raise ValueError("webhook must be an https URL, without a user and without a fragment")

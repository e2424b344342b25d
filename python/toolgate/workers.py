"""Several of us: what a process can tell of it, and what does not work then."""

from __future__ import annotations

import multiprocessing
import os

from toolgate.settings import Configuration

__all__ = ["ensure_known_to_all", "is_worker"]


def is_worker() -> bool:
    """Whether a server program seems to have started several of us."""
    return multiprocessing.parent_process() is not None or os.environ.get("WEB_CONCURRENCY", "1") not in ("", "1")


def ensure_known_to_all(configuration: Configuration) -> None:
    """Raises `ValueError` where several processes would ask, and none knew what another has asked."""
    limits = configuration.limits
    if limits.url is not None or not configuration.asks_humans:
        return
    if limits.instances > 1:
        several = f"[limits] instances is {limits.instances}"
    elif is_worker():
        several = "this process seems to be one of several workers (WEB_CONCURRENCY, or it was started by another one)"
    else:
        return
    raise ValueError(
        f"limits.store must be a Redis that all processes share: {several}, and there are rules with confirm = true, "
        "whose questions one process asks and another one has to know. Set [limits] store = "
        '"redis://...", or run a single process'
    )

"""Several of us: what a process can tell of it, and what does not work then."""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import Any

from doorward.settings import Configuration

__all__ = ["ensure_known_to_all", "is_worker"]


def is_worker() -> bool:
    """Whether a server program seems to have started several of us."""
    is_started = multiprocessing.parent_process() is not None and not _is_reloaded()
    return is_started or os.environ.get("WEB_CONCURRENCY", "1") not in ("", "1")


def ensure_known_to_all(configuration: Configuration) -> None:
    """Raises `ValueError` where several processes would ask, and none knew what another has asked."""
    limits = configuration.limits
    if limits.url is not None or not configuration.asks_humans:
        return
    if limits.instances > 1:
        several = f"[limits] instances is {limits.instances}"
    elif is_worker():
        several = (
            "this process seems to be one of several workers (WEB_CONCURRENCY, or it was started by another one, and "
            "not by uvicorn --reload)"
        )
    else:
        return
    raise ValueError(
        f"limits.store must be a Redis that all processes share: {several}, and there are rules with confirm = true, "
        "whose questions one process asks and another one has to know. Set [limits] store = "
        '"redis://...", or run a single process: without workers, and to develop under no reloader but uvicorn --reload'
    )


def _is_reloaded() -> bool:
    """Whether uvicorn's reloader started this process, which ends the one before it starts another. It alone runs a
    server in a child that was told to reload; whatever else is a child may be one of many."""
    program, server = sys.modules.get("uvicorn._subprocess"), sys.modules.get("uvicorn.server")
    if program is None or server is None:
        return False
    # What `multiprocessing` runs here. It says so nowhere else; where it says it no longer, we are a worker again.
    me: Any = multiprocessing.current_process()
    if getattr(me, "_target", None) is not program.subprocess_started:
        return False
    given = getattr(me, "_kwargs", {})
    runs_server = getattr(given.get("target"), "__func__", None) is server.Server.run
    # Before uvicorn 0.30 the child of `--workers` ran a server as well.
    return runs_server and getattr(given.get("config"), "should_reload", False) is True

"""Several worker processes: how a process finds out, and what does not work then."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from types import FrameType
from typing import Any

from doorward.settings import Configuration

__all__ = ["ensure_known_to_all", "is_worker"]


def is_worker() -> bool:
    """Whether a server program seems to have started several processes. The server's own number counts; where it
    cannot be read, a process that another one started counts as one of several."""
    told = _workers_of_server()
    if told is not None:
        return told > 1
    is_started = multiprocessing.parent_process() is not None and not _is_reloaded()
    return is_started or os.environ.get("WEB_CONCURRENCY", "1") not in ("", "1")


def ensure_known_to_all(configuration: Configuration) -> None:
    """Raises `ValueError` where several processes would ask, and none knew what another has asked."""
    limits = configuration.limits
    if limits.url is not None or not configuration.asks_humans:
        return
    if limits.instances is not None and limits.instances > 1:
        several = f"[limits] instances is {limits.instances}"
    elif limits.instances is None and is_worker():
        several = (
            "this process seems to be one of several workers (the server program says so, WEB_CONCURRENCY does, or "
            "another process started it, which was not uvicorn --reload; if it is the only one, set [limits] "
            "instances = 1)"
        )
    else:
        return
    raise ValueError(
        f"limits.store must be a Redis that all processes share: {several}, and there are rules with confirm = true, "
        "whose questions one process asks and another one has to know. Set [limits] store = "
        '"redis://...", or run a single process: without workers, and to develop under no reloader but uvicorn --reload'
    )


def _workers_of_server() -> int | None:
    """How many workers the server program starts, where it can be read: hypercorn passes its configuration to the
    process, gunicorn and granian fork, so that their objects are on the stack of the main thread."""
    process: Any = multiprocessing.current_process()
    config = getattr(process, "_kwargs", {}).get("config")
    if _package_of(config) == "hypercorn":
        return _count(config, "workers")
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        server = frame.f_locals.get("self")
        if server is not None and _package_of(server) == "gunicorn" and hasattr(server, "cfg"):
            return max(_count(server.cfg, "workers") or 1, _count(server, "num_workers") or 1)
        if _package_of(server) == "granian" and hasattr(server, "workers"):
            return _count(server, "workers")
        frame = frame.f_back
    return None


def _package_of(value: object) -> str:
    return str(getattr(type(value), "__module__", "")).partition(".")[0]


def _count(holder: Any, name: str) -> int | None:
    found = getattr(holder, name, None)
    return found if isinstance(found, int) else None


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

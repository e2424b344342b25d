"""Which path a request was sent to, behind a server's ``root_path`` and below the mounts of other apps (ASGI)."""

from __future__ import annotations

from doorward.adapters.wire import Scope

__all__ = ["is_at", "route_path"]


def is_at(scope: Scope, path: str) -> bool:
    """Whether the request is for ``path``: as the client wrote it, or below a prefix that was taken for the server's
    ``root_path`` or for a mount. Servers and frameworks disagree whether ``path`` includes the ``root_path``."""
    sent, root = scope["path"], _root(scope)
    if sent == path:
        return True
    # Starlette adds mounts to the root path, and keeps what it was before.
    outer = scope.get("app_root_path", root).rstrip("/")
    if not _is_below(sent, outer):
        sent = outer + sent
    if not sent.endswith(path):
        return False
    return _is_below(root, sent[: len(sent) - len(path)])


def route_path(scope: Scope) -> str:
    """The path by which an app routes the request: without the root path where that is in front of it."""
    path: str = scope["path"]
    root = _root(scope)
    return path[len(root) :] if _is_below(path, root) else path


def _root(scope: Scope) -> str:
    root: str = scope.get("root_path", "")
    return root.rstrip("/")


def _is_below(path: str, prefix: str) -> bool:
    """Whether ``path`` is ``prefix`` or begins with its segments."""
    return path == prefix or path.startswith(f"{prefix}/") or not prefix

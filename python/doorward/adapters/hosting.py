"""What an app has to do for a protected server that is mounted in it, and what it is told where it does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from doorward.gate import Gate

__all__ = ["NOT_STARTED", "ensure_metadata_served", "is_not_started"]

NOT_STARTED: Final = (
    "a server behind the gate was not started, because the app in which it is mounted runs no lifespan of what it "
    "mounts: write Starlette(routes=[...], lifespan=protected.lifespan), where protected = gate.protect(server)"
)

_NOT_INITIALIZED: Final = ("task group is not initialized", "task group was not initialized")
"""In the message of the SDK's session manager, and in that of fastmcp, in lower case."""

_FULL: Final = "FULL"
"""Of Starlette's ``Match``: path and method are the route's."""


def ensure_metadata_served(gate: Gate, host: object) -> None:
    """Raises `RuntimeError` where ``host``, an app with routes in which a protected server is mounted, does not answer
    the URL that the challenge names: clients ask for it at the root of the host (RFC 9728 section 3.1), so nobody could
    log in. An app without routes is not looked at."""
    routes = getattr(host, "routes", None)
    if routes is None or not gate.configuration.issuers:
        return
    path = unquote(urlsplit(gate.metadata.url).path)
    if not _answers(gate, routes, {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}):
        raise RuntimeError(
            f"no route of the app answers {gate.metadata.url}, where clients look for the authorization server: add "
            'Mount("/.well-known", gate.well_known()) before its other routes, in FastAPI '
            'app.mount("/.well-known", gate.well_known()); where several gates share an app, '
            f'Route("{path}", gate.well_known()) for each'
        )


def is_not_started(error: BaseException) -> bool:
    """Whether a server raised this because its lifespan was not run."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_not_started(each) for each in error.exceptions)
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NOT_INITIALIZED)


def _answers(gate: Gate, routes: Iterable[Any], scope: dict[str, Any]) -> bool:
    for route in routes:
        match, found = route.matches(scope)
        if match.name != _FULL:
            continue
        endpoint = found.get("endpoint")
        nested = getattr(endpoint, "routes", None)
        if nested is not None:
            return _answers(gate, nested, scope | found)
        # What is not a gate's is the operator's own answer.
        return getattr(endpoint, "gate", gate) is gate
    return False

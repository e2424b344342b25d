"""What browsers and caches are told about an answer: CORS headers for allowed origins, ``Vary: Origin`` always."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
from guarded import Guarded, message

ALLOWED = "https://app.example.com"
FOREIGN = "https://evil.example"
OURS = "WWW-Authenticate, Retry-After, X-Request-Id, Mcp-Session-Id, MCP-Protocol-Version"
METADATA = "/.well-known/oauth-protected-resource/mcp"

pytestmark = pytest.mark.anyio

Headers = list[tuple[bytes, bytes]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def it(guarded: Callable[..., Guarded]) -> Guarded:
    return guarded(allowed_origins=[ALLOWED], max_body_bytes=1000)


REQUESTS: dict[str, tuple[str, str, dict[str, str], int]] = {
    "a call": ("POST", "/mcp", {}, 200),
    "no credentials": ("POST", "/mcp", {"authorization": ""}, 401),
    "too large": ("POST", "/mcp", {"content-length": "1001"}, 413),
    "a stream": ("GET", "/mcp", {}, 200),
    "the end of a session": ("DELETE", "/mcp", {}, 200),
    "a foreign host": ("POST", "/mcp", {"host": "other.example.com"}, 403),
    "the metadata": ("GET", METADATA, {}, 200),
    "the metadata, their head": ("HEAD", METADATA, {}, 200),
}


@pytest.mark.parametrize("origin", [None, ALLOWED, FOREIGN], ids=["no origin", "allowed", "foreign"])
@pytest.mark.parametrize(("method", "path", "headers", "status"), REQUESTS.values(), ids=REQUESTS)
async def test_every_answer_says_that_it_differs_by_origin(
    it: Guarded, method: str, path: str, headers: dict[str, str], status: int, origin: str | None
) -> None:
    given = headers | ({} if origin is None else {"origin": origin})
    answer = await asked(it, method, path, given)
    is_public = path == METADATA
    assert answer.status == (403 if origin == FOREIGN and not is_public else status)
    assert answer.all("vary") == ["Origin"]
    assert answer.all("access-control-allow-origin") == ([ALLOWED] if origin == ALLOWED else [])
    assert answer.all("access-control-expose-headers") == ([OURS] if origin == ALLOWED else [])


@pytest.mark.parametrize("origin", [None, ALLOWED, FOREIGN], ids=["no origin", "allowed", "foreign"])
async def test_so_does_the_app_of_the_metadata_alone(it: Guarded, origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    answer = await asked(it, "GET", METADATA, headers, app=it.gate.well_known())
    assert (answer.status, answer.all("vary")) == (200, ["Origin"])


async def test_a_preflight_says_that_it_repeats_what_was_asked(it: Guarded) -> None:
    asks = {"origin": ALLOWED, "access-control-request-headers": "mcp-name"}
    answer = await asked(it, "OPTIONS", "/mcp", asks)
    assert (answer.status, answer.all("access-control-allow-headers")) == (204, ["mcp-name"])
    assert answer.all("vary") == ["Origin, Access-Control-Request-Headers"]


EXPOSED: dict[str, tuple[list[str], str]] = {
    "nothing": ([], OURS),
    "names of its own": (["X-Usage, X-Cost"], f"X-Usage, X-Cost, {OURS}"),
    "in two lines": (["X-Usage", "X-Cost"], f"X-Usage, X-Cost, {OURS}"),
    "some of ours, in another case": (
        ["mcp-protocol-version, RETRY-AFTER"],
        "mcp-protocol-version, RETRY-AFTER, WWW-Authenticate, X-Request-Id, Mcp-Session-Id",
    ),
    "everything, but to requests without credentials": (["*"], f"*, {OURS}"),
    "empty members": ([", ,"], OURS),
}


@pytest.mark.parametrize(("lines", "expected"), EXPOSED.values(), ids=EXPOSED)
async def test_what_the_app_exposes_stays_exposed(it: Guarded, lines: list[str], expected: str) -> None:
    app = it.gate.protect(answering([(b"Access-Control-Expose-Headers", line.encode()) for line in lines]))
    answer = await asked(it, "POST", "/mcp", {"origin": ALLOWED}, app=app)
    assert answer.all("access-control-expose-headers") == [expected]
    unchanged = await asked(it, "POST", "/mcp", {}, app=app)
    assert unchanged.all("access-control-expose-headers") == lines


VARYING: dict[str, tuple[list[str], list[str]]] = {
    "nothing": ([], ["Origin"]),
    "something else": (["Accept-Encoding"], ["Accept-Encoding", "Origin"]),
    "the origin already": (["Accept, origin"], ["Accept, origin"]),
    "everything": (["*"], ["*"]),
}


@pytest.mark.parametrize(("lines", "expected"), VARYING.values(), ids=VARYING)
async def test_what_else_the_app_s_answer_varies_by_is_kept(it: Guarded, lines: list[str], expected: list[str]) -> None:
    app = it.gate.protect(answering([(b"Vary", line.encode()) for line in lines]))
    answer = await asked(it, "POST", "/mcp", {"origin": ALLOWED}, app=app)
    assert answer.all("vary") == expected


async def test_the_gate_decides_which_origin_is_allowed(it: Guarded) -> None:
    app = it.gate.protect(
        answering([(b"access-control-allow-origin", b"*"), (b"access-control-allow-credentials", b"true")])
    )
    answer = await asked(it, "POST", "/mcp", {"origin": ALLOWED}, app=app)
    assert answer.all("access-control-allow-origin") == [ALLOWED]
    assert answer.all("access-control-allow-credentials") == ["true"]


class Answer:
    """The head of an answer."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.status = start["status"]
        self._headers: Headers = start["headers"]

    def all(self, name: str) -> list[str]:
        """The lines of one header."""
        return [value.decode() for each, value in self._headers if each.lower() == name.encode()]


def answering(headers: Headers) -> Any:
    """An app that answers everything with these headers."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return app


async def asked(it: Guarded, method: str, path: str, headers: dict[str, str], *, app: Any = None) -> Answer:
    """The answer to one request with a good token, unless the headers say otherwise."""
    sent: list[Mapping[str, Any]] = []

    async def send(frame: Mapping[str, Any]) -> None:
        sent.append(frame)

    frames = iter([{"type": "http.request", "body": message() if method == "POST" else b""}])

    async def receive() -> Mapping[str, Any]:
        frame = next(frames, None)
        if frame is None:
            await anyio.sleep_forever()
        assert frame is not None
        return frame

    given = {"host": "mcp.example.com", "authorization": f"Bearer {it.token('read')}"} | headers
    scope = {
        "type": "http",
        "scheme": "https",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
    }
    await (app or it.gate.protect(answering([])))(scope, receive, send)
    return Answer(sent[0])

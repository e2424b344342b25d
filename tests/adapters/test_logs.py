"""Protecting a server redacts credentials in the logs of its process, without a setting for it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from adapters.desk import RULES, tools
from adapters.serving import listening, served, url_of
from guarded import Guarded

from doorward.testing import Issuer

pytestmark = pytest.mark.anyio
UNNAMED = "2YotnFZFEjr1zCsicMWpAA"
ACCESS = logging.getLogger("tests.access")


@pytest.fixture
def access() -> Iterator[io.StringIO]:
    """What a log shows that is as the access log of uvicorn, in a process in which nothing scrubs yet."""
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    ACCESS.addHandler(handler)
    ACCESS.setLevel(logging.INFO)
    ACCESS.propagate = False  # a handler that another test has left may scrub what they share
    yield stream
    ACCESS.removeHandler(handler)
    logging.setLogRecordFactory(factory)


def logged(stream: io.StringIO) -> str:
    """What is shown of a request for which a token was put into the URL."""
    at = stream.tell()
    ACCESS.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "POST", f"/mcp?access_token={UNNAMED}", "1.1", 400)
    return stream.getvalue()[at:]


SCRUBBED = '127.0.0.1:1 - "POST /mcp?access_token=[redacted] HTTP/1.1" 400\n'

WAYS: dict[str, Callable[[Any], Any]] = {
    "protect": lambda gate: gate.protect(tools([])),
    "protect of an app": lambda gate: gate.protect(tools([]).streamable_http_app()),
    "protect_stdio": lambda gate: gate.protect_stdio(tools([]), token_env="DOORWARD_TEST_TOKEN"),
    "auth": lambda gate: gate.auth(),
    "middleware": lambda gate: gate.middleware(),
    "token_verifier": lambda gate: gate.token_verifier(),
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_serve_scrubs_the_logs(
    way: str,
    access: io.StringIO,
    guarded: Callable[..., Guarded],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("fastmcp")
    it = guarded()
    monkeypatch.setenv("DOORWARD_TEST_TOKEN", it.token("read"))
    assert UNNAMED in logged(access)
    caplog.set_level(logging.INFO, "doorward")
    WAYS[way](it.gate)
    WAYS["protect"](it.gate)
    assert logged(access) == SCRUBBED
    told = [record.getMessage() for record in caplog.records if record.name == "doorward" and record.levelno == 20]
    [line] = told
    assert line.startswith(f"protecting {it.gate.resource}; credentials are redacted in all logs of this process; ")


async def test_logging_that_is_configured_later_is_scrubbed_when_the_app_starts(
    access: io.StringIO, guarded: Callable[..., Guarded]
) -> None:
    app = guarded().gate.protect(tools([]))
    logging.setLogRecordFactory(logging.LogRecord)
    async with app.lifespan():
        assert logged(access) == SCRUBBED


async def test_a_factory_around_ours_is_left_alone(access: io.StringIO, guarded: Callable[..., Guarded]) -> None:
    it = guarded()
    it.gate.protect(tools([]))
    ours = logging.getLogRecordFactory()

    def around(*given: Any, **named: Any) -> logging.LogRecord:
        return ours(*given, **named)

    logging.setLogRecordFactory(around)
    it.gate.protect(tools([]))
    assert logging.getLogRecordFactory() is around
    assert logged(access) == SCRUBBED


async def test_the_caller_s_own_token_is_a_secret_of_the_process(
    access: io.StringIO, guarded: Callable[..., Guarded], tmp_path: Path
) -> None:
    """Also one that looks like nothing."""
    file = tmp_path / "token"
    file.write_text("plain-words-as-a-token\n")
    file.chmod(0o600)
    server = guarded().gate.protect_stdio(tools([]), token_file=file)
    ACCESS.info("sent %r", "plain-words-as-a-token")
    assert access.getvalue() == "sent '[redacted]'\n"
    assert server is not None


def test_the_access_log_of_a_real_server_shows_no_token(access: io.StringIO, tmp_path: Path, issuer: Issuer) -> None:
    with listening() as listener:
        it = Guarded(tmp_path / "audit.jsonl", issuer, resource=url_of(listener), tools=RULES)
        token = it.token("read")
        app = it.gate.protect(tools([]))
        with served(app, listener, log_level="info"):
            log = logging.getLogger("uvicorn.access")
            handler = logging.StreamHandler(access)
            log.addHandler(handler)  # uvicorn has taken away what was there
            for query in (f"access_token={token}", f"x=%22{token}", "code=abc&state=xyz", "eyJaaaaa-" * 6_000):
                answer = httpx2.post(f"{it.gate.resource}?{query}", content=b"{}")
                assert answer.status_code in (400, 401, 414)
            log.removeHandler(handler)
        it.gate.close()
    text = access.getvalue()
    assert token not in text
    assert token.rpartition(".")[2] not in text
    assert "access_token=[redacted] HTTP" in text
    assert "?x=%22[redacted] HTTP" in text
    assert "?code=[redacted]&state=[redacted] HTTP" in text
    assert "eyJ" not in text

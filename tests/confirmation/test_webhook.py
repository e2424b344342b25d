"""The operator's webhook, over real TLS: signed, bounded, and believed only where it answers this very question."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from adapters.asked import hurried
from guarded import Guarded, message
from tokens.test_fetch import authority

import doorward
from doorward.confirmation.webhook import SIGNATURE
from doorward.settings import Secret

pytestmark = pytest.mark.anyio

KEY = b"a key that the operator's service knows"
RULES = [doorward.ToolRule("wipe", scopes=[], confirm=True)]
Make = Callable[..., Guarded]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Service:
    """What the operator runs at the webhook."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.answer: Callable[[dict[str, Any]], Any] = lambda asked: _named(asked, confirm=True)
        self.pause = 0.0
        self.gone = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                service.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                service.gone.wait(service.pause)
                answer = service.answer(json.loads(body))
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(service.status)
                for name, value in service.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                with suppress(OSError):  # whoever asked may have gone
                    self.wfile.write(data)

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}/confirm"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    serving, _ = authority(tmp_path, "localhost")
    # As an operator with an authority of their own would say it.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    service = Service(serving)
    yield service
    service.gone.set()
    service.server.shutdown()
    service.server.server_close()


def asking(guarded: Make, url: str, **settings: Any) -> Guarded:
    confirmation = doorward.Confirmation(webhook=url, webhook_key=Secret(KEY), **settings)
    it = guarded(tools=RULES, confirmation=confirmation)
    it.now = time.time()
    return it


async def outcome(it: Guarded, **arguments: Any) -> str | None:
    token = it.token("read")
    decision = await it.gate.decide(authorization=f"Bearer {token}", body=message("wipe", **arguments))
    if decision.refusal is None:
        decision.close()
        return None
    return decision.refusal.code


async def test_a_signed_question_and_a_yes(guarded: Make, service: Service) -> None:
    it = asking(guarded, service.url)
    assert await outcome(it, name="ada") is None
    [(headers, body)] = service.requests
    asked = json.loads(body)
    assert asked | {"text": "", "deadline": 0} == {
        "request_id": it.records()[-1]["request_id"],
        "kind": "tool",
        "tool": "wipe",
        "version": "",
        "arguments": {"name": "ada"},
        "text": "",
        "issuer": it.issuer.url,
        "client_id": "agent-1",
        "subject": "user-1",
        "organization": None,
        "deadline": 0,
    }
    at, tag = (part.partition("=")[2] for part in headers[SIGNATURE].split(","))
    assert tag == hmac.new(KEY, at.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert abs(int(at) - it.now) < 2
    assert it.token("read") not in str(headers)


def _named(asked: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"request_id": asked["request_id"]} | more


@pytest.mark.parametrize(
    ("is_there", "then"), [(False, "approver_unavailable"), (True, "rate_limited")], ids=["nobody there", "it fails"]
)
async def test_only_where_nobody_listens_asking_costs_nothing(
    guarded: Make, service: Service, is_there: bool, then: str
) -> None:
    """A service may fail after it has called its human: a proxy before it gives up after a minute."""
    service.status = 504
    url = service.url if is_there else "https://127.0.0.1:1/confirm"
    it = asking(guarded, url, asks=["1/hour"])
    assert await outcome(it) == "approver_unavailable"
    assert await outcome(it) == then


NOS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no": lambda asked: _named(asked, confirm=False),
    "no word of it": _named,
    "text": lambda asked: _named(asked, confirm="true"),
    "one": lambda asked: _named(asked, confirm=1),
}


@pytest.mark.parametrize("answer", NOS.values(), ids=NOS)
async def test_everything_but_true_is_a_no(guarded: Make, service: Service, answer: Any) -> None:
    service.answer = answer
    assert await outcome(asking(guarded, service.url)) == "confirmation_refused"


UNNAMED = "the answer does not name the question: its request_id is missing or another"
OUTAGES: dict[str, tuple[dict[str, Any], str]] = {
    "an error": ({"status": 500}, "the answer is 500, not 200"),
    "no content": ({"status": 204}, "the answer is 204, not 200"),
    "not found": ({"status": 404}, "the answer is 404, not 200"),
    "a redirect": ({"status": 302, "headers": {"location": "https://localhost/"}}, "the answer is 302, not 200"),
    "another question": ({"answer": lambda asked: {"request_id": "another", "confirm": True}}, UNNAMED),
    "no question": ({"answer": lambda asked: {"confirm": True}}, UNNAMED),
    "a page": ({"answer": lambda asked: b"<html>true</html>"}, "the answer is not JSON"),
    "a bare true": ({"answer": lambda asked: True}, UNNAMED),
    "too much": (
        {"answer": lambda asked: _named(asked, confirm=True, more="x" * 5000)},
        "the answer is larger than 4096 bytes",
    ),
    "not text": ({"answer": lambda asked: b"\xff\xfe"}, "the answer is not JSON"),
    "nested without end": ({"answer": lambda asked: b"[" * 4000}, "the answer is not JSON"),
}


@pytest.mark.parametrize(("case", "why"), OUTAGES.values(), ids=OUTAGES)
async def test_what_is_no_answer_is_an_outage_and_the_log_says_why(
    guarded: Make, service: Service, caplog: pytest.LogCaptureFixture, case: dict[str, Any], why: str
) -> None:
    for name, value in case.items():
        setattr(service, name, value)
    assert await outcome(asking(guarded, service.url)) == "approver_unavailable"
    assert len(service.requests) == 1
    assert f"the approver failed: {why}" in [record.getMessage() for record in caplog.records]


async def test_its_address_reaches_no_log(guarded: Make, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert await outcome(asking(guarded, f"{service.url}/a-secret-path"), name="ada") is None
    assert "a-secret-path" not in caplog.text
    assert "ada" not in caplog.text


async def test_nobody_there_is_an_outage(guarded: Make, caplog: pytest.LogCaptureFixture) -> None:
    assert await outcome(asking(guarded, "https://127.0.0.1:1/a-secret-path"), name="ada") == "approver_unavailable"
    assert "a-secret-path" not in caplog.text
    assert "ada" not in caplog.text


async def test_a_certificate_that_nobody_vouches_for_is_an_outage(
    guarded: Make, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert await outcome(asking(guarded, service.url)) == "approver_unavailable"
    assert service.requests == []


async def test_whoever_takes_too_long_has_not_confirmed(guarded: Make, service: Service) -> None:
    service.pause = 30
    it = asking(guarded, service.url)
    it.gate.reload(replace(it.gate.configuration, confirmation=hurried(webhook=service.url, webhook_key=Secret(KEY))))
    assert await outcome(it) == "confirmation_expired"


async def test_arguments_that_nobody_can_read_are_left_out(guarded: Make, service: Service) -> None:
    assert await outcome(asking(guarded, service.url), text="x" * 300_000) is None
    [(_, body)] = service.requests
    asked = json.loads(body)
    assert len(body) < 10_000
    assert asked["arguments"] is None
    assert "NOT EVERYTHING IS SHOWN" in asked["text"]

"""Nothing secret comes out: something recognisable goes in wherever anything goes in, and then every output is searched
for it - logs of every library, the trail, the answers, exceptions and reprs."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from adapters.desk import RULES, Desk, modern, modern_headers, open_session, tools
from adapters.serving import listening, served, url_of
from guarded import Guarded

import doorward
from doorward.audit import redact
from doorward.testing import Issuer
from doorward.tokens.agent_tokens import new_id, new_token

HEADER = "canary-header-7f3a"
QUERY = "canary-query-91bc"
ARGUMENT = "canary-argument-5d20"
CLAIM = "canary-claim-c4e8"
KEY = "canary-audit-key-0e6b-of-thirty-two-bytes"
ENVIRONMENT = "canary-environment-2f95-of-thirty-two-bytes"
AGENT = new_token(new_id())


class Collected(logging.Handler):
    """Every record of every logger, as text, with everything that somebody put on it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {vars(record)}")


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    before, root = logging.getLogRecordFactory(), logging.getLogger()
    level = root.level
    collected = Collected()
    redact.install()
    root.addHandler(collected)
    root.setLevel(logging.DEBUG)
    yield collected
    root.removeHandler(collected)
    root.setLevel(level)
    logging.setLogRecordFactory(before)


def secrets_of(it: Guarded, tokens: list[str]) -> list[str]:
    """What no output may hold: every token, whole and by its parts; and the secrets."""
    parts = [part for token in tokens for part in token.split(".") if len(part) > 40]
    return [*tokens, *parts, HEADER, CLAIM, KEY, ENVIRONMENT, AGENT, AGENT[30:]]


@pytest.mark.parametrize("durability", ["buffered", "written", "durable"])
def test_nothing_comes_out(
    tmp_path: Path, issuer: Issuer, logs: Collected, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", ENVIRONMENT)
    (tmp_path / "key").write_text(KEY)
    outputs: list[str] = []
    with listening() as listener:
        it = Guarded(
            tmp_path / "audit.jsonl",
            issuer,
            resource=url_of(listener),
            tools=RULES,
            audit=doorward.Audit(
                str(tmp_path / "audit.jsonl"),
                durability=durability,
                key=doorward.Secret(KEY.encode(), "2026-11", str(tmp_path / "key")),
            ),
            limits=doorward.Limits(failed_auth="1000/minute"),
        )
        other = doorward.Secret(os.environ["CANARY"].encode())
        it.now = time.time()
        desk = Desk(it, tools([], threading.Event()), [])
        common = {"X-Canary": HEADER, "Cookie": f"session={HEADER}"}
        claims: dict[str, Any] = {"canary": CLAIM, "email": CLAIM}
        good = it.token("read", **claims)
        stale = it.token("read", now=1_000_000_000.0, **claims)
        elsewhere = it.token("read", audience="https://other.example.com", **claims)
        forged = Issuer(issuer.url).token(audience=it.gate.resource, scopes=["read"], **claims)
        tokens = [good, stale, elsewhere, forged]
        with served(it.gate.protect(desk.server), listener):

            def post(authorization: str | None, body: bytes, query: str = "", **headers: str) -> None:
                sent = common | headers | ({} if authorization is None else {"Authorization": authorization})
                answer = httpx2.post(it.gate.resource + query, content=body, headers=sent, timeout=10)
                outputs.append(f"{answer.status_code} {answer.headers} {answer.text}")

            call, named = modern("read_caller", canary=ARGUMENT), modern_headers("read_caller")
            for token in [*tokens, AGENT, good[:-4] + "AAAA", good[: len(good) // 2]]:
                post(f"Bearer {token}", call, **named)
            post(f"Basic {good}", call, **named)
            post(None, call, f"?access_token={good}", **named)
            post(f"Bearer {good}", call, f"?x={QUERY}", **named)
            post(f"Bearer {good}", call[:-5], **named)
            post(f"Bearer {good}", json.dumps({"canary": ARGUMENT}).encode())
            post(f"Bearer {good}", modern("delete_user", name=ARGUMENT), **modern_headers("delete_user"))
            post(f"Bearer {good}", modern("read_failing", x=ARGUMENT), **modern_headers("read_failing"))
            post(f"Bearer {good}", modern("unheard_of", x=ARGUMENT), **modern_headers("unheard_of"))
            session = open_session(desk)
            post(f"Bearer {good}", call, **session)

            async def shown() -> None:
                for token in tokens:
                    decision = await it.gate.decide(authorization=f"Bearer {token}", body=call)
                    outputs.extend(map(repr, (decision, decision.principal, decision.call, decision.refusal)))
                    outputs.append(str(decision.refusal))
                    await decision.aclose()

            anyio.run(shown)
        settings: list[Any] = [it.gate.configuration, it.gate, other, it.gate.configuration.audit]
        outputs.extend(map(repr, settings))
        it.gate.close()
    trail = it.trail.read_text()
    told = "\n".join(logs.lines)
    assert len(trail.splitlines()) > len(tokens)
    assert "mcp" in told  # the SDK's own loggers were heard as well
    for secret in secrets_of(it, tokens):
        assert secret not in trail
        assert secret not in told
        assert not any(secret in output for output in outputs), secret
    # An argument, or a parameter of a URL, is like any other text to whoever else logs it; in what is ours it is not.
    ours = "\n".join(line for line in logs.lines if line.startswith("doorward"))
    for text in (ARGUMENT, QUERY):
        assert text not in trail
        assert text not in ours

"""The whole decision about one tool call, from the header to the line in the audit file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
import rfc8785
from benches.contest import OURS, Measure
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

import doorward
from doorward.testing import Issuer

RESOURCE = "https://mcp.example.com/mcp"
ARGUMENTS = {"items": [{"id": n, "name": f"some name {n}", "tags": ["a", "b"], "price": 12.5} for n in range(12)]}
BODY = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_order", "arguments": ARGUMENTS}}
).encode()
PLENTY = ["100000000/minute", "1000000000/day"]
DECISIONS = 200


@pytest.fixture(scope="module")
def tokens() -> tuple[Issuer, list[str]]:
    """Many tokens of one RSA issuer: the first for those seen before, the others for those not."""
    issuer = Issuer("https://as.example.com", algorithm="RS256")
    made = [
        issuer.token(audience=RESOURCE, scopes=["read"], org="acme", lifetime=36_000, n=n) for n in range(DECISIONS)
    ]
    return issuer, made


@pytest.fixture
def gate(tokens: tuple[Issuer, list[str]], tmp_path: Path) -> Iterator[doorward.Gate]:
    """Everything on: scopes, budgets of client, tool and organisation by minute and day, the record on file."""
    issuer, _ = tokens
    gate = doorward.Gate(
        resource=RESOURCE,
        issuers=[doorward.Issuer(issuer.url, ["RS256"], issuer.jwks())],
        tools=[doorward.ToolRule("delete_*", scopes=["write"]), doorward.ToolRule("*", scopes=["read"], limit=PLENTY)],
        limits=doorward.Limits(client=PLENTY, organization=PLENTY),
        organization_claim="org",
        audit=doorward.Audit(path=str(tmp_path / "audit.jsonl")),
    )
    yield gate
    gate.close()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def ours(gate: doorward.Gate, tokens: list[str], loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    async def decide() -> None:
        for token in tokens:
            decision = await gate.decide(authorization=f"Bearer {token}", body=BODY)
            decision.close()

    return lambda: loop.run_until_complete(decide())


class ByHand:
    """What one writes from good libraries: PyJWT, `limits`, rfc8785 and a line by orjson."""

    def __init__(self, issuer: Issuer, folder: Path, *, remembers: bool) -> None:
        self._key = jwt.PyJWK.from_dict(issuer.jwks()["keys"][0])
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._limit = parse(PLENTY[0].replace("/", " per "))
        self._seen: dict[str, dict[str, Any]] | None = {} if remembers else None
        self._file = os.open(folder / "by-hand.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def decide(self, token: str, body: bytes) -> None:
        claims = self._claims(token)
        call = orjson.loads(body)
        for key in ("client:" + claims["client_id"], "tool:" + call["params"]["name"], "org:" + claims["org"]):
            if not self._limiter.hit(self._limit, key):
                raise PermissionError(key)
        fingerprint = hashlib.sha256(rfc8785.dumps(call["params"]["arguments"])).hexdigest()
        record = {"at": time.time(), "client": claims["client_id"], "tool": call["params"]["name"], "hash": fingerprint}
        os.write(self._file, orjson.dumps(record) + b"\n")

    def _claims(self, token: str) -> dict[str, Any]:
        if self._seen is not None and (claims := self._seen.get(token)) is not None and claims["exp"] > time.time():
            return claims
        claims = jwt.decode(token, self._key, algorithms=["RS256"], audience=RESOURCE, issuer="https://as.example.com")
        if self._seen is not None:
            self._seen[token] = claims
        return claims


@pytest.mark.parametrize("seen", [True, False], ids=["token seen before", "new token"])
@pytest.mark.parametrize("name", [f"{OURS} ({doorward.IMPLEMENTATION})", "by hand: PyJWT, limits, rfc8785, orjson"])
def test_decision(
    measure: Measure,
    gate: doorward.Gate,
    loop: asyncio.AbstractEventLoop,
    tokens: tuple[Issuer, list[str]],
    tmp_path: Path,
    name: str,
    seen: bool,
) -> None:
    issuer, made = tokens
    used = [made[0]] * DECISIONS if seen else made
    contestant: Callable[[], None]
    if name.startswith(OURS):
        decide = ours(gate, used, loop)

        def contestant() -> None:
            if not seen:
                gate._steps._callers.forget()
            decide()

    else:
        by_hand = ByHand(issuer, tmp_path, remembers=seen)

        def contestant() -> None:
            for token in used:
                by_hand.decide(token, BODY)

    group = f"one decision, {'token seen before' if seen else 'token not seen before (RS256)'}"
    measure(group, OURS if name.startswith(OURS) else name, contestant, decisions=DECISIONS)

"""Whoever comes again is recognised at once: only as long as the long way would say the same of them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from guarded import NOW, Guarded, message

import doorward
from doorward.adapters.asgi import GateASGI
from doorward.adapters.wire import Message, Receive, Scope, Send
from doorward.principal import Principal
from doorward.tokens.revocation import Revocations

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

CERTIFICATE = b"c" * 32


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def is_known(it: Guarded, token: str) -> bool:
    headers = [(b"host", b"mcp.example.com"), (b"authorization", f"Bearer {token}".encode())]
    found = it.gate.recognise(headers, scheme="https", peer=None)
    if found is not None:
        found[0].close()
    return found is not None


async def come(it: Guarded, token: str) -> doorward.Decision:
    """A call by the short way, where that is open."""
    decision = await it.gate.decide(authorization=f"Bearer {token}", body=message())
    decision.close()
    return decision


async def test_whoever_came_before_is_recognised(guarded: Make) -> None:
    it = guarded()
    token = it.token("read")
    assert not is_known(it, token)
    await come(it, token)
    assert is_known(it, token)


async def test_whoever_was_revoked_is_not(guarded: Make) -> None:
    it = guarded()
    token = it.token("read", subject="user-1")
    await come(it, token)
    it.gate.revoke(subject="user-1")
    assert not is_known(it, token)
    refused = (await come(it, token)).refusal
    assert refused is not None
    assert refused.code == "token_revoked"


async def test_whoever_was_listed_meanwhile_is_not(guarded: Make, tmp_path: Path) -> None:
    file = tmp_path / "revoked.toml"
    file.write_text("")
    it = guarded(revocation=doorward.Revocation(str(file)))
    token = it.token("read", subject="user-1")
    await come(it, token)
    file.write_text('[[revoked]]\nsubject = "user-1"\n')
    it.now += 2
    assert not is_known(it, token), "the file is looked at again"
    assert not is_known(it, token), "and what it lists counts between two looks"


async def test_nobody_is_while_the_clock_stands_before_their_token(guarded: Make) -> None:
    it = guarded()
    token = it.token("read")
    await come(it, token)
    it.now -= 3600
    assert not is_known(it, token)


async def test_whose_token_has_expired_is_not(guarded: Make) -> None:
    it = guarded()
    token = it.token("read", lifetime=60)
    await come(it, token)
    it.now += 60
    assert not is_known(it, token)


async def test_whose_key_was_withdrawn_is_not(guarded: Make) -> None:
    it = guarded()
    token = it.token("read")
    (await come(it, token)).caller.verified.standing.withdraw()
    assert not is_known(it, token)


async def test_a_bound_token_is_not_without_its_certificate(guarded: Make) -> None:
    it = guarded()
    thumbprint = base64.urlsafe_b64encode(CERTIFICATE).decode().rstrip("=")
    token = it.token("read", cnf={"x5t#S256": thumbprint})
    request = doorward.Request(
        host="mcp.example.com",
        path="/mcp",
        headers=[("authorization", f"Bearer {token}")],
        certificate_sha256=CERTIFICATE,
        body=message(),
    )
    shown = await it.gate.decide(request)
    assert shown.allowed
    shown.close()
    assert not is_known(it, token)


def test_nobody_is_spared_while_the_other_instances_are_not_heard_of() -> None:
    revocations = Revocations(None)
    somebody = Principal("i", "s", None, None, (), None, NOW + 60)
    assert not revocations.cover(somebody, now=NOW)
    assert revocations.spare(somebody, now=NOW)
    shared: Any = SimpleNamespace(is_live=False)
    revocations._shared = shared
    assert not revocations.spare(somebody, now=NOW)


# --- over ASGI --------------------------------------------------------------------------------------------------------


async def fine(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def status(
    it: Guarded, token: str, *more: tuple[bytes, bytes], query: bytes = b"", peer: str = "10.0.0.1"
) -> int:
    """Of a call."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": message(), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "scheme": "https",
        "method": "POST",
        "path": "/mcp",
        "query_string": query,
        "http_version": "1.1",
        "headers": [(b"host", b"mcp.example.com"), (b"authorization", f"Bearer {token}".encode()), *more],
        "client": (peer, 1),
    }
    await GateASGI(it.gate, fine)(scope, receive, send)
    found: int = sent[0]["status"]
    return found


async def test_a_token_in_the_query_is_refused_of_whoever_is_known(guarded: Make) -> None:
    it = guarded()
    token = it.token("read")
    await come(it, token)
    assert await status(it, token) == 200
    assert await status(it, token, query=b"access_token=x") == 400


@pytest.mark.parametrize("proxies", [[], ["10.0.0.0/8"]], ids=["a stranger", "a trusted proxy"])
async def test_a_certificate_that_is_none_changes_nothing_for_a_token_that_needs_none(
    guarded: Make, proxies: list[str]
) -> None:
    it = guarded(trusted_proxies=proxies)
    token = it.token("read")
    for _ in range(2):
        assert await status(it, token, (b"client-cert", b":\xff:")) == 200, "at first, and when it is known"
    assert await status(it, "rubbish", (b"client-cert", b":\xff:")) == 401


@pytest.mark.parametrize("peer", ["unix:/\udcff", "", "nobody"], ids=ascii)
async def test_a_peer_that_has_no_address_is_judged_like_any(guarded: Make, peer: str) -> None:
    it = guarded()
    token = it.token("read")
    for _ in range(2):
        assert await status(it, token, peer=peer) == 200
    assert await status(it, "rubbish", peer=peer) == 401


async def test_a_bound_on_bodies_beyond_all_bodies_is_a_bound(guarded: Make) -> None:
    it = guarded(max_body_bytes=1 << 64)
    token = it.token("read")
    await come(it, token)
    assert is_known(it, token)

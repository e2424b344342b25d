"""The watch that every test is under sees what it is there for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from canaries import CLAIM, Watch, planted
from guarded import Guarded

from doorward.testing import Issuer

LEAKS: dict[str, Callable[[str], str]] = {
    "a whole token": lambda token: f"Bearer {token}",
    "its signature": lambda token: token.rpartition(".")[2],
    "its claim": lambda token: CLAIM,
}


def token_of(issuer: Issuer) -> str:
    return issuer.token(audience="https://mcp.example.com/mcp")


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_leak_is_seen(tmp_path: Path, leak: Callable[[str], str]) -> None:
    watch = Watch()
    with planted(watch):
        text = leak(token_of(Issuer("https://as.example.com")))
        watch.hear(logging.LogRecord("doorward.test", logging.WARNING, __file__, 1, "refused: %s", (text,), None))
        (tmp_path / "below").mkdir()
        path = tmp_path / "below" / "audit.jsonl"
        path.write_text(f'{{"event":"call","tool_name":"{text}"}}\n')
        found = watch.leaks(tmp_path)
    path.unlink()  # nor may the watch of this test see it
    assert [each.partition(":")[0] for each in found] == ["log", str(path)]
    assert watch.leaks(tmp_path) == []


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_claim_goes_in(guarded: Callable[..., Guarded]) -> None:
    decision = await guarded().call("read_order", "read")
    decision.close()
    assert decision.principal is not None
    assert decision.principal.claims["canary"] == CLAIM

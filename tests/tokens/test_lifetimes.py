"""Tokens that live long are named in the log, once for each issuer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agents import AgentsFile
from guarded import Guarded, message

import doorward
from doorward.tokens import lifetimes

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process remembers what it has told: other tests have issuers as well."""
    monkeypatch.setattr(lifetimes, "_unbounded", set())
    monkeypatch.setattr(lifetimes, "_long", set())


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings about lifetimes, and about nothing else."""
    assert {record.name for record in caplog.records} <= {"doorward"}
    return [record.getMessage() for record in caplog.records]


def issuer_of(it: Guarded, **settings: Any) -> doorward.Issuer:
    return doorward.Issuer(it.issuer.url, ["ES256"], it.issuer.jwks(), **settings)


def test_an_issuer_without_a_longest_lifetime_is_told_at_start_and_once(
    guarded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    it = guarded()
    [line] = told(caplog)
    assert line == (
        "issuer https://as.example.com has no max_token_lifetime: a token that lives for years is accepted. Set it in "
        'the issuer\'s table, for example max_token_lifetime = "24h"'
    )
    it.gate.reload(it.gate.configuration)
    guarded()
    assert len(told(caplog)) == 1


def test_each_issuer_is_told_by_itself(guarded: Make, caplog: pytest.LogCaptureFixture, issuer: Any) -> None:
    bounded = doorward.Issuer("https://b.example.com", ["ES256"], issuer.jwks(), max_token_lifetime=HOUR)
    others = [doorward.Issuer(f"https://{name}.example.com", ["ES256"], issuer.jwks()) for name in ("c", "d")]
    guarded(issuers=[bounded, *others])
    assert [line.split()[1] for line in told(caplog)] == ["https://c.example.com", "https://d.example.com"]


def test_a_configuration_that_is_refused_tells_nothing(guarded: Make, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="approver"):
        guarded(approver=1)
    assert told(caplog) == []


@pytest.mark.parametrize(
    ("claims", "days"),
    [
        pytest.param({"lifetime": HOUR}, None, id="an hour"),
        pytest.param({"lifetime": DAY}, None, id="a day"),
        pytest.param({"lifetime": DAY + 1}, "1.0", id="a second more"),
        pytest.param({"lifetime": 3650 * DAY}, "3650.0", id="ten years"),
    ],
)
async def test_a_token_that_lives_longer_than_a_day_is_told_once(
    guarded: Make, caplog: pytest.LogCaptureFixture, claims: dict[str, Any], days: str | None
) -> None:
    it = guarded()
    caplog.clear()
    for number in range(3):
        decision = await it.call("read_order", "read", jti=f"t-{number}", **claims)
        assert decision.allowed
        decision.close()
    assert [line.split(":")[0] + line.split(":")[1] for line in told(caplog)] == (
        [] if days is None else [f"a token of issuer https//as.example.com lives {days} days"]
    )


async def test_an_old_token_is_told_by_when_it_was_issued(guarded: Make, caplog: pytest.LogCaptureFixture) -> None:
    it = guarded()
    caplog.clear()
    assert (await it.call("read_order", "read", now=it.now - 9.5 * DAY, lifetime=10 * DAY)).allowed
    assert "lives 10.0 days" in told(caplog)[0]


async def test_an_agent_s_token_is_meant_to_live_long(
    guarded: Make, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    file = AgentsFile(tmp_path / "agents.toml")
    it = guarded(agents=doorward.Agents(str(file.path)))
    caplog.clear()
    token = file.create("nightly", scopes=["read"], now=it.now, lifetime=300 * DAY)
    assert (await it.gate.decide(authorization=f"Bearer {token}", body=message())).allowed
    assert told(caplog) == []

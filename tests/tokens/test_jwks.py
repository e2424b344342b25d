"""Fetched keys: how often is asked, who waits, and which keys count meanwhile."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.lowlevel
import pytest
from conftest import Proof
from minting import NOW, jwks
from tokens.fetched import A, B, Subject
from tokens.misbehaving import Misbehaving, listening

from doorward import Issuer, Unavailable
from doorward.tokens.fetch import Fetcher
from doorward.tokens.jwks import COOL_DOWN, DUE, FIRST_PAUSE, LIFETIME

pytestmark = pytest.mark.anyio


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that a test can wait for; the real one is tested where fetching is."""
    monkeypatch.setattr("doorward.tokens.jwks.DEADLINE", 0.5)


# --- the first time ---------------------------------------------------------------------------------------------------


async def test_the_first_caller_fetches_and_the_others_wait(subject: Subject) -> None:
    subject.server.mode("jwks", "delay", ms=200)
    told: list[str] = []

    async def caller() -> None:
        told.append(await subject.verify())

    async with anyio.create_task_group() as together:
        for _ in range(200):
            together.start_soon(caller)
    assert (told, subject.fetches) == (["accepted"] * 200, 1)


async def test_keys_are_found_by_discovery(server: Misbehaving) -> None:
    subject = Subject(server, jwks_url=None)
    assert await subject.verify() == "accepted"
    server.jwks = jwks(A, B)
    assert await subject.verify(B, now=NOW + COOL_DOWN) == "accepted"
    assert (server.counts["jwks"], server.counts["metadata"]) == (2, 1), "what was found is remembered"


async def test_what_was_discovered_may_move(server: Misbehaving) -> None:
    subject = Subject(server, jwks_url=None)
    await subject.verify()
    server.metadata["jwks_uri"] = f"{server.url}/jwks?moved"
    server.gone.add("/jwks")
    assert await subject.verify(now=NOW + LIFETIME) == "accepted", "the old keys still count"
    assert await subject.verify(now=NOW + LIFETIME + FIRST_PAUSE) == "accepted"
    await subject.looked()
    assert server.asked[-1] == "/jwks?moved"
    assert subject.keys.fresh_until > NOW + 1.5 * LIFETIME


async def test_discovery_that_leads_inside_is_not_followed(server: Misbehaving) -> None:
    subject = Subject(server, jwks_url=None)
    with listening() as other:
        other.jwks = jwks(A)
        server.metadata["jwks_uri"] = f"{other.url}/jwks"
        assert await subject.verify() == "issuer_unavailable"
    assert other.connections == 0


async def test_a_fetch_whose_caller_goes_away_serves_the_others(subject: Subject) -> None:
    subject.server.mode("jwks", "delay", ms=300)
    told: list[str] = []

    async def first() -> None:
        with anyio.move_on_after(0.1):
            await subject.verify()

    async def second() -> None:
        await anyio.sleep(0.05)
        told.append(await subject.verify())

    async with anyio.create_task_group() as together:
        together.start_soon(first)
        together.start_soon(second)
    assert (told, subject.fetches) == (["accepted"], 1)


async def test_a_caller_who_waits_may_go_away(subject: Subject) -> None:
    subject.server.mode("jwks", "delay", ms=300)
    async with anyio.create_task_group() as together:
        together.start_soon(subject.verify)
        await anyio.sleep(0.05)
        with anyio.move_on_after(0.05) as scope:
            await subject.verify()
        assert scope.cancelled_caught
    assert await subject.verify() == "accepted"
    assert subject.fetches == 1


async def test_an_issuer_that_is_away_at_the_start(subject: Subject) -> None:
    subject.server.mode("jwks", "refuse")
    with pytest.raises(Unavailable) as unavailable:
        await subject.published(NOW)
    assert unavailable.value.retry_after == FIRST_PAUSE
    for second in range(int(FIRST_PAUSE)):
        assert await subject.verify(now=NOW + second) == "issuer_unavailable"
    assert (subject.fetches, subject.alarms) == (1, ["keys_unreachable"])
    subject.server.mode("jwks", "ok")
    assert await subject.verify(now=NOW + FIRST_PAUSE) == "accepted"


FAILURES = {
    "nobody there": ("refuse", "the host cannot be reached, or does not speak HTTP as it should"),
    "an error": ("500", "the answer is 500, not 200"),
}


@pytest.mark.parametrize(("mode", "why"), FAILURES.values(), ids=FAILURES)
async def test_the_log_says_whose_keys_cannot_be_had_and_why(
    subject: Subject, caplog: pytest.LogCaptureFixture, mode: str, why: str
) -> None:
    subject.server.mode("jwks", mode)
    await subject.verify()
    assert [record.getMessage() for record in caplog.records if record.name == "doorward"] == [
        f"the keys of {subject.server.url} cannot be had: {why}"
    ]


async def test_failures_are_further_and_further_apart_but_recovery_is_never_far(subject: Subject) -> None:
    subject.server.mode("jwks", "500")
    for second in range(600):
        await subject.verify(now=NOW + second)
    assert subject.fetches <= 4 + 600 / COOL_DOWN
    subject.server.mode("jwks", "ok")
    assert await subject.verify(now=NOW + 600 + COOL_DOWN) == "accepted"


async def test_a_clock_that_jumps_back_locks_nobody_out(subject: Subject) -> None:
    subject.server.mode("jwks", "500")
    await subject.verify(now=NOW + 10 * LIFETIME)
    subject.server.mode("jwks", "ok")
    assert await subject.verify(now=NOW) == "accepted"
    assert await subject.verify(now=NOW - 10 * LIFETIME) == "accepted"
    assert subject.fetches == 3, "how old the keys are was unknown"


# --- unknown key ids --------------------------------------------------------------------------------------------------


async def test_a_flood_of_unknown_key_ids_costs_one_fetch_a_cool_down(subject: Subject, proof: Proof) -> None:
    await subject.verify()
    many = proof("unknown key ids", small=1000, large=100_000)
    subject.server.jwks = jwks(A, B)
    flood = {await subject.verify(B, kid=f"x{n}", now=NOW + COOL_DOWN * 0.999 * n / many) for n in range(many)}
    assert (flood, subject.fetches) == ({"unknown_key"}, 1)
    assert await subject.verify(B, now=NOW + COOL_DOWN) == "accepted", "and the new key is usable then"
    assert subject.fetches == 2


async def test_at_once_they_cost_one_as_well(subject: Subject) -> None:
    await subject.verify()
    subject.server.mode("jwks", "delay", ms=200)
    async with anyio.create_task_group() as together:
        for n in range(200):
            together.start_soon(partial(subject.verify, B, kid=f"x{n}", now=NOW + COOL_DOWN))
    assert (subject.fetches, subject.server.most_in_flight["jwks"]) == (2, 1)


@pytest.mark.usefixtures("impatient")
async def test_known_keys_do_not_wait_for_unknown_ones(subject: Subject) -> None:
    await subject.verify()
    subject.server.mode("jwks", "hang")
    async with anyio.create_task_group() as together:
        together.start_soon(partial(subject.verify, B, now=NOW + COOL_DOWN))
        await anyio.sleep(0.05)
        with anyio.fail_after(0.2):
            assert await subject.verify(now=NOW + COOL_DOWN) == "accepted"


async def test_an_unknown_key_cannot_be_told_while_the_issuer_is_away(subject: Subject) -> None:
    await subject.verify()
    subject.server.mode("jwks", "refuse")
    assert await subject.verify(B, now=NOW + COOL_DOWN) == "issuer_unavailable"
    assert await subject.verify(B, now=NOW + COOL_DOWN + 1) == "issuer_unavailable"
    assert await subject.verify(A, now=NOW + COOL_DOWN + 1) == "accepted"
    assert subject.fetches == 2


# --- age --------------------------------------------------------------------------------------------------------------


async def test_young_keys_are_not_looked_at(subject: Subject) -> None:
    for age in (0, 1, DUE - 1):
        assert await subject.verify(now=NOW + age) == "accepted"
    assert (subject.fetches, subject.keys.fresh_until) == (1, NOW + DUE)


async def test_while_keys_are_due_one_task_looks_and_nobody_waits(subject: Subject) -> None:
    await subject.verify()
    subject.server.jwks = jwks(B)
    subject.server.mode("jwks", "delay", ms=500)
    for _ in range(10):
        assert await subject.verify(now=NOW + DUE) == "accepted"
        await anyio.lowlevel.checkpoint()
    assert subject.is_looking, "nobody waited for it"
    await subject.looked()
    assert (subject.fetches, subject.keys.fresh_until) == (2, NOW + 2 * DUE)
    assert await subject.verify(now=NOW + DUE) == "unknown_key", "A was withdrawn"


async def test_nobody_waits_for_an_issuer_that_hangs_while_the_keys_are_due(subject: Subject) -> None:
    await subject.verify()
    subject.server.mode("jwks", "hang")
    for age in range(int(DUE), int(LIFETIME), 10):
        assert await subject.verify(now=NOW + age) == "accepted"
        await anyio.lowlevel.checkpoint()
    assert subject.is_looking
    assert subject.server.most_in_flight["jwks"] == 1


async def test_expired_keys_are_waited_for_once(subject: Subject) -> None:
    await subject.verify()
    subject.server.mode("jwks", "delay", ms=200)
    subject.server.jwks = jwks(B)
    told: list[str] = []

    async def caller() -> None:
        told.append(await subject.verify(now=NOW + LIFETIME))

    async with anyio.create_task_group() as together:
        for _ in range(50):
            together.start_soon(caller)
    assert set(told) == {"unknown_key"}, "none was served with what was withdrawn"
    assert subject.fetches == 2


async def test_while_the_issuer_is_away_known_keys_serve_on_until_the_grace_ends(server: Misbehaving) -> None:
    subject = Subject(server, max_stale=1000)
    await subject.verify()
    server.mode("jwks", "refuse")
    assert await subject.verify(now=NOW + LIFETIME - 1) == "accepted"
    assert "keys_stale" not in subject.alarms
    for late in (COOL_DOWN, 500, 999):
        assert await subject.verify(now=NOW + LIFETIME + late) == "accepted"
        await subject.looked()
        assert subject.alarms[-1] == "keys_stale"
    assert await subject.verify(now=NOW + LIFETIME + 1000) == "issuer_unavailable"
    assert subject.keys.fresh_until == NOW + LIFETIME + 1000
    server.mode("jwks", "ok")
    assert await subject.verify(now=NOW + LIFETIME + 1000 + COOL_DOWN) == "accepted"


async def test_without_grace_the_keys_end_with_their_lifetime(server: Misbehaving) -> None:
    subject = Subject(server, max_stale=0)
    await subject.verify()
    server.mode("jwks", "refuse")
    assert await subject.verify(now=NOW + LIFETIME) == "issuer_unavailable"


@pytest.mark.usefixtures("impatient")
async def test_an_issuer_that_hangs_delays_callers_once(subject: Subject) -> None:
    await subject.verify()
    subject.server.mode("jwks", "hang")
    with anyio.fail_after(1.0):
        assert await subject.verify(now=NOW + LIFETIME) == "accepted"
    with anyio.fail_after(0.2):
        for _ in range(20):
            assert await subject.verify(now=NOW + LIFETIME + FIRST_PAUSE) == "accepted"
    await subject.looked()
    assert subject.fetches == 3


async def test_an_asyncio_task_that_is_cancelled_leaves_no_fetch_behind(
    subject: Subject, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("a cancellation that no scope can shield from")
    import asyncio

    subject.server.mode("jwks", "delay", ms=300)
    first = asyncio.ensure_future(subject.verify())
    await asyncio.sleep(0.1)
    second = asyncio.ensure_future(subject.verify())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "accepted"
    assert first.cancelled()


def test_an_issuer_is_not_asked_in_the_clear() -> None:
    with pytest.raises(ValueError, match=r"^url must be https"):
        Issuer("http://as.example.com", algorithms=["ES256"])
    with pytest.raises(ValueError, match=r"^url must be https"):
        Fetcher("http://as.example.com")

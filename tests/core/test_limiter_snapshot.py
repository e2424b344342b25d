"""Budgets that outlive a restart."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge import UNITS

from doorward.errors import Limited

HOUR = UNITS["hour"]
PACKAGE = Path(__file__).parents[2] / "python"


def spend(core: ModuleType, limiter: Any, key: str = "k", limit: str = "24/day", **charge: Any) -> int:
    """Tokens left after one more call at the tick 7."""
    made = core.Charge(key, limit, **{"cost": 1, **charge})
    (left,) = limiter.admit(domain="d", charges=(made,), tick=7).remaining
    return int(left)


def restarted(core: ModuleType, limiter: Any, *, elapsed: int = 0, **limits: Any) -> Any:
    """A new limiter that knows what the other knew at the tick 7."""
    later = core.Limiter(**limits)
    later.restore(limiter.snapshot(tick=7), tick=7, elapsed=elapsed)
    return later


@pytest.fixture
def limiter(core: ModuleType) -> Any:
    """Ten of 24 are spent, a token an hour."""
    limiter = core.Limiter()
    spend(core, limiter, cost=10)
    return limiter


@pytest.mark.parametrize(
    ("elapsed", "left"),
    [(0, 14), (-HOUR, 14), (HOUR - 1, 14), (HOUR, 15), (10 * HOUR, 24), (2**80, 24), (-(2**80), 14)],
)
def test_what_was_spent_stays_spent_for_as_long_as_it_takes(
    core: ModuleType, limiter: Any, elapsed: int, left: int
) -> None:
    assert spend(core, restarted(core, limiter, elapsed=elapsed), cost=0) == left


@pytest.mark.parametrize("charge", [{}, {"shared": True}, {"observe": True}], ids=["own", "shared", "observed"])
@pytest.mark.parametrize("restarts", [1, 2, 14])
def test_whatever_kind_of_bucket_through_any_number_of_restarts(
    core: ModuleType, charge: dict[str, Any], restarts: int
) -> None:
    limiter = core.Limiter()
    spend(core, limiter, cost=10, **charge)
    for _ in range(restarts):
        limiter = restarted(core, limiter)
        spend(core, limiter, **charge)
    assert spend(core, limiter, cost=0, **charge) == 14 - restarts


def test_a_bucket_nobody_asks_for_is_carried_on(core: ModuleType, limiter: Any) -> None:
    for _ in range(15):
        limiter = restarted(core, limiter)
        assert len(limiter) == 1
    assert spend(core, limiter) == 13


def test_an_overflow_is_no_way_to_a_full_bucket(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=1)
    spend(core, limiter, "first")
    assert spend(core, limiter, "newcomer") == 23
    later = restarted(core, limiter, max_keys=1)
    assert spend(core, later, "another newcomer") == 22
    assert len(later) == 1


def test_a_debt_outlives_a_restart(core: ModuleType) -> None:
    limiter = core.Limiter()
    grant = limiter.admit(domain="d", charges=(core.Charge("k", "24/day"),), tick=7)
    limiter.settle(grant, 30, tick=7)
    with pytest.raises(Limited) as refused:
        spend(core, restarted(core, limiter))
    assert refused.value.retry_after == 7 * 3_600.0


@pytest.mark.parametrize(("limit", "left"), [("48/day", 38), ("12/day", 2), ("24/day strict", 2)])
def test_a_limit_may_change_with_the_restart(core: ModuleType, limiter: Any, limit: str, left: int) -> None:
    assert spend(core, restarted(core, limiter), limit=limit, cost=0) == left


def test_what_was_restored_takes_room_and_is_dropped_once_full(core: ModuleType) -> None:
    limiter = core.Limiter()
    for key in range(50):
        spend(core, limiter, f"key {key}", cost=key % 24 + 1)
    later = restarted(core, limiter, max_keys=50)
    assert len(later) == 50
    assert later.overflowed == 0
    spend(core, later, "newcomer")
    assert later.overflowed == 1
    tomorrow = 25 * HOUR
    for key in range(50):
        later.admit(domain="d", charges=(core.Charge(f"new {key}", "1/second"),), tick=tomorrow + key)
    assert len(later) == 50


def test_without_room_for_all_those_stay_that_would_be_full_last(core: ModuleType) -> None:
    limiter = core.Limiter()
    for key in range(20):
        spend(core, limiter, f"key {key}", cost=key + 1)
    later = restarted(core, limiter, max_keys=5)
    assert len(later) == 5
    assert [spend(core, later, f"key {key}", cost=0) for key in range(15, 20)] == [8, 7, 6, 5, 4]


def test_a_million_ticks_earlier_or_later(core: ModuleType, limiter: Any) -> None:
    """A tick is monotonic within one process only."""
    later = core.Limiter()
    later.restore(limiter.snapshot(tick=7), tick=10**15, elapsed=HOUR)
    charge = core.Charge("k", "24/day", cost=0)
    assert later.admit(domain="d", charges=(charge,), tick=10**15).remaining == (15,)


def test_every_bucket_of_many_domains_is_there(core: ModuleType) -> None:
    limiter, charge = core.Limiter(), core.Charge("k", "24/day", cost=3)
    for domain in range(1_500):
        limiter.admit(domain=f"domain {domain}", charges=(charge,), tick=7)
    for key in range(1_500):
        spend(core, limiter, f"key {key}", cost=3)
    later = restarted(core, limiter)
    assert len(later) == 3_000
    look = core.Charge("k", "24/day", cost=0)
    for domain in range(1_500):
        assert later.admit(domain=f"domain {domain}", charges=(look,), tick=7).remaining == (21,)
        assert spend(core, later, f"key {domain}", cost=0) == 21
    assert len(later) == 3_000


def test_another_process_finds_them(core: ModuleType, limiter: Any, tmp_path: Path) -> None:
    """It hashes names with another secret."""
    (tmp_path / "snapshot").write_bytes(limiter.snapshot(tick=7))
    module = core.__name__
    program = f"""
from pathlib import Path
from {module} import Charge, Limiter
limiter = Limiter()
limiter.restore(Path("snapshot").read_bytes(), tick=7, elapsed=0)
print(limiter.admit(domain="d", charges=(Charge("k", "24/day"),), tick=7).remaining)
"""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("(13,)", "")


def test_its_pieces_are_the_whole(core: ModuleType) -> None:
    limiter = core.Limiter(max_keys=10_000)
    for key in range(5_000):
        limiter.admit(domain="acme", charges=[core.Charge(f"client {key}", "9/day")], tick=7)
    pieces = list(limiter.snapshot_pieces(tick=7))
    assert b"".join(pieces) == limiter.snapshot(tick=7)
    assert len(pieces) > 2
    assert max(map(len, pieces)) <= 1 << 16
    with pytest.raises(ValueError, match="tick"):
        limiter.snapshot_pieces(tick=1 << 63)


def test_its_pieces_come_once(core: ModuleType, limiter: Any) -> None:
    pieces = limiter.snapshot_pieces(tick=7)
    assert list(pieces)
    assert list(pieces) == []


# --- what is no snapshot ----------------------------------------------------------------------------------------------


def summed(written: bytes) -> bytes:
    return written + sha256(written).digest()


FIRST_LINE = {"doorward._rust": b"doorward limiter 2 rust\n", "doorward._pure": b"doorward limiter 2 python\n"}

HOSTILE = {
    "no generations and more": lambda line, _: summed(line + b"\0" + b"more"),
    "too many generations": lambda line, body: summed(line + b"\xff" + body),
    "more buckets than there are": lambda line, body: summed(line + body[:17] + b"\xff\xff\xff\xff" + body[21:]),
    "fewer buckets than there are": lambda line, body: summed(line + body[:17] + bytes(4) + body[21:]),
    "an unknown kind of bucket": lambda line, body: summed(line + body[:21] + b"x" + body[22:]),
    "a period of nothing": lambda line, body: summed(line + body[:-16] + bytes(8) + body[-8:]),
    "a period without end": lambda line, body: summed(line + body[:-16] + b"\xff" * 8 + body[-8:]),
    "a burst of nothing": lambda line, body: summed(line + body[:-8] + bytes(8)),
    "a burst without end": lambda line, body: summed(line + body[:-8] + b"\xff" * 8),
    "locked out forever": lambda line, body: summed(line + body[:-24] + b"\xff" * 8 + body[-16:]),
    "another version": lambda line, body: summed(line.replace(b"2", b"1") + body),
    "another implementation": lambda line, body: summed(
        line.replace(b" rust", b" x").replace(b" python", b" x") + body
    ),
}


def refuses(core: ModuleType, data: bytes) -> None:
    fresh = core.Limiter()
    with pytest.raises(ValueError, match="snapshot"):
        fresh.restore(data, tick=7, elapsed=0)
    assert len(fresh) == 0
    assert spend(core, fresh, cost=0) == 24


@pytest.mark.parametrize("forge", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_change_nothing(core: ModuleType, limiter: Any, forge: Any) -> None:
    line = FIRST_LINE[core.__name__]
    snapshot = limiter.snapshot(tick=7)
    assert snapshot.startswith(line)
    body = snapshot[len(line) : -32]
    assert summed(line + body) == snapshot
    refuses(core, forge(line, body))


def test_torn_bytes_change_nothing(core: ModuleType, limiter: Any) -> None:
    snapshot = limiter.snapshot(tick=7)
    for length in range(len(snapshot)):
        refuses(core, snapshot[:length])
    refuses(core, snapshot + b"\0")


def test_foreign_bytes_change_nothing(core: ModuleType, limiter: Any) -> None:
    snapshot = limiter.snapshot(tick=7)

    @given(at=st.integers(0, len(snapshot) - 1), bits=st.integers(1, 255), foreign=st.binary(max_size=200))
    def unchanged(at: int, bits: int, foreign: bytes) -> None:
        refuses(core, snapshot[:at] + bytes([snapshot[at] ^ bits]) + snapshot[at + 1 :])
        refuses(core, foreign)
        refuses(core, summed(FIRST_LINE[core.__name__] + b"\1" + foreign))

    unchanged()


def test_the_twins_do_not_read_each_other(core: ModuleType, limiter: Any) -> None:
    other = next(line for name, line in FIRST_LINE.items() if name != core.__name__)
    refuses(core, summed(other + b"\0"))


@pytest.mark.parametrize(
    ("data", "tick", "elapsed", "error"),
    [("text", 7, 0, TypeError), (None, -1, 0, ValueError), (None, 2**63, 0, ValueError), (None, 7, 1.5, TypeError)],
)
def test_what_cannot_be_right_is_said(
    core: ModuleType, limiter: Any, data: Any, tick: int, elapsed: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        core.Limiter().restore(limiter.snapshot(tick=7) if data is None else data, tick=tick, elapsed=elapsed)
    with pytest.raises(ValueError, match="a tick is between"):
        limiter.snapshot(tick=2**63)

"""Concurrency: at most so many calls in flight, until each has ended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from doorward.errors import Limited
from doorward.limits.slots import Slot, Slots

TOOL = Slot("agent-1 delete", 2, "delete_*")
CLIENT = Slot("agent-1", 3, "client")


def test_no_more_than_there_are() -> None:
    slots = Slots()
    held = [slots.take([TOOL]) for _ in range(2)]
    with pytest.raises(Limited) as limited:
        slots.take([TOOL])
    told = limited.value
    assert (told.code, told.budget, told.limit, told.scope) == (
        "too_many_in_flight",
        "delete_*",
        "2 in flight",
        "client",
    )
    assert told.retryable
    held[0].free()
    slots.take([TOOL])


def test_a_slot_is_freed_once() -> None:
    slots = Slots()
    first, _second = slots.take([TOOL]), slots.take([TOOL])
    first.free()
    first.free()
    slots.take([TOOL])
    with pytest.raises(Limited):
        slots.take([TOOL])


def test_all_or_none() -> None:
    slots = Slots()
    for _ in range(2):
        slots.take([TOOL, CLIENT])
    with pytest.raises(Limited) as limited:
        slots.take([TOOL, CLIENT])
    assert limited.value.violated == ("delete_*",)
    slots.take([CLIENT])
    with pytest.raises(Limited):
        slots.take([CLIENT])


def test_an_observed_slot_never_refuses_and_takes_none_from_an_enforced_one() -> None:
    slots = Slots()
    observed = Slot("agent-1 read", 1, "read_*", observe=True)
    assert [slots.take([observed, CLIENT]).would_deny for _ in range(3)] == [(), ("read_*",), ("read_*",)]
    with pytest.raises(Limited) as limited:
        slots.take([observed, CLIENT])
    assert limited.value.violated == ("client",)


@pytest.mark.parametrize("first", ["the call", "what it led to"])
def test_a_place_that_is_shared_is_free_when_both_have_ended(first: str) -> None:
    slots = Slots()
    held = slots.take([CLIENT])
    shared = held.shared()
    assert shared is not None
    one, other = (held, shared) if first == "the call" else (shared, held)
    for _ in range(2):
        one.free()
    assert len(slots) == 1
    for _ in range(2):
        other.free()
    assert len(slots) == 0
    assert held.shared() is None, "who has ended shares nothing"


def test_nobody_is_remembered_who_has_nothing_in_flight() -> None:
    slots = Slots()
    for number in range(1000):
        slots.take([Slot(f"agent-{number}", 1, "client")]).free()
    assert len(slots) == 0


def test_threads_share_them() -> None:
    slots = Slots()

    def many(_: int) -> int:
        taken = 0
        for _ in range(2_000):
            try:
                held = slots.take([CLIENT])
            except Limited:
                continue
            taken += 1
            assert slots._taken[CLIENT.key] <= CLIENT.concurrency
            held.free()
        return taken

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(many, range(8))) > 0
    assert len(slots) == 0


def test_a_finalizer_frees_in_the_middle_of_a_take() -> None:
    """A collection may run where this very thread has the lock."""
    slots = Slots()
    held = slots.take([TOOL])

    class Freeing(str):
        def __hash__(self) -> int:
            held.free()  # as a decision does that is dropped
            return super().__hash__()

    slots.take([Slot(Freeing("other"), 1, "other")])
    assert len(slots) == 1
    slots.take([TOOL])
    slots.take([TOOL])

"""The cache of verified tokens: bounded, true, and never past expiry."""

from __future__ import annotations

import gc
import weakref
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from minting import NOW


class Value:
    """Something that can be watched."""


def test_only_the_very_same_token_hits(core: ModuleType) -> None:
    cache, value = core.TokenCache(), Value()
    cache.put("a.b.c", value, expires_at=NOW + 1)
    assert cache.get("a.b.c", now=NOW) is value
    assert cache.get(b"a.b.c", now=NOW) is value
    for other in ("a.b.d", "a.b.c ", "", "A.b.c"):
        assert cache.get(other, now=NOW) is None


def test_never_at_or_past_expiry(core: ModuleType) -> None:
    cache = core.TokenCache()
    cache.put("token", 1, expires_at=NOW)
    assert cache.get("token", now=NOW - 0.001) == 1
    for now in (NOW, NOW + 1, float("inf"), float("nan")):
        assert cache.get("token", now=now) is None


def test_the_latest_value_counts(core: ModuleType) -> None:
    cache = core.TokenCache()
    cache.put("token", 1, expires_at=NOW + 9)
    cache.put("token", 2, expires_at=NOW + 5)
    assert (cache.get("token", now=NOW), len(cache)) == (2, 1)
    assert cache.get("token", now=NOW + 5) is None


def test_a_flood_passes_through_beside_what_is_in_use(core: ModuleType) -> None:
    cache = core.TokenCache(max_entries=100)
    used = [f"used-{number}" for number in range(50)]
    for token in used:
        cache.put(token, token, expires_at=NOW + 1)
    for number in range(2_000):
        if number % 25 == 0:
            assert [cache.get(token, now=NOW) for token in used] == used
        cache.put(f"flood-{number}", number, expires_at=NOW + 1)
    assert len(cache) == 100


@pytest.mark.parametrize("weight", [0, 500_000, 900_000], ids=["the token's", "both", "the value's"])
def test_it_is_bounded_in_bytes_too(core: ModuleType, weight: int) -> None:
    cache = core.TokenCache()
    for number in range(150):
        cache.put(f"{number}".ljust(1_000_000 - weight), number, expires_at=NOW + 1, weight=weight)
    assert len(cache) == 33  # 32 MiB
    cache.put("x" * 40_000_000, 1, expires_at=NOW + 1)
    assert cache.get("x" * 40_000_000, now=NOW) is None


def test_a_value_that_became_heavier_takes_the_room_of_others(core: ModuleType) -> None:
    cache = core.TokenCache()
    for token in "abcd":
        cache.put(token, token, expires_at=NOW + 1, weight=8_000_000)
    cache.put("d", "heavier", expires_at=NOW + 1, weight=16_000_000)
    assert [cache.get(token, now=NOW) for token in "abcd"] == [None, "b", "c", "heavier"]


def test_what_became_too_heavy_does_not_mean_what_it_did(core: ModuleType) -> None:
    cache = core.TokenCache(max_entries=2)
    for token in "ab":
        cache.put(token, token, expires_at=NOW + 1)
    cache.put("a", "too heavy", expires_at=NOW + 1, weight=2**40)
    assert [cache.get(token, now=NOW) for token in "ab"] == [None, "b"]
    for token in "acde":
        cache.put(token, token, expires_at=NOW + 1)
        assert (len(cache), cache.get(token, now=NOW)) == (2, token)


def test_nothing_weighs_less_than_nothing(core: ModuleType) -> None:
    with pytest.raises(ValueError, match="weight"):
        core.TokenCache().put("token", 1, expires_at=NOW + 1, weight=-1)


def test_what_leaves_is_let_go(core: ModuleType) -> None:
    cache = core.TokenCache(max_entries=1)
    values = [Value() for _ in range(3)]
    watched = [weakref.ref(value) for value in values]
    for number, value in enumerate(values):
        cache.put(f"{number % 2}", value, expires_at=NOW + 1)
    cache.clear()
    del values, value
    gc.collect()
    assert [one() for one in watched] == [None, None, None]
    assert len(cache) == 0


def test_a_value_may_use_the_cache_while_it_dies(core: ModuleType) -> None:
    cache = core.TokenCache(max_entries=1)

    class Meddler:
        def __del__(self) -> None:
            cache.put("again", 1, expires_at=NOW + 1)
            cache.get("again", now=NOW)

    cache.put("a", Meddler(), expires_at=NOW + 1)
    cache.put("b", 2, expires_at=NOW + 1)
    cache.put("c", Meddler(), expires_at=NOW + 1)
    cache.clear()
    assert len(cache) <= 1


@pytest.mark.parametrize("entries", [0, -1])
def test_it_must_hold_something(core: ModuleType, entries: int) -> None:
    with pytest.raises(ValueError, match="max_entries"):
        core.TokenCache(max_entries=entries)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh"), st.integers(0, 5)), max_size=60))
def test_it_never_lies(core: ModuleType, steps: list[tuple[bool, str, int]]) -> None:
    cache: Any = core.TokenCache(max_entries=4)
    put: dict[str, int] = {}
    for is_put, token, time in steps:
        if is_put:
            cache.put(token, (token, time), expires_at=time)
            put[token] = time
        else:
            found = cache.get(token, now=time)
            assert found is None or (found == (token, put[token]) and time < put[token])
        assert len(cache) <= 4

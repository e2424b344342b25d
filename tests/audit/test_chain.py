"""The hash chain: accidents and amateurs show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trails import check_chain, record

from doorward.audit.chain import Chain, chain_after


def chained(count: int) -> list[bytes]:
    chain = Chain("i-1")
    return [chain.seal(record(f"tool-{number}")) for number in range(count)]


def test_each_line_carries_the_hash_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(chained(5)))
    assert check_chain(path) == []
    assert [json.loads(line)["sequence"] for line in chained(5)] == [1, 2, 3, 4, 5]
    assert json.loads(chained(1)[0])["previous"] is None


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda lines: [lines[0], lines[1].replace(b"tool-1", b"tool-X"), *lines[2:]], id="an edit"),
        pytest.param(lambda lines: [lines[0], *lines[2:]], id="a deletion"),
        pytest.param(lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], id="a swap"),
        pytest.param(lambda lines: [*lines[:2], lines[1], *lines[2:]], id="a repetition"),
        pytest.param(lambda lines: lines[1:], id="a missing beginning"),
        pytest.param(lambda lines: [lines[0], lines[1].replace(b",", b", ", 1), *lines[2:]], id="a space"),
    ],
)
def test_what_is_spoilt_shows(tmp_path: Path, spoil: object) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(spoil(chained(5))))  # type: ignore[operator]
    with pytest.raises(AssertionError):
        check_chain(path)


@given(st.integers(1, 4), st.integers(0, 400))
def test_a_chain_goes_on_behind_whatever_a_crash_left(count: int, torn: int) -> None:
    lines = b"".join(chained(count + 1))
    last = len(chained(count + 1)[-1])
    left = lines[: len(lines) - last + min(torn, last)]
    following = json.loads(chain_after("i-2", left).seal(record()))
    nothing_of_the_last = len(left) == len(lines) - last
    assert following["sequence"] == count + (1 if nothing_of_the_last else 2)
    assert following["instance"] == "i-2"


@pytest.mark.parametrize(
    ("spoilt", "sequence"),
    [
        (b"{}", 3),
        (b"null", 3),
        (b"[]", 3),
        (b'{"sequence":"9"}', 3),
        (b'{"sequence":true}', 3),
        (b'{"sequence":9.5}', 3),
        (b"\xff\xfe", 3),
        (b"[" * 60_000, 3),
        (b"", 2),
        (b'{"sequence":9}', 10),
    ],
)
def test_a_chain_goes_on_behind_whatever_somebody_wrote(spoilt: bytes, sequence: int) -> None:
    following = json.loads(chain_after("i-2", chained(1)[0] + spoilt + b"\n").seal(record()))
    assert following["sequence"] == sequence


def test_lost_records_leave_a_gap_in_the_numbers_and_none_in_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    chain = Chain("i-1")
    first = chain.seal(record())
    chain.skip()
    chain.skip()
    path.write_bytes(first + chain.seal(record()))
    assert check_chain(path) == [2, 3]

"""The end of a trail, and what comes after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trails import record
from written import Writer, a_trail

from doorward.audit.reading.follow import Entry, Follower, last_entries


def calls(members: dict[str, Any]) -> bool:
    return bool(members["event"] == "call")


def ids(entries: list[Entry]) -> list[str]:
    return [str(entry.members["request_id"]) for entry in entries]


class Followed:
    """A trail and somebody who reads along."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "audit.jsonl"
        self.writer = Writer(directory, "one", every=None)
        _, files = last_entries([self.path], 10, calls)
        self.follower = Follower([self.path], files, calls)

    def call(self, name: str, writer: Writer | None = None) -> None:
        (writer or self.writer).write(record(request_id=name))

    def seen(self) -> list[str]:
        return ids(self.follower.poll())


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    made = Followed(tmp_path)
    yield made
    made.follower.close()


@pytest.mark.parametrize("count", [0, 1, 5, 14, 1000])
def test_the_last_ones_of_all_processes_in_the_order_of_time(tmp_path: Path, count: int) -> None:
    a_trail(tmp_path)
    entries, files = last_entries([tmp_path / "audit.jsonl"], count, calls)
    everything = last_entries([tmp_path], 10_000, calls)[0]
    assert len(everything) == 39
    assert ids(entries) == ids(everything[len(everything) - count :] if count < len(everything) else everything)
    assert [entry.timestamp for entry in entries] == sorted(entry.timestamp for entry in entries)
    assert len(files) == 4


def test_it_looks_back_as_far_as_it_has_to(tmp_path: Path) -> None:
    writer = Writer(tmp_path, "one", every=None)
    writer.write(record("wanted", request_id="r-wanted"))
    writer.rotate()
    for _ in range(3_000):
        writer.write(record("other"))
    assert writer.path.stat().st_size > 1024 * 1024
    entries, _ = last_entries([writer.path], 5, lambda members: members["tool_name"] == "wanted")
    assert ids(entries) == ["r-wanted"]


def test_what_is_appended_is_seen_once(followed: Followed) -> None:
    assert followed.seen() == []
    followed.call("a")
    followed.call("b")
    assert followed.seen() == ["a", "b"]
    assert followed.seen() == []


def test_half_a_line_is_seen_when_it_is_whole(followed: Followed) -> None:
    line = followed.writer.chain.seal(record(request_id="a"))
    with followed.path.open("ab") as file:
        file.write(line[:200])
        file.flush()
        assert followed.seen() == []
        file.write(line[200:])
    assert followed.seen() == ["a"]


def test_it_goes_on_across_rotation(followed: Followed) -> None:
    followed.call("a")
    followed.writer.rotate()
    followed.call("b")
    followed.writer.rotate()
    followed.call("c")
    assert followed.seen() == ["a", "b", "c"]
    followed.writer.rotate()
    assert followed.seen() == []
    followed.call("d")
    assert followed.seen() == ["d"]


def test_it_sees_the_end_of_a_file_that_was_renamed(followed: Followed) -> None:
    rotated = followed.writer.rotate()
    line = followed.writer.chain.seal(record(request_id="late"))
    followed.call("early in the next")
    assert followed.seen() == ["early in the next"]
    with rotated.open("ab") as file:
        file.write(line)
    assert followed.seen() == ["late"]


def test_it_sees_processes_that_start_meanwhile(followed: Followed, tmp_path: Path) -> None:
    other = Writer(tmp_path, "two", name="audit.two.jsonl", every=None)
    followed.call("a")
    followed.call("b", other)
    assert sorted(followed.seen()) == ["a", "b"]


def test_a_file_that_was_emptied_is_read_from_its_start(followed: Followed) -> None:
    followed.call("a")
    assert followed.seen() == ["a"]
    followed.path.write_bytes(b"")
    assert followed.seen() == []
    followed.call("b")
    assert followed.seen() == ["b"]


def test_it_lets_go_of_what_was_rotated_away(followed: Followed) -> None:
    for _ in range(30):
        followed.writer.rotate()
        followed.call("a")
        assert followed.seen() == ["a"]
    assert len(followed.follower._opened) <= 21


def test_nothing_there_for_a_moment_is_no_error(followed: Followed) -> None:
    followed.path.rename(followed.path.with_suffix(".away"))
    assert followed.seen() == []


def test_what_is_no_record_is_left_out(followed: Followed) -> None:
    with followed.path.open("ab") as file:
        file.write(b'garbage\n{}\n[1]\nnull\n{"timestamp":1,"sequence":"x","event":"call"}\n\xff\n')
    followed.call("a")
    assert followed.seen() == ["a"]

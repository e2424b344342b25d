"""The configured key: read again when its file changes, and the one before counts for what it was used for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doorward.confirmation.keys import ConfiguredKey
from doorward.settings import Secret

FIRST, SECOND, THIRD = (letter * 32 for letter in (b"1", b"2", b"3"))
NOW = 1_800_000_000.0


class File:
    """The key's file, the key, and the alarms."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "key"
        self.alarms: list[str] = []
        self.put(FIRST)
        secret = Secret(FIRST, "", str(self.path))
        self.key = ConfiguredKey(secret, alarm=self.alarms.append, keeps=600)

    def put(self, value: bytes) -> None:
        """As a mounted secret is replaced: by another file in its place."""
        new = self.path.with_name("new")
        new.write_bytes(value + b"\n")
        new.replace(self.path)


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


def test_a_new_key_is_used_within_a_second_and_the_old_one_counts_for_a_while(file: File) -> None:
    assert file.key.now(NOW) == FIRST
    file.put(SECOND)
    assert file.key.now(NOW + 0.9) == FIRST
    assert file.key.now(NOW + 1.0) == SECOND
    assert file.key.all(NOW + 2.0) == (SECOND, FIRST)
    assert file.key.all(NOW + 600.9) == (SECOND, FIRST)
    assert file.key.all(NOW + 601.0) == (SECOND,)
    assert file.alarms == []


def test_whoever_is_shown_a_state_looks_at_once(file: File) -> None:
    """Another process may have used the new key before this one has looked."""
    assert file.key.now(NOW) == FIRST
    file.put(SECOND)
    assert file.key.all(NOW + 0.1) == (SECOND, FIRST)
    file.put(THIRD)
    assert file.key.all(NOW + 0.2) == (THIRD, SECOND)


@pytest.mark.parametrize("wrong", [b"", b"short", b"x" * 100_000], ids=["empty", "short", "large"])
def test_what_is_no_key_replaces_none_and_raises_one_alarm(
    file: File, wrong: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file.put(wrong)
    for second in range(3):
        assert file.key.now(NOW + second) == FIRST
    assert file.alarms == ["confirmation_key_unreadable"]
    assert "short" not in caplog.text
    file.put(SECOND)
    assert file.key.now(NOW + 5) == SECOND
    os.unlink(file.path)
    assert file.key.now(NOW + 7) == SECOND
    assert len(file.alarms) == 2


def test_without_a_key_there_is_none_and_none_before(tmp_path: Path) -> None:
    nothing = ConfiguredKey(None, alarm=lambda slug: None, keeps=600)
    assert nothing.all(NOW) == (b"",)
    first = ConfiguredKey(Secret(FIRST), alarm=lambda slug: None, keeps=600)
    first.replaces(nothing, NOW)
    assert first.all(NOW) == (FIRST,)
    second = ConfiguredKey(Secret(SECOND), alarm=lambda slug: None, keeps=600)
    second.replaces(first, NOW)
    assert second.all(NOW) == (SECOND, FIRST)

"""The key of the fingerprints: another one without a restart, and never a name for two."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from guarded import Guarded

import doorward
from doorward.audit.keys import HashKey, key_name
from doorward.settings import Audit, Secret

OLD, NEW = b"the old key, of thirty-two bytes or more", b"the new key, of thirty-two bytes or more"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "key"
    made.write_bytes(OLD + b"\n")
    return made


def configured(file: Path, name: str = "2026-11") -> Secret:
    return Secret(file.read_bytes().strip(), name, str(file))


def replace(file: Path, key: bytes) -> None:
    """As secrets are rotated: a new file in place of the old."""
    new = file.with_suffix(".new")
    new.write_bytes(key)
    os.replace(new, file)


def test_a_key_that_was_given_is_called_what_it_is_called() -> None:
    key = HashKey(Secret(OLD, "2026-11")).now(0.0)
    assert key is not None
    assert (key.value, key.id) == (OLD, "2026-11")
    assert HashKey(None).now(0.0) is None


def test_a_key_from_a_file_has_its_fingerprint_in_its_name(file: Path) -> None:
    named = {key_name(Secret(value, name, str(file))) for value in (OLD, NEW) for name in ("2026-11", "")}
    assert len(named) == 4
    assert all(re.fullmatch(r"(2026-11/)?[0-9a-f]{8}", name) for name in named)


def test_a_new_file_is_a_new_key_within_a_second(file: Path) -> None:
    keys = HashKey(configured(file))
    before = keys.now(100.0)
    replace(file, NEW)
    assert keys.now(100.9) is before
    after = keys.now(101.0)
    assert before is not None
    assert after is not None
    assert (before.value, after.value) == (OLD, NEW)
    assert before.id != after.id


@pytest.mark.parametrize("spoilt", [b"", b"short", b"x" * 100_000, None], ids=["empty", "short", "huge", "gone"])
def test_what_is_no_key_never_replaces_one(file: Path, spoilt: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    alarms: list[str] = []
    keys = HashKey(configured(file), alarm=alarms.append)
    before = keys.now(0.0)
    if spoilt is None:
        file.unlink()
    else:
        replace(file, spoilt)
    assert [keys.now(at) for at in (1.0, 2.0, 3.0)] == [before] * 3
    assert alarms == ["audit_key_unreadable"]
    assert "the key before goes on to count" in caplog.text
    replace(file, NEW)
    after = keys.now(4.0)
    assert after is not None
    assert after.value == NEW


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_call_keeps_the_key_it_began_with(
    guarded: Callable[..., Guarded], file: Path, anyio_backend: str
) -> None:
    audit = Audit(str(file.parent / "audit.jsonl"), key=configured(file))
    it = guarded(audit=audit)
    begun = await it.call("read_order", "read")
    replace(file, NEW)
    it.now += 1
    later = await it.call("read_order", "read")
    # The message tier reads the same call again, after the key has changed.
    again = it.gate.call_of_message("tools/call", 1, {"name": "read_order", "arguments": {}}, under=begun)
    assert begun.claim(again)
    begun.close()
    later.close()
    first, second = it.records()
    assert (first["arguments_hash"], second["arguments_hash"]) == tuple(
        doorward.hash_arguments({}, key=key) for key in (OLD, NEW)
    )
    assert first["hash_key"] == key_name(Secret(OLD, "2026-11", str(file)))
    assert second["hash_key"] == key_name(Secret(NEW, "2026-11", str(file)))


def test_a_reload_after_a_rotation_is_not_refused(file: Path) -> None:
    audits = [Audit("stdout", key=configured(file))]
    replace(file, NEW)
    audits.append(Audit("stdout", key=configured(file)))
    assert audits[0] != audits[1]
    assert audits[0].lasting == audits[1].lasting
    assert audits[0].lasting != Audit("stdout", key=Secret(OLD, "2026-11")).lasting

"""A server that answers with errors: reported once by log and alarm, and so is that it answers again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from servers.standalone import RedisServer

from doorward._redis import Command, Patience, Request, Store, StoreRefused, StoreSlow
from doorward._redis.refusals import REPEAT_SECONDS, Refusals

pytestmark = pytest.mark.anyio


def patient(url: str, alarm: Callable[[str], None]) -> Store:
    """A store whose deadlines are too long to matter."""
    store = Store(url, alarm=alarm)
    store.patience = Patience(connect=5.0, answer=5.0)
    return store


async def refusing(store: Store, *words: object) -> str:
    """The word of the error that the server answers with; empty where it does not."""
    try:
        await store.command(*words)
    except StoreRefused as refused:
        return refused.word
    return ""


def full(server: RedisServer) -> None:
    server.client.config_set("maxmemory", "1")


def forbidding(server: RedisServer) -> None:
    server.client.acl_setuser("default", enabled=True, nopass=True, categories=["+@all"], commands=["-set"])


def right_again(server: RedisServer) -> None:
    server.client.config_set("maxmemory", "0")
    server.client.acl_setuser("default", enabled=True, nopass=True, categories=["+@all"])


@pytest.mark.parametrize(
    ("breaks", "word", "remedy"),
    [(full, "OOM", "give it more memory"), (forbidding, "NOPERM", "ACL")],
    ids=["full", "forbidden"],
)
async def test_errors_are_reported_once_and_so_is_their_end(
    breaks: Callable[[RedisServer], None],
    word: str,
    remedy: str,
    start_redis: Callable[..., RedisServer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, alarms = start_redis("--maxmemory-policy", "noeviction"), list[str]()
    store = patient(server.url, alarms.append)
    assert not await refusing(store, "SET", "key", 1)
    breaks(server)
    assert [await refusing(store, "SET", "key", 1) for _ in range(5)] == [word] * 5
    assert not await refusing(store, "GET", "key"), "another command, and no sign that SET is answered again"
    assert alarms == ["redis_refuses"]
    [line] = [record.getMessage() for record in caplog.records if record.name == "doorward"]
    assert f"SET with the error {word}" in line
    assert remedy in line
    right_again(server)
    assert not await refusing(store, "SET", "key", 1)
    assert not await refusing(store, "SET", "key", 1)
    await store.aclose()
    lines = [record.getMessage() for record in caplog.records if record.name == "doorward"]
    assert [line.endswith("answers SET again") for line in lines] == [False, True]
    assert alarms == ["redis_refuses"]


class Said:
    """What is said of refusals, and a clock."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 0.0
        self.refusals = Refusals(self, clock=lambda: self.now)

    def refused(self, name: str, word: str) -> None:
        self.lines.append(f"{name} {word}")

    def answered(self, name: str) -> None:
        self.lines.append(f"{name} again")

    def look(self, *outcomes: object, command: str = "SET", may_be_refused: bool = False) -> None:
        request = Request(Command(command), on_answer=lambda request: None, may_be_refused=may_be_refused)
        for outcome in outcomes:
            self.refusals.look([request], [outcome])


def test_a_server_on_the_brink_does_not_fill_the_log() -> None:
    it = Said()
    for _ in range(10):
        it.look(StoreRefused("OOM"), b"OK")
    assert it.lines == ["SET OOM", "SET again"]
    it.now = REPEAT_SECONDS
    it.look(StoreRefused("OOM"), b"OK")
    assert it.lines == ["SET OOM", "SET again"] * 2


def test_each_kind_of_command_is_reported_by_itself() -> None:
    it = Said()
    it.look(StoreRefused("OOM"), StoreRefused("OOM"))
    it.look(StoreRefused("NOPERM"), command="GET")
    it.look(b"OK")
    it.look(StoreSlow("no answer"), command="GET")
    assert it.lines == ["SET OOM", "GET NOPERM", "SET again"]


def test_what_may_be_refused_is_not_reported() -> None:
    it = Said()
    it.look(StoreRefused("NOPERM"), command="CONFIG GET", may_be_refused=True)
    assert it.lines == []


async def test_replies_that_cannot_be_the_commands_are_reported_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, alarms = 1_000.0, list[str]()
    monkeypatch.setattr("doorward._redis.store.time.monotonic", lambda: now)
    store = Store("redis://127.0.0.1:1/0", alarm=alarms.append)
    for after in (0.0, 1.0, REPEAT_SECONDS - 2.0, 2.0):
        now += after
        store.misunderstood("limits", "NOTHING")
    assert alarms == ["redis_refuses"] * 2
    assert caplog.text.count("answers limits with the error NOTHING") == 2

"""Sinks that are not files, over real sockets and the real OpenTelemetry SDK."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from trails import record

from doorward.audit import Trail
from doorward.settings import Audit, AuditSink

# RFC 5424 section 6: PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG
SYSLOG = re.compile(
    rb"<85>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [!-~]{1,255} doorward \d+ audit - (?P<record>\{.*\})", re.DOTALL
)


@pytest.fixture
def trail_to() -> Iterator[Callable[..., Trail]]:
    made: list[Trail] = []

    def make(*places: AuditSink) -> Trail:
        made.append(Trail(Audit(sinks=places)))
        return made[-1]

    yield make
    for trail in made:
        trail.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_local_socket(tmp_path: Path, trail_to: Callable[..., Trail]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        log.settimeout(10)
        trail = trail_to(AuditSink(syslog=str(tmp_path / "log")))
        trail.write(record("read_order"))
        messages = [SYSLOG.fullmatch(log.recv(65_536)) for _ in range(2)]
    assert [json.loads(message["record"])["event"] for message in messages if message] == ["start", "call"]


def test_udp(trail_to: Callable[..., Trail]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log:
        log.bind(("127.0.0.1", 0))
        log.settimeout(10)
        trail = trail_to(AuditSink(syslog=f"udp://127.0.0.1:{log.getsockname()[1]}"))
        trail.write(record("read_order"))
        messages = [SYSLOG.fullmatch(log.recv(65_536)) for _ in range(2)]
    assert [json.loads(message["record"])["sequence"] for message in messages if message] == [1, 2]


def test_tcp_counts_its_octets_and_comes_back_when_the_collector_does(trail_to: Callable[..., Trail]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(10)
        address = listener.getsockname()
        trail = trail_to(AuditSink(syslog=f"tcp://127.0.0.1:{address[1]}"))
        connection, _ = listener.accept()
        with connection:
            trail.write(record("first"))
            assert [names_of(frame) for frame in frames(connection, 2)] == [None, "first"]
    # The collector is away: nothing is let in, and what is written waits.
    until(lambda: trail.write(record("waits")) or trail._lanes[0].is_failing())
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
        listener.settimeout(10)
        connection, _ = listener.accept()
        with connection:
            assert names_of(frames(connection, 1)[0]) == "waits"
            until(lambda: not trail._lanes[0].is_failing())


def frames(connection: socket.socket, number: int) -> list[bytes]:
    """Whole messages with their length before them (RFC 6587 section 3.4.1)."""
    connection.settimeout(10)
    found = []
    with connection.makefile("rb", buffering=0) as stream:
        for _ in range(number):
            digits = b""
            while (digit := stream.read(1)) != b" ":
                assert digit
                digits += digit
            message = b""
            while len(message) < int(digits):
                message += stream.read(int(digits) - len(message)) or b""
            found.append(message)
    return found


def names_of(message: bytes) -> object:
    found = SYSLOG.fullmatch(message)
    assert found is not None, message
    return json.loads(found["record"])["tool_name"]


def test_opentelemetry(trail_to: Callable[..., Trail], monkeypatch: pytest.MonkeyPatch) -> None:
    logs = pytest.importorskip("opentelemetry.sdk._logs")
    export = pytest.importorskip("opentelemetry.sdk._logs.export")
    exporter = export.InMemoryLogRecordExporter()
    provider = logs.LoggerProvider()
    provider.add_log_record_processor(export.SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr("opentelemetry._logs.get_logger", provider.get_logger)
    trail = trail_to(AuditSink(otel=True))
    trail.write(record("read_order"))
    trail.flush()
    start, call = [data.log_record for data in exporter.get_finished_logs()]
    assert (start.event_name, call.event_name) == ("doorward.audit.start", "doorward.audit.call")
    assert json.loads(str(call.body))["tool_name"] == "read_order"
    attributes = dict(call.attributes or {})
    assert attributes["doorward.tool_name"] == "read_order"
    assert attributes["doorward.result"] == "success"


class Flaky:
    """A sink of one's own that fails now and then, and loses nothing by it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.closed = 0
        self.threads: set[threading.Thread] = set()
        self._fails = iter([False, True, True, False, True, False])

    def write(self, lines: Sequence[bytes]) -> None:
        self.threads.add(threading.current_thread())
        if next(self._fails, False):
            raise RuntimeError("not now")
        self.lines += lines

    def close(self) -> None:
        self.closed += 1


def test_one_s_own_gets_every_line_once_and_never_on_the_caller_s_thread() -> None:
    sink = Flaky()
    trail = Trail(Audit(sinks=[AuditSink(sink=sink)]))
    for number in range(50):
        trail.write(record(f"tool-{number}"))
        if number % 10 == 0:
            trail.flush()
    trail.close()
    called = [json.loads(line) for line in sink.lines]
    assert [line["tool_name"] for line in called if line["event"] == "call"] == [f"tool-{n}" for n in range(50)]
    assert [line["sequence"] for line in called] == list(range(1, 52))
    assert sink.closed == 1
    assert threading.current_thread() not in sink.threads


def test_several_at_once_have_a_chain_each(tmp_path: Path) -> None:
    sink, path = Flaky(), tmp_path / "audit.jsonl"
    trail = Trail(Audit(sinks=[AuditSink(sink=sink), AuditSink(str(path))]))
    for number in range(20):
        trail.write(record(f"tool-{number}"))
    trail.close()
    there = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["tool_name"] for line in there] == [json.loads(line)["tool_name"] for line in sink.lines]

"""Sinks that are not files, over real sockets and the real OpenTelemetry SDK."""

from __future__ import annotations

import errno
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from trails import record

from doorward.audit import Trail
from doorward.audit.sinks import SyslogSink
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


# What rsyslog, journald and syslog-ng read from /dev/log: PRI TIMESTAMP TAG[PID]: MSG (RFC 3164 section 4.1).
LOCAL = re.compile(rb"<85>(?P<at>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) doorward\[\d+\]: (?P<record>\{.*\})", re.DOTALL)


def test_a_local_socket(tmp_path: Path, trail_to: Callable[..., Trail]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        log.settimeout(10)
        trail = trail_to(AuditSink(syslog=str(tmp_path / "log")))
        trail.write(record("read_order"))
        messages = [LOCAL.fullmatch(log.recv(65_536)) for _ in range(2)]
    assert [json.loads(message["record"])["event"] for message in messages if message] == ["start", "call"]
    at = time.strptime(f"2027 {messages[1]['at'].decode()}", "%Y %b %d %H:%M:%S")  # type: ignore[index]
    assert time.mktime(at) == 1_800_000_000


def test_a_record_that_no_datagram_holds_is_counted_and_holds_up_no_other(
    tmp_path: Path, trail_to: Callable[..., Trail]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        log.settimeout(10)
        trail = trail_to(AuditSink(syslog=str(tmp_path / "log")))
        log.recv(65_536)
        trail.write(record("too_long", principal=('"client_id":"' + "x" * 10_000_000 + '"', "null")))
        trail.write(record("next"))
        assert b'"next"' in log.recv(65_536)
    assert trail.dropped == 1


UDP_FAULTS = {
    "nobody listens": ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    "no route": OSError(errno.ENETUNREACH, "Network is unreachable"),
    "too long for a datagram": OSError(errno.EMSGSIZE, "Message too long"),
}


class UdpSocket:
    """A connected socket whose ``send`` fails as often as it is told to."""

    def __init__(self) -> None:
        self.faults: list[OSError | None] = []
        self.sent: list[bytes] = []

    def send(self, message: bytes) -> int:
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        self.sent.append(message)
        return len(message)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("fault", UDP_FAULTS.values(), ids=UDP_FAULTS)
def test_what_udp_loses_is_counted_and_is_no_failure(fault: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = UdpSocket()
    sink = SyslogSink("udp://127.0.0.1:514", "i")
    monkeypatch.setattr(sink, "_connect", lambda: connection)
    is_refused = isinstance(fault, ConnectionRefusedError)
    assert sink.write(b"{1}\n") == 4
    connection.faults = [fault]
    assert sink.write(b"{2}\n") == 4
    assert (sink.undelivered, len(connection.sent)) == ((1, 2) if is_refused else (1, 1)), "sent again where it was not"
    connection.faults = [fault, fault]
    assert sink.write(b"{3}\n{4}\n") == 8
    assert sink.undelivered == (4 if is_refused else 3)


def test_a_udp_collector_that_is_away_stops_no_call(
    trail_to: Callable[..., Trail], caplog: pytest.LogCaptureFixture
) -> None:
    alarms: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    trail = Trail(Audit(sinks=[AuditSink(syslog=f"udp://127.0.0.1:{port}")]), alarm=lambda slug: alarms.append(slug))
    for number in range(50):
        trail.write(record(f"tool-{number}"))
        trail.flush()
        trail.ensure_writable()
    assert trail.dropped > 40
    trail.close()
    assert alarms == ["audit_records_lost"]
    assert "check that its collector listens" in caplog.text
    assert "no new call is let in" not in caplog.text


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


def test_tcp_with_a_newline_behind_each_message(trail_to: Callable[..., Trail]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        trail = trail_to(AuditSink(syslog=f"tcp://127.0.0.1:{listener.getsockname()[1]}?framing=newline"))
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            connection.settimeout(10)
            trail.write(record("read_order"))
            assert [names_of(stream.readline().removesuffix(b"\n")) for _ in range(2)] == [None, "read_order"]


@pytest.mark.parametrize("is_trusted", [True, False], ids=["a trusted certificate", "another certificate"])
def test_tls_verifies_the_collector(is_trusted: bool, tmp_path: Path, trail_to: Callable[..., Trail]) -> None:
    own, other = certificate(tmp_path / "own.pem"), certificate(tmp_path / "other.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        ca_file = own if is_trusted else other
        trail = trail_to(AuditSink(syslog=f"tls://localhost:{listener.getsockname()[1]}?ca_file={ca_file}"))
        connection, _ = listener.accept()
        connection.settimeout(10)
        if not is_trusted:
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)
            until(lambda: trail._lanes[0].is_failing())
            return
        with context.wrap_socket(connection, server_side=True) as secured:
            trail.write(record("read_order"))
            assert [names_of(frame) for frame in frames(secured, 2)] == [None, "read_order"]


def test_a_certificate_that_cannot_be_read_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ca_file .*nothing\.pem cannot be used"):
        Trail(Audit(sinks=[AuditSink(syslog=f"tls://localhost:6514?ca_file={tmp_path}/nothing.pem")]))


def certificate(path: Path) -> Path:
    """A certificate of ``localhost`` that signs itself, and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, *plain))
    return path


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

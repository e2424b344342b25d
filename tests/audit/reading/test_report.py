"""The report: who called what, who was refused, who did not wait, who runs in circles."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trails import record
from written import NOW, Writer, event

from doorward.audit import Outcome, principal_fragment
from doorward.audit.chain import Chain
from doorward.principal import Principal

pytest.importorskip("duckdb")

from doorward.audit.reading.report import Caller, Report, report_of

SUCCESS = Outcome("success")
LIMITED = Outcome("denied_rate", "rate_limited", "client", 10_000)
FORBIDDEN = Outcome("denied_scope", "insufficient_scope")


def client(name: str, issuer: str = "https://as.example.com") -> tuple[str, str]:
    return principal_fragment(
        Principal(
            issuer=issuer,
            subject="s",
            client_id=name,
            organization=None,
            scopes=(),
            token_id=None,
            expires_at=0.0,
        )
    )


def reported(tmp_path: Path, *calls: tuple[float, Outcome] | str, **given: Any) -> Report:
    """The report of calls at these seconds; a string is a line as it stands."""
    chain = Chain("one")
    lines = b""
    for call in calls:
        if isinstance(call, str):
            lines += call.encode("utf-8", "surrogatepass") + b"\n"
        else:
            after, outcome = call
            given = {"name": "read", "principal": client("c")} | given
            lines += chain.seal(record(outcome=outcome, at=NOW + after, **given))
    (tmp_path / "audit.jsonl").write_bytes(lines)
    return report_of([tmp_path])


def the_caller(report: Report) -> Caller:
    (caller,) = report.callers
    return caller


@pytest.mark.parametrize(
    ("outcomes", "runs", "longest"),
    [
        ("s", 0, 0),
        ("dd", 0, 2),
        ("ddd", 1, 3),
        ("dddsddd", 2, 3),
        ("sdddddsd", 1, 5),
        ("ddsddsdd", 0, 2),
    ],
)
def test_runs_of_denials(tmp_path: Path, outcomes: str, runs: int, longest: int) -> None:
    said = {"s": SUCCESS, "d": FORBIDDEN}
    caller = the_caller(reported(tmp_path, *((number, said[each]) for number, each in enumerate(outcomes))))
    assert (caller.denial_runs, caller.longest_denial_run) == (runs, longest)
    assert (caller.calls, caller.denials) == (len(outcomes), outcomes.count("d"))


@pytest.mark.parametrize(
    ("calls", "told", "early"),
    [
        pytest.param([(0, LIMITED), (9.999, SUCCESS)], 1, 1, id="a moment too early"),
        pytest.param([(0, LIMITED), (10, SUCCESS)], 1, 0, id="in time"),
        pytest.param([(0, LIMITED), (1, LIMITED), (2, LIMITED)], 3, 2, id="again and again"),
        pytest.param([(0, LIMITED), (1, FORBIDDEN), (9, SUCCESS), (12, SUCCESS)], 1, 2, id="the longest wait counts"),
        pytest.param([(0, FORBIDDEN), (1, SUCCESS)], 0, 0, id="nobody told it to wait"),
    ],
)
def test_who_came_back_too_early(tmp_path: Path, calls: list[tuple[float, Outcome]], told: int, early: int) -> None:
    caller = the_caller(reported(tmp_path, *calls))
    assert (caller.told_to_wait, caller.came_back_early) == (told, early)


def test_nobody_unverified_came_back_too_early(tmp_path: Path) -> None:
    caller = the_caller(reported(tmp_path, (0, LIMITED), (1, LIMITED), principal=None))
    assert (caller.client, caller.told_to_wait, caller.came_back_early) == ("(not verified)", 0, 0)


def test_a_question_to_a_human_and_its_call_are_not_the_same_call_twice(tmp_path: Path) -> None:
    chain, lines = Chain("one"), b""
    given: dict[str, Any] = {"principal": client("c"), "arguments_hash": "sha256:" + "ab" * 32}
    for outcome, name in ((Outcome("asked"), ""), (None, "asked"), (None, "confirmed"), (SUCCESS, "")):
        lines += chain.seal(record("wipe", outcome=outcome, event=name, **given))
    (tmp_path / "audit.jsonl").write_bytes(lines)
    report = report_of([tmp_path])
    assert report.unreadable == 0
    caller = the_caller(report)
    assert (caller.calls, caller.denials, caller.repeated) == (2, 0, 0)


def test_the_same_arguments_again_and_again(tmp_path: Path) -> None:
    chain, lines = Chain("one"), b""
    for number in range(12):
        for name, fingerprint in (("loop", "hmac-sha256:" + "ab" * 32), ("work", f"sha256:{number:064x}")):
            made = record(name, principal=client("c"), arguments_hash=fingerprint, at=NOW + number)
            lines += chain.seal(made)
    (tmp_path / "audit.jsonl").write_bytes(lines)
    report = report_of([tmp_path])
    (loop,) = report.loops
    assert (loop.client, loop.tool, loop.calls) == ("c", "loop", 12)
    assert loop.arguments_hash == "hmac-sha256:" + "ab" * 32
    assert (loop.first_seen, loop.last_seen) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:00:11.000Z")
    assert {caller.tool: caller.repeated for caller in report.callers} == {"loop": 12, "work": 0}


def test_two_issuers_may_have_clients_of_one_name(tmp_path: Path) -> None:
    chain = Chain("one")
    issuers = ("https://a", "https://b", "https://b")
    lines = [chain.seal(record("read", principal=client("c", issuer))) for issuer in issuers]
    (tmp_path / "audit.jsonl").write_bytes(b"".join(lines))
    report = report_of([tmp_path])
    assert [(caller.issuer, caller.calls) for caller in report.callers] == [("https://b", 2), ("https://a", 1)]
    assert report.clients == 2


def test_latency_is_of_the_calls_that_ran(tmp_path: Path) -> None:
    chain, lines = Chain("one"), b""
    for number in range(101):
        lines += chain.seal(record("read", principal=client("c"), latency_ms=float(number)))
        lines += chain.seal(record("read", principal=client("c"), latency_ms=0.0, outcome=FORBIDDEN))
    (tmp_path / "audit.jsonl").write_bytes(lines)
    caller = the_caller(report_of([tmp_path]))
    assert (caller.p50_ms, caller.p99_ms) == (50.0, 99.0)


def test_what_cannot_be_read_is_counted_and_hides_nothing_else(tmp_path: Path) -> None:
    nobody = '{"event":"call","timestamp":"2027-01-15T08:00:00.000Z","tool_name":"\\ud800","result":"success"}'
    report = reported(tmp_path, (0, SUCCESS), "garbage", '{"event":"call","time', nobody, "\udcff", "[1]", (1, SUCCESS))
    assert report.calls == 2
    assert report.unreadable == 5


ODD = {
    "a time of no clock": '{"event":"call","timestamp":"290000-01-15T08:00:00.000Z","result":"success"}',
    "a time that never comes": '{"event":"call","timestamp":"infinity","result":"success"}',
    "no time": '{"event":"call","timestamp":"soon","result":"success"}',
    "no result": '{"event":"call","timestamp":"2027-01-15T08:00:00.000Z"}',
    "other types": '{"event":["call"],"timestamp":{"a":1},"result":[],"tool_name":{"x":[1]}}',
    "a number of no size": '{"event":"call","timestamp":"2027-01-15T08:00:00.000Z","sequence":1e999}',
    "a member twice": '{"event":"call","event":"intent"}',
    "brackets": "[" * 100_000,
    "a long line": "x" * 3_000_000,
    "nothing but zeros": "\x00" * 5_000,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_line_is_counted_and_stops_nothing(tmp_path: Path, odd: str) -> None:
    report = reported(tmp_path, (0, SUCCESS), odd, (1, SUCCESS))
    assert report.calls == 2
    assert report.unreadable >= 1


@pytest.mark.parametrize("wait", [2**63 - 1, -(2**63), 10**15])
def test_no_wait_is_too_long_to_be_counted(tmp_path: Path, wait: int) -> None:
    assert reported(tmp_path, (0, Outcome("denied_rate", "rate_limited", "client", wait)), (1, SUCCESS)).calls == 2


def test_checkpoints_and_starts_are_no_calls_and_intents_are_matched(tmp_path: Path) -> None:
    writer = Writer(tmp_path, "one")
    writer.calls(4, intents=True)
    writer.write(event("intent", "r-lost"))
    report = report_of([tmp_path])
    assert (report.calls, report.unreadable, report.unknown_outcomes) == (4, 0, 1)


def test_several_processes_are_one_story(tmp_path: Path) -> None:
    """A client's calls lie in many files, and are told in the order in which they came."""
    for number, name in enumerate(("audit.jsonl", "audit.two.jsonl")):
        chain = Chain(name)
        lines = [
            chain.seal(record("read", principal=client("c"), outcome=FORBIDDEN, at=NOW + each))
            for each in range(number, 8, 2)
        ]
        (tmp_path / name).write_bytes(b"".join(lines))
    caller = the_caller(report_of([tmp_path / "audit.jsonl"]))
    assert (caller.denial_runs, caller.longest_denial_run) == (1, 8)


def test_a_piece_of_time(tmp_path: Path) -> None:
    reported(tmp_path, *((each, SUCCESS) for each in range(10)))
    report = report_of([tmp_path], since="2027-01-15T08:00:02.000Z", until="2027-01-15T08:00:05.000Z")
    assert (report.calls, report.first_seen, report.last_seen) == (
        3,
        "2027-01-15T08:00:02.000Z",
        "2027-01-15T08:00:04.000Z",
    )


def test_slices_have_no_holes(tmp_path: Path) -> None:
    report = reported(tmp_path, (0, SUCCESS), (1, FORBIDDEN), (600, SUCCESS))
    assert report.slice_seconds == 5
    assert len(report.slices) == 121
    assert [(each.start - NOW, each.calls, each.denials) for each in report.slices if each.calls] == [
        (0, 2, 1),
        (600, 1, 0),
    ]


@pytest.mark.parametrize("name", ["audit.jsonl", "a*b?[c].jsonl", "it's.jsonl"])
def test_any_file_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(Chain("one").seal(record("read", principal=client("c"))))
    (tmp_path / "aXbYc.jsonl").write_bytes(Chain("two").seal(record("read", principal=client("c"))))
    assert report_of([tmp_path / name]).calls == 1


def test_nothing_recorded_yet(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").touch()
    with pytest.raises(ValueError, match="nothing has been recorded yet"):
        report_of([tmp_path])


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "it's", "\u202e", "\x00", "😀"]),
            st.sampled_from(["read", "<script>", "*", "x" * 300]),
            st.sampled_from([SUCCESS, LIMITED, FORBIDDEN, Outcome("tool_error")]),
            st.integers(0, 5_000),
            st.floats(0, 1e6),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_it_counts_as_a_loop_would(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, str, Outcome, int, float]]
) -> None:
    chain, path = Chain("one"), tmp_path_factory.mktemp("trail") / "audit.jsonl"
    calls.sort(key=lambda call: call[3])
    path.write_bytes(
        b"".join(
            chain.seal(record(tool, principal=client(who), outcome=outcome, at=NOW + after, latency_ms=latency))
            for who, tool, outcome, after, latency in calls
        )
    )
    report = report_of([path])
    assert report.calls == len(calls) == sum(caller.calls for caller in report.callers)
    assert sum(each.calls for each in report.slices) == len(calls)
    for caller in report.callers:
        own = [call for call in calls if (call[0], call[1][:256]) == (caller.client, caller.tool[:256])]
        assert caller.calls == len(own)
        assert caller.denials == sum(call[2].result.startswith("denied") for call in own)
        waits = [-math.inf]
        early = 0
        for _, _, outcome, after, _ in own:
            early += after < max(waits)
            waits += [] if outcome.retry_after_ms is None else [after + outcome.retry_after_ms / 1000]
        assert caller.came_back_early == early
        ran = [round(call[4], 3) for call in own if not call[2].result.startswith("denied")]
        assert caller.p50_ms == (pytest.approx(statistics.median(ran), abs=0.001) if ran else None)

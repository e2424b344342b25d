"""What was revoked: by token, subject, client or agent, from a file or from Python."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agents import NOW, AgentsFile
from conftest import Tell

from doorward.principal import Principal
from doorward.settings import Revocation
from doorward.tokens import revocation
from doorward.tokens.revocation import Revocations, key_of

ISSUER = "https://as.example.com"


def caller(**changed: Any) -> Principal:
    members: dict[str, Any] = {
        "issuer": ISSUER,
        "subject": "user-1",
        "client_id": "client-1",
        "organization": None,
        "scopes": (),
        "token_id": "token-1",
        "expires_at": NOW + 60,
    }
    return Principal(**{**members, **changed})


AGENT = caller(issuer="urn:doorward:agents", subject="0123456789ab", client_id="nightly", token_id="0123456789ab-00")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "revoked.toml"
    path.touch(mode=0o600)
    return path


def listing(file: Path, text: str, **given: Any) -> Revocations:
    file.write_text(text)
    return Revocations(Revocation(str(file)), **given)


def by_file(file: Path, **given: Any) -> Revocations:
    lines = [f'{key} = "{value}"' for key, value in given.items()]
    return listing(file, "\n".join(["[[revoked]]", *lines]))


def by_python(file: Path, **given: Any) -> Revocations:
    revocations = Revocations(None)
    revocations.revoke(**given)
    return revocations


# --- what is covered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [by_file, by_python])
@pytest.mark.parametrize(
    ("given", "covered", "spared"),
    [
        ({"token_id": "token-1"}, caller(), caller(token_id="token-2")),
        ({"token_id": "token-1", "issuer": ISSUER}, caller(), caller(issuer="https://other.example.com")),
        ({"token_id": "token-1"}, caller(issuer="https://other.example.com"), caller(token_id=None)),
        ({"subject": "user-1"}, caller(), caller(subject="user-2")),
        ({"subject": "user-1", "issuer": ISSUER}, caller(), caller(issuer="https://other.example.com")),
        ({"client": "client-1"}, caller(), caller(client_id="client-2")),
        ({"client": "client-1"}, caller(subject="user-2"), caller(client_id=None)),
        ({"client": "client-1", "issuer": ISSUER}, caller(), caller(issuer="https://other.example.com")),
        ({"agent": "0123456789ab"}, AGENT, caller(subject="0123456789ab")),
        ({"agent": "nightly"}, AGENT, caller(client_id="nightly")),
        ({"token_id": "0123456789ab-00"}, AGENT, caller(**{"issuer": AGENT.issuer, "token_id": "0123456789ab-01"})),
        ({"client": "user-1"}, caller(client_id="user-1"), caller()),
    ],
)
def test_whoever_is_named_is_covered_and_nobody_else(
    file: Path, source: Callable[..., Revocations], given: dict[str, str], covered: Principal, spared: Principal
) -> None:
    revocations = source(file, **given)
    assert revocations.cover(covered, now=NOW)
    assert not revocations.cover(spared, now=NOW)


def test_nothing_is_covered_where_nothing_was_revoked() -> None:
    assert not Revocations(None).cover(caller(), now=NOW)


def test_both_tokens_of_a_real_agent_are_covered_by_its_name(tmp_path: Path) -> None:
    agents = AgentsFile(tmp_path / "agents.toml")
    issued = [agents.create(), agents.rotate(now=NOW)]
    revocations = by_python(tmp_path, agent="nightly")
    tokens = agents.tokens()
    assert all(revocations.cover(tokens.verify(token, now=NOW).principal, now=NOW) for token in issued)


def test_it_counts_from_the_very_next_call() -> None:
    revocations = Revocations(None)
    assert not revocations.cover(caller(), now=NOW)
    revocations.revoke(token_id="token-1")
    assert revocations.cover(caller(), now=NOW)


@pytest.mark.parametrize(
    "given",
    [{}, {"issuer": ISSUER}, {"subject": "a", "client": "b"}, {"subject": ""}, {"agent": "a", "issuer": ISSUER}],
)
def test_a_revocation_that_means_nothing_or_two_things_is_an_error(file: Path, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"give one of|must be a string|no issuer"):
        by_python(file, **given)
    with pytest.raises(ValueError, match=rf"{file}:1: \[\[revoked\]\]: "):
        by_file(file, **given)


# --- until ------------------------------------------------------------------------------------------------------------


def test_what_has_passed_no_longer_counts_and_is_dropped(file: Path) -> None:
    revocations = listing(file, '[[revoked]]\nsubject = "user-1"\nuntil = 2027-01-15T08:00:10Z\n')  # NOW + 10
    revocations.revoke(client="client-1", until=NOW + 5)
    assert len(revocations) == 2
    assert revocations.cover(caller(client_id=None), now=NOW + 9.9)
    assert not revocations.cover(caller(client_id=None), now=NOW + 10)
    assert not revocations.cover(caller(subject="user-2"), now=NOW + 5)
    revocations.cover(caller(), now=NOW + 100)
    assert len(revocations) == 0


def test_of_two_ends_the_later_one_counts(file: Path) -> None:
    revocations = Revocations(None)
    key = key_of({"subject": "user-1"}, None)
    for until in (NOW + 5, NOW + 10, NOW + 1):
        revocations.add(key, until=until)
    assert revocations.cover(caller(), now=NOW + 9)
    revocations.revoke(subject="user-1")
    assert revocations.cover(caller(), now=1e15)
    revocations.revoke(subject="user-1", until=NOW + 1)
    assert revocations.cover(caller(), now=NOW + 9)


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_they_are_bounded_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "MAX_REVOCATIONS", 10)
    revocations = Revocations(None)
    for number in range(10):
        revocations.revoke(subject=f"user-{number}", until=NOW + 1)
    with pytest.raises(ValueError, match="more than 10 revocations"):
        revocations.revoke(subject="user-10")
    revocations.revoke(subject="user-1")  # is there already
    revocations.cover(caller(), now=NOW + 100)
    revocations.revoke(subject="user-10")


def test_looking_costs_next_to_nothing(tell: Tell, file: Path) -> None:
    for name, revocations in (("nothing", Revocations(None)), ("an empty file", listing(file, "# nothing\n"))):
        principal = caller()
        revocations.cover(principal, now=NOW)
        best = math.inf
        for _ in range(20):
            begin = time.perf_counter()
            for _ in range(2000):
                revocations.cover(principal, now=NOW)
            best = min(best, (time.perf_counter() - begin) / 2000)
        tell(f"cover, {name} revoked: {best * 1e9:.0f} ns")
        assert best < 0.5e-6


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_change_of_the_file_counts_within_a_second(file: Path) -> None:
    revocations = listing(file, "# nothing\n")
    assert not revocations.cover(caller(), now=NOW)
    file.write_text('[[revoked]]\nsubject = "user-1"\n')
    assert not revocations.cover(caller(), now=NOW + 0.9)
    assert revocations.cover(caller(), now=NOW + 1)
    file.write_text("# nothing\n")
    assert not revocations.cover(caller(), now=NOW + 2)


def test_the_file_takes_back_nothing_that_python_revoked(file: Path) -> None:
    revocations = listing(file, '[[revoked]]\nsubject = "user-1"\n')
    revocations.revoke(subject="user-1")
    file.write_text("# nothing\n")
    assert revocations.cover(caller(), now=NOW + 10)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param('[[revoked]]\nsubject = "user-1"\n[[revoked]]\nsubject = "us', ":4: not TOML", id="half written"),
        pytest.param("", ": is empty", id="truncated"),
        pytest.param(
            '[[revoked]]\nsubject = "a"\n\n[[revoked]]\nuser = "a"', ":4: [[revoked]]: unknown key", id="a key"
        ),
        pytest.param(
            '[[revoked]]\nsubject = "a"\nuntil = 2027-01-15T08:00:10', ":1: [[revoked]]: until", id="local time"
        ),
        pytest.param("[[revoked]]\nsubject = 1", ":1: [[revoked]]: subject must be a string", id="a number"),
        pytest.param('[revoked]\nsubject = "a"', ": revoked must be an array", id="one table"),
    ],
)
def test_a_bad_list_never_replaces_a_good_one(
    file: Path, text: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    alarms: list[str] = []
    revocations = listing(file, '[[revoked]]\nsubject = "user-1"\n', alarm=alarms.append)
    file.write_text(text)
    for step in range(3):
        assert revocations.cover(caller(), now=NOW + step)
    assert alarms == ["revocation_file_unreadable"]
    assert f"{file}{line}" in caplog.text
    if text:
        with pytest.raises(ValueError, match="revoked") as error:
            Revocations(Revocation(str(file)))
        assert f"{file}{line}" in str(error.value)


def test_a_missing_list_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"revoked\.toml: there is no such file"):
        Revocations(Revocation(str(tmp_path / "revoked.toml")))


def test_a_list_that_others_may_write_is_not_believed(file: Path) -> None:
    file.chmod(0o666)
    with pytest.raises(ValueError, match="chmod 600"):
        Revocations(Revocation(str(file)))


def test_nothing_may_be_revoked_yet_at_start(file: Path) -> None:
    assert not Revocations(Revocation(str(file))).cover(caller(), now=NOW)

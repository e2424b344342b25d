"""``doorward audit``, as it is run: a process, its two outputs, its exit code."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from signing import PUBLIC_PEM
from trails import record
from written import Writer, a_trail, write_as_earlier

import doorward
from doorward.audit.checkpoints import load_private_key
from doorward.audit.keys import key_name
from doorward.audit.reading.verify import load_public_keys
from doorward.settings import Secret

pytest.importorskip("typer")

from typer.testing import CliRunner, Result

from doorward.cli.audit import app
from doorward.extras import install

ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}


class Command:
    """The command in a directory with a trail and its public key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trail = directory / "trail"
        self.trail.mkdir()
        a_trail(self.trail)
        (directory / "key.pub").write_bytes(PUBLIC_PEM)

    def run(self, *arguments: str, code: int = 0, given: bytes = b"", **environment: str) -> Result:
        """Run ``doorward audit`` in this process: a hundred of their own would take minutes."""
        with chdir(self.directory):
            done = CliRunner().invoke(app, arguments, input=given, env=ENVIRONMENT | environment)
        assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
        return done

    def start(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``doorward audit`` as a process."""
        done = subprocess.run(
            [sys.executable, "-m", "doorward", "audit", *arguments],
            cwd=self.directory,
            env=ENVIRONMENT | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done


@contextmanager
def chdir(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


# --- verify -----------------------------------------------------------------------------------------------------------


def test_a_whole_trail(command: Command) -> None:
    done = command.start("verify", "trail", "--public-key", "key.pub")
    assert "intact: nobody without the key changed anything" in done.stdout
    assert "trail/audit.jsonl:5: a crash tore this line" in done.stdout
    assert "accidents and amateurs" in command.run("verify", "trail/audit.jsonl").stdout


def test_a_changed_trail_names_the_line_and_ends_with_3(command: Command) -> None:
    path = command.trail / "audit.two.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"success"', b'"denied_scope"', 1))
    done = command.start("verify", "trail", "--public-key", "key.pub", code=3)
    assert done.stdout.startswith("TAMPERED  trail/audit.two.jsonl:3: this line was changed")
    assert "NOT INTACT: look first at trail/audit.two.jsonl:3" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl: No such file or directory: check the path"),
        (["."], ". has no *.jsonl: name the trail's file or its directory"),
        (["trail", "--public-key", "nowhere.pub"], "nowhere.pub: No such file or directory"),
        (["trail", "--public-key", "trail/audit.jsonl"], "trail/audit.jsonl is not an Ed25519 public key in PEM"),
        (["trail", "--since", "yesterday"], "--since must be a day or a time in UTC, like 2026-11-20"),
        (["trail", "--since", "2026-13-01"], "--since is 2026-13-01: there is no such day or time"),
        (["trail", "--since", "9999-99-99"], "--since is 9999-99-99: there is no such day or time"),
        (["trail", "--since", "2026-02-30"], "--since is 2026-02-30: there is no such day or time"),
        (["trail", "--since", "2026-11-20T24:30"], "--since is 2026-11-20T24:30: there is no such day or time"),
        (["trail", "--remember", "key.pub"], "key.pub is not what `doorward audit verify --remember` writes"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_looked_at_ends_with_2(command: Command, arguments: list[str], problem: str) -> None:
    done = command.run("verify", *arguments, code=2)
    assert problem in done.stderr
    assert done.stdout == ""


def test_it_remembers(command: Command) -> None:
    command.run("verify", "trail", "--remember", "heads.json")
    assert len(json.loads((command.directory / "heads.json").read_text())["chains"]) == 2
    for path in command.trail.glob("*"):
        path.unlink()
    Writer(command.trail, "new").calls(2)
    done = command.run("verify", "trail", "--remember", "heads.json", code=4)
    assert "was here when the trail was last verified" in done.stdout
    assert "new" not in (command.directory / "heads.json").read_text(), "what is not whole is not remembered"


def test_what_cannot_be_remembered_ends_with_5(command: Command) -> None:
    done = command.run("verify", "trail", "--remember", "nowhere/heads.json", code=5)
    assert "intact" in done.stdout
    assert "nowhere/heads.json: No such file or directory: what was verified is not remembered" in done.stderr


def test_a_trail_of_an_earlier_release_is_refused_with_what_to_do(command: Command) -> None:
    for path in command.trail.glob("*"):
        path.unlink()
    write_as_earlier(command.trail)
    assert "intact" in command.run("verify", "trail").stdout
    done = command.run("verify", "trail", "--public-key", "key.pub", "--remember", "heads.json", code=2)
    assert done.stdout.startswith("REFUSED   trail/audit.jsonl:2: this checkpoint is of an earlier release")
    assert "verify this trail with the release that wrote it" in done.stdout
    assert "NOT VERIFIED: another release wrote this" in done.stdout
    assert "intact" not in done.stdout
    assert "TAMPERED" not in done.stdout
    assert not (command.directory / "heads.json").exists()


def test_what_was_found_as_json(command: Command) -> None:
    (command.trail / "audit.two.jsonl").unlink()
    found = json.loads(command.run("verify", "trail", "--json", code=4).stdout)
    assert found["intact"] is False
    assert found["problems"][0]["kind"] == "missing_instance"
    assert found["kinds"] == ["missing_instance"]
    assert found["chains"][0]["instances"] == ["one", "three"]


def test_days_that_were_deleted(command: Command) -> None:
    sorted(command.trail.glob("audit.one.*"))[0].unlink()
    said = command.run("verify", "trail", code=4).stdout
    assert said.startswith("MISSING   trail/audit.one.")
    assert "INCOMPLETE: something that was written is not here: look first at trail/audit.one." in said
    command.run("verify", "trail", "--since", "2027-01-15T08:00:02.5Z")


def test_of_a_time_behind_the_last_record_nothing_is_called_intact(command: Command) -> None:
    sorted(command.trail.glob("audit.one.*"))[0].unlink()
    late = ("verify", "trail", "--since", "2027-01-16", "--remember", "heads.json")
    said = command.run(*late, code=2).stdout
    assert "nothing was checked: the last record is of 2027-01-15 " in said
    assert "intact" not in said
    assert not (command.directory / "heads.json").exists()
    found = json.loads(command.run(*late, "--json", code=2).stdout)
    assert (found["intact"], found["nothing_to_check"], found["problems"]) == (False, True, [])


def test_of_a_trail_without_a_record_nothing_is_called_intact(command: Command) -> None:
    for path in command.trail.iterdir():
        path.write_bytes(b"")
    verify = ("verify", "trail", "--public-key", "key.pem", "--remember", "heads.json")
    (command.directory / "key.pem").write_bytes(PUBLIC_PEM)
    said = command.run(*verify, code=2).stdout
    assert "nothing was checked: the files have no record" in said
    assert "intact" not in said
    assert not (command.directory / "heads.json").exists()


def test_a_change_before_the_time_asked_about_is_told_all_the_same(command: Command) -> None:
    path = command.trail / "audit.two.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"success"', b'"denied_scope"', 1))
    assert "NOT INTACT" in command.run("verify", "trail", "--since", "2027-01-16", code=3).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize("name", ["verify", "report"])
def test_a_terminal_gets_a_progress_bar(command: Command, name: str) -> None:
    main, terminal = pty.openpty()
    piped = command.run(name, "trail")
    done = subprocess.run(
        [sys.executable, "-m", "doorward", "audit", name, "trail"],
        cwd=command.directory,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=terminal,
        check=False,
        timeout=60,
    )
    os.close(terminal)
    assert done.returncode == 0
    assert "━".encode() in os.read(main, 65_536)
    os.close(main)
    # Whoever reads what it says sees none of it.
    assert done.stdout.decode() == piped.stdout
    assert "━" not in piped.stderr


# --- keygen and fingerprint -------------------------------------------------------------------------------------------


def test_keygen_makes_a_pair_that_fits(command: Command) -> None:
    done = command.run("keygen", "signing.pem")
    private, public = command.directory / "signing.pem", command.directory / "signing.pem.pub"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    signature = load_private_key(private.read_bytes()).sign(b"message")
    assert load_public_keys([public])(signature, b"message")
    assert 'checkpoint = { key = { file = "signing.pem", id = "' in done.stdout
    assert "PRIVATE" not in done.stdout + done.stderr


def test_keygen_overwrites_nothing(command: Command) -> None:
    command.run("keygen", "signing.pem")
    before = (command.directory / "signing.pem").read_bytes()
    assert "is there already, and a key is never overwritten" in command.run("keygen", "signing.pem", code=2).stderr
    assert (command.directory / "signing.pem").read_bytes() == before
    assert "No such file" in command.run("keygen", "nowhere/signing.pem", code=2).stderr


ARGUMENTS = {"id": 7, "note": "é"}
KEY = "k" * 32


@pytest.mark.parametrize("spelling", [json.dumps(ARGUMENTS), ' {"note" : "\\u00e9", "id": 7.0}\n'])
def test_a_fingerprint_is_that_of_the_records(command: Command, spelling: str) -> None:
    given = spelling.encode()
    assert command.run("fingerprint", given=given).stdout == f"{doorward.hash_arguments(ARGUMENTS)}\n"
    (command.directory / "arguments.json").write_bytes(given)
    (command.directory / "key").write_text(f"{KEY}\n")
    keyed = f"{doorward.hash_arguments(ARGUMENTS, key=KEY.encode())}\n"
    from_file = command.run("fingerprint", "arguments.json", "--key-file", "key")
    assert from_file.stdout == keyed
    name = key_name(Secret(KEY.encode(), "prod", str(command.directory / "key")))
    assert f"hash_key ends with {name.removeprefix('prod/')}" in from_file.stderr
    assert command.run("fingerprint", "-", "--key-env", "AUDIT_KEY", given=given, AUDIT_KEY=KEY).stdout == keyed


@pytest.mark.parametrize(
    ("arguments", "given", "problem"),
    [
        (["fingerprint"], b"[1]", "the standard input is not a JSON object"),
        (["fingerprint"], b"", "the standard input is not a JSON object"),
        (["fingerprint"], b'{"a":1,"a":1}', "the standard input is not strict JSON"),
        (["fingerprint"], b'{"a":1} {}', "the standard input is not strict JSON"),
        (["fingerprint", "nowhere"], b"", "nowhere: No such file or directory: give the file"),
        (["fingerprint", "--key-file", "nowhere"], b"{}", "nowhere: No such file or directory: --key-file"),
        (["fingerprint", "--key-env", "NOT_SET"], b"{}", "the environment variable NOT_SET has 0 bytes"),
        (["fingerprint", "--key-env", "SHORT"], b"{}", "the environment variable SHORT has 7 bytes"),
        (["fingerprint", "--key-env", "A", "--key-file", "b"], b"{}", "give one of them"),
    ],
)
def test_what_has_no_fingerprint(command: Command, arguments: list[str], given: bytes, problem: str) -> None:
    done = command.run(*arguments, code=2, given=given, SHORT="hunter2")
    assert problem in done.stderr
    assert "hunter2" not in done.stderr


# --- tail -------------------------------------------------------------------------------------------------------------


def test_the_last_records_one_a_line(command: Command) -> None:
    lines = command.run("tail", "trail", "-n", "3").stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:2] == ["2027-01-15T08:01:06.250Z", "success"]
    raw = command.run("tail", "trail", "-n", "3", "--json").stdout.splitlines()
    assert raw == (command.trail / "audit.jsonl").read_text().splitlines()[-3:]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--tool", "delete_*"], ["delete_user"]),
        (["--result", "denied_*"], ["delete_user"]),
        (["--result", "success", "--tool", "*e*"], ["read"]),
        (["--client", "nobody"], []),
    ],
)
def test_filters(command: Command, arguments: list[str], names: list[str]) -> None:
    from doorward.audit import Outcome

    writer = Writer(command.trail, "four", at=1_800_001_000.0)
    writer.write(record("delete_user", at=1_800_001_000.0, outcome=Outcome("denied_scope", "insufficient_scope")))
    lines = command.run("tail", "trail", "-n", "1", "--json", *arguments).stdout.splitlines()
    assert [json.loads(line)["tool_name"] for line in lines] == names


def test_no_name_moves_the_cursor(command: Command) -> None:
    Writer(command.trail, "four", at=1_800_001_000.0).write(record("\x1b[2J\u202e\r", at=1_800_001_000.5))
    done = command.run("tail", "trail", "-n", "2")
    assert r"\x1b[2J\u202e\r" in done.stdout
    assert "\x1b" not in done.stdout + command.run("report", "trail").stdout


def test_following_goes_on_across_rotation(command: Command) -> None:
    writer = Writer(command.trail, "four", at=1_800_001_000.0)
    following = subprocess.Popen(
        [sys.executable, "-m", "doorward", "audit", "tail", "trail/audit.jsonl", "-f", "-n", "0", "--json"],
        cwd=command.directory,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    try:
        seen: list[str] = []
        until = time.monotonic() + 30
        while not seen and time.monotonic() < until:  # it has begun as soon as it sees anything
            writer.write(record("first"))
            os.set_blocking(following.stdout.fileno(), False)
            time.sleep(0.05)
            seen = following.stdout.readlines()
        os.set_blocking(following.stdout.fileno(), True)
        writer.rotate()
        writer.write(record("last"))
        while "last" not in seen[-1]:
            seen.append(following.stdout.readline())
        assert all(json.loads(line)["event"] in ("call", "checkpoint") for line in seen)
    finally:
        following.kill()
        following.communicate()


# --- report -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_report_of_a_time_that_does_not_exist_is_an_error(command: Command, option: str) -> None:
    assert (
        f"{option} is 2026-13-01: there is no such"
        in command.run("report", "trail", option, "2026-13-01", code=2).stderr
    )


def test_a_report_as_text_json_and_page(command: Command) -> None:
    pytest.importorskip("duckdb")
    text = command.run("report", "trail").stdout
    assert "39 calls from 2027-01-15T08:00:00.250Z until 2027-01-15T08:01:06.500Z" in text
    made = json.loads(command.run("report", "trail", "--json", "--html", "report.html").stdout)
    assert (made["calls"], made["callers"][0]["tool"], made["unreadable"]) == (39, "read", 1)
    path = command.directory / "report.html"
    assert path.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "No such file" in command.run("report", "nowhere", code=2).stderr


def test_what_needs_an_extra_says_which(command: Command) -> None:
    (command.directory / "duckdb.py").write_text("raise ModuleNotFoundError('no', name='duckdb')")
    done = command.start(
        "report", "trail", code=2, PYTHONPATH=f"{command.directory}:{os.environ.get('PYTHONPATH', '')}"
    )
    assert install("cli", "report") in done.stderr

"""``doorward tokens``, as it is run: a process, its two outputs and its file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from agents import DAY, AgentsFile

from doorward.errors import Unauthenticated
from doorward.tokens.agent_tokens import SCANNED

pytest.importorskip("typer")


class Command:
    """The command in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.agents = directory / "agents.toml"

    def run(self, *arguments: str, code: int = 0, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        """Run ``doorward tokens``."""
        done = subprocess.run(
            self.line(*arguments),
            cwd=self.directory,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def line(self, *arguments: str) -> Sequence[str]:
        """The command line."""
        return [sys.executable, "-m", "doorward", "tokens", *arguments]

    def token(self, *arguments: str) -> str:
        """The token that a command prints."""
        return self.run(*arguments).stdout.strip()

    def refusal(self, token: str) -> str | None:
        """Why a server with this file refuses the token now."""
        try:
            AgentsFile(self.agents).tokens().verify(token, now=time.time())
        except Unauthenticated as refused:
            return refused.code
        return None


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_create_prints_a_token_alone_on_the_standard_output(command: Command) -> None:
    done = command.run("create", "nightly", "--scope", "read", "--scope", "write", "--organization", "acme")
    assert re.fullmatch(rf"{SCANNED}\n", done.stdout)
    assert done.stdout.strip() not in done.stderr
    assert "agents.toml" in done.stderr
    assert "only this once" in done.stderr
    principal = AgentsFile(command.agents).tokens().verify(done.stdout.strip(), now=time.time()).principal
    assert (principal.client_id, principal.scopes, principal.organization) == ("nightly", ("read", "write"), "acme")
    assert principal.expires_at == pytest.approx(time.time() + 30 * DAY, abs=60)
    assert command.agents.stat().st_mode & 0o777 == 0o600


def test_a_token_that_lives_long_gets_a_warning(command: Command) -> None:
    assert "warning" not in command.run("create", "one", "--scope", "a", "--expires", "90d").stderr
    assert "warning: that is 91d away" in command.run("create", "two", "--scope", "a", "--expires", "91d").stderr


def test_rotate_prints_the_next_one_and_says_when_the_one_before_ends(command: Command) -> None:
    first = command.token("create", "nightly", "--scope", "a")
    done = command.run("rotate", "nightly")
    assert "the one before ends at" in done.stderr
    assert [command.refusal(token) for token in (first, done.stdout.strip())] == [None, None]
    third = command.token("rotate", "nightly", "--overlap", "0s")
    assert [command.refusal(token) for token in (first, done.stdout.strip(), third)] == [
        "unknown_agent",
        "unknown_agent",
        None,
    ]


def test_revoke_ends_the_tokens_of_an_agent_by_id_or_name(command: Command) -> None:
    tokens = {name: command.token("create", name, "--scope", "a") for name in ("one", "two", "three")}
    command.run("revoke", AgentsFile(command.agents).agent("one").id)
    assert "two" in command.run("revoke", "two").stderr
    command.run("revoke", "two")
    assert [command.refusal(token) for token in tokens.values()] == ["token_revoked", "token_revoked", None]


def test_list_shows_everything_but_secrets(command: Command) -> None:
    names = ("one", "two", "three")
    tokens = [command.token("create", name, "--scope", "mcp:read", "--expires", "6d") for name in names]
    command.run("revoke", "two")
    command.run("rotate", "three", "--expires", "60d")
    agents = AgentsFile(command.agents)
    agents.tokens().verify(tokens[0], now=time.time())
    shown = command.run("list").stdout
    one, two, three = (next(line for line in shown.splitlines() if f" {name} " in line) for name in names)
    assert "mcp:read" in one
    assert re.search(r" (\S+Z)  expires in 5d$", one), "and when it was used"
    assert re.search(r" -  +revoked \S+Z$", two), "it never was"
    assert re.search(r" -  +the token before ends in 23h$", three)
    for token, name in zip(tokens, names, strict=True):
        assert token.split("_")[-1] not in shown
        assert not any(each.digest.hex()[:16] in shown for each in agents.agent(name).hashes)


def test_an_expired_token_is_listed_as_such(command: Command) -> None:
    AgentsFile(command.agents).create(now=1_500_000_000.0)
    assert command.run("list").stdout.rstrip().endswith("expired")


def test_the_configuration_names_the_file(command: Command, tmp_path: Path) -> None:
    elsewhere = tmp_path / "etc"
    elsewhere.mkdir()
    (elsewhere / "doorward.toml").write_text('resource = "https://x"\n[agents]\nfile = "them.toml"\n')
    command.run("create", "nightly", "--scope", "a", "--config", "etc/doorward.toml")
    assert (elsewhere / "them.toml").exists()
    (tmp_path / "doorward.toml").write_text('[agents]\nfile = "etc/them.toml"\n')
    assert "nightly" in command.run("list").stdout
    assert "nightly" in command.run("list", "--file", "etc/them.toml").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("list",), "`doorward tokens create` makes it"),
        (("rotate", "nobody"), "`doorward tokens create` makes it"),
        (("revoke", "nobody"), "`doorward tokens create` makes it"),
        (("revoke", "nobody", "--file", "there.toml"), "`doorward tokens list` shows them"),
        (("list", "--file", "a", "--config", "b"), "give one of them"),
        (("list", "--config", "nothere.toml"), "nothere.toml cannot be read: No such file"),
        (("list", "--config", "there.toml"), "add it with file"),
        (("list", "--config", "broken.toml"), "broken.toml is not TOML"),
        (("list", "--file", "broken.toml"), "broken.toml:1: not TOML"),
        (("create", "x", "--scope", "a", "--expires", "soon"), "--expires must be like 30d"),
        (("create", "x", "--scope", "a", "--expires", "4000d"), "from a second to 3650 days"),
        (("create", "x", "--scope", "a", "--expires", "0s"), "from a second to 3650 days"),
        (("create", "x", "--scope", 'a"b'), "a scope is visible ASCII"),
        (("create", "\x1b[31m", "--scope", "a"), "printable"),
        (("create", "x", "--scope", "a", "--organization", ""), "printable"),
        (("create", "there", "--scope", "a", "--file", "there.toml"), "rotate or revoke it"),
        (("create", "x", "--scope", "a", "--file", "no/such/agents.toml"), "No such file or directory"),
        (("create", "x", "--scope", "a", "--file", "public.toml"), "public.toml can be written by others, who could"),
        (
            ("list", "--file", "public.toml"),
            "public.toml can be written by others, who could let themselves in: chmod 600",
        ),
    ],
)
def test_every_error_says_what_to_do_and_changes_nothing(
    command: Command, arguments: tuple[str, ...], told: str
) -> None:
    AgentsFile(command.directory / "there.toml").create("there")
    (command.directory / "broken.toml").write_text("[")
    (command.directory / "public.toml").touch()
    (command.directory / "public.toml").chmod(0o666)
    before = (command.directory / "there.toml").read_bytes()
    done = command.run(*arguments, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert (command.directory / "there.toml").read_bytes() == before


def test_scopes_have_to_be_said(command: Command) -> None:
    assert "--scope" in command.run("create", "x", code=2).stderr


def test_a_token_that_could_not_be_printed_is_said_to_be_lost(command: Command) -> None:
    with Path("/dev/full").open("w") as full:
        done = command.run("create", "x", "--scope", "a", code=2, stdout=full.fileno())
    assert "is lost" in done.stderr
    again = re.search(r"doorward tokens (rotate .*)", done.stderr)
    assert again is not None
    assert command.refusal(command.token(*again[1].split())) is None


def test_two_commands_at_once_lose_nothing(command: Command) -> None:
    running = [
        subprocess.Popen(
            command.line("create", f"agent-{number}", "--scope", "a"),
            cwd=command.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number in range(6)
    ]
    tokens = [process.communicate()[0].strip() for process in running]
    assert [command.refusal(token) for token in tokens] == [None] * 6


def test_help_names_the_four_commands(command: Command) -> None:
    help_ = command.run("--help").stdout
    assert all(f" {name} " in help_ for name in ("create", "list", "rotate", "revoke"))

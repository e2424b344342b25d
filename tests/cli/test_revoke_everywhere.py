"""``doorward tokens revoke``, told to servers that have another copy of the file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from servers.standalone import RedisServer

from doorward._redis import Store
from doorward.principal import Principal
from doorward.tokens.agent_tokens import AGENTS_ISSUER
from doorward.tokens.agents_file import read
from doorward.tokens.revocation import Revocations

pytest.importorskip("typer")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``doorward tokens`` in a directory where one agent is known."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "doorward", "tokens", *arguments]
        environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", **variables}
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert run("create", "nightly", "--scope", "read").returncode == 0
    return run


def known(server: RedisServer, directory: Path, *, prefix: str = "doorward") -> bool:
    """Whether a server without the file knows that the agent was revoked."""
    (agent,) = read(directory / "agents.toml")
    revocations = Revocations(None, store=Store(server.url), prefix=prefix)
    anyio.run(revocations.ready)
    return revocations.cover(Principal(AGENTS_ISSUER, agent.id, agent.name, None, (), None, 0.0), now=0.0)


def test_the_variable_with_the_url_is_named(
    run: Callable[..., subprocess.CompletedProcess[str]], redis_server: RedisServer, tmp_path: Path
) -> None:
    done = run("revoke", "nightly", "--redis-env", "SHARED_REDIS", SHARED_REDIS=redis_server.url)
    assert (done.returncode, done.stdout) == (0, "")
    assert "were told" in done.stderr
    assert known(redis_server, tmp_path)


@pytest.mark.parametrize(
    ("store", "config"),
    [
        ('"{url}"', ()),
        ('{{ env = "SHARED_REDIS" }}', ("--config", "doorward.toml")),
        ('{{ file = "redis-url" }}', ("--config", "doorward.toml")),
    ],
    ids=["found", "by a variable", "by a file"],
)
def test_or_the_configuration_names_it(
    run: Callable[..., subprocess.CompletedProcess[str]],
    redis_server: RedisServer,
    tmp_path: Path,
    store: str,
    config: tuple[str, ...],
) -> None:
    named = store.format(url=redis_server.url)
    (tmp_path / "redis-url").write_text(redis_server.url)
    (tmp_path / "doorward.toml").write_text(f'[agents]\nfile = "agents.toml"\n[limits]\nstore = {named}\n')
    done = run("revoke", "nightly", *config, SHARED_REDIS=redis_server.url)
    assert done.returncode == 0, done.stderr
    assert known(redis_server, tmp_path)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://:hunter2@127.0.0.1:1/0", "Redis was not told: the store is out of reach. Servers with another file"),
        ("http://:hunter2@127.0.0.1", "the URL of Redis must begin with"),
        ("", "--redis-env must name an environment variable"),
    ],
    ids=["away", "no URL", "not set"],
)
def test_what_cannot_be_told_is_said_without_the_password(
    run: Callable[..., subprocess.CompletedProcess[str]], url: str, told: str
) -> None:
    done = run("revoke", "nightly", "--redis-env", "SHARED_REDIS", SHARED_REDIS=url)
    assert done.returncode == 2
    assert told in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


def test_servers_of_another_prefix_are_not_told(
    run: Callable[..., subprocess.CompletedProcess[str]], redis_server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "doorward.toml").write_text(f'[limits]\nstore = "{redis_server.url}"\nprefix = "ours"\n')
    assert run("revoke", "nightly").returncode == 0
    assert [known(redis_server, tmp_path, prefix=prefix) for prefix in ("ours", "doorward")] == [True, False]


@pytest.mark.parametrize("config", ["", '[limits]\nstore = "memory"\n'], ids=["no configuration", "memory"])
def test_without_a_redis_the_file_says_it_alone(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, config: str
) -> None:
    (tmp_path / "doorward.toml").write_text(config)
    done = run("revoke", "nightly")
    assert done.returncode == 0
    assert "told" not in done.stderr

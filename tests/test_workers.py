"""How a process finds out that it is one of several workers."""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace
from typing import Any

import pytest

import doorward
from doorward.settings import Configuration
from doorward.workers import ensure_known_to_all, is_worker


def made_by(module: str, **members: Any) -> Any:
    """An object of a server program."""
    return type("Server", (), {"__module__": module, "run": lambda self, work: work()} | members)()


SERVERS: dict[str, tuple[Any, bool]] = {
    "gunicorn -w 1": (made_by("gunicorn.arbiter", cfg=SimpleNamespace(workers=1), num_workers=1), False),
    "gunicorn -w 3": (made_by("gunicorn.arbiter", cfg=SimpleNamespace(workers=3), num_workers=3), True),
    "gunicorn after SIGTTIN": (made_by("gunicorn.arbiter", cfg=SimpleNamespace(workers=1), num_workers=2), True),
    "a worker of gunicorn": (made_by("gunicorn.workers.base", cfg=SimpleNamespace(workers=3)), True),
    "granian --workers 1": (made_by("granian.server.mp", workers=1), False),
    "granian --workers 2": (made_by("granian.server.mp", workers=2), True),
    "an unknown server": (made_by("elsewhere", workers=2), False),
}


@pytest.mark.parametrize(("server", "expected"), SERVERS.values(), ids=SERVERS)
def test_the_server_on_the_stack_says_how_many(server: Any, expected: bool) -> None:
    assert server.run(is_worker) is expected


@pytest.mark.parametrize(("workers", "expected"), [(1, False), (2, True)])
def test_hypercorn_passes_its_configuration(monkeypatch: pytest.MonkeyPatch, workers: int, expected: bool) -> None:
    process: Any = multiprocessing.current_process()
    config = type("Config", (), {"__module__": "hypercorn.config", "workers": workers})()
    monkeypatch.setattr(process, "_kwargs", {"config": config}, raising=False)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: process)
    assert is_worker() is expected


def test_the_server_counts_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    lone, _ = SERVERS["gunicorn -w 1"]
    assert (is_worker(), lone.run(is_worker)) == (True, False)


@pytest.mark.parametrize("has_parent", [False, True])
def test_a_process_of_an_unknown_parent_is_one_of_several(monkeypatch: pytest.MonkeyPatch, has_parent: bool) -> None:
    parent = multiprocessing.current_process() if has_parent else None
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    assert is_worker() is has_parent


WORDS: dict[str, tuple[int | None, str | None]] = {
    "nothing": (None, "seems to be one of several workers"),
    "one": (1, None),
    "two": (2, "instances is 2"),
}


@pytest.mark.parametrize(("instances", "problem"), WORDS.values(), ids=WORDS)
def test_the_number_that_the_operator_gives_is_true(
    monkeypatch: pytest.MonkeyPatch, instances: int | None, problem: str | None
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    configuration = Configuration(
        resource="https://mcp.example.com/mcp",
        agents=doorward.Agents("agents.toml"),
        tools=[doorward.ToolRule("*", scopes=[], confirm=True)],
        limits=doorward.Limits(instances=instances),
    )
    if problem is None:
        ensure_known_to_all(configuration)
    else:
        with pytest.raises(ValueError, match=problem):
            ensure_known_to_all(configuration)

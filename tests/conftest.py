"""Every test below tests/core runs over both implementations of the core; proofs say how much they tried."""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Protocol

import hypothesis
import pytest
from canaries import Watch, planted
from guarded import Guarded
from servers.cluster import Cluster, redis_cluster
from servers.patience import PATIENT
from servers.standalone import RedisServer

from doorward.testing import Issuer

PROVING = bool(os.environ.get("DOORWARD_PROVE"))
_TOLD = pytest.StashKey[list[str]]()

# No deadline: machines that are shared are slow at times, and what must be quick has a test of its own.
hypothesis.settings.register_profile("doorward", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.register_profile("prove", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile("prove" if PROVING else "doorward")


@pytest.fixture(params=["rust", "python"], scope="session")
def core(request: pytest.FixtureRequest) -> ModuleType:
    """One implementation of the contract in ``_rust.pyi``."""
    if request.param == "rust" and find_spec("doorward._rust") is None:
        pytest.skip("the native core is not built: run `make build`")
    return importlib.import_module("doorward._rust" if request.param == "rust" else "doorward._pure")


class Tell(Protocol):
    """Print a line at the end of the run."""

    def __call__(self, line: str) -> None: ...


class Proof(Protocol):
    """How many cases this run tries: few in `make test`, many in `make prove`."""

    def __call__(self, what: str, *, small: int, large: int) -> int: ...


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """What a test measured or counted, for whoever reads the run."""
    told = request.config.stash.setdefault(_TOLD, [])

    def tell(line: str) -> None:
        told.append(line)

    return tell


@pytest.fixture
def proof(tell: Tell, request: pytest.FixtureRequest) -> Proof:
    """The count of a proof by repetition, which the run prints."""

    def count(what: str, *, small: int, large: int) -> int:
        chosen = large if PROVING else small
        rest = "" if PROVING else f" ({large:,} by `make prove`)"
        tell(f"{request.node.name}: {chosen:,} {what}{rest}")
        return chosen

    return count


@pytest.fixture
def seed(tell: Tell, request: pytest.FixtureRequest) -> int:
    """A new seed each run, printed; ``DOORWARD_SEED`` repeats one. In CI always the same, as for hypothesis."""
    chosen = int(os.environ.get("DOORWARD_SEED") or (0 if "CI" in os.environ else secrets.randbits(32)))
    tell(f"{request.node.name}: DOORWARD_SEED={chosen}")
    return chosen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The lines told, under a heading."""
    lines = terminalreporter.config.stash.get(_TOLD, [])
    if lines:
        terminalreporter.section("measured and counted")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def _watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    watch = Watch()
    with planted(watch):
        yield watch
    request.config.stash.setdefault(_TOLD, []).append(
        f"no token and no claim of one in {watch.trails:,} trails, or logs"
    )


@pytest.fixture(autouse=True)
def _nothing_secret_comes_out(_watch: Watch, request: pytest.FixtureRequest) -> Iterator[None]:
    directory = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    assert _watch.leaks(directory) == []


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """The authorization server of every gate in these tests."""
    return Issuer("https://as.example.com")


@pytest.fixture
def guarded(tmp_path: Path, issuer: Issuer) -> Callable[..., Guarded]:
    """Makes gates with an audit trail of their own and a clock and tick that stand still until a test moves them."""
    return partial(Guarded, tmp_path / "audit.jsonl", issuer)


@pytest.fixture(scope="session")
def _redis_of_the_run() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis_server(_redis_of_the_run: RedisServer) -> RedisServer:
    """A real Redis that knows nothing yet; one for the whole run, so it must be left alive."""
    _redis_of_the_run.clear()
    return _redis_of_the_run


@pytest.fixture
def start_redis() -> Iterator[Callable[..., RedisServer]]:
    """Starts servers with the given options that the test may pause, kill and restart."""
    with ExitStack() as stack:

        def start(*options: str) -> RedisServer:
            server = RedisServer(*options)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture(scope="session")
def _cluster_of_the_run() -> Iterator[Cluster]:
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster_of_the_run: Cluster) -> Cluster:
    """A Cluster of three that knows nothing yet; one for the whole run, as it takes two seconds to make up its mind."""
    _cluster_of_the_run.clear()
    return _cluster_of_the_run


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for Redis as long as it takes, where what is tested is no matter of time."""
    monkeypatch.setattr("doorward._redis.store.Patience", lambda: PATIENT)

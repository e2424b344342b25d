"""The scenarios of ``tests/vectors/jwks_scenarios.json``, step by step, against an issuer on the loopback."""

from __future__ import annotations

import gc
import ipaddress
import json
import re
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import Proof, Tell
from tokens.misbehaving import MIB, Misbehaving, listening
from tokens.world import World

pytestmark = pytest.mark.anyio

DOCUMENT = json.loads((Path(__file__).parents[1] / "vectors" / "jwks_scenarios.json").read_text(encoding="utf-8"))
SCENARIOS = DOCUMENT["scenarios"]
ELSEWHERE = {"timing": "static tokens are compared in constant time: see the tests of the agent tokens"}
ALARMS = {"jwks_stale_served": "keys_stale"}
LARGE = 1000
"""Counts beyond this are a proof's."""
STEP = 0.1
"""Seconds between the tokens of a flood that is judged by the minute."""


@pytest.fixture
def anyio_backend() -> str:
    """Both are tried where the parts are tested; the scenarios are about what the parts decide."""
    return "asyncio"


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    """An issuer that counts and misbehaves."""
    with listening() as server:
        yield server


@pytest.fixture
def connected(server: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every address that is connected to; beyond the issuer's own the connection fails, so that no test leaves this
    machine. The name ``rebind.test`` has a public address once, and this machine's from then on."""
    from httpcore2._backends.auto import AutoBackend

    connected: list[tuple[str, int]] = []
    really_connect, really_resolve, asked = AutoBackend.connect_tcp, anyio.getaddrinfo, count()

    async def connect(self: Any, host: str, port: int, **options: Any) -> Any:
        connected.append((host, port))
        if port != server.port:
            raise OSError("not in a test")
        return await really_connect(self, host, port, **options)

    async def resolve(host: str, port: int, **options: Any) -> Any:
        if host == "rebind.test":
            host = "127.0.0.1" if next(asked) else "8.8.8.8"
        return await really_resolve(host, port, **options)

    monkeypatch.setattr(AutoBackend, "connect_tcp", connect)
    monkeypatch.setattr(anyio, "getaddrinfo", resolve)
    return connected


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["name"] for scenario in SCENARIOS])
async def test_scenario(
    scenario: dict[str, Any], server: Misbehaving, connected: list[tuple[str, int]], proof: Proof, tell: Tell
) -> None:
    if scenario["class"] in ELSEWHERE:
        pytest.skip(ELSEWHERE[scenario["class"]])
    world, asserted = World(server), scenario["assertions"]
    world.step = STEP if "max_jwks_fetches_per_minute" in asserted else 0.0
    runner = Runner(world, proof)
    gc.collect()
    started, memory = time.monotonic(), resident_bytes()
    if "jwt_p99_ms" in asserted:
        # Its question is what those who wait do to those who need not: a server that runs, and both kinds at once.
        await world.verify("A1", "accept")
        async with anyio.create_task_group() as together:
            for step in scenario["steps"]:
                together.start_soon(runner.run, step)
    else:
        for step in scenario["steps"]:
            await runner.run(step)
    took = time.monotonic() - started
    gc.collect()
    check(asserted, world, connected, took=took, grown=resident_bytes() - memory)


class Runner:
    """Carries the steps out."""

    def __init__(self, world: World, proof: Proof) -> None:
        self.world = world
        self.proof = proof

    async def run(self, step: dict[str, Any]) -> None:
        """One step; an unknown one is an error."""
        arguments = {name: value for name, value in step.items() if name != "op"}
        await getattr(self, f"_{step['op']}")(**arguments)

    async def _jwks(self, *, keys: list[str]) -> None:
        self.world.publish(keys)

    async def _discovery(self, *, jwks_uri: str) -> None:
        self.world.server.metadata["jwks_uri"] = jwks_uri.partition(" ")[0]

    async def _jwks_mode(self, *, mode: str, **options: Any) -> None:
        self.world.server.mode("jwks", mode, **options)

    async def _introspect(self, *, token: str, active: bool, exp: str = "+3600") -> None:
        self.world.introspects(token, active=active, expires_in=float(exp))

    async def _introspect_mode(self, *, mode: str, **options: Any) -> None:
        self.world.introspects("O1")
        self.world.server.mode("introspect", mode, **options)

    async def _advance(self, *, seconds: float) -> None:
        self.world.now += seconds

    async def _verify(self, *, token: str, expect: str, max_seconds: float | None = None, **configured: Any) -> None:
        took = await self.world.verify(token, expect, **configured)
        assert max_seconds is None or took <= max_seconds, f"{token}: {took:.3f} s"

    async def _repeat(self, *, n: int, do: dict[str, Any]) -> None:
        if n > LARGE:
            n = self.proof("tokens", small=5 * LARGE, large=n)
        for _ in range(n):
            await self.run(do)

    async def _parallel(self, *, n: int, do: dict[str, Any]) -> None:
        async with anyio.create_task_group() as together:
            for _ in range(n):
                together.start_soon(self.run, do)


def check(asserted: dict[str, Any], world: World, connected: list[tuple[str, int]], *, took: float, grown: int) -> None:
    """What must be true at the end; an unknown assertion is an error."""
    server = world.server
    own = ("127.0.0.1", server.port)
    forbidden = [address for address in connected if address != own and not is_public(address[0])]
    for name, bound in asserted.items():
        match name:
            case "note":
                pass
            case "max_jwks_fetches":
                assert server.counts["jwks"] <= bound
            case "max_jwks_fetches_per_minute":
                assert most_within(60.0, server.times) <= bound
            case "max_inflight_jwks":
                assert server.most_in_flight["jwks"] <= bound
            case "max_seconds":
                assert took <= bound
            case "max_rss_growth_mib":
                assert grown <= bound * MIB
            case "max_outgoing_to_forbidden":
                assert len(forbidden) <= bound, forbidden
            case "metric":
                metric = re.fullmatch(r"(\w+)>0", bound)
                assert metric is not None
                assert ALARMS[metric[1]] in world.alarms
            case "jwt_p99_ms":
                latencies = sorted(world.latencies)
                assert latencies[int(len(latencies) * 0.99)] * 1000 <= bound
            case unknown:
                raise AssertionError(f"no such assertion: {unknown}")


def is_public(host: str) -> bool:
    """Judged here by the standard library alone: the code under test has a judgement of its own."""
    return ipaddress.ip_address(host.strip("[]")).is_global


def most_within(seconds: float, times: list[float]) -> int:
    """The largest number of events in any window."""
    return max((sum(start <= each < start + seconds for each in times) for start in times), default=0)


def resident_bytes() -> int:
    """What the process holds; the server, which lies in it, is written to hold nothing."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except FileNotFoundError:
        return 0


def test_every_scenario_is_run() -> None:
    assert len(SCENARIOS) == DOCUMENT.get("scenarios_count", len(SCENARIOS)) == 51
    assert {scenario["class"] for scenario in SCENARIOS} >= set(ELSEWHERE)

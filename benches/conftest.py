"""Ours, the fallback and the peers side by side in one run; at the end one table of ratios a group.

Absolute times move with the machine, ratios taken in one run do not: ours, native, is 1.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from benches.contest import OURS, Measure, Tell
from pytest_benchmark.fixture import BenchmarkFixture

_MEDIANS = pytest.StashKey[dict[str, dict[str, float]]]()
_TOLD = pytest.StashKey[list[str]]()


@pytest.fixture
def measure(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Measure:
    """Measure one contestant of a group; ``decisions`` are made by one call of it."""

    def run(group: str, name: str, contestant: Callable[[], Any], *, decisions: int = 1) -> None:
        benchmark.group = group
        benchmark.name = name
        benchmark(contestant)
        if benchmark.stats is not None:
            groups = request.config.stash.setdefault(_MEDIANS, {})
            groups.setdefault(group, {})[name] = benchmark.stats.stats.median / decisions

    return run


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """A line for whoever reads the run: what no median tells."""
    return request.config.stash.setdefault(_TOLD, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One table a group, the fastest first, and the lines told."""
    for line in terminalreporter.config.stash.get(_TOLD, []):
        terminalreporter.write_line(line)
    for group, medians in terminalreporter.config.stash.get(_MEDIANS, {}).items():
        terminalreporter.section(f"{group}: median, and ratio to ours")
        ours = medians.get(OURS)
        for name, median in sorted(medians.items(), key=lambda contestant: contestant[1]):
            ratio = f"{median / ours:8.2f}" if ours else "       -"
            terminalreporter.write_line(f"{name:<44} {median * 1e6:12.3f} us {ratio}")

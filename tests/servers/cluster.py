"""Three masters of a Redis Cluster on the loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from servers.standalone import START_SECONDS, RedisServer, free_port

SLOTS: Final = 16_384


@dataclass(frozen=True)
class Cluster:
    """Its nodes, each with a third of the slots."""

    nodes: tuple[RedisServer, ...]

    @property
    def url(self) -> str:
        """Of the first node; a client learns of the others from it."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def clear(self) -> None:
        """As if it had just started."""
        for node in self.nodes:
            node.clear()

    def clear_counts(self) -> None:
        """Count anew; scripts and keys stay."""
        for node in self.nodes:
            node.client.config_resetstat()

    def script_calls(self) -> list[int]:
        """Of each node; those that were sent on to another are in it, and were done nowhere."""
        return [node.script_calls() for node in self.nodes]


@contextmanager
def redis_cluster(size: int = 3) -> Iterator[Cluster]:
    """A cluster that serves every slot, while the block runs."""
    with ExitStack() as stack:
        nodes = []
        for _ in range(size):
            # The bus has a port of its own, by default ten thousand above: more than there are.
            nodes.append(RedisServer("--cluster-enabled", "yes", "--cluster-port", str(free_port())))
            stack.callback(nodes[-1].close)
        _join(nodes)
        yield Cluster(tuple(nodes))


def _join(nodes: list[RedisServer]) -> None:
    first, *others = nodes
    for number, node in enumerate(nodes):
        start, end = SLOTS * number // len(nodes), SLOTS * (number + 1) // len(nodes) - 1
        node.client.execute_command("CLUSTER ADDSLOTSRANGE", start, end)
        node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
    for node in others:
        bus = _setting(node, "cluster-port")
        first.client.execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus)
    deadline = time.monotonic() + START_SECONDS
    while not all(_knows_all(node, len(nodes)) for node in nodes):
        if time.monotonic() > deadline:
            raise RuntimeError("the nodes of the cluster did not find each other")
        time.sleep(0.02)


def _knows_all(node: RedisServer, size: int) -> bool:
    told: Any = node.client.execute_command("CLUSTER INFO")
    lines = told if isinstance(told, dict) else dict(line.split(":") for line in told.split())
    known = (lines["cluster_state"], lines["cluster_slots_ok"], lines["cluster_known_nodes"])
    return known == ("ok", str(SLOTS), str(size))


def _setting(node: RedisServer, name: str) -> str:
    settings: Any = node.client.config_get(name)
    return str(settings[name])

"""What a server offers, and what it says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["EFFECTS", "KINDS", "Catalogue", "Effect", "Item", "Kind"]

Kind = Literal["tool", "resource", "template", "prompt"]
KINDS: Final[tuple[Kind, ...]] = ("tool", "resource", "template", "prompt")

Effect = Literal["read", "write", "destroy"]
EFFECTS: Final[tuple[Effect, ...]] = ("read", "write", "destroy")
"""From the mildest on."""


@dataclass(frozen=True, slots=True)
class Item:
    """A tool, resource, template or prompt, by the name that rules speak of; a tool with its hints, None where it gives
    none."""

    kind: Kind
    name: str
    read_only: bool | None = None
    destructive: bool | None = None

    @property
    def effect(self) -> Effect:
        """What a call may do. A hint that is not given has the specification's default (MCP 2026-07-28, schema,
        `ToolAnnotations`): not read-only, and destructive."""
        if self.kind != "tool" or self.read_only:
            return "read"
        return "write" if self.destructive is False else "destroy"

    @property
    def is_told(self) -> bool:
        """Whether the effect is what the server says, and not what its silence means."""
        return self.effect != "destroy" or self.destructive is True


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that a server lists, in its order, each name of a kind once."""

    server: str
    items: tuple[Item, ...]

    @classmethod
    def of(cls, server: str, items: Iterable[Item]) -> Catalogue:
        """Of two items with one name, as of two versions of a tool, the one that may do more counts."""
        chosen: dict[tuple[str, str], Item] = {}
        for item in items:
            known = chosen.get((item.kind, item.name))
            if known is None or EFFECTS.index(item.effect) > EFFECTS.index(known.effect):
                chosen[item.kind, item.name] = item
        return cls(server, tuple(chosen.values()))

    def of_kind(self, kind: Kind) -> tuple[Item, ...]:
        """Those of one kind."""
        return tuple(item for item in self.items if item.kind == kind)

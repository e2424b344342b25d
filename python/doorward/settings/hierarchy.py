"""The hierarchy of scopes: what each implies, at any distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from doorward import checks

__all__ = ["Circular", "closure_of"]


class Circular(ValueError):
    """A scope that implies itself."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"scopes: scope {scope!r} implies itself")
        self.scope = scope


def closure_of(hierarchy: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """Each scope with all that it implies. Raises `ValueError`, `Circular` for a scope that implies itself."""
    checks.hierarchy("scopes", hierarchy)
    return {scope: _reachable(scope, hierarchy) for scope in hierarchy}


def _reachable(scope: str, hierarchy: Mapping[str, Sequence[str]]) -> frozenset[str]:
    seen = {scope}
    pending = list(hierarchy[scope])
    while pending:
        narrower = pending.pop()
        if narrower == scope:
            raise Circular(scope)
        if narrower not in seen:
            seen.add(narrower)
            pending += hierarchy.get(narrower, ())
    return frozenset(seen)

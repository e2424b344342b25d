"""The index of the twin's tables: whoever brings the next name never waits for many."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from doorward._pure.table import Index

NAMES = 20_000
FULL = 3 * 512
"""Names in a bin not split yet, half as many again as there are on average."""


def name(number: int) -> bytes:
    return sha256(number.to_bytes(8, "big")).digest()[:16]


@pytest.mark.parametrize(
    "named", [lambda at: name(0) + name(at), lambda at: name(at) + name(0), name], ids=["a domain's", "a key's", "all"]
)
def test_names_spread_over_all_bins(named: Callable[[int], bytes]) -> None:
    index: Index[int] = Index()
    for at in range(NAMES):
        index[named(at)] = at
    assert max(map(len, index._bins)) <= FULL
    assert all(index.get(named(at)) == at for at in range(NAMES))

"""The fingerprint of a call's arguments. The peers get them parsed already; ours also reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import rfc8785
from benches.contest import CORES, Measure

SIZES: dict[str, dict[str, Any]] = {
    "100 B": {"order_id": 4_711, "reason": "customer asked", "amount": 12.5, "notify": True, "tags": ["a", "b"]},
    "1 KB": {
        "filter": {"status": ["open", "paid"], "country": "DE", "total": {"from": 10.25, "to": 99_999}},
        "items": [{"sku": f"SKU-{i:05}", "quantity": i, "price": i * 1.25, "gift": i % 2 == 0} for i in range(14)],
        "note": "Grüße aus Köln: please leave it with the neighbours, they know.",
    },
}


def rfc8785_hashlib(arguments: dict[str, Any], body: bytes) -> Callable[[], str]:
    return lambda: hashlib.sha256(rfc8785.dumps(arguments)).hexdigest()


def orjson_hashlib(arguments: dict[str, Any], body: bytes) -> Callable[[], str]:
    return lambda: hashlib.sha256(orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)).hexdigest()


def without_white_space(arguments: dict[str, Any], body: bytes) -> Callable[[], str]:
    """As `JSON.stringify`, pydantic and httpx write it, and so most clients."""
    compact = json.dumps(arguments, ensure_ascii=False, separators=(",", ":")).encode()
    return lambda: CORES["doorward"].hash_arguments(compact)


CONTESTANTS: dict[str, Callable[[dict[str, Any], bytes], Callable[[], str]]] = {
    "doorward": lambda arguments, body: lambda: CORES["doorward"].hash_arguments(body),
    "doorward, without white space": without_white_space,
    "doorward, from a dict": lambda arguments, body: lambda: CORES["doorward"].hash_arguments(arguments),
    "doorward, pure Python": lambda arguments, body: lambda: CORES["doorward, pure Python"].hash_arguments(body),
    "rfc8785 + hashlib": rfc8785_hashlib,
    "orjson sorted + hashlib (not canonical)": orjson_hashlib,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CONTESTANTS)
def test_hash(name: str, size: str, measure: Measure) -> None:
    arguments = SIZES[size]
    body = json.dumps(arguments, ensure_ascii=False).encode()
    fingerprint = CONTESTANTS[name](arguments, body)
    if "not canonical" not in name:
        assert fingerprint().endswith(rfc8785_hashlib(arguments, body)())
    measure(f"hash {size} of arguments", name, fingerprint)

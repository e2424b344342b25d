"""From the issuer's URL to its keys: the forms in their order, and documents that are the issuer's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tokens.misbehaving import Misbehaving, listening

from doorward import Malformed, Unavailable
from doorward.tokens.discovery import MAX_METADATA_BYTES, find_key_set_url, metadata_urls
from doorward.tokens.fetch import Fetcher

pytestmark = pytest.mark.anyio
INSERTED = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


@pytest.fixture
def anyio_backend() -> str:
    """What concerns the event loop is tested where it is used."""
    return "asyncio"


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    """An issuer with a path."""
    with listening(path="/tenant/1") as server:
        yield server


async def found(server: Misbehaving) -> str:
    """What discovery finds."""
    return await find_key_set_url(server.url, Fetcher(server.url))


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        ("https://a.example", [f"https://a.example{INSERTED}", f"https://a.example{OPENID}"]),
        ("https://a.example/", [f"https://a.example{INSERTED}", f"https://a.example{OPENID}"]),
        (
            "https://a.example:8443/t/1/",
            [
                f"https://a.example:8443{INSERTED}/t/1",
                f"https://a.example:8443{OPENID}/t/1",
                f"https://a.example:8443/t/1{OPENID}",
            ],
        ),
    ],
    ids=["bare", "slash", "path"],
)
def test_where_to_look(issuer: str, urls: list[str]) -> None:
    assert list(metadata_urls(issuer)) == urls


@pytest.mark.parametrize("path", [f"{INSERTED}/tenant/1", f"{OPENID}/tenant/1", f"/tenant/1{OPENID}"])
async def test_each_form_is_found(server: Misbehaving, path: str) -> None:
    server.served_at = {path}
    assert await found(server) == server.metadata["jwks_uri"]
    assert server.asked[-1] == path


async def test_the_first_form_that_is_served_wins(server: Misbehaving) -> None:
    server.served_at = {f"{INSERTED}/tenant/1", f"/tenant/1{OPENID}"}
    await found(server)
    assert server.asked == [f"{INSERTED}/tenant/1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.example.com"},
        {"issuer": None},
        {"issuer": ["x"]},
        {"jwks_uri": None},
        {"jwks_uri": 1},
        {"jwks_uri": ["https://x"]},
    ],
    ids=str,
)
async def test_a_document_that_is_not_right(server: Misbehaving, changes: dict[str, Any]) -> None:
    server.metadata |= changes
    with pytest.raises(Malformed):
        await found(server)


@pytest.mark.parametrize("change", ["/", " ", "%2F", "?", "#"])
async def test_the_issuer_is_compared_byte_for_byte(server: Misbehaving, change: str) -> None:
    server.metadata["issuer"] += change
    with pytest.raises(Malformed):
        await found(server)


async def test_an_issuer_named_twice_is_nobody(server: Misbehaving) -> None:
    good = json.dumps(server.metadata)
    server.metadata = (good[:-1] + ', "issuer": "https://other.example.com"}').encode()
    with pytest.raises(Malformed):
        await found(server)


@pytest.mark.parametrize("document", [b"", b"[]", b"1", b"\xff", b'"issuer"', b"{", b"[" * 10_000])
async def test_what_is_no_document(server: Misbehaving, document: bytes) -> None:
    server.metadata = document
    with pytest.raises(Malformed):
        await found(server)


async def test_a_page_for_every_path_does_not_hide_the_document(server: Misbehaving) -> None:
    server.served_at = {f"{INSERTED}/tenant/1", f"/tenant/1{OPENID}"}
    server.pages[f"{INSERTED}/tenant/1"] = b"<!doctype html>"
    assert await found(server) == server.metadata["jwks_uri"]


async def test_nothing_served(server: Misbehaving) -> None:
    server.served_at = set()
    with pytest.raises(Unavailable):
        await found(server)
    assert len(server.asked) == 3


async def test_a_document_is_bounded(server: Misbehaving) -> None:
    server.metadata["padding"] = "x" * MAX_METADATA_BYTES
    with pytest.raises(Unavailable):
        await found(server)

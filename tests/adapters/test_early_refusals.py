"""Refusals of requests with large bodies arrive at the client through real reverse proxies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from adapters.serving import listening, served
from adapters.unknown_server import Server, settled
from guarded import Guarded
from servers.reverse_proxies import KINDS, reverse_proxy
from servers.standalone import free_port

import doorward

REFUSALS = 25
"""Of each size. Of the largest, proxies turned a quarter to a third into 502 or a reset before bodies were drained."""

SIZES = [90_000, 200_000, 1_000_000, 3_000_000]
TOO_LARGE = 5_000_000
"""Bytes: more than the size limit, and less than twice as many."""


class Proxied(NamedTuple):
    """A gate with a reverse proxy before it, which listens at the URL."""

    it: Guarded
    url: str

    def post(self, size: int, *, method: str = "POST", content: Any = None, **headers: str) -> int | str:
        """The status of the answer to a body of that size, or the error of the client."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            answer = httpx2.request(method, self.url, content=content or b"a" * size, headers=given, timeout=30)
        except httpx2.TransportError as error:
            return type(error).__name__
        assert "x-request-id" in answer.headers or answer.status_code > 500, "an answer of the proxy's own"
        return answer.status_code

    def bearer(self, **claims: Any) -> str:
        return f"Bearer {self.it.token('read', **claims)}"


@pytest.fixture(params=KINDS)
def proxied(request: pytest.FixtureRequest, guarded: Callable[..., Guarded], tmp_path: Path) -> Iterator[Proxied]:
    port = free_port()
    folder = tmp_path / "proxy"
    folder.mkdir()
    it = guarded(
        resource=f"https://127.0.0.1:{port}/mcp",
        trusted_proxies=["127.0.0.1"],
        limits=doorward.Limits(failed_auth="1/minute"),
    )
    with listening() as listener:
        upstream = listener.getsockname()[1]
        with (
            served(it.gate.protect(Server()), listener),
            reverse_proxy(request.param, port=port, upstream=upstream, folder=folder),
        ):
            yield Proxied(it, f"http://127.0.0.1:{port}/mcp")


@pytest.mark.parametrize("size", SIZES)
def test_every_early_refusal_arrives(proxied: Proxied, size: int) -> None:
    expired = proxied.bearer(now=proxied.it.now - 99_999)
    refused: list[tuple[int, Callable[[], int | str]]] = [
        (401, lambda: proxied.post(size, authorization=expired)),
        (401, lambda: proxied.post(size)),
        (403, lambda: proxied.post(size, origin="https://evil.example")),
        (405, lambda: proxied.post(size, method="PUT")),
        (415, lambda: proxied.post(size, content_encoding="gzip")),
    ]
    chosen = list(islice(cycle(refused), REFUSALS))
    assert [send() for _, send in chosen] == [status for status, _ in chosen]
    assert len(settled(proxied.it, REFUSALS)) == REFUSALS


def test_a_body_over_the_size_limit_gets_its_413(proxied: Proxied) -> None:
    def streamed() -> Iterator[bytes]:
        yield from [b"a" * 50_000] * (TOO_LARGE // 50_000)

    token = proxied.bearer()
    declared = [proxied.post(TOO_LARGE, authorization=token) for _ in range(REFUSALS)]
    chunked = [proxied.post(TOO_LARGE, content=streamed(), authorization=token) for _ in range(5)]
    assert Counter(declared + chunked) == {413: REFUSALS + 5}
    assert {record["reason"] for record in settled(proxied.it, REFUSALS + 5)} == {"body_too_large"}


@pytest.mark.anyio
async def test_an_address_with_too_many_failures_gets_its_429(proxied: Proxied) -> None:
    for number in range(200):
        await proxied.it.gate.decide(authorization=f"Bearer forged.{number}.token", peer="127.0.0.1")
    statuses = [proxied.post(200_000, authorization=proxied.bearer(jti=str(number))) for number in range(REFUSALS)]
    assert Counter(statuses) == {429: REFUSALS}
    assert len(settled(proxied.it, 200 + REFUSALS)) == 200 + REFUSALS

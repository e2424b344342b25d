"""A proxy before a server that is not written in Python: a route of Starlette that passes on what comes as it comes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx2
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import doorward

UPSTREAM: Final = os.environ["UPSTREAM"]
HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"})
"""What is said about one connection, and not about the message (RFC 9110 section 7.6.1)."""

client = httpx2.AsyncClient(timeout=None)


async def passed_on(request: Request) -> Response:
    headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP | {"host"}]
    asked = client.build_request(request.method, UPSTREAM, headers=headers, content=await request.body())
    answer = await client.send(asked, stream=True)
    return StreamingResponse(
        answer.aiter_raw(),
        answer.status_code,
        {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP},
        background=BackgroundTask(answer.aclose),
    )


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with client:
        yield


gate = doorward.Gate.from_file("doorward.toml")
app = gate.protect(Starlette(routes=[Route("/mcp", passed_on, methods=["GET", "POST", "DELETE"])], lifespan=lifespan))

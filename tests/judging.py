"""What a transport says of a request."""

from __future__ import annotations

from typing import Any

from doorward.errors import Refused
from doorward.request import Request
from doorward.transport import Transport

HOST = "mcp.example.com"
PROXY = "10.0.0.1"
CLIENT = "192.0.2.7"


def transport(resource: str = f"https://{HOST}/mcp", **given: Any) -> Transport:
    return Transport(resource, **{"max_body_bytes": 1000, **given})


def verdict(judge: Transport, *headers: tuple[str, str], **given: Any) -> str | None:
    """The slug of the refusal, None where there is none."""
    try:
        judge.check(Request(**{"host": HOST, "headers": headers, **given}))
    except Refused as refused:
        return refused.code
    return None

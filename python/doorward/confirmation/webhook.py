"""The operator's webhook: one signed request, which is answered when a human has decided."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

from doorward.confirmation.keys import ConfiguredKey
from doorward.confirmation.question import NoAnswer, NotAsked, Question

__all__ = ["SIGNATURE", "Webhook", "signature"]

SIGNATURE: Final = "x-doorward-signature"
"""The header: ``t=<seconds since the epoch>,v1=<HMAC-SHA-256 in hexadecimal>``, over the time, a dot and the body."""

_MAX_ANSWER_BYTES: Final = 4096
"""A yes or a no, and whose."""

_MAX_BODY_BYTES: Final = 256 * 1024
"""Larger arguments are left out, and the text says so: a webhook is to be read by somebody."""

_CONNECT_SECONDS: Final = 5.0


class Webhook:
    """Asks at one URL."""

    def __init__(
        self,
        url: str,
        key: ConfiguredKey,
        *,
        clock: Callable[[], float],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """``context``: the trusted authorities, the system's unless given."""
        self._url = url
        self._key = key
        self._clock = clock
        self._context = context

    async def __call__(self, question: Question) -> bool:
        """Whether the answer is a yes to this very question. Raises `NotAsked` where nobody listens there, `NoAnswer`
        where somebody says something else, and whatever else keeps it from being answered."""
        # Here: most gates ask nobody, and a client takes long to import.
        import httpx2

        body = _body_of(question)
        now = self._clock()
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",
            SIGNATURE: signature(self._key.now(now), body, at=int(now)),
        }
        self._context = self._context or ssl.create_default_context()
        # Reading takes as long as a human does; whoever waits for us has the deadline.
        timeout = httpx2.Timeout(max(1.0, question.deadline - now), connect=_CONNECT_SECONDS)
        extensions = {"timeout": timeout.as_dict()}
        request = httpx2.Request("POST", self._url, content=body, headers=headers, extensions=extensions)
        try:
            # Without a client above it, which writes every URL to its log: a path may be a secret.
            async with httpx2.AsyncHTTPTransport(verify=self._context, trust_env=False) as transport:
                response = await transport.handle_async_request(request)
                async with aclosing(response):
                    if response.status_code != 200:
                        raise NoAnswer(f"the answer is {response.status_code}, not 200")
                    answer = bytearray()
                    async for chunk in response.aiter_raw():
                        answer += chunk
                        if len(answer) > _MAX_ANSWER_BYTES:
                            raise NoAnswer(f"the answer is larger than {_MAX_ANSWER_BYTES} bytes")
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise NotAsked from error
        return _is_yes(bytes(answer), question)


def signature(key: bytes, body: bytes, *, at: int) -> str:
    """What stands in the header."""
    tag = hmac.new(key, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={tag}"


def _body_of(question: Question) -> bytes:
    principal = question.principal
    asked: dict[str, Any] = {
        "request_id": question.request_id,
        "kind": question.kind,
        "tool": question.tool,
        "version": question.version,
        "arguments": dict(question.arguments),
        "text": question.text,
        "issuer": principal.issuer,
        "client_id": principal.client_id,
        "subject": principal.subject,
        "organization": principal.organization,
        "deadline": question.deadline,
    }
    body = json.dumps(asked, separators=(",", ":")).encode()
    if len(body) > _MAX_BODY_BYTES:
        body = json.dumps(asked | {"arguments": None}, separators=(",", ":")).encode()
    return body


def _is_yes(answer: bytes, question: Question) -> bool:
    """It names the question: a page that says yes to everything has not read this one."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        raise NoAnswer("the answer is not JSON") from None
    if not isinstance(found, dict) or found.get("request_id") != question.request_id:
        raise NoAnswer("the answer does not name the question: its request_id is missing or another")
    return found.get("confirm") is True

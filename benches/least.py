"""The least that a gate can be, as a bound for ours: the core's calls, one file, one function around the SDK's app. It
knows no rule, no scope, no refusal and no human, trusts what runs behind it, and fails with its disk."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import doorward
from doorward import _core as core
from doorward.adapters.straight import straight
from doorward.adapters.wire import ASGIApp, Message, Receive, Scope, Send
from doorward.request_ids import request_id

__all__ = ["least"]


def least(app: Any, resource: str, jwks: dict[str, Any], *, issuer: str, trail: int) -> ASGIApp:
    """``app`` behind it. ``trail``: the descriptor of its records."""
    verifier = doorward.Verifier(
        doorward.KeySet.from_json(json.dumps(jwks).encode()), issuer=issuer, audience=resource, algorithms=["RS256"]
    )
    callers: core.TokenCache[str] = core.TokenCache()
    host = resource.split("/")[2]
    recogniser = core.Recogniser(callers, hosts=[host], max_body_bytes=1 << 20)
    limiter = doorward.Limiter()
    charges = core.Charges([core.Charge("client", "100000000/minute"), core.Charge("tool", "100000000/minute")])
    chain = core.Chain("bench")
    way = straight(app, "/mcp")
    assert way is not None

    def recognised(scope: Scope, now: float) -> core.Recognised[str]:
        headers, scheme, peer = scope["headers"], scope["scheme"], scope["client"][0]
        seen = recogniser.recognise(headers, scheme=scheme, peer=peer, now=now)
        if seen is None:
            token = dict(headers)[b"authorization"].decode().removeprefix("Bearer ")
            claims = verifier.verify(token, now=now)
            callers.put(token, f'"subject":"{claims.subject}"', expires_at=claims.expires_at)
            seen = recogniser.recognise(headers, scheme=scheme, peer=peer, now=now)
        assert seen is not None
        return seen

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        now, own_id = time.time(), request_id()
        seen = recognised(scope, now)
        first: Message | None = await receive()
        assert first is not None
        called = core.read_envelope(first["body"])
        if called.method != "tools/call":  # the stream of a session, or the like
            raise NotImplementedError
        limiter.admit(domain=seen.caller, charges=charges, tick=time.monotonic_ns())

        async def receive_again() -> Message:
            nonlocal first
            if first is None:
                return await receive()
            message, first = first, None
            return message

        async def recording(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-request-id", own_id.encode())]}
            elif not message.get("more_body"):
                method, rpc_id, name, fingerprint = called.method, called.id, called.name, called.hash_arguments()
                record = core.call_record(
                    *("call", now, own_id, None, rpc_id, None, seen.caller, "http"),
                    *(scope["client"][0], "POST", scope["path"], method, name, fingerprint, None),
                    *(
                        "[]",
                        ("success", None, None, None, None, None, None),
                        None,
                        "*",
                        (),
                        False,
                        (time.time() - now) * 1000,
                    ),
                )
                os.write(trail, chain.seal(record))
            await send(message)

        inner = {**scope, "headers": seen.others, **way.found, "path_params": {}}
        await way.transport(inner, receive_again, recording)

    return gate

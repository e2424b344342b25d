"""A gate in a process of its own, shown as many strangers as it is told, and by how much its memory grew.

`python -m tokens.flood` reads what to do as one JSON object from its standard input. The audit trail goes to the
standard output, what was measured to the standard error. The issuer runs in the process that started this one.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward import Budget, Gate, Limits, ToolRule, Unauthenticated
from doorward import Issuer as TrustedIssuer
from doorward.settings import Introspection, Secret
from doorward.testing.keys import base64url
from doorward.tokens.introspection import Introspector

RESOURCE = "https://mcp.example.com/mcp"
KEY_ID = "published"
ASKED = 12_000
"""Opaque tokens that the endpoint is asked about over HTTP; more than the refusals that are remembered."""
BODY = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_report","arguments":{"page":1}}}'


class Flood:
    """The gate, and strangers of every kind."""

    def __init__(self, issuer: str, private_key: str, *, keep: int = 0) -> None:
        """``keep``: bytes to hold on to for each stranger, which is what must not be."""
        asked = Introspection(f"{issuer}/introspect", client_id="mcp", secret=Secret(b"s" * 32))
        self.issuer = TrustedIssuer(issuer, ["EdDSA"], introspection=asked)
        self.gate = Gate(
            resource=RESOURCE,
            issuers=[self.issuer],
            tools=[ToolRule("read_*", scopes=["read"], limit=[Budget("60/minute")])],
            limits=Limits(client=[Budget("600/minute")], organization=[Budget("6000/minute")]),
            organization_claim="org",
        )
        self.key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private_key))
        self.results: Counter[str] = Counter()
        self._keep = keep
        self._kept: list[bytes] = []

    async def tokens(self, count: int) -> None:
        """Random tokens: JWTs whose signature is wrong, and opaque ones."""
        header = _encoded({"alg": "EdDSA", "typ": "at+jwt", "kid": KEY_ID})
        for _ in range(count // 2):
            await self._decide(f"{self._signed_part(header)}.{base64url(os.urandom(64))}")
        asked = min(ASKED, count // 2)
        for _ in range(0, asked, 50):
            async with anyio.create_task_group() as together:
                for _ in range(50):
                    together.start_soon(self._decide, _opaque())
        # Nobody waits for millions of connections: below the client, an endpoint that answers at once.
        introspector = Introspector(
            self.issuer, [RESOURCE], organization_claim=None, alarm=self.results.update, fetcher=_Inactive()
        )
        for _ in range(count // 2 - asked):
            with suppress(Unauthenticated):
                await introspector.verify(_opaque(), now=time.time(), certificate_sha256=None)
            self.results["token_inactive"] += 1
            await anyio.lowlevel.checkpoint()  # as between two requests: the loop sheds its timers when it turns

    async def key_ids(self, count: int) -> None:
        """JWTs that name keys nobody published."""
        for _ in range(count):
            header = _encoded({"alg": "EdDSA", "typ": "at+jwt", "kid": base64url(os.urandom(12))})
            await self._decide(f"{self._signed_part(header)}.{base64url(os.urandom(64))}")

    async def clients(self, count: int) -> None:
        """Callers that nobody has seen before, each of an organisation of its own, with tokens that are good."""
        await self._welcome(count)

    async def talkers(self, count: int) -> None:
        """The same with tokens as long as they may be, of claims that take the most room once they are read."""
        await self._welcome(count, groups=[{"": 0}] * 1_500)

    async def _welcome(self, count: int, **claims: Any) -> None:
        header = _encoded({"alg": "EdDSA", "typ": "at+jwt", "kid": KEY_ID})
        for _ in range(count):
            signed = self._signed_part(header, **claims)
            await self._decide(f"{signed}.{base64url(self.key.sign(signed.encode()))}")

    def _signed_part(self, header: str, **further: Any) -> str:
        now = int(time.time())
        who = os.urandom(24).hex()
        claims = {"iss": self.issuer.url, "aud": RESOURCE, "sub": who[:16], "client_id": who[16:32], "org": who[32:]}
        claims |= further
        return f"{header}.{_encoded({**claims, 'scope': 'read', 'jti': who, 'iat': now, 'exp': now + 3600})}"

    async def _decide(self, token: str) -> None:
        # Everybody comes from somewhere else: the table of addresses is full as well.
        peer = f"2001:db8:{os.urandom(2).hex()}:{os.urandom(2).hex()}::1"
        decision = await self.gate.decide(authorization=f"Bearer {token}", body=BODY, peer=peer)
        self.results["allowed" if decision.refusal is None else decision.refusal.code] += 1
        decision.close()
        await anyio.lowlevel.checkpoint()
        if self._keep:
            self._kept.append(os.urandom(self._keep))


class _Inactive:
    """An endpoint to which no token is good."""

    async def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str], max_bytes: int) -> bytes:
        return b'{"active": false}'


def _opaque() -> str:
    return base64url(os.urandom(32))


def _encoded(members: dict[str, Any]) -> str:
    return base64url(json.dumps(members, separators=(",", ":")).encode())


def _memory(name: str) -> int:
    """``VmRSS``, what is resident now, or ``VmHWM``, the most that ever was; in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


async def _main(kind: str, count: int, **of: Any) -> None:
    flood = Flood(**of)
    show = getattr(flood, kind)
    await show(20)  # whatever is imported or made once
    gc.collect()
    before = _memory("VmRSS")
    flood.results.clear()
    await show(count)
    print(json.dumps({"grown": _memory("VmHWM") - before, "results": flood.results}), file=sys.stderr)


if __name__ == "__main__":
    anyio.run(partial(_main, **json.load(sys.stdin)))

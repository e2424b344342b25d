"""The servers that `benches.server` measures, each a process of its own: python -m benches.serving NAME. It prints its
port, and a GET of /cpu tells what it has used."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final

import jwt
import uvicorn
from benches.least import least
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer

import doorward

__all__ = ["ISSUER", "SERVERS"]

ISSUER: Final = "https://as.example.com"
PLENTY: Final = ["100000000/minute"]


def mcp_server(**settings: Any) -> MCPServer[Any]:
    """A server with a tool that does nothing, and one that streams."""
    server: MCPServer[Any] = MCPServer("bench", log_level="CRITICAL", **settings)

    @server.tool(name="echo")
    @server.tool(name="limited")
    async def echo(text: str, items: list[dict[str, Any]]) -> str:
        return text

    @server.tool()
    async def stream(ctx: Context[Any, Any]) -> str:
        await ctx.report_progress(1, 2)
        return "done"

    return server


def bare(_resource: str, _jwks: dict[str, Any]) -> Any:
    """The official SDK alone."""
    return mcp_server().streamable_http_app(stateless_http=True)


def gate(resource: str, jwks: dict[str, Any]) -> Any:
    """Behind the gate, everything on: scopes, budgets, the record on file."""
    trail = tempfile.NamedTemporaryFile(prefix="doorward-bench-", suffix=".jsonl")  # noqa: SIM115 - as long as the process
    made = doorward.Gate(
        resource=resource,
        issuers=[doorward.Issuer(ISSUER, ["RS256"], jwks)],
        tools=[
            doorward.ToolRule("limited", scopes=["read"], limit=["1/day"]),
            doorward.ToolRule("*", scopes=["read"], limit=PLENTY),
        ],
        limits=doorward.Limits(client=PLENTY),
        audit=doorward.Audit(path=trail.name),
    )
    app = made.protect(mcp_server(), stateless_http=True)
    app.keeps = trail
    return app


def one_function(resource: str, jwks: dict[str, Any]) -> Any:
    """Behind as little as a gate can be."""
    trail = tempfile.NamedTemporaryFile(prefix="doorward-bench-", suffix=".jsonl")  # noqa: SIM115 - as long as the process
    made = least(bare(resource, jwks), resource, jwks, issuer=ISSUER, trail=trail.fileno())
    made.keeps = trail  # type: ignore[attr-defined]
    return made


def sdk_auth(resource: str, jwks: dict[str, Any]) -> Any:
    """The SDK's own bearer auth and what one would write for it: PyJWT, every token every time."""
    key = jwt.PyJWK.from_dict(jwks["keys"][0])

    class Verifier:
        async def verify_token(self, token: str) -> AccessToken | None:
            try:
                claims = jwt.decode(token, key, algorithms=["RS256"], audience=resource, issuer=ISSUER)
            except jwt.PyJWTError:
                return None
            return AccessToken(
                token=token, client_id=claims["client_id"], scopes=claims["scope"].split(), resource=resource
            )

    auth = AuthSettings.model_validate(
        {
            "issuer_url": ISSUER,
            "resource_server_url": resource,
            "validate_token_resource": True,
            "required_scopes": ["read"],
        }
    )
    return mcp_server(auth=auth, token_verifier=Verifier()).streamable_http_app(stateless_http=True)


def echo(_resource: str, _jwks: dict[str, Any]) -> Any:
    """The least that an ASGI app can do: read the body, send it back."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


SERVERS: Final[dict[str, Callable[[str, dict[str, Any]], Any]]] = {
    "bare": bare,
    "one function": one_function,
    "gate": gate,
    "SDK auth and PyJWT": sdk_auth,
    "ASGI echo": echo,
}


def _telling(app: Any) -> Any:
    """The same cost for every server."""

    async def telling(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/cpu":
            body = str(time.process_time_ns()).encode()
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
            )
            await send({"type": "http.response.body", "body": body})
        else:
            await app(scope, receive, send)

    return telling


async def _lifespan(receive: Any, send: Any) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


def main() -> None:
    """Serve until standard input ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        resource = f"http://127.0.0.1:{port}/mcp"
        print(port, flush=True)
        jwks = json.loads(sys.stdin.readline())
        app = _telling(SERVERS[sys.argv[1]](resource, jwks))
        config = uvicorn.Config(app, log_level="critical", proxy_headers=False, timeout_keep_alive=600)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    os.environ.pop("OTEL_TRACES_EXPORTER", None)
    main()

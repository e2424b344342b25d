"""The server of the demo, as any server is written, and the file that protects it."""

from __future__ import annotations

import json
from pathlib import Path

from mcp.server.mcpserver import MCPServer

from doorward.testing import Issuer

__all__ = ["orders", "write_configuration"]

_CONFIGURATION = """\
resource = "{resource}"

[[issuer]]
url = "{issuer}"
algorithms = ["ES256"]
max_token_lifetime = "24h"
jwks_file = "jwks.json"

[scopes]                                # a broader scope implies narrower ones
"orders:write" = ["orders:read"]

[[tool]]                                # the first rule that fits governs; no rule, no call
match = "read_order"
scopes = ["orders:read"]
limit = ["20/minute burst 5"]

[[tool]]
match = "list_*"
scopes = ["orders:read"]

[[tool]]
match = "refund_*"
scopes = ["orders:write"]
limit = ["60/minute", {{ rate = "500/day", strict = true }}]

[limits]
client = ["600/minute"]

[audit]
path = "audit.jsonl"
"""


def orders() -> MCPServer[object]:
    """A small order desk."""
    server: MCPServer[object] = MCPServer("orders", log_level="CRITICAL")
    book = {
        number: {"id": number, "item": item, "state": "paid"} for number, item in enumerate(("tea", "cups", "pot"), 1)
    }

    @server.tool()
    def list_orders() -> list[dict[str, object]]:
        """All orders."""
        return list(book.values())

    @server.tool()
    def read_order(id: int) -> dict[str, object]:  # noqa: A002 - the argument's name is the tool's interface
        """One order."""
        return book[id]

    @server.tool()
    def refund_order(id: int) -> dict[str, object]:  # noqa: A002
        """Refund an order."""
        book[id]["state"] = "refunded"
        return book[id]

    @server.tool()
    def delete_order(id: int) -> str:  # noqa: A002
        """Delete an order: no rule of the configuration allows it."""
        del book[id]
        return "deleted"

    return server


def write_configuration(folder: Path, *, resource: str, issuer: Issuer) -> Path:
    """Write ``doorward.toml`` and the issuer's keys into the folder; the path of the former."""
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()))
    path = folder / "doorward.toml"
    path.write_text(_CONFIGURATION.format(resource=resource, issuer=issuer.url))
    return path

"""A server with something of everything, and one that answers in pages: `doorward init` and `doorward rules` are tried
on them."""

from __future__ import annotations

import sys
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp_types import ListToolsResult, PaginatedRequestParams, Tool, ToolAnnotations

READS = ToolAnnotations(read_only_hint=True)
ADDS = ToolAnnotations(destructive_hint=False)
DESTROYS = ToolAnnotations(destructive_hint=True)

TOOLS: dict[str, ToolAnnotations | None] = {
    "find_order": READS,
    "add_order": ADDS,
    "purge_orders": DESTROYS,
    "purge_customers": DESTROYS,
    "purge_carts": DESTROYS,
    "mystery": None,
    "change": ToolAnnotations(read_only_hint=False),
    "glob*": READS,
    'say "hi"\n': ADDS,
}
"""What each says of itself."""

shop: MCPServer[Any] = MCPServer("shop", log_level="CRITICAL")


def _tool(name: str, annotations: ToolAnnotations | None) -> None:
    @shop.tool(name=name, annotations=annotations)
    def tool() -> str:
        raise AssertionError("a tool ran")


for _name, _annotations in TOOLS.items():
    _tool(_name, _annotations)


@shop.resource("shop://orders")
def orders() -> str:
    raise AssertionError("a resource was read")


@shop.resource("shop://orders/{id}")
def order(id: str) -> str:  # noqa: A002 - a name of the template
    raise AssertionError("a resource was read")


@shop.resource("shop://orders/{id}/items/{item}")
def item(id: str, item: str) -> str:  # noqa: A002
    raise AssertionError("a resource was read")


@shop.prompt()
def greet() -> str:
    raise AssertionError("a prompt was made")


async def _list_tools(_ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None) -> ListToolsResult:
    page = int((params.cursor if params else None) or 0)
    tool = Tool(name=f"page_{page}", input_schema={"type": "object"}, annotations=READS)
    return ListToolsResult(tools=[tool], next_cursor=str(page + 1) if page < 2 else None)


lowlevel: Server[Any] = Server("pages", on_list_tools=_list_tools)
"""Three pages of tools, and nothing else."""

print("a module may print what it likes", file=sys.stderr if __name__ == "__main__" else sys.stdout)

if __name__ == "__main__":
    shop.run("stdio")

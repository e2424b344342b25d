"""Tools that answer at once: each kind of content, an error, and schemas that must arrive as they are."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from typing import Annotated, Any, Final

import mcp_types as types
from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from pydantic import Field

__all__ = ["IMAGE", "add_to"]


def _png() -> bytes:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


IMAGE: Final = _png()
_SOUND: Final = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"

_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def add_to(server: MCPServer[Any]) -> None:
    """The tools, by the names that the scenarios use."""
    contents: dict[str, list[types.ContentBlock]] = {
        "test_simple_text": [_text("This is a simple text response for testing.")],
        "test_image_content": [_image()],
        "test_audio_content": [
            types.AudioContent(type="audio", data=b64encode(_SOUND).decode(), mime_type="audio/wav")
        ],
        "test_embedded_resource": [
            _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
        ],
        "test_multiple_content_types": [
            _text("Multiple content types test:"),
            _image(),
            _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        ],
    }
    for name, content in contents.items():
        _add(server, name, content)

    @server.tool(description="Fails.")
    def test_error_handling() -> str:
        raise RuntimeError("This tool intentionally returns an error for testing")

    @server.tool(description="Asks for a parameter that stands in a header as well.")
    def test_custom_header(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "anywhere",
    ) -> str:
        return region

    @server.tool(description="Is only for clients that can sample.")
    def test_missing_capability(ctx: Context[Any, Any]) -> str:
        known = ctx.session.client_capabilities
        if known is None or known.sampling is None:
            code = types.MISSING_REQUIRED_CLIENT_CAPABILITY
            raise MCPError(code, "the client cannot sample", {"requiredCapabilities": {"sampling": {}}})
        return "it can"

    @server.tool(name="json_schema_2020_12_tool", description="Has a schema with all that JSON Schema 2020-12 allows.")
    def schema_tool() -> str:
        return "unused"

    # The SDK derives schemas from signatures and has no other way to give one.
    described = server._tool_manager.get_tool("json_schema_2020_12_tool")
    assert described is not None
    described.parameters = _SCHEMA


def _add(server: MCPServer[Any], name: str, content: list[types.ContentBlock]) -> None:
    @server.tool(name=name, description=f"Answers {name}.")
    def answer() -> types.CallToolResult:
        return types.CallToolResult(content=content)


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _image() -> types.ImageContent:
    return types.ImageContent(type="image", data=b64encode(IMAGE).decode(), mime_type="image/png")


def _embedded(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return types.EmbeddedResource(type="resource", resource=contents)

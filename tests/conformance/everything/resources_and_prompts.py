"""The resources and prompts that the scenarios read."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import mcp_types as types
from conformance.everything.answering import IMAGE
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage

__all__ = ["add_to"]


def add_to(server: MCPServer[Any]) -> None:
    """All of them, by the names that the scenarios use."""

    @server.resource("test://static-text", description="A text.", mime_type="text/plain")
    def text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", description="A picture.", mime_type="image/png")
    def binary() -> bytes:
        return IMAGE

    @server.resource("test://watched-resource", description="A text that one may watch.", mime_type="text/plain")
    def watched() -> str:
        return "Watched resource content"

    @server.resource("test://template/{id}/data", description="One of many.", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002 - the scenarios name the variable
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.prompt(description="Says one thing.")
    def test_simple_prompt() -> list[UserMessage]:
        return [_says("This is a simple prompt for testing.")]

    @server.prompt(description="Says what it is told.")
    def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
        return [_says(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]

    @server.prompt(description="Contains a resource.")
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the scenarios' name
        contents = types.TextResourceContents(
            uri=resourceUri, mime_type="text/plain", text="Embedded resource content for testing."
        )
        embedded = types.EmbeddedResource(type="resource", resource=contents)
        return [UserMessage(embedded), _says("Please process the embedded resource above.")]

    @server.prompt(description="Contains a picture.")
    def test_prompt_with_image() -> list[UserMessage]:
        picture = types.ImageContent(type="image", data=b64encode(IMAGE).decode(), mime_type="image/png")
        return [UserMessage(picture), _says("Please analyze the image above.")]


def _says(text: str) -> UserMessage:
    return UserMessage(types.TextContent(type="text", text=text))

"""What a server offers, read from the server itself: by the name of an object, over HTTP, or from a command."""

from doorward.cli.servers.app import (
    Chosen,
    CommandOption,
    ServerArgument,
    TokenOption,
    UrlOption,
    look,
)

__all__ = ["Chosen", "CommandOption", "ServerArgument", "TokenOption", "UrlOption", "look"]

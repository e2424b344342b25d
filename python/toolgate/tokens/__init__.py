"""Who: from the bytes of a credential to a principal."""

from toolgate.tokens.jwt import Tokens

__all__ = ["Tokens"]

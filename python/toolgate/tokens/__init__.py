"""Who: from the bytes of a credential to a principal."""

from toolgate.tokens.tokens import Tokens
from toolgate.tokens.unverified import named
from toolgate.tokens.verified import Verified

__all__ = ["Tokens", "Verified", "named"]

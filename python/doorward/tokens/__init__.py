"""Who: from the bytes of a credential to a principal."""

from doorward.tokens.lifetimes import warn_of_unbounded_lifetimes
from doorward.tokens.tokens import Tokens
from doorward.tokens.unverified import named
from doorward.tokens.verified import Verified

__all__ = ["Tokens", "Verified", "named", "warn_of_unbounded_lifetimes"]

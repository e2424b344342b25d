"""Who: from the bytes of a credential to a principal."""

from doorward.tokens.agents_file import Agent
from doorward.tokens.lifetimes import unbounded_lifetimes, warn_of_unbounded_lifetimes
from doorward.tokens.tokens import Tokens
from doorward.tokens.unverified import named
from doorward.tokens.verified import Verified

__all__ = ["Agent", "Tokens", "Verified", "named", "unbounded_lifetimes", "warn_of_unbounded_lifetimes"]

"""``doorward.toml`` becomes the arguments of `Gate`; nothing unknown, nothing of the wrong type, gets through."""

from doorward.config.load import MAX_BYTES, load, load_for_tokens, load_rules
from doorward.config.source import Source

__all__ = ["MAX_BYTES", "Source", "load", "load_for_tokens", "load_rules"]

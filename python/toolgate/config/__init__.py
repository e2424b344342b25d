"""``toolgate.toml`` becomes the arguments of `Gate`; nothing unknown, nothing of the wrong type, gets through."""

from toolgate.config.load import MAX_BYTES, load, load_rules
from toolgate.config.source import Source

__all__ = ["MAX_BYTES", "Source", "load", "load_rules"]

"""``toolgate.toml`` becomes the arguments of `Gate`; nothing unknown, nothing of the wrong type, gets through."""

from toolgate.config.load import load
from toolgate.config.source import Source

__all__ = ["Source", "load"]

"""``doorward init``: a first ``doorward.toml``, from what a server says of itself."""

from doorward.cli.init.app import init

__all__ = ["init"]

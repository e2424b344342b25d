"""``toolgate init``: a first ``toolgate.toml``, from what a server says of itself."""

from toolgate.cli.init.app import init

__all__ = ["init"]

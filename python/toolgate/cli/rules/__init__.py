"""``toolgate rules``: which rule governs what a server has."""

from toolgate.cli.rules.app import rules

__all__ = ["rules"]

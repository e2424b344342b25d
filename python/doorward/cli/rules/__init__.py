"""``doorward rules``: which rule governs what a server has."""

from doorward.cli.rules.app import rules

__all__ = ["rules"]

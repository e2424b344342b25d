"""``doorward audit``: is the trail whole, and what does it say."""

from doorward.cli.audit.app import app

__all__ = ["app"]

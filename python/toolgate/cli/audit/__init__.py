"""``toolgate audit``: is the trail whole, and what does it say."""

from toolgate.cli.audit.app import app

__all__ = ["app"]

"""``doorward demo``: a throw-away issuer, a small real server behind the gate, and the official client that drives
it."""

from doorward.cli.demo.run import run

__all__ = ["run"]

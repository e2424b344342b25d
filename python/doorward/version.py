"""Which version of doorward this is."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["version"]


@lru_cache(maxsize=1)
def version() -> str:
    """What is installed; ``unknown`` where doorward is run from its sources."""
    from importlib.metadata import PackageNotFoundError  # a fifth of what importing doorward takes
    from importlib.metadata import version as installed

    try:
        return installed("doorward")
    except PackageNotFoundError:
        return "unknown"

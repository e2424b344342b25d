"""Which file of agents a command means."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

__all__ = ["CONFIG", "agents_file", "document"]

CONFIG = Path("doorward.toml")
_FILE = Path("agents.toml")


def agents_file(config: Path | None) -> Path:
    """What ``[agents]`` of the configuration names. Nothing else there is looked at: whoever makes a token need not
    have the server's secrets. Raises `ValueError`."""
    if config is None:
        named = _named(CONFIG) if CONFIG.exists() else None
        return named or _FILE
    named = _named(config)
    if named is None:
        raise ValueError(f'{config} has no [agents]: add it with file = "agents.toml", or give --file')
    return named


def document(config: Path) -> dict[str, Any]:
    """The whole of a configuration. Raises `ValueError`."""
    try:
        with config.open("rb") as opened:
            return tomllib.load(opened)
    except OSError as error:
        raise ValueError(f"{config} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{config} is not TOML: `doorward` servers would not start with it either") from None


def _named(config: Path) -> Path | None:
    agents = document(config).get("agents")
    if agents is None:
        return None
    file = agents.get("file") if isinstance(agents, dict) else None
    if not isinstance(file, str) or not file:
        raise ValueError(f'{config}: [agents] must have file = "agents.toml"')
    return config.parent / file

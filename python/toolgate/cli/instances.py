"""The Redis that a deployment's servers share, and what a command tells them through it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from toolgate.cli.places import CONFIG, document

if TYPE_CHECKING:
    from toolgate._redis import Store

__all__ = ["revoke_agent", "store"]


def store(config: Path | None, *, variable: str | None) -> Store | None:
    """The store whose URL an environment ``variable`` holds, else the one that the configuration names; None where
    there is neither. Raises `ValueError`."""
    url = _from_environment(variable) if variable is not None else _configured(config)
    if url is None:
        return None
    try:
        from toolgate._redis import Store

        return Store(url)
    except ImportError:
        raise ValueError("telling the servers needs redis-py: pip install 'toolgate[redis]'") from None


def revoke_agent(store: Store, agent_id: str) -> None:
    """Have every server that uses the store refuse the agent, within about a second. Raises `ValueError`."""
    from toolgate._redis import StoreError
    from toolgate.tokens.revocation import key_of
    from toolgate.tokens.shared_revocations import publish

    async def tell() -> None:
        try:
            # Without an end: what a copy of the file elsewhere says of its tokens is not known here.
            await publish(store, {key_of({"agent": agent_id}, None): float("inf")})
        except StoreError as error:
            raise ValueError(f"Redis was not told: {error}") from None
        finally:
            await store.aclose()

    anyio.run(tell)


def _configured(config: Path | None) -> str | None:
    if config is None and not CONFIG.exists():
        return None
    path = config or CONFIG
    limits = document(path).get("limits")
    named: Any = limits.get("store") if isinstance(limits, dict) else None
    match named:
        case None | str():
            return named
        case {"env": str(variable)}:
            return _from_environment(variable)
        case {"file": str(file)}:
            try:
                return (path.parent / file).read_text().strip()
            except (OSError, ValueError):
                raise ValueError(f"{path}: [limits] store: its file cannot be read") from None
    raise ValueError(f"{path}: [limits] store must be the URL of a Redis")


def _from_environment(variable: str) -> str:
    url = os.environ.get(variable)
    if not url:
        # Not which: somebody may have written the URL itself there, with its password.
        raise ValueError("--redis-env must name an environment variable that holds the URL of a Redis")
    return url

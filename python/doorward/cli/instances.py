"""The Redis that a deployment's servers share, and what a command tells them through it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio

from doorward.cli.places import CONFIG, document
from doorward.extras import install

if TYPE_CHECKING:
    from doorward._redis import Store

__all__ = ["Instances", "instances", "revoke_agent"]

_MEMORY: Final = "memory"
_PREFIX: Final = "doorward"
"""What `doorward.settings.Limits` says where a file says nothing."""


class Instances(NamedTuple):
    """The servers that share a store, and the prefix of what is theirs in it."""

    store: Store
    prefix: str


def instances(config: Path | None, *, variable: str | None) -> Instances | None:
    """The servers whose store's URL an environment ``variable`` holds, else those of the configuration; None where
    there is neither. Raises `ValueError`."""
    path = config or CONFIG
    limits = document(path).get("limits", {}) if config is not None or path.exists() else {}
    if not isinstance(limits, dict):
        raise ValueError(f"{path}: [limits] must be a table")
    url = _from_environment(variable) if variable is not None else _configured(path, limits.get("store", _MEMORY))
    if url == _MEMORY:
        return None
    try:
        from doorward._redis import Store

        return Instances(Store(url), str(limits.get("prefix", _PREFIX)))
    except ImportError:
        raise ValueError(f"telling the servers needs redis-py: {install('redis')}") from None


def revoke_agent(told: Instances, agent_id: str) -> None:
    """Have all of them refuse the agent, within about a second. Raises `ValueError`."""
    from doorward._redis import StoreError
    from doorward.tokens.revocation import key_of
    from doorward.tokens.shared_revocations import publish

    async def tell() -> None:
        try:
            # Without an end: what a copy of the file elsewhere says of its tokens is not known here.
            await publish(told.store, {key_of({"agent": agent_id}, None): float("inf")}, prefix=told.prefix)
        except StoreError as error:
            raise ValueError(f"Redis was not told: {error}") from None
        finally:
            await told.store.aclose()

    anyio.run(tell)


def _configured(path: Path, named: Any) -> str:
    match named:
        case str():
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

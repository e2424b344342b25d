"""The file of agents: what is kept of each, how it is written, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from doorward import checks, private_files
from doorward.tokens.agent_tokens import ID
from doorward.tokens.toml_tables import Entry, Wrong, entries, instant, written_instant

__all__ = ["MAX_HASHES", "Agent", "Hash", "change", "check_name", "parse", "read", "render"]

MAX_HASHES: Final = 2
"""The token in use, and beside it the one before while a rotation goes on."""

_KEYS: Final = ("id", "name", "scopes", "organization", "created", "revoked", "hashes")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_NAME_LENGTH: Final = 128
_HEADER: Final = (
    "# Agents and the hashes of their tokens. `doorward tokens` writes this file anew each time: comments get lost.\n"
)


@dataclass(frozen=True, slots=True)
class Hash:
    """One token, as it is kept."""

    digest: bytes = field(repr=False)
    created: float
    expires: float


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent: who it is, what it may do, and its tokens, the newest first."""

    id: str
    name: str
    scopes: tuple[str, ...]
    organization: str | None
    created: float
    hashes: tuple[Hash, ...]
    revoked: float | None = None

    @property
    def expires(self) -> float:
        """When the last of its tokens ends."""
        return max(each.expires for each in self.hashes)


def read(path: Path) -> tuple[Agent, ...]:
    """Who stands in the file. Raises `OSError`, and `ValueError` without the file's name."""
    data, _ = private_files.read(path, anybodys=True)
    return parse(data)


def change(path: Path, changed: Callable[[tuple[Agent, ...]], Iterable[Agent]]) -> None:
    """Write the file as ``changed`` makes it out of what stands there, with nobody else in between; a file that is not
    there yet is made. Raises `OSError`, and `ValueError` without the file's name."""
    with private_files.locked(path):
        try:
            agents = read(path)
        except FileNotFoundError:
            agents = ()
        data = render(changed(agents))
        parse(data)  # what could not be read again is not written
        private_files.replace(path, [data])


def parse(data: bytes) -> tuple[Agent, ...]:
    """Raises `ValueError`."""
    agents: dict[str, Agent] = {}
    digests: set[bytes] = set()
    for entry in entries(data, "agent"):
        agent = _agent(entry)
        if agent.id in agents:
            raise entry.wrong("another agent has this id")
        for each in agent.hashes:
            if each.digest in digests:
                raise entry.wrong("this hash stands there twice")
            digests.add(each.digest)
        agents[agent.id] = agent
    return tuple(agents.values())


def render(agents: Iterable[Agent]) -> bytes:
    """The file. Raises `ValueError` for more than it may hold."""
    data = "\n".join([_HEADER, *map(_table, agents)]).encode()
    if len(data) > private_files.MAX_BYTES:
        raise Wrong("has no room for another agent: take out the tables of those that were revoked or have expired")
    return data


def check_name(kind: str, value: str) -> str:
    """A name or an organisation. Raises `ValueError`."""
    if not 0 < len(value) <= _NAME_LENGTH or not value.isprintable():
        raise ValueError(f"{kind} must be 1 to {_NAME_LENGTH} printable characters")
    return value


def _agent(entry: Entry) -> Agent:
    entry.check_keys(_KEYS, required=("id", "name", "scopes", "created", "hashes"))
    agent_id = entry.members["id"]
    if not isinstance(agent_id, str) or ID.fullmatch(agent_id) is None:
        raise entry.wrong("id must be one that `doorward tokens create` made")
    created = entry.instant("created")
    return Agent(
        id=agent_id,
        name=entry.text("name", longest=_NAME_LENGTH) or "",
        scopes=_scopes(entry),
        organization=entry.text("organization", longest=_NAME_LENGTH),
        created=created or 0.0,
        hashes=_hashes(entry),
        revoked=entry.instant("revoked"),
    )


def _scopes(entry: Entry) -> tuple[str, ...]:
    try:
        return checks.scopes("scopes", entry.members["scopes"])
    except ValueError:  # it repeats what stands there
        raise entry.wrong('scopes must be a list of scopes, like ["mcp:tools:read"]') from None


def _hashes(entry: Entry) -> tuple[Hash, ...]:
    given = entry.members["hashes"]
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_HASHES:
        raise entry.wrong(f"hashes must be a list of 1 to {MAX_HASHES} tables")
    return tuple(_hash(entry, each) for each in given)


def _hash(entry: Entry, given: Any) -> Hash:
    if not isinstance(given, dict) or given.keys() != {"hash", "created", "expires"}:
        raise entry.wrong("each of the hashes is a table of hash, created and expires")
    match = _DIGEST.fullmatch(given["hash"]) if isinstance(given["hash"], str) else None
    if match is None:
        raise entry.wrong('hash must be "sha256:" and 64 hexadecimal digits')
    return Hash(
        digest=bytes.fromhex(match[1]),
        created=instant(entry, "created", given["created"]),
        expires=instant(entry, "expires", given["expires"]),
    )


def _table(agent: Agent) -> str:
    members = {
        "id": _quoted(agent.id),
        "name": _quoted(agent.name),
        "scopes": f"[{', '.join(map(_quoted, agent.scopes))}]",
        "organization": None if agent.organization is None else _quoted(agent.organization),
        "created": written_instant(agent.created),
        "revoked": None if agent.revoked is None else written_instant(agent.revoked),
        "hashes": "".join(["[\n", *(f"  {_inline(each)},\n" for each in agent.hashes), "]"]),
    }
    lines = [f"{key} = {value}\n" for key, value in members.items() if value is not None]
    return "".join(["[[agent]]\n", *lines])


def _inline(each: Hash) -> str:
    created, expires = written_instant(each.created), written_instant(each.expires)
    return f'{{ hash = "sha256:{each.digest.hex()}", created = {created}, expires = {expires} }}'


def _quoted(text: str) -> str:
    """A basic string of TOML. What is printable needs no other escapes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""Where the store is: the forms a URL can have, and how to show one without its credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["Address", "parse_url"]

FORMS: Final = (
    "redis://host:port/db, rediss:// (TLS), unix:///path?db=0, redis+sentinel://host:port,host:port/service/db or "
    "redis+cluster://host:port,host:port"
)

MAX_URL: Final = 4_096
"""More than a list of nodes and credentials needs."""

MAX_NODES: Final = 64
"""More sentinels or first nodes than anybody lists."""

_KINDS: Final = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("server", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}

_OPTIONS: Final = frozenset(
    {
        *("client_name", "db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
        *("sentinel_username", "sentinel_password"),
    }
)
"""What a query may say. Deadlines and retries are ours, and no option turns the checks of TLS off."""

_PORTS: Final = {"server": 6379, "cluster": 6379, "sentinel": 26379}

_NODE: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]*)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """A URL, taken apart."""

    kind: str
    """``server``, ``sentinel`` or ``cluster``."""
    shown: str
    """The URL without credentials and query, for logs."""
    nodes: tuple[tuple[str, int], ...]
    """None for a socket of the file system."""
    path: str = ""
    service: str = ""
    db: int = 0
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def credentials(self) -> dict[str, Any]:
        """For the server itself, in redis-py's words."""
        return {"username": self.username, "password": self.password}

    @property
    def passwords(self) -> tuple[str, ...]:
        """That of the server and that of its sentinels, as far as there are any."""
        return tuple(each for each in (self.password, dict(self.options).get("sentinel_password")) if each)


def parse_url(url: str) -> Address:
    """Take a URL apart. Raises `ValueError`, which never repeats the URL: it may hold a password."""
    if not isinstance(url, str) or len(url) > MAX_URL:
        raise ValueError(f"the URL of Redis is a text of at most {MAX_URL} characters: {FORMS}")
    parts = _split(url)
    if parts.scheme not in _KINDS:
        raise ValueError(f"the URL of Redis must begin with one of {', '.join(_KINDS)}: {FORMS}")
    kind, tls = _KINDS[parts.scheme]
    userinfo, _, hosts = parts.netloc.rpartition("@")
    options = _options(parts, kind)
    if parts.scheme != "unix" and "@" in parts.path:
        # Half a password would be taken for a host, and shown.
        raise ValueError("the URL of Redis has an @ in its path: write a / that belongs to a password as %2F")
    nodes = () if parts.scheme == "unix" else _nodes(hosts, kind)
    path, service, db = _path(parts, kind)
    number = _number(options.pop("db", db))
    if kind == "cluster" and number:
        raise ValueError("a Redis Cluster has no database but 0")
    username, _, password = userinfo.partition(":")
    return Address(
        kind=kind,
        shown=f"{parts.scheme}://{hosts}{parts.path}",
        nodes=nodes,
        path=path,
        service=service,
        db=number,
        tls=tls,
        username=unquote(username) or None,
        password=unquote(password) or None,
        options=tuple(sorted(options.items())),
    )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(f"the URL of Redis cannot be read: {FORMS}") from None


def _options(parts: SplitResult, kind: str) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    allowed = {name for name in _OPTIONS if kind == "sentinel" or not name.startswith("sentinel_")}
    # Not which one: a password with a raw question mark in it would be read as a query.
    if parts.fragment or not allowed.issuperset(options):
        raise ValueError(
            f"the URL of Redis has an option that is none of {', '.join(sorted(allowed))}; "
            "write a ? or # that belongs to a password as %3F or %23"
        )
    return options


def _nodes(hosts: str, kind: str) -> tuple[tuple[str, int], ...]:
    given = hosts.split(",")
    if len(given) > MAX_NODES or (kind == "server" and len(given) > 1):
        raise ValueError(f"the URL of Redis names too many hosts: {FORMS}")
    nodes = []
    for each in given:
        match = _NODE.fullmatch(each)
        port = int(match[2] or _PORTS[kind]) if match is not None else 0
        if match is None or not 0 < port < 65_536:
            raise ValueError(f"the URL of Redis has a host or port that cannot be read: {FORMS}")
        nodes.append((unquote(match[1]).strip("[]") or "localhost", port))
    return tuple(nodes)


def _path(parts: SplitResult, kind: str) -> tuple[str, str, str]:
    """The path of a socket, the name of a service, the number of a database."""
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError(f"the URL of Redis names no socket: {FORMS}")
        return unquote(parts.path), "", "0"
    if kind == "sentinel":
        service, _, db = parts.path.strip("/").partition("/")
        if not service:
            raise ValueError(f"the URL of Redis names no service for its sentinels: {FORMS}")
        return "", unquote(service), db or "0"
    return "", "", parts.path.strip("/") or "0"


def _number(db: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", db):
        raise ValueError("the database in the URL of Redis is a number")
    return int(db)

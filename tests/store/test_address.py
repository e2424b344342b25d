"""The forms of a URL, and that none of its secrets is ever shown."""

from __future__ import annotations

from typing import Any

import pytest

from doorward._redis import Store, parse_url

FORMS: dict[str, dict[str, Any]] = {
    "redis://": {"kind": "server", "nodes": (("localhost", 6379),), "db": 0, "tls": False},
    "redis://h:1/2": {"kind": "server", "nodes": (("h", 1),), "db": 2},
    "redis://h?db=3": {"nodes": (("h", 6379),), "db": 3},
    "redis://[::1]:7/0": {"nodes": (("::1", 7),)},
    "redis://u:p%40%2F@h/0": {"username": "u", "password": "p@/", "shown": "redis://h/0"},
    "redis://:p@h": {"username": None, "password": "p", "shown": "redis://h"},
    "rediss://h?ssl_ca_certs=/ca.pem": {"kind": "server", "tls": True, "options": (("ssl_ca_certs", "/ca.pem"),)},
    "unix:///run/redis.sock?db=1": {"kind": "server", "path": "/run/redis.sock", "db": 1, "nodes": ()},
    "unix://u:p@/run/redis.sock": {"path": "/run/redis.sock", "username": "u", "shown": "unix:///run/redis.sock"},
    "redis+sentinel://a,b:2/main/3": {
        "kind": "sentinel",
        "nodes": (("a", 26379), ("b", 2)),
        "service": "main",
        "db": 3,
    },
    "redis+sentinel://a/main": {"service": "main", "db": 0, "tls": False},
    "rediss+sentinel://a/main": {"kind": "sentinel", "tls": True},
    "redis+cluster://a:1,b:2,[::1]:3": {"kind": "cluster", "nodes": (("a", 1), ("b", 2), ("::1", 3))},
    "rediss+cluster://a/0": {"kind": "cluster", "tls": True, "db": 0},
}

WRONG = {
    "no URL": "localhost:6379",
    "another scheme": "http://hunter2@h",
    "a port that is none": "redis://h:hunter2",
    "port 0": "redis://h:0",
    "port beyond": "redis://h:65536",
    "two hosts of one server": "redis://a,b",
    "database that is no number": "redis://h/hunter2",
    "no service": "redis+sentinel://h",
    "database of a cluster": "redis+cluster://h/1",
    "no socket": "unix://",
    "raw slash in a password": "redis://u:1/hunter2@h/0",
    "raw question mark in a password": "redis://u:1?hunter2@h/0",
    "raw hash in a password": "redis://u:1#hunter2@h/0",
    "an option that is ours": "redis://h?socket_timeout=9&x=hunter2",
    "an option that turns a check off": "rediss://h?ssl_cert_reqs=none",
    "a sentinel's option elsewhere": "redis://h?sentinel_password=hunter2",
    "open bracket": "redis://[::1/hunter2",
    "endless": "redis://" + "h" * 4_096,
    "65 nodes": "redis+cluster://" + ",".join("h" * 65),
}


@pytest.mark.parametrize("url", FORMS)
def test_a_url_is_taken_apart(url: str) -> None:
    address = parse_url(url)
    assert {name: getattr(address, name) for name in FORMS[url]} == FORMS[url]


@pytest.mark.parametrize("url", WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_is_told_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="Redis") as wrong:
        parse_url(url)
    assert "hunter2" not in str(wrong.value)
    assert wrong.value.__cause__ is None
    assert wrong.value.__suppress_context__ or wrong.value.__context__ is None


def test_something_else_than_text_is_told_so() -> None:
    with pytest.raises(ValueError, match="is a text"):
        parse_url(None)  # type: ignore[arg-type]  # what a caller without types may give


@pytest.mark.parametrize(
    "url",
    [
        "redis://alice:hunter2@h:1/2",
        "unix://alice:hunter2@/run/redis.sock",
        "rediss+sentinel://alice:hunter2@a,b/main/3?sentinel_username=alice&sentinel_password=hunter2",
        "redis+cluster://alice:hunter2@a,b",
    ],
)
def test_credentials_are_shown_nowhere(url: str) -> None:
    shown = repr((parse_url(url), Store(url), str(parse_url(url))))
    assert "hunter2" not in shown
    assert "alice" not in shown

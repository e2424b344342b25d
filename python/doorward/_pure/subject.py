"""Which claim names the caller of an issuer's tokens, where `sub` does not."""

from __future__ import annotations

from typing import Final

from doorward.errors import Refused, refusal

__all__ = ["RULES", "subject_by"]

RULES: Final = ("sub", "username", "client")
"""`sub` alone (RFC 9068 section 2.2); `sub`, else `username` (RFC 7662 section 2.2); `sub`, else the client id, for an
issuer that serves machines alone. A token cannot tell whether a person is behind it, so the operator does."""


def subject_by(rule: str, sub: str | None, username: str | None, client_id: str | None) -> str:
    """The subject of a token or an introspection answer. Raises `missing_claim` where the rule finds none, and
    `invalid_claim` for a user that could not be told apart from the client."""
    if rule not in RULES:
        raise ValueError("subject must be sub, username or client")
    if sub is not None:
        return sub
    if rule == "sub":
        raise _missing(
            'sub is missing (RFC 9068 section 2.2): set subject of this [[issuer]] to "username" if its users are '
            'named by username, or to "client" if it serves machines alone'
        )
    return _username(username, client_id) if rule == "username" else _client(username, client_id)


def _username(username: str | None, client_id: str | None) -> str:
    if username is None:
        raise _missing("neither sub nor username is there")
    if username == client_id:
        raise refusal("invalid_claim", "username is the client's id: the user would be taken for the client")
    return username


def _client(username: str | None, client_id: str | None) -> str:
    if username is not None:
        raise _missing(
            'sub is missing and username names a person: subject = "client" is for an [[issuer]] that serves machines '
            'alone; set "username"'
        )
    if client_id is None:
        raise _missing("neither sub nor a client id is there")
    return client_id


def _missing(detail: str) -> Refused:
    return refusal("missing_claim", detail)

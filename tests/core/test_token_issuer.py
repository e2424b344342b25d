"""Whose a token claims to be, before anything of it is verified; and what a remembered one is checked for again."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from minting import ABSENT, ISSUER, NOW, claims, encoded, mint, verifier

from doorward import Refused, _pure

THUMBPRINT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def part(payload: Any) -> str:
    """The middle part for a payload."""
    return encoded(payload)


HEADER = part({"alg": "none"})
TWICE = part(b'{"iss":"a","iss":"b"}')


@pytest.mark.parametrize(
    ("token", "issuer"),
    [
        (f"{HEADER}.{part({'iss': ISSUER})}.", ISSUER),
        (f"{HEADER}.{part({'iss': 'https://ä.example'})}.AAAA", "https://ä.example"),
        (f"{HEADER}.{part({'sub': 'x'})}.AAAA", ""),
        (f"{part(b' {}')}.{part({})}.not base64url", ""),
    ],
    ids=["named", "not-ascii", "absent", "signature-unread"],
)
def test_a_jwt_names_its_issuer(core: ModuleType, token: str, issuer: str) -> None:
    assert core.token_issuer(token) == core.token_issuer(token.encode()) == issuer


@pytest.mark.parametrize(
    "token",
    ["", "opaque", "a.b", "a.b.c", "a.b.c.d", "..", f"{HEADER}.{HEADER}", f"{HEADER}.a.b.c", f"{part([])}.a.b"]
    + [f"{part(text)}.{part({'iss': ISSUER})}.x" for text in (b"", b" ", b"1", b'"{"', b"\xc2\xa0{}")],
)
def test_what_has_not_the_form_is_no_jwt(core: ModuleType, token: str) -> None:
    assert core.token_issuer(token) is None


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (f"{part(b'{')}.{part({'iss': ISSUER})}.x", "malformed_token"),
        (f"{part(b'{}{}')}.{part({'iss': ISSUER})}.x", "malformed_token"),
        (f"{part({'crit': ['b64']})}.{part({'iss': ISSUER})}.x", "unsupported_critical"),
        (f"{HEADER}.!.x", "malformed_token"),
        (f"{HEADER}..x", "malformed_token"),
        (f"{HEADER}.{part([])}.x", "malformed_token"),
        (f"{HEADER}.{TWICE}.x", "malformed_token"),
        (f"{HEADER}.{part({'iss': ''})}.x", "invalid_claim"),
        (f"{HEADER}.{part({'iss': [ISSUER]})}.x", "invalid_claim"),
        ("x" * 16_385, "token_too_large"),
        ("\udc00", "malformed_token"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else value,
)
def test_a_jwt_that_cannot_be_read_is_refused_and_never_opaque(core: ModuleType, token: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        core.token_issuer(token)
    assert refused.value.code == reason


def told(core: Any, token: str) -> object:
    """The issuer, or the slug."""
    try:
        return core.token_issuer(token)
    except Refused as refused:
        return ("refused", refused.code)


@given(st.lists(st.one_of(st.binary(max_size=8).map(encoded), st.sampled_from([HEADER, "", "=", "é"])), max_size=5))
def test_both_cores_say_the_same(parts: list[str]) -> None:
    if find_spec("doorward._rust") is None:
        pytest.skip("the native core is not built: run `make build`")
    from doorward import _rust

    token = ".".join(parts)
    assert told(_rust, token) == told(_pure, token)


# --- what is checked again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "earliest"),
    [
        ({"nbf": NOW - 5, "iat": NOW - 10}, NOW - 35),
        ({"nbf": NOW - 10, "iat": NOW - 5}, NOW - 35),
        ({"nbf": ABSENT, "iat": NOW - 5}, NOW - 35),
        ({"nbf": NOW - 0.5, "iat": ABSENT}, NOW - 30.5),
        ({"nbf": ABSENT, "iat": ABSENT}, float("-inf")),
    ],
    ids=["nbf", "iat", "iat-alone", "nbf-alone", "neither"],
)
def test_the_earliest_time_has_the_leeway_in_it(core: ModuleType, changes: dict[str, Any], earliest: float) -> None:
    token = mint(claims(**changes))
    assert verifier(core, leeway=30).verify(token, now=NOW).not_before == earliest
    if earliest > 0:
        assert verifier(core, leeway=30).verify(token, now=earliest).not_before == earliest


def test_the_certificate_of_a_bound_token(core: ModuleType) -> None:
    bound = mint(claims(cnf={"x5t#S256": THUMBPRINT}))
    found = verifier(core).verify(bound, now=NOW, certificate_sha256=bytes(range(32)))
    assert found.certificate_sha256 == bytes(range(32))
    assert verifier(core).verify(mint(), now=NOW).certificate_sha256 is None

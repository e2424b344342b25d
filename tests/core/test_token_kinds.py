"""Access tokens of every provider are told from its other tokens, also where the header says `JWT` or nothing."""

from __future__ import annotations

import json
from types import ModuleType

import pytest
from minting import ABSENT, ISSUER, NOW, mint, verdict, verifier
from token_shapes import ACCESS_TOKENS, OTHER_TOKENS, Shape

from doorward import Unauthenticated
from doorward.tokens.answers import Answer


def shown(core: ModuleType, shape: Shape) -> str:
    kind: str = core.token_kind(json.dumps(shape.claims).encode())
    return kind


def judged(core: ModuleType, shape: Shape, **changes: object) -> str:
    """The verdict of a verifier that accepts every audience of the token, a client id too."""
    claims = {"iss": ISSUER, "exp": NOW + 600, "iat": NOW - 10, **shape.claims, **changes}
    return verdict(verifier(core, audience=shape.audiences), mint(claims, header={"typ": shape.typ}))


@pytest.mark.parametrize("shape", ACCESS_TOKENS.values(), ids=ACCESS_TOKENS)
def test_an_access_token_is_accepted(core: ModuleType, shape: Shape) -> None:
    if shape.typ != "at+jwt":
        assert shown(core, shape) == "access"
    # Scopes as an array are another matter than the kind.
    changes = {"scope": " ".join(scope)} if isinstance(scope := shape.claims.get("scope"), list) else {}
    assert judged(core, shape, **changes) == "accepted"


@pytest.mark.parametrize("nonce", [{}, {"nonce": "n"}], ids=["without nonce", "with nonce"])
@pytest.mark.parametrize("shape", OTHER_TOKENS.values(), ids=OTHER_TOKENS)
def test_every_other_token_is_refused(core: ModuleType, shape: Shape, nonce: dict[str, str]) -> None:
    assert shown(core, shape._replace(claims=shape.claims | nonce)) != "access"
    assert judged(core, shape, **nonce) == "invalid_type"
    assert judged(core, shape._replace(typ=ABSENT), **nonce) == "invalid_type"


@pytest.mark.parametrize("shape", (ACCESS_TOKENS | OTHER_TOKENS).values(), ids=ACCESS_TOKENS | OTHER_TOKENS)
def test_introspection_answers_are_judged_alike(core: ModuleType, shape: Shape) -> None:
    members = {name: value for name, value in shape.claims.items() if name not in ("scope", "token_type")}
    assert Answer.read({"active": True, **members}).kind == shown(core, shape._replace(claims=members))


@pytest.mark.parametrize("shape", OTHER_TOKENS.values(), ids=OTHER_TOKENS)
def test_a_header_that_names_an_access_token_decides(core: ModuleType, shape: Shape) -> None:
    claims = {name: value for name, value in shape.claims.items() if name != "scope"}
    assert judged(core, Shape("at+jwt", claims)) == "accepted"


@pytest.mark.parametrize("text", [b"[]", b"", b'{"a":1,"a":2}', b"\xff"])
def test_what_is_no_object_has_no_kind(core: ModuleType, text: bytes) -> None:
    with pytest.raises(Unauthenticated, match="malformed_token"):
        core.token_kind(text)

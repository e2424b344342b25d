"""The principal: no two callers are one, and nobody reads its claims by accident."""

from __future__ import annotations

from sys import getsizeof
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.principal import Principal, joined

PARTS = st.lists(st.none() | st.text("0123456789:-a", max_size=5) | st.text(max_size=3), max_size=5)


def principal(**given: Any) -> Principal:
    defaults = {
        "issuer": "https://as.example.com",
        "subject": "user-1",
        "client_id": "agent-1",
        "organization": None,
        "scopes": ("read",),
        "token_id": None,
        "expires_at": 1_800_000_600.0,
    }
    return Principal(**(defaults | given))


@given(PARTS, PARTS)
def test_different_parts_never_join_to_the_same_string(some: list[str | None], others: list[str | None]) -> None:
    assert (joined(*some) == joined(*others)) == (some == others)


@given(PARTS, PARTS)
def test_what_is_joined_can_be_a_part_again(some: list[str | None], others: list[str | None]) -> None:
    assert (joined("kind", joined(*some)) == joined("kind", joined(*others))) == (some == others)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"issuer": "a"}, {"issuer": "b"}, id="a subject means nothing outside its issuer"),
        pytest.param({"client_id": "a"}, {"client_id": "b"}, id="another client"),
        pytest.param({"client_id": None}, {"client_id": ""}, id="no client is not an empty one"),
        pytest.param({"client_id": "1:a", "subject": "b"}, {"client_id": "1", "subject": "a1:b"}, id="moved borders"),
        pytest.param({"client_id": None, "subject": "-"}, {"client_id": "-", "subject": "-"}, id="a dash"),
    ],
)
def test_different_callers_have_different_identities(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert principal(**one).identity != principal(**other).identity


def test_another_token_of_the_same_caller_is_the_same_caller() -> None:
    other = principal(token_id="t-2", scopes=(), expires_at=0.0, claims={"jti": "t-2"})
    assert principal().identity == other.identity


def test_organisations_belong_to_their_issuer() -> None:
    acme = principal(organization="acme")
    assert acme.organization_identity == principal(organization="acme", subject="user-2").organization_identity
    assert acme.organization_identity != principal(organization="acme", issuer="https://b").organization_identity
    assert principal(organization=None).organization_identity != principal(organization="").organization_identity


def test_claims_do_not_show_and_do_not_count() -> None:
    made = principal(claims={"email": "someone@example.com"})
    assert "someone" not in repr(made)
    assert made == principal()
    assert hash(made) == hash(principal())


def test_claims_cannot_be_changed_for_the_next_call() -> None:
    claims = {"cnf": {"x5t#S256": "a"}}
    made = principal(claims=claims)
    claims.clear()
    assert made.claims == {"cnf": {"x5t#S256": "a"}}
    with pytest.raises(TypeError):
        del made.claims["cnf"]  # type: ignore[attr-defined]


def test_what_a_handler_does_to_a_claim_nobody_else_sees() -> None:
    made = principal(claims={"roles": ["user"], "org": {"id": 1}})
    made.claims["roles"].append("admin")
    made.claims["org"]["id"] = 2
    dict(made.claims)["roles"].append("admin")
    assert made.claims == {"roles": ["user"], "org": {"id": 1}}
    assert "user" not in repr(made.claims)


def test_claims_weigh_what_their_parts_take() -> None:
    """A valid token of 12 KB can become 460 KB of objects."""
    plain, nested = ({"x": "a" * 4_000}, {"x": {"y": [{} for _ in range(2_000)]}})
    assert getsizeof(principal(claims=plain).claims) < 5_000
    assert getsizeof(principal(claims=nested).claims) > 2_000 * getsizeof({})

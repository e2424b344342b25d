"""Whose a refused token was: said only where that is known."""

from __future__ import annotations

import base64
import json

import pytest

from doorward.errors import refusal
from doorward.testing import Issuer
from doorward.tokens import named
from doorward.tokens.agent_tokens import new_id, new_token

ISSUER = Issuer("https://as.example.com")
TOKEN = ISSUER.token(audience="https://mcp.example.com/mcp", scopes=["read"], jti="t-1")
SIGNED = [
    "invalid_audience",
    "proof_required",
    "token_expired",
    "token_lifetime_too_long",
    "token_not_yet_valid",
    "token_revoked",
]


@pytest.mark.parametrize("code", SIGNED)
def test_refused_behind_its_signature_it_is_named(code: str) -> None:
    found = named(TOKEN, refusal(code))
    assert found == ("agent-1", "user-1", "https://as.example.com", "t-1")


@pytest.mark.parametrize(
    "code", ["bad_signature", "unknown_key", "invalid_issuer", "malformed_token", "token_inactive", "invalid_type"]
)
def test_refused_before_it_says_nothing(code: str) -> None:
    assert named(TOKEN, refusal(code)) is None


def test_what_nobody_signed_says_nothing_whatever_it_looks_like() -> None:
    parts = [{"alg": "none"}, {"sub": "admin"}]
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    for token in (".".join([*coded, "x"]), "opaque-token-of-somebody", "a.b", "..", ""):
        assert named(token, refusal("token_expired")) is None, token


def test_an_agent_s_token_has_its_id_in_it() -> None:
    agent = new_id()
    assert named(new_token(agent), refusal("token_revoked")) == (None, agent, "urn:doorward:agents", None)
    assert named(new_token(agent), refusal("unknown_agent")) is None

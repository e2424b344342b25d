"""The throw-away issuer: what it signs must be what both cores accept, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from doorward.errors import Refused
from doorward.extras import install
from doorward.testing import Issuer
from doorward.testing.keys import ALGORITHMS

NOW = 1_800_000_000
RESOURCE = "https://mcp.example.com/mcp"
URL = "https://as.example.com"


def verified(core: Any, issuer: Issuer, token: str, *, now: float = NOW, **config: Any) -> Any:
    """The claims as a server that trusts ``issuer`` would see them."""
    config = {"issuer": issuer.url, "audience": RESOURCE, "algorithms": [issuer.algorithm]} | config
    return core.Verifier(core.KeySet.from_json(issuer.jwks()), **config).verify(token, now=now)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_every_algorithm_verifies(core: Any, algorithm: str) -> None:
    issuer = Issuer(URL, algorithm)
    claims = verified(core, issuer, issuer.token(audience=RESOURCE, scopes=["read", "write"], now=NOW))
    assert claims.issuer == URL
    assert claims.audience == (RESOURCE,)
    assert claims.subject == "user-1"
    assert claims.client_id == "agent-1"
    assert claims.scopes == ("read", "write")
    assert (claims.issued_at, claims.expires_at) == (NOW, NOW + 600)
    assert claims.token_id


def test_the_clock_is_the_default_time(core: Any) -> None:
    issuer = Issuer(URL)
    claims = verified(core, issuer, issuer.token(audience=RESOURCE), now=time.time())
    assert claims.expires_at - claims.issued_at == 600


def test_no_two_tokens_are_the_same() -> None:
    issuer = Issuer(URL)
    assert issuer.token(audience=RESOURCE, now=NOW) != issuer.token(audience=RESOURCE, now=NOW)


def test_claims_add_and_replace(core: Any) -> None:
    issuer = Issuer(URL)
    claims = verified(core, issuer, issuer.token(audience=["urn:other", RESOURCE], now=NOW, org_id="acme", jti="one"))
    assert claims.audience == ("urn:other", RESOURCE)
    assert claims.raw["org_id"] == "acme"
    assert claims.token_id == "one"
    assert "scope" not in claims.raw


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        pytest.param({"lifetime": -60}, "token_expired", id="a negative lifetime"),
        pytest.param({"exp": None}, "missing_claim", id="a claim left out"),
        pytest.param({"subject": None}, "missing_claim", id="no subject"),
        pytest.param({"audience": "https://elsewhere.example.com"}, "invalid_audience", id="another audience"),
        pytest.param({"iss": "https://evil.example.com"}, "invalid_issuer", id="another issuer"),
        pytest.param({"typ": "logout+jwt"}, "invalid_type", id="another type"),
        pytest.param({"kid": "no-such-key"}, "unknown_key", id="a key nobody published"),
        pytest.param({"algorithm": "EdDSA"}, "unsupported_algorithm", id="another algorithm"),
    ],
)
def test_it_makes_the_tokens_a_server_must_refuse(core: Any, changed: dict[str, Any], code: str) -> None:
    issuer = Issuer(URL)
    token = issuer.token(**{"audience": RESOURCE, "now": NOW, **changed})
    with pytest.raises(Refused) as refused:
        verified(core, issuer, token)
    assert refused.value.code == code


def test_another_issuer_of_the_same_name_is_a_forger(core: Any) -> None:
    forged = Issuer(URL).token(audience=RESOURCE, now=NOW)
    with pytest.raises(Refused) as refused:
        verified(core, Issuer(URL), forged)
    assert refused.value.code == "bad_signature"


def test_rotation_keeps_the_old_key_in_the_set(core: Any) -> None:
    issuer = Issuer(URL)
    before = issuer.token(audience=RESOURCE, now=NOW)
    kid = issuer.rotate()
    assert [key["kid"] for key in issuer.jwks()["keys"]] == ["key-1", kid]
    for token in (
        before,
        issuer.token(audience=RESOURCE, now=NOW),
        issuer.token(audience=RESOURCE, now=NOW, kid="key-1"),
    ):
        assert verified(core, issuer, token).issuer == URL


def test_another_algorithm_joins_the_set_on_first_use(core: Any) -> None:
    issuer = Issuer(URL)
    token = issuer.token(audience=RESOURCE, now=NOW, algorithm="Ed25519")
    assert [key["alg"] for key in issuer.jwks()["keys"]] == ["ES256", "Ed25519"]
    assert verified(core, issuer, token, algorithms=["Ed25519"]).issuer == URL


def test_a_key_set_holds_nothing_private() -> None:
    private = {"d", "p", "q", "dp", "dq", "qi", "k"}
    for algorithm in ("RS256", "ES256", "EdDSA"):
        issuer = Issuer(URL, algorithm)
        assert not private & issuer.jwks()["keys"][0].keys()
        assert repr(issuer) == f"Issuer({URL!r}, algorithm={algorithm!r})"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES512", "es256", ""])
def test_an_algorithm_that_is_not_offered_is_a_mistake(algorithm: str) -> None:
    with pytest.raises(ValueError, match="is not one of RS256"):
        Issuer(URL, algorithm)


def test_without_cryptography_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['cryptography'] = None; from doorward.testing import Issuer; Issuer('https://as.example.com')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert install("pure") in ended.stderr


def test_the_plugin_gives_the_fixture(doorward_issuer: Issuer) -> None:
    assert doorward_issuer.url == "https://issuer.test"
    assert doorward_issuer.token(audience=RESOURCE).count(".") == 2

"""``doorward tokens explain``: which check fails, why, which keys would fit, and what would change it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import AgentsFile
from minting import ABSENT, jwks, mint, signing_key
from tokens.misbehaving import Misbehaving, listening
from typer.testing import CliRunner

from doorward.errors import CODES
from doorward.tokens.remedies import REMEDIES

pytest.importorskip("typer")

from doorward.cli.app import app

RESOURCE = "https://mcp.example.com/mcp"
ISSUER = "https://as.example.com"
PUBLISHED, OTHER, UNUSABLE = (signing_key("ES256", kid) for kid in ("published", "other", "unusable"))
KEYS = {"keys": [PUBLISHED.public_jwk(), {**UNUSABLE.public_jwk(), "alg": None}]}
CONFIG = f"""\
resource = "{RESOURCE}"
organization_claim = "org"
[[issuer]]
url = "{ISSUER}"
algorithms = ["ES256"]
max_token_lifetime = "1h"
jwks_file = "jwks.json"
[[tool]]
match = "*"
scopes = ["read"]
limit = ["5/minute"]
"""
SECRET = 'secret = { env = "NOT_SET_HERE" }'


class Explained:
    """What the command printed, and how it ended."""

    def __init__(self, code: int, out: str) -> None:
        self.code = code
        self.out = out
        self.lines = out.splitlines()

    def of(self, what: str) -> list[str]:
        """The lines of one kind."""
        return [line[10:] for line in self.lines if line.startswith(f"{what} ")]

    @property
    def faults(self) -> list[str]:
        """The slugs of the checks that fail."""
        return [line.split(":", 1)[0] for line in self.of("FAILS")]


class Desk:
    """A directory with a configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "doorward.toml"
        self.config.write_text(CONFIG)
        self.keys(KEYS)

    def keys(self, document: Any) -> None:
        """What the issuer publishes."""
        (self.directory / "jwks.json").write_text(json.dumps(document))

    def explain(self, token: str, *options: str) -> Explained:
        """Run the command; nothing of the token may come out."""
        done = CliRunner().invoke(app, ["tokens", "explain", "--config", str(self.config), *options], input=token)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        printed = done.stdout + done.stderr
        for part in re.split(r"[.\s]+", token):
            assert len(part) < 12 or part not in printed, "the token is printed"
        return Explained(done.exit_code, printed)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def token(key: Any = PUBLISHED, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A good token, but for the changes."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": RESOURCE, "sub": "user-1", "client_id": "app", "scope": "read", "exp": now + 600}
    claims = {name: value for name, value in ({**good, "iat": now} | changes).items() if value is not ABSENT}
    return mint(claims, key=key, header=header)


NOW = int(time.time())
REFUSED: dict[str, tuple[Callable[[], str], str, str]] = {
    "another audience": (lambda: token(aud="https://a.example.com"), "invalid_audience", "audiences"),
    "an issuer with a slash": (lambda: token(iss=f"{ISSUER}/"), "invalid_issuer", "url of [[issuer]]"),
    "another issuer": (lambda: token(iss="https://b.example.com"), "invalid_issuer", "url of [[issuer]]"),
    "a key that is not published": (lambda: token(OTHER), "unknown_key", "jwks_file"),
    "a key that cannot be used": (lambda: token(UNUSABLE), "unknown_key", "jwks_file"),
    "another key of the name": (lambda: token(OTHER, {"kid": "published"}), "bad_signature", "jwks_url"),
    "an expired token": (lambda: token(iat=NOW - 1000, exp=NOW - 500), "token_expired", "leeway"),
    "a token of tomorrow": (lambda: token(iat=NOW + 90_000, exp=NOW + 90_600), "token_not_yet_valid", "leeway"),
    "a long life": (lambda: token(exp=NOW + 90_000), "token_lifetime_too_long", "max_token_lifetime"),
    "an ID token": (lambda: token(header={"typ": "JWT"}, at_hash="x"), "invalid_type", "types"),
    "a typ of its own": (lambda: token(header={"typ": "at-jwt"}), "invalid_type", "types"),
    "no sub": (lambda: token(sub=ABSENT), "missing_claim", "subject"),
    "a scope that is a list": (lambda: token(scope=["read"]), "invalid_claim", "RFC 9068"),
    "an organisation of a wrong type": (lambda: token(org=7), "invalid_claim", "RFC 9068"),
    "a bound token": (lambda: token(cnf={"jkt": "x"}), "proof_required", "client_certificate"),
    "a bound token of a certificate": (
        lambda: token(cnf={"x5t#S256": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}),
        "proof_required",
        "client_certificate",
    ),
    "an extension": (lambda: token(header={"crit": ["x"]}), "unsupported_critical", "crit"),
    "a header of a wrong type": (lambda: token(header={"x5c": "x"}), "malformed_token", "introspection"),
    "an opaque token": (lambda: "opaque-token-of-somebody", "malformed_token", "introspection"),
    "half a token": (lambda: token()[:-30] + "!", "malformed_token", "introspection"),
    "a token that is too large": (lambda: token(groups="x" * 17_000), "token_too_large", "16384"),
    "an agent's token": (lambda: "doorward_agent_x", "malformed_token", "[agents]"),
}


@pytest.mark.parametrize(("made", "code", "setting"), REFUSED.values(), ids=REFUSED)
def test_a_refused_token(desk: Desk, made: Callable[[], str], code: str, setting: str) -> None:
    found = desk.explain(made())
    assert found.faults == [code]
    assert setting in found.out
    assert (found.code, found.of("REFUSED")) == (3, [f"401 {code}"])


@pytest.mark.parametrize(
    "around", ["{}", "{}\n", "Bearer {}", "Authorization: Bearer {}\r\n"], ids=["bare", "a line", "bearer", "header"]
)
def test_a_token_that_is_accepted(desk: Desk, around: str) -> None:
    found = desk.explain(around.format(token()))
    assert (found.code, found.of("scopes"), found.faults) == (0, ["read"], [])
    assert found.of("ACCEPTED")


def test_every_fault_is_found_at_once(desk: Desk) -> None:
    made = token(
        signing_key("ES384", "p384"), aud="https://a.example.com", iat=NOW - 9000, exp=NOW - 1000, cnf={"jkt": "x"}
    )
    desk.keys(jwks(PUBLISHED, signing_key("ES384", "p384")))
    assert desk.explain(made).faults == ["unsupported_algorithm", "proof_required"]
    unbound = token(signing_key("ES384", "p384"), aud="https://a.example.com", iat=NOW - 9000, exp=NOW - 1000)
    assert desk.explain(unbound).faults == [
        "unsupported_algorithm",
        "invalid_audience",
        "token_expired",
        "token_lifetime_too_long",
    ]


def test_each_key_says_whether_it_fits(desk: Desk) -> None:
    desk.keys({"keys": [*KEYS["keys"], signing_key("RS256", "rsa").public_jwk(), 7]})
    verdicts = [line.split(": ", 1)[1] for line in desk.explain(token()).of("key")]
    assert verdicts == [
        "fits the header; it made the signature",
        "cannot be used: alg is not a string",
        "has another kid than the header",
        "cannot be used: not an object",
    ]
    assert "none of these keys made the signature" in desk.explain(token(OTHER)).out


def test_the_key_that_signed_is_found_under_another_kid(desk: Desk) -> None:
    [first, *_] = desk.explain(token(header={"kid": "renamed"})).of("key")
    assert first.endswith("has another kid than the header; it made the signature")
    [_, second] = desk.explain(token(UNUSABLE)).of("key")
    assert second.endswith("cannot be used: alg is not a string; it made the signature")


def test_a_revoked_token(desk: Desk) -> None:
    desk.config.write_text(CONFIG + '[revocation]\nfile = "revoked.toml"\n')
    revoked = desk.directory / "revoked.toml"
    revoked.write_text('[[revoked]]\nsubject = "user-1"\n')
    revoked.chmod(0o600)
    assert desk.explain(token()).faults == ["token_revoked"]


# --- agents -----------------------------------------------------------------------------------------------------------


def test_an_agent_s_token(desk: Desk) -> None:
    desk.config.write_text(f'resource = "{RESOURCE}"\n[agents]\nfile = "agents.toml"\n')
    agents = AgentsFile(desk.directory / "agents.toml")
    made = agents.create("nightly")
    before = sorted(desk.directory.iterdir())
    assert desk.explain(made).code == 0
    assert desk.explain(f"{made[:-1]}{'a' if made[-1] != 'a' else 'b'}").faults == ["malformed_token"]
    assert sorted(desk.directory.iterdir()) == before, "to explain a token is no use of it"


# --- what only the issuer could say -----------------------------------------------------------------------------------


def test_an_opaque_token_is_undecided_where_an_issuer_introspects(desk: Desk) -> None:
    desk.config.write_text(
        CONFIG.replace("[[tool]]", f'introspection = {{ url = "{ISSUER}/i", client_id = "mcp", {SECRET} }}\n[[tool]]')
    )
    found = desk.explain("opaque-token-of-somebody")
    assert (found.code, found.faults) == (4, [])
    assert desk.explain(token()).code == 0, "the secret is not needed"


def test_a_jwt_is_undecided_where_its_issuer_is_asked(desk: Desk) -> None:
    asked = f'introspection = {{ url = "{ISSUER}/i", client_id = "mcp", jwts = true, {SECRET} }}\n[[tool]]'
    desk.config.write_text(CONFIG.replace("[[tool]]", asked))
    found = desk.explain(token())
    assert (found.code, found.faults) == (4, [])
    assert "jwts = true" in found.out


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with listening() as server:
        server.jwks = jwks(PUBLISHED)
        yield server


@pytest.mark.parametrize("is_discovered", [True, False], ids=["discovered", "jwks_url"])
def test_keys_are_fetched_only_with_fetch(desk: Desk, server: Misbehaving, is_discovered: bool) -> None:
    source = "" if is_discovered else f'jwks_url = "{server.url}/jwks"'
    desk.config.write_text(CONFIG.replace(ISSUER, server.url).replace('jwks_file = "jwks.json"', source))
    made = token(iss=server.url)
    without = desk.explain(made)
    assert (without.code, server.counts.total()) == (4, 0)
    assert "--fetch" in without.out
    assert desk.explain(made, "--fetch").code == 0
    assert desk.explain(token(OTHER, iss=server.url), "--fetch").faults == ["unknown_key"]


@pytest.mark.parametrize(
    ("document", "why"), [(b"{}", "there is no array named keys"), (b"<html>", "")], ids=["no keys", "a page"]
)
def test_keys_that_cannot_be_had(desk: Desk, server: Misbehaving, document: bytes, why: str) -> None:
    server.jwks = document
    desk.config.write_text(CONFIG.replace(ISSUER, server.url).replace('jwks_file = "jwks.json"', ""))
    found = desk.explain(token(iss=server.url), "--fetch")
    assert (found.code, found.faults) == (3, ["issuer_unavailable"])
    assert why in found.out


# --- wrong usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [("", "no token on the standard input"), (" \n", "no token on the standard input"), ("x" * 70_000, "65536 bytes")],
    ids=["nothing", "blank", "a book"],
)
def test_no_token(desk: Desk, given: str, why: str) -> None:
    found = desk.explain(given)
    assert found.code == 2
    assert why in found.out


def test_a_configuration_that_cannot_be_read(desk: Desk) -> None:
    desk.config.write_text(CONFIG.replace("algorithms", "algoritms"))
    found = desk.explain(token())
    assert found.code == 2
    assert "did you mean algorithms?" in found.out
    desk.config.unlink()
    assert desk.explain(token()).code == 2


def test_each_reason_to_refuse_a_token_has_a_remedy() -> None:
    of_requests = {"missing_credentials", "unsupported_scheme", "token_inactive"}
    assert {code for code, (status, _) in CODES.items() if status == 401} - of_requests <= REMEDIES.keys()
    assert REMEDIES.keys() <= CODES.keys()

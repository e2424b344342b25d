"""What an access token must say, what it is found to say, and which configurations cannot be right."""

from __future__ import annotations

import base64
from types import ModuleType
from typing import Any

import pytest
from minting import ABSENT, AUDIENCE, ISSUER, NOW, claims, jwks, mint, signing_key, verdict, verifier

from doorward import Refused

THUMBPRINT = base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()


def test_what_a_token_says(core: ModuleType) -> None:
    sent = claims(
        aud=[AUDIENCE, "other"],
        scope="read  write read",
        jti="j-1",
        exp=NOW + 0.5,
        extra={"n": [1, 2.5, 2**70, None, True]},
    )
    found = verifier(core).verify(mint(sent), now=NOW)
    assert (found.issuer, found.subject, found.client_id, found.token_id) == (ISSUER, "user-1", "agent-1", "j-1")
    assert (found.audience, found.scopes) == ((AUDIENCE, "other"), ("read", "write"))
    assert (found.issued_at, found.expires_at) == (NOW - 10, NOW + 0.5)
    assert found.raw == sent
    assert found.raw is not found.raw


@pytest.mark.parametrize(
    ("sent", "scopes"),
    [
        ({"scope": "a b"}, ("a", "b")),
        ({"scope": ""}, ()),
        ({"scp": "a b a"}, ("a", "b")),
        ({"scp": ["a", "b c", "a"]}, ("a", "b", "c")),
        ({"scope": "a", "scp": ["b"]}, ("a",)),
        ({"scope": "a\tb"}, ("a\tb",)),
        ({}, ()),
    ],
    ids=str,
)
def test_scopes(core: ModuleType, sent: dict[str, Any], scopes: tuple[str, ...]) -> None:
    assert verifier(core).verify(mint(claims(**sent)), now=NOW).scopes == scopes


@pytest.mark.parametrize(
    ("sent", "client"),
    [
        ({}, "agent-1"),
        ({"azp": "x"}, "agent-1"),
        ({"client_id": ABSENT, "azp": "x"}, "x"),
        ({"client_id": ABSENT}, None),
    ],
    ids=["client_id", "both", "azp", "none"],
)
def test_the_client(core: ModuleType, sent: dict[str, Any], client: str | None) -> None:
    assert verifier(core).verify(mint(claims(**sent)), now=NOW).client_id == client


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *(({name: ABSENT}, "missing_claim") for name in ("iss", "aud", "exp", "sub")),
        *(
            ({name: value}, "invalid_claim")
            for name in ("iss", "sub", "client_id", "azp", "jti")
            for value in (1, "", [])
        ),
        *(
            ({name: value}, "invalid_claim")
            for name in ("exp", "nbf", "iat")
            for value in ("1", True, [], 1e300, 10**30)
        ),
        *(({"aud": value}, "invalid_claim") for value in (1, {}, [AUDIENCE, 1], [[AUDIENCE]])),
        *(({"scope": value}, "invalid_claim") for value in (1, ["a"], {})),
        *(({"scp": value}, "invalid_claim") for value in (1, ["a", 1], {})),
        *(
            ({"aud": value}, "invalid_audience")
            for value in ("", [], [""], AUDIENCE + "/", AUDIENCE.upper(), AUDIENCE[:-1])
        ),
        *(
            ({"iss": value}, "invalid_issuer")
            for value in (ISSUER + "/", ISSUER.upper(), "https://as.example.com.evil.example")
        ),
        ({"exp": NOW}, "token_expired"),
        ({"exp": -1}, "token_expired"),
        ({"exp": NOW + 0.001}, "accepted"),
        ({"nbf": NOW}, "accepted"),
        ({"nbf": NOW + 0.001}, "token_not_yet_valid"),
        ({"iat": NOW + 0.001}, "token_not_yet_valid"),
        ({"iat": ABSENT}, "accepted"),
    ],
    ids=str,
)
def test_claims(core: ModuleType, changes: dict[str, Any], reason: str) -> None:
    assert verdict(verifier(core), mint(claims(**changes))) == reason


@pytest.mark.parametrize(
    "name", ["iss", "aud", "exp", "sub", "nbf", "iat", "jti", "client_id", "azp", "scope", "scp", "cnf", "username"]
)
def test_a_claim_that_is_null_is_absent(core: ModuleType, name: str) -> None:
    verify = verifier(core)
    assert verdict(verify, mint(claims(**{name: None}))) == verdict(verify, mint(claims(**{name: ABSENT})))


@pytest.mark.parametrize(
    "name", ["nonce", "auth_time", "at_hash", "events", "azpacr", "gty", "token_use", "typ", "email"]
)
def test_a_claim_that_is_null_shows_no_kind(core: ModuleType, name: str) -> None:
    verify = verifier(core)
    for changes in ({}, {"client_id": ABSENT, "azp": "agent-1"}, {"client_id": ABSENT, "aud": [AUDIENCE, "app"]}):
        absent, null = ({**changes, name: value} for value in (ABSENT, None))
        found = [verdict(verify, mint(claims(**each), header={"typ": "JWT"})) for each in (absent, null)]
        assert found[0] == found[1], changes


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"iss": ABSENT}, "iss is missing (RFC 9068 section 2.2)"),
        ({"aud": None}, "aud is missing (RFC 9068 section 2.2)"),
        ({"exp": ABSENT}, "exp is missing (RFC 9068 section 2.2)"),
        ({"iss": 1}, "iss is not a string, or empty"),
        ({"sub": ""}, "sub is not a string, or empty"),
        ({"azp": []}, "azp is not a string, or empty"),
        ({"client_id": 1}, "client_id is not a string, or empty"),
        ({"jti": 1}, "jti is not a string, or empty"),
        ({"aud": [1]}, "aud is not a string or an array of strings"),
        ({"scp": 1}, "scp is not a string or an array of strings"),
        ({"exp": "1"}, "exp is not a number of seconds before the year 10000"),
        ({"nbf": True}, "nbf is not a number of seconds before the year 10000"),
        ({"iat": 1e300}, "iat is not a number of seconds before the year 10000"),
        ({"scope": ["read"]}, "scope is not a string"),
        ({"cnf": 1}, "cnf is not an object with a member"),
        ({"cnf": {"x5t#S256": 1}}, "x5t#S256 is not a SHA-256"),
        ({"cnf": {"jkt": "x"}}, "cnf binds the token to a proof other than a certificate"),
    ],
    ids=str,
)
def test_the_detail_names_the_claim(core: ModuleType, changes: dict[str, Any], detail: str) -> None:
    with pytest.raises(Refused) as refused:
        verifier(core).verify(mint(claims(**changes)), now=NOW)
    assert refused.value.detail == detail


@pytest.mark.parametrize(
    ("subject", "changes", "expected"),
    [
        ("sub", {"username": "ann"}, "missing_claim"),
        ("username", {"username": "ann"}, "ann"),
        ("username", {"username": "ann", "sub": "user-1"}, "user-1"),
        ("username", {}, "missing_claim"),
        ("username", {"username": ""}, "missing_claim"),
        ("username", {"username": ["ann"]}, "missing_claim"),
        ("username", {"username": "agent-1"}, "invalid_claim"),
        ("client", {}, "agent-1"),
        ("client", {"client_id": ABSENT, "azp": "agent-2"}, "agent-2"),
        ("client", {"client_id": ABSENT}, "missing_claim"),
        ("client", {"username": "ann"}, "missing_claim"),
        ("client", {"username": "ann", "sub": "user-1"}, "user-1"),
        ("client", {"sub": ""}, "invalid_claim"),
    ],
    ids=str,
)
def test_the_subject_where_sub_is_missing(
    core: ModuleType, subject: str, changes: dict[str, Any], expected: str
) -> None:
    verify = verifier(core, subject=subject)
    token = mint(claims(**({"sub": ABSENT} | changes)))
    found = verdict(verify, token)
    assert (verify.verify(token, now=NOW).subject if found == "accepted" else found) == expected


def test_the_leeway_is_exact(core: ModuleType) -> None:
    verify = verifier(core, leeway=30)
    assert verdict(verify, mint(claims(exp=NOW)), now=NOW + 29.9) == "accepted"
    assert verdict(verify, mint(claims(exp=NOW)), now=NOW + 30) == "token_expired"
    assert verdict(verify, mint(claims(nbf=NOW, iat=ABSENT)), now=NOW - 30) == "accepted"
    assert verdict(verify, mint(claims(nbf=NOW, iat=ABSENT)), now=NOW - 30.1) == "token_not_yet_valid"


def test_a_lifetime_can_be_bounded(core: ModuleType) -> None:
    verify = verifier(core, max_token_lifetime=600)
    assert verdict(verify, mint(claims(iat=NOW, exp=NOW + 600))) == "accepted"
    assert verdict(verify, mint(claims(iat=NOW, exp=NOW + 601))) == "token_lifetime_too_long"
    assert verdict(verify, mint(claims(iat=ABSENT))) == "missing_claim"


@pytest.mark.parametrize("now", [float("nan"), float("inf"), float("-inf")])
def test_a_time_that_is_none_is_a_bug_of_the_caller(core: ModuleType, now: float) -> None:
    with pytest.raises(ValueError, match="now"):
        verifier(core).verify(mint(), now=now)


def test_types_can_be_narrowed(core: ModuleType) -> None:
    verify = verifier(core, types=["application/AT+JWT"])
    assert verdict(verify, mint()) == "accepted"
    assert verdict(verify, mint(header={"typ": "JWT"})) == "invalid_type"
    assert verdict(verify, mint(header={"typ": ABSENT})) == "invalid_type"


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        *(
            ({name: "x"}, "invalid_type")
            for name in ("at_hash", "c_hash", "s_hash", "nonce", "events", "token_introspection")
        ),
        *(({"typ": value}, "invalid_type") for value in ("ID", "Refresh", "Offline", "Logout")),
        ({"token_use": "id"}, "invalid_type"),
        ({"token_use": "access"}, "accepted"),
        ({"typ": "Bearer", "nonce": "x"}, "accepted"),
    ],
    ids=str,
)
def test_another_kind_of_token_is_told_by_its_claims(core: ModuleType, extra: dict[str, Any], reason: str) -> None:
    assert verdict(verifier(core), mint(claims(**extra), header={"typ": "JWT"})) == reason
    assert verdict(verifier(core), mint(claims(**extra))) == "accepted", "typ says at+jwt"


@pytest.mark.parametrize(
    ("confirmation", "certificate", "reason"),
    [
        ({"x5t#S256": THUMBPRINT}, THUMBPRINT, "accepted"),
        ({"x5t#S256": THUMBPRINT}, bytes(range(32)), "accepted"),
        ({"x5t#S256": THUMBPRINT}, None, "proof_required"),
        ({"x5t#S256": THUMBPRINT}, bytes(32), "proof_required"),
        ({"x5t#S256": THUMBPRINT, "jkt": "x"}, THUMBPRINT, "proof_required"),
        ({"jkt": "x"}, THUMBPRINT, "proof_required"),
        ({"x5t#S256": THUMBPRINT + "="}, THUMBPRINT, "invalid_claim"),
        ({"x5t#S256": 1}, THUMBPRINT, "invalid_claim"),
        ({}, THUMBPRINT, "invalid_claim"),
        (None, THUMBPRINT, "accepted"),
        (ABSENT, THUMBPRINT, "accepted"),
    ],
)
def test_bound_tokens_need_their_proof(core: ModuleType, confirmation: Any, certificate: Any, reason: str) -> None:
    assert verdict(verifier(core), mint(claims(cnf=confirmation)), certificate_sha256=certificate) == reason


@pytest.mark.parametrize("certificate", ["", "x", THUMBPRINT + "=", "\ud800", b"", bytes(31), bytes(33)])
def test_a_certificate_is_a_sha256(core: ModuleType, certificate: str | bytes) -> None:
    with pytest.raises(ValueError, match="certificate_sha256"):
        verifier(core).verify(mint(), now=NOW, certificate_sha256=certificate)


def test_a_header_that_is_known_from_another_token_spares_nothing_else(core: ModuleType) -> None:
    verify = verifier(core)
    header = {"typ": "JWT"}
    assert verdict(verify, mint(header=header)) == "accepted"
    for changes, reason in (
        ({"exp": NOW}, "token_expired"),
        ({"aud": "else"}, "invalid_audience"),
        ({"iss": "https://else.example"}, "invalid_issuer"),
        ({"nonce": "x"}, "invalid_type"),
        ({"cnf": {"x5t#S256": THUMBPRINT}}, "proof_required"),
    ):
        assert verdict(verify, mint(claims(**changes), header=header)) == reason
    known, payload, _ = mint(claims(sub="another"), header=header).split(".")
    assert verdict(verify, f"{known}.{payload}.{mint(header=header).split('.')[2]}") == "bad_signature"
    assert verdict(verify, f"{known}.{payload}=.") == "malformed_token"
    assert verdict(verify, mint(header={"typ": "JWT", "kid": "key-2"})) == "unknown_key"
    assert verdict(verify, mint(header={"typ": "ID+JWT"})) == "invalid_type"


def test_a_header_is_known_by_all_its_bytes_and_only_if_it_was_right(core: ModuleType) -> None:
    verify = verifier(core)
    good, bad = mint(), mint(header={"crit": ["x"]})
    for _ in range(2):
        assert verdict(verify, good) == "accepted"
        assert verdict(verify, bad) == "unsupported_critical"
        assert verdict(verify, good.replace(".", "=.", 1)) == "malformed_token"
        assert verdict(verify, "." + good.partition(".")[2]) == "malformed_token"
    for number in [*range(8), *range(8)]:
        assert verdict(verify, mint(header={"more": number})) == "accepted"
        assert verdict(verify, mint(header={"more": number, "alg": "none"})) == "unsupported_algorithm"


@pytest.mark.parametrize(
    "settings",
    [
        {"algorithms": []},
        *({"algorithms": [name]} for name in ("none", "NONE", "ES512", "es256", "", "HS256", "RS1")),
        {"algorithms": ["ES256", "none"]},
        *({"leeway": value} for value in (-1, 300.1, float("nan"), float("inf"))),
        {"issuer": ""},
        *({"audience": value} for value in ("", [], [""])),
        {"types": []},
        *({"subject": value} for value in ("", "SUB", "client_id")),
        *({"max_token_bytes": value} for value in (0, -1)),
        *({"max_token_lifetime": value} for value in (0, -1, float("nan"), float("inf"))),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_right(core: ModuleType, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        verifier(core, **settings)


@pytest.mark.parametrize("algorithms", [["RS256"], ["HS384"], ["HS256", "RS256"]])
def test_a_secret_is_for_its_algorithm(core: ModuleType, algorithms: list[str]) -> None:
    keys = core.KeySet.from_secret(bytes(32), algorithm="HS256")
    with pytest.raises(ValueError, match="secret"):
        core.Verifier(keys, issuer=ISSUER, audience=AUDIENCE, algorithms=algorithms)


def test_several_issuers_never_share_keys(core: ModuleType) -> None:
    ours, theirs = signing_key(), signing_key("ES256", "key-2")
    other = "https://other.example"
    verify = core.Verifiers(
        [verifier(core, jwks(ours)), verifier(core, jwks(theirs), issuer=other, max_token_bytes=400)]
    )
    assert verdict(verify, mint()) == "accepted"
    assert verify.verify(mint(claims(iss=other), key=theirs), now=NOW).issuer == other
    assert verdict(verify, mint(claims(iss=other))) == "unknown_key"
    assert verdict(verify, mint(claims(iss=other), header={"kid": "key-2"})) == "bad_signature"
    assert verdict(verify, mint(claims(iss=other, jti="x" * 200), key=theirs)) == "token_too_large"
    assert verdict(verify, mint(claims(iss="https://else.example"))) == "invalid_issuer"
    assert verdict(verify, mint(claims(iss=ABSENT))) == "missing_claim"
    assert verdict(verify, mint(claims(iss=[ISSUER]))) == "invalid_claim"


def test_several_issuers_are_several(core: ModuleType) -> None:
    for verifiers in ([], [verifier(core), verifier(core)]):
        with pytest.raises(ValueError, match="verifier"):
            core.Verifiers(verifiers)

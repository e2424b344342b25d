"""What an introspection endpoint may answer, and what that means."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from minting import ABSENT, AUDIENCE, ISSUER, NOW, mint, verifier
from tokens.asking import CERTIFICATE, THUMBPRINT, TOKEN, UNAVAILABLE, Asking, good, verified_jwt
from tokens.endpoint import Endpoint, later

from doorward import _core
from doorward.errors import Refused, Unauthenticated
from doorward.principal import Principal
from doorward.settings import Issuer
from doorward.tokens.answers import Answer, Judge

pytestmark = pytest.mark.anyio


async def test_an_active_token_is_a_principal(served: Endpoint) -> None:
    asking = Asking(served, max_revocation_delay=20, organization_claim="org")
    served.answer(good(org="acme", jti="t-1", scope="read  write read"))
    verified = await asking.verify()
    assert verified.principal == Principal(
        ISSUER, "user-1", "agent-1", "acme", ("read", "write"), "t-1", expires_at=NOW + 600
    )
    assert verified.principal.claims["org"] == "acme"
    assert "active" not in verified.principal.claims
    assert (verified.not_before, verified.fresh_until) == (NOW, NOW + 20)
    assert [verified.standing] == list(asking.introspector.standings)
    assert not asking.alarms


WRONG_TYPES = {
    "active": ("true", 1, None, ABSENT, [True], {}),
    "iss": (7, "", [ISSUER]),
    "sub": (7, "", ["user-1"]),
    "client_id": (7, ""),
    "azp": (7,),
    "aud": (7, {}, [AUDIENCE, 7]),
    "exp": ("soon", True, [NOW + 600], 1e15, str(NOW + 600)),
    "nbf": ("now", False),
    "iat": ("now", False),
    "scope": (["read"], 7),
    "jti": (7, ""),
    "token_type": (7, ""),
    "cnf": ("x", {}, [], {"x5t#S256": 7}, {"x5t#S256": "short"}, {"x5t#S256": f"{THUMBPRINT}="}),
}
ANSWERS = {
    "as a JWT": (good(), "accepted"),
    "audiences": (good(aud=["https://other.example.com", AUDIENCE]), "accepted"),
    "the other spelling of the slash": (good(aud=f"{AUDIENCE}/"), "accepted"),
    "no issuer: the endpoint's own": (good(iss=ABSENT), "accepted"),
    "no subject": (good(sub=ABSENT), "missing_claim"),
    "no subject, though a user is named": (good(sub=ABSENT, username="ann"), "missing_claim"),
    "no client": (good(client_id=ABSENT), "accepted"),
    "no scope": (good(scope=ABSENT), "accepted"),
    "no type of token": (good(token_type=ABSENT), "accepted"),
    "a type in other letters": (good(token_type="bEARER"), "accepted"),
    "unknown members": (good(groups=["a"], username="Ann", typ="Bearer", token_use="access_token"), "accepted"),
    "inactive": ({"active": False}, "token_inactive"),
    "inactive, and good apart from that": (good(active=False), "token_inactive"),
    "inactive, with nonsense": ({"active": False, "exp": "never"}, "token_inactive"),
    "another issuer": (good(iss="https://other.example.com"), "invalid_issuer"),
    "an issuer with a slash more": (good(iss=f"{ISSUER}/"), "invalid_issuer"),
    "no audience": (good(aud=ABSENT), "missing_claim"),
    "another audience": (good(aud="https://other.example.com/mcp"), "invalid_audience"),
    "an audience that begins like ours": (good(aud=f"{AUDIENCE}/more"), "invalid_audience"),
    "an empty list of audiences": (good(aud=[]), "invalid_audience"),
    "no expiry": (good(exp=ABSENT), "missing_claim"),
    "expired this second": (good(exp=NOW), "token_expired"),
    "before its time": (good(nbf=NOW + 1), "token_not_yet_valid"),
    "issued in the future": (good(iat=NOW + 1), "token_not_yet_valid"),
    "neither subject nor client": (good(sub=ABSENT, client_id=ABSENT), "missing_claim"),
    "DPoP": (good(token_type="DPoP"), "proof_required"),
    "bound to a key": (good(cnf={"jkt": "x"}), "proof_required"),
    "bound to a certificate and a key": (good(cnf={"x5t#S256": THUMBPRINT, "jkt": "x"}), "proof_required"),
    "bound to a certificate": (good(cnf={"x5t#S256": THUMBPRINT}), "proof_required"),
    "another type of token": (good(token_type="mac"), "invalid_type"),
    "a refresh token": (good(token_use="refresh_token"), "invalid_type"),
    "a refresh token of Keycloak": (good(typ="Refresh"), "invalid_type"),
    "an ID token": (good(typ="ID"), "invalid_type"),
    "an ID token, by its claims": (good(at_hash="x"), "invalid_type"),
    "nothing that shows an access token": (
        good(scope=ABSENT, client_id=ABSENT, token_type=ABSENT, auth_time=NOW),
        "invalid_type",
    ),
    "an organisation that is none": (good(org=7), "invalid_claim"),
    **{
        f"{name}: {value!r:.30}": (good(**{name: value}), UNAVAILABLE if name == "active" else "invalid_claim")
        for name, values in WRONG_TYPES.items()
        for value in values
    },
}


@pytest.mark.parametrize(
    "name",
    ["iss", "sub", "client_id", "azp", "aud", "exp", "nbf", "iat", "scope", "jti", "token_type", "cnf", "username"],
)
async def test_a_member_that_is_null_is_absent(served: Endpoint, name: str) -> None:
    asking, found = Asking(served), []
    for number, value in enumerate((None, ABSENT)):
        served.answer(good(**{name: value}))
        found.append(await asking.verdict(f"token-{number}"))
    assert found[0] == found[1]
    assert not asking.alarms


async def test_an_odd_answer_refuses_its_token_alone_and_names_the_member(served: Endpoint) -> None:
    asking = Asking(served)
    served.answer(good(exp="soon"))
    for _ in range(2):
        with pytest.raises(Unauthenticated) as refused:
            await asking.verify()
        assert (
            refused.value.detail == "in the introspection answer exp is not a number of seconds before the year 10000"
        )
    assert len(served.asked) == 1, "remembered, as every refusal that the token's holder cannot change"
    served.answer(good())
    assert await asking.verdict("another-token") == "accepted"
    assert not asking.alarms


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer(served: Endpoint, answer: dict[str, Any], expected: str) -> None:
    served.answer(answer)
    assert await Asking(served, organization_claim="org").verdict() == expected


@pytest.mark.parametrize(
    ("subject", "answer", "expected"),
    [
        pytest.param("sub", {}, "missing_claim", id="sub: nobody is named"),
        pytest.param("sub", {"username": "ann"}, "missing_claim", id="sub: a username is not asked for"),
        pytest.param("sub", {"sub": "user-1"}, "user-1", id="sub: as always"),
        pytest.param("username", {"username": "ann"}, "ann", id="username: a user"),
        pytest.param("username", {"username": "ann", "sub": "user-1"}, "user-1", id="username: sub comes first"),
        pytest.param("username", {}, "missing_claim", id="username: nobody is named"),
        pytest.param("username", {"username": ""}, "missing_claim", id="username: an empty name"),
        pytest.param("username", {"username": 7}, "missing_claim", id="username: a name that is no string"),
        pytest.param("username", {"username": "agent-1"}, "invalid_claim", id="username: a user named as the client"),
        pytest.param("client", {}, "agent-1", id="client: a machine"),
        pytest.param("client", {"sub": "service-1"}, "service-1", id="client: sub comes first"),
        pytest.param("client", {"username": "ann"}, "missing_claim", id="client: a user at an issuer for machines"),
        pytest.param("client", {"client_id": ABSENT}, "missing_claim", id="client: no client either"),
    ],
)
async def test_who_is_named_where_sub_is_missing(
    served: Endpoint, subject: str, answer: dict[str, Any], expected: str
) -> None:
    served.answer(good(**({"sub": ABSENT} | answer)))
    try:
        found = (await Asking(served, subject=subject).verify()).principal.subject
    except Unauthenticated as refused:
        found = refused.code
    assert found == expected


async def test_users_of_one_client_are_callers_of_their_own(served: Endpoint) -> None:
    asking = Asking(served, subject="username")
    identities = set()
    for name in ("alice", "bob"):
        served.answer(good(sub=ABSENT, username=name))
        identities.add((await asking.verify(f"token-of-{name}")).principal.identity)
    assert len(identities) == 2


async def test_the_refusal_names_the_setting(served: Endpoint) -> None:
    served.answer(good(sub=ABSENT))
    with pytest.raises(Unauthenticated) as refused:
        await Asking(served).verify()
    assert 'set subject of this [[issuer]] to "username"' in refused.value.detail


async def test_leeway_and_lifetime_are_those_of_the_issuer(served: Endpoint) -> None:
    asking = Asking(served, leeway=30, max_token_lifetime=700)
    for changes, expected in (
        ({"exp": NOW - 29}, "accepted"),
        ({"exp": NOW - 30}, "token_expired"),
        ({"nbf": NOW + 30}, "accepted"),
        ({"nbf": NOW + 31}, "token_not_yet_valid"),
        ({"iat": NOW - 100, "exp": NOW + 600}, "accepted"),
        ({"iat": NOW - 101, "exp": NOW + 600}, "token_lifetime_too_long"),
        ({"iat": ABSENT}, "missing_claim"),
    ):
        served.answer(good(**changes))
        assert await asking.verdict(f"token-{changes}".translate({ord(each): "-" for each in "{}': ,<>"})) == expected


async def test_a_certificate_is_compared_on_every_request(served: Endpoint) -> None:
    served.answer(good(cnf={"x5t#S256": THUMBPRINT}))
    asking = Asking(served)
    assert await asking.verdict(certificate=None) == "proof_required"
    assert await asking.verdict(certificate=b"\xff" * 32) == "proof_required"
    verified = await asking.verify(certificate=CERTIFICATE)
    assert verified.certificate_sha256 == CERTIFICATE
    assert not verified.holds(now=NOW, certificate_sha256=None)


@pytest.mark.parametrize(
    "more", [{"cnf": {"x5t#S256": THUMBPRINT, "jkt": "x"}}, {"cnf": {"x5t#S256": THUMBPRINT}, "token_type": "DPoP"}]
)
async def test_a_certificate_is_not_enough_where_more_is_needed(served: Endpoint, more: dict[str, Any]) -> None:
    served.answer(good(**more))
    assert await Asking(served).verdict(certificate=CERTIFICATE) == "proof_required"


async def test_waiters_on_one_answer_show_certificates_of_their_own(served: Endpoint) -> None:
    served.answer(good(cnf={"x5t#S256": THUMBPRINT}))
    release = threading.Event()
    served.behaviour = later(served.behaviour, release)
    asking = Asking(served)
    verdicts: dict[bytes | None, str] = {}

    async def show(certificate: bytes | None) -> None:
        verdicts[certificate] = await asking.verdict(certificate=certificate)

    async with anyio.create_task_group() as tasks:
        for certificate in (CERTIFICATE, None, b"\xff" * 32):
            tasks.start_soon(show, certificate)
        await anyio.to_thread.run_sync(served.arrived.acquire)
        release.set()
    assert verdicts == {CERTIFICATE: "accepted", None: "proof_required", b"\xff" * 32: "proof_required"}
    assert len(served.asked) == 1


# --- against the core -------------------------------------------------------------------------------------------------

ODD = st.sampled_from(["", "x", ISSUER, AUDIENCE, THUMBPRINT, 0, NOW, NOW + 1, 1e300, True, None, [], [AUDIENCE], {}])
TIMES = st.sampled_from([NOW - 600, NOW - 1, NOW, NOW + 0.5, NOW + 1, NOW + 600])
MEMBERS = {
    "active": st.just(True) | ODD,
    "iss": st.just(ISSUER) | ODD,
    "sub": st.just("user-1") | ODD,
    "client_id": st.just("agent-1") | ODD,
    "azp": st.just("agent-1") | ODD,
    "aud": st.sampled_from([AUDIENCE, [AUDIENCE], ["x", AUDIENCE]]) | ODD,
    "exp": TIMES | ODD,
    "nbf": TIMES | ODD,
    "iat": TIMES | ODD,
    "jti": st.just("t-1") | ODD,
    "scope": st.text(alphabet="ab ", max_size=8) | ODD,
    "cnf": st.sampled_from([{"x5t#S256": THUMBPRINT}, {"jkt": "x"}, {"x5t#S256": "x"}]) | ODD,
}
JUDGE = Judge(Issuer(ISSUER, ["ES256"], leeway=0), [AUDIENCE])


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """A good answer in which a few members are others, or absent."""
    names = draw(st.sets(st.sampled_from(sorted(MEMBERS)), max_size=4))
    return good(**{name: draw(MEMBERS[name] | st.just(ABSENT)) for name in names})


@given(changed(), st.sampled_from([None, CERTIFICATE]))
def test_what_is_enough_would_be_enough_in_a_jwt(document: dict[str, Any], certificate: bytes | None) -> None:
    try:
        answer = Answer.read(document)
        subject, expires_at = JUDGE.check(answer, now=NOW, certificate_sha256=certificate)
    except (ValueError, Unauthenticated):
        event("refused")
        return
    event("accepted")
    given = {name: value for name, value in document.items() if value is not None}  # null is absent
    token = mint({"iss": ISSUER, "sub": subject, **given})
    claims = verifier(_core).verify(token, now=NOW, certificate_sha256=certificate)
    assert (claims.subject, claims.expires_at) == (subject, expires_at)
    assert (claims.client_id, claims.scopes, claims.token_id) == (answer.client_id, answer.scopes, answer.token_id)
    assert claims.certificate_sha256 == answer.certificate_sha256


# --- JWTs -------------------------------------------------------------------------------------------------------------


async def test_a_jwt_that_counts_stays_what_it_is_until_the_answer_is_old(served: Endpoint) -> None:
    served.answer({"active": True})
    asking = Asking(served, jwts=True)
    before = verified_jwt()
    after = await asking.introspector.confirmed(TOKEN, before, now=NOW)
    assert after.principal is before.principal
    assert after.standing is before.standing
    assert (after.fresh_until, after.not_before) == (NOW + 30, NOW)
    assert after.holds(now=NOW + 29, certificate_sha256=None)
    assert not after.holds(now=NOW + 30, certificate_sha256=None)
    assert asking.introspector.asks_about_jwts
    assert not Asking(served).introspector.asks_about_jwts


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"active": False}, "token_inactive"),
        ({"active": "true"}, UNAVAILABLE),
        (good(), "accepted"),
        (good(aud="https://other.example.com"), "invalid_audience"),
        (good(iss="https://other.example.com"), "invalid_issuer"),
        (good(exp=NOW), "token_expired"),
        (good(sub="user-2"), UNAVAILABLE),
        (good(cnf={"x5t#S256": THUMBPRINT}), "proof_required"),
        (good(token_type="DPoP"), "proof_required"),
    ],
)
async def test_what_is_said_about_a_jwt(served: Endpoint, answer: dict[str, Any], expected: str) -> None:
    served.answer(answer)
    try:
        await Asking(served).introspector.confirmed(TOKEN, verified_jwt(), now=NOW)
        verdict = "accepted"
    except Refused as refused:
        verdict = refused.code
    assert verdict == expected


async def test_a_jwt_bound_to_a_certificate_was_proven_already(served: Endpoint) -> None:
    served.answer(good(cnf={"x5t#S256": THUMBPRINT}))
    bound = verified_jwt(certificate_sha256=CERTIFICATE)
    assert (await Asking(served).introspector.confirmed(TOKEN, bound, now=NOW)).certificate_sha256 == CERTIFICATE

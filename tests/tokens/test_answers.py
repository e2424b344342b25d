"""What an introspection endpoint may answer, and what that means."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest
from minting import ABSENT, AUDIENCE, ISSUER, NOW
from tokens.asking import CERTIFICATE, THUMBPRINT, TOKEN, UNAVAILABLE, Asking, good, verified_jwt
from tokens.endpoint import Endpoint, later

from toolgate.errors import Refused
from toolgate.principal import Principal

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
    assert verified.voucher is asking.introspector
    assert not asking.alarms


WRONG_TYPES = {
    "active": ("true", 1, None, ABSENT, [True], {}),
    "iss": (7, "", None, [ISSUER]),
    "sub": (7, "", None, ["user-1"]),
    "client_id": (7, "", None),
    "azp": (7,),
    "aud": (7, None, {}, [AUDIENCE, 7]),
    "exp": ("soon", None, True, [NOW + 600], 1e15, str(NOW + 600)),
    "nbf": ("now", None, False),
    "iat": ("now", None, False),
    "scope": (["read"], None, 7),
    "jti": (7, ""),
    "token_type": (7, ""),
    "cnf": ("x", None, {}, [], {"x5t#S256": 7}, {"x5t#S256": "short"}, {"x5t#S256": f"{THUMBPRINT}="}),
}
ANSWERS = {
    "as a JWT": (good(), "accepted"),
    "audiences": (good(aud=["https://other.example.com", AUDIENCE]), "accepted"),
    "the other spelling of the slash": (good(aud=f"{AUDIENCE}/"), "accepted"),
    "no issuer: the endpoint's own": (good(iss=ABSENT), "accepted"),
    "no subject: the client itself": (good(sub=ABSENT), "accepted"),
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
    "an organisation that is none": (good(org=7), "invalid_claim"),
    **{
        f"{name}: {value!r:.30}": (good(**{name: value}), UNAVAILABLE)
        for name, values in WRONG_TYPES.items()
        for value in values
    },
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer(served: Endpoint, answer: dict[str, Any], expected: str) -> None:
    served.answer(answer)
    assert await Asking(served, organization_claim="org").verdict() == expected


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


# --- JWTs -------------------------------------------------------------------------------------------------------------


async def test_a_jwt_that_counts_stays_what_it_is_until_the_answer_is_old(served: Endpoint) -> None:
    served.answer({"active": True})
    asking = Asking(served, jwts=True)
    before = verified_jwt()
    after = await asking.introspector.confirmed(TOKEN, before, now=NOW)
    assert after.principal is before.principal
    assert after.voucher is before.voucher
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

"""Introspection against a real endpoint: what it may answer, how it may misbehave, and what each question costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from minting import ABSENT, AUDIENCE, ISSUER, NOW
from tokens.endpoint import Endpoint, endpoint, hang, huge, later, reply, slowloris, truncated

from toolgate.errors import Refused, Unauthenticated, Unavailable
from toolgate.principal import Principal
from toolgate.settings import Introspection, Issuer, Secret
from toolgate.tokens.introspection import MAX_IN_FLIGHT, REFUSED_SECONDS, Introspector
from toolgate.tokens.keys import GivenKeys
from toolgate.tokens.verified import Verified

pytestmark = pytest.mark.anyio

TOKEN = "opaque-token.of~some+length/=="
CERTIFICATE = bytes(range(32))
THUMBPRINT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, where both are installed."""
    pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture
def served() -> Iterator[Endpoint]:
    """An endpoint to which every token is good."""
    with endpoint(reply(good())) as running:
        yield running


def good(**changes: Any) -> dict[str, Any]:
    """An answer that is right, with changes; `ABSENT` leaves a member out."""
    answer = {
        "active": True,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "client_id": "agent-1",
        "scope": "read write",
        "exp": NOW + 600,
        "iat": NOW - 10,
        "token_type": "Bearer",
    }
    return {name: value for name, value in (answer | changes).items() if value is not ABSENT}


class Asking:
    """An introspector of the endpoint, and what it raised the alarm about."""

    def __init__(self, served: Endpoint, **settings: Any) -> None:
        self.alarms: list[str] = []
        issuer = {name: settings.pop(name) for name in ("leeway", "max_token_lifetime") if name in settings}
        organization_claim = settings.pop("organization_claim", None)
        given = {"url": served.url, "client_id": "mcp", "secret": Secret(b"hunter2"), "jwts": True} | settings
        self.introspector = Introspector(
            Issuer(ISSUER, ["ES256"], introspection=Introspection(**given), **({"leeway": 0} | issuer)),
            [AUDIENCE, f"{AUDIENCE}/"],
            organization_claim=organization_claim,
            alarm=self.alarms.append,
        )

    async def verify(self, token: str = TOKEN, *, now: float = NOW, certificate: bytes | None = None) -> Verified:
        return await self.introspector.verify(token, now=now, certificate_sha256=certificate)

    async def verdict(self, token: str = TOKEN, *, now: float = NOW, certificate: bytes | None = None) -> str:
        """``accepted``, or the slug of the refusal."""
        try:
            await self.verify(token, now=now, certificate=certificate)
        except Refused as refused:
            return refused.code
        return "accepted"


# --- what an answer means ---------------------------------------------------------------------------------------------


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


UNAVAILABLE = "issuer_unavailable"
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


BODIES = {
    "a member twice": b'{"active": false, "active": true}',
    "a member twice inside": b'{"active": true, "cnf": {"jkt": "a", "jkt": "b"}}',
    "no object": b"[true]",
    "nothing": b"",
    "two values": b'{"active": true}{}',
    "not UTF-8": b'{"active": true, "x": "\xff"}',
    "UTF-16": '{"active": true}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + b'{"active": true}',
    "NaN": b'{"active": true, "exp": NaN}',
    "beyond a double": b'{"active": true, "exp": 1e999}',
    "too many digits": b'{"active": true, "exp": ' + b"9" * 5000 + b"}",
    "a lone surrogate": rb'{"active": true, "sub": "\ud800"}',
    "a lone surrogate as a name": rb'{"active": true, "\udfff": 1}',
    "too deep": b'{"active": true, "x": ' + b"[" * 33 + b"]" * 33 + b"}",
    "far too deep": b'{"active": true, "x": ' + b"[" * 60_000,
    "too large": b'{"active": true, "x": "' + b"x" * 65_536 + b'"}',
}
MISBEHAVIOURS = {
    **{name: reply(body) for name, body in BODIES.items()},
    "500": reply(good(), status="500 Oh"),
    "401, so that our own secret is wrong": reply({"error": "invalid_client"}, status="401 Unauthorized"),
    "201": reply(good(), status="201 Created"),
    "a redirect": reply(good(), status="307 Temporary\r\nlocation: /other"),
    "html": reply(b"<html>active: true</html>", content_type="text/html"),
    "JSON that says it is html": reply(good(), content_type="text/html"),
    "JSON that does not say it": reply(good(), content_type=None),
    "a signed answer (RFC 9701)": reply(good(), content_type="application/token-introspection+jwt"),
    "compressed": reply(good(), content_type="application/json\r\ncontent-encoding: gzip"),
    "truncated": truncated,
    "without end": huge,
    "no HTTP": lambda _, connection: connection.sendall(b"active: true\n\n"),
    "a closed connection": lambda _, connection: None,
}


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
async def test_an_odd_endpoint_is_no_verdict_on_the_token(served: Endpoint, misbehaviour: str) -> None:
    served.behaviour = MISBEHAVIOURS[misbehaviour]
    asking = Asking(served)
    with pytest.raises(Unavailable) as refused:
        await asking.verify()
    assert (refused.value.code, refused.value.retry_after) == (UNAVAILABLE, 1.0)
    assert "true" not in refused.value.detail
    assert len(asking.alarms) == 1


async def test_nobody_listens() -> None:
    with endpoint(hang) as gone:
        pass
    asking = Asking(gone)
    assert await asking.verdict() == UNAVAILABLE
    assert asking.alarms == ["introspection_unreachable"]


async def test_json_may_name_its_charset(served: Endpoint) -> None:
    served.answer(good(), content_type="Application/JSON;charset=UTF-8")
    assert await Asking(served).verdict() == "accepted"


@pytest.mark.parametrize("misbehaviour", [slowloris, hang])
async def test_the_deadline_is_for_the_whole_answer(served: Endpoint, misbehaviour: Any) -> None:
    served.behaviour = misbehaviour
    asking = Asking(served, max_revocation_delay=1)
    began = time.monotonic()
    assert await asking.verdict() == UNAVAILABLE
    assert 0.9 < time.monotonic() - began < 4
    assert asking.alarms == ["introspection_unreachable"]


async def test_five_seconds_at_one_byte_a_second(served: Endpoint) -> None:
    served.behaviour = slowloris
    began = time.monotonic()
    assert await Asking(served).verdict() == UNAVAILABLE
    assert 4.9 < time.monotonic() - began < 6


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


def verified_jwt(**changes: Any) -> Verified:
    """A JWT whose signature was verified."""
    principal = Principal(ISSUER, "user-1", "agent-1", None, ("read",), "t-1", expires_at=NOW + 600)
    voucher = GivenKeys.__new__(GivenKeys)
    return Verified(**{"principal": principal, "voucher": voucher, "generation": 0, "not_before": NOW - 40} | changes)


async def test_a_jwt_that_counts_stays_what_it_is_until_the_answer_is_old(served: Endpoint) -> None:
    served.answer({"active": True})
    asking = Asking(served)
    before = verified_jwt()
    after = await asking.introspector.confirmed(TOKEN, before, now=NOW)
    assert after.principal is before.principal
    assert after.voucher is before.voucher
    assert (after.fresh_until, after.not_before) == (NOW + 30, NOW)
    assert after.holds(now=NOW + 29, certificate_sha256=None)
    assert not after.holds(now=NOW + 30, certificate_sha256=None)
    assert asking.introspector.asks_about_jwts
    assert not Asking(served, jwts=False).introspector.asks_about_jwts


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


# --- what is asked, and how often -------------------------------------------------------------------------------------


async def test_the_question(served: Endpoint) -> None:
    await Asking(served).verify()
    [asked] = served.asked
    assert asked.form == {"token": TOKEN, "token_type_hint": "access_token"}
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("x" * 16_385, "token_too_large"),
        ("", "malformed_token"),
        ("two words", "malformed_token"),
        ("line\nbreak", "malformed_token"),
        ("=x", "malformed_token"),
        ("tökën", "malformed_token"),
        ("x&token=y", "malformed_token"),
    ],
)
async def test_what_is_no_token_is_not_asked_about(served: Endpoint, token: str, expected: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await Asking(served).verify(token)
    assert refused.value.code == expected
    assert not served.asked


async def test_a_good_answer_is_remembered_by_whoever_asked_and_nowhere_else(served: Endpoint) -> None:
    asking = Asking(served)
    await asking.verify()
    served.answer({"active": False})
    assert await asking.verdict(now=NOW + 1) == "token_inactive"


@pytest.mark.parametrize(
    "answer", [{"active": False}, good(aud="https://other.example.com"), good(exp=NOW - 1), good(aud=ABSENT)]
)
async def test_a_dead_token_costs_one_question_for_a_while(served: Endpoint, answer: dict[str, Any]) -> None:
    served.answer(answer)
    asking = Asking(served)
    verdicts = {await asking.verdict(now=NOW + elapsed) for elapsed in range(int(REFUSED_SECONDS))}
    assert len(verdicts) == 1
    assert len(served.asked) == 1
    served.answer(good())
    assert await asking.verdict(now=NOW + REFUSED_SECONDS) == "accepted"


async def test_what_time_changes_is_asked_again(served: Endpoint) -> None:
    served.answer(good(nbf=NOW + 5))
    asking = Asking(served)
    assert await asking.verdict() == "token_not_yet_valid"
    assert await asking.verdict(now=NOW + 5) == "accepted"


async def test_a_failure_is_forgotten_after_a_second(served: Endpoint) -> None:
    served.answer(good(), status="500 Oh")
    asking = Asking(served)
    assert await asking.verdict() == UNAVAILABLE
    served.answer(good())
    assert await asking.verdict(now=NOW + 0.9) == UNAVAILABLE
    assert await asking.verdict("another") == "accepted"
    assert await asking.verdict(now=NOW + 1) == "accepted"


async def test_requests_with_the_same_token_share_a_question(served: Endpoint) -> None:
    release = threading.Event()
    served.behaviour = later(served.behaviour, release)
    asking = Asking(served)
    verdicts: list[str] = []

    async def ask() -> None:
        verdicts.append(await asking.verdict())

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(ask)
        await anyio.to_thread.run_sync(served.arrived.acquire)
        release.set()
    assert verdicts == ["accepted"] * 50
    assert len(served.asked) == 1


async def test_the_end_of_the_first_request_is_not_the_end_of_its_question(served: Endpoint) -> None:
    release = threading.Event()
    served.behaviour = later(served.behaviour, release)
    asking = Asking(served)
    verdicts: list[str] = []

    async def ask() -> None:
        verdicts.append(await asking.verdict())

    async def first(scope: anyio.CancelScope) -> None:
        with scope:
            await ask()
            await anyio.lowlevel.checkpoint()
            verdicts.append("the first went on")

    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        tasks.start_soon(first, scope)
        await anyio.to_thread.run_sync(served.arrived.acquire)
        for _ in range(3):
            tasks.start_soon(ask)
        await anyio.lowlevel.checkpoint()
        scope.cancel()
        await anyio.lowlevel.checkpoint()
        release.set()
    assert verdicts == ["accepted"] * 4
    assert len(served.asked) == 1


async def test_when_the_first_is_torn_away_the_next_asks(served: Endpoint, anyio_backend_name: str) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("only tasks of asyncio are cancelled past a shield")
    import asyncio

    asking = Asking(served)
    served.behaviour = hang
    first = asyncio.create_task(asking.verdict())
    await anyio.to_thread.run_sync(served.arrived.acquire)
    second = asyncio.create_task(asking.verdict())
    await anyio.lowlevel.checkpoint()
    served.answer(good())
    first.cancel()
    assert await second == "accepted"
    assert first.cancelled() or (await asyncio.wait([first]))
    assert len(served.asked) == 2


async def test_no_more_than_so_many_questions_wait(served: Endpoint) -> None:
    release = threading.Event()
    served.behaviour = later(served.behaviour, release)
    asking = Asking(served)
    verdicts: list[str] = []

    async def ask(number: int) -> None:
        verdicts.append(await asking.verdict(f"token-{number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(MAX_IN_FLIGHT):
            tasks.start_soon(ask, number)
        for _ in range(MAX_IN_FLIGHT):
            await anyio.to_thread.run_sync(served.arrived.acquire)
        assert await asking.verdict("one-more") == UNAVAILABLE
        assert asking.alarms == ["introspection_saturated"]
        assert not verdicts
        tasks.start_soon(ask, 0)  # waits with the one that asks already
        await anyio.lowlevel.checkpoint()
        release.set()
    assert verdicts == ["accepted"] * (MAX_IN_FLIGHT + 1)
    assert len(served.asked) == MAX_IN_FLIGHT
    assert await asking.verdict("one-more") == "accepted"

"""Introspection against a real endpoint: how it may misbehave, and what each question costs."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import anyio
import jwt
import pytest
from conftest import Proof, Tell
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from minting import ABSENT, NOW
from tokens.asking import TOKEN, UNAVAILABLE, Asking, good
from tokens.endpoint import Endpoint, endpoint, hang, huge, reply, slowloris, truncated

from doorward.errors import Refused, Unauthenticated, Unavailable
from doorward.settings import Secret
from doorward.tokens.introspection import MAX_ANSWER_BYTES, REFUSED_SECONDS

pytestmark = pytest.mark.anyio

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
    "far too deep": b'{"active": true, "x": ' + b"[" * 16_000,
    "too large": b'{"active": true, "x": "' + b"x" * MAX_ANSWER_BYTES + b'"}',
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


async def test_an_answer_that_comes_after_its_issuer_was_taken_away_is_old(served: Endpoint) -> None:
    asking = Asking(served)
    answer = reply(good())

    def too_late(asked: Any, connection: Any) -> None:
        asking.introspector.retire(keep=())
        answer(asked, connection)

    served.behaviour = too_late
    verified = await asking.verify()
    assert not verified.holds(now=NOW, certificate_sha256=None)


# --- what is asked, and how often -------------------------------------------------------------------------------------


async def test_the_question(served: Endpoint) -> None:
    await Asking(served).verify()
    [asked] = served.asked
    assert asked.form == {"token": TOKEN, "token_type_hint": "access_token"}
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["accept"] == "application/json"
    assert asked.headers["authorization"] == f"Basic {base64.b64encode(b'mcp:hunter2').decode()}"


async def test_the_question_with_a_key(served: Endpoint) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    asking = Asking(served, secret=None, private_key=Secret(pem, "2026-11"))
    await asking.verify()
    await asking.verify("another")
    assertions = [asked.form["client_assertion"] for asked in served.asked]
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = [
        jwt.decode(each, key.public_key(), ["ES256"], audience=served.url, options=options) for each in assertions
    ]
    assert claims[0]["exp"] <= NOW + 60
    assert claims[0]["jti"] != claims[1]["jti"]
    assert "authorization" not in served.asked[0].headers


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


async def test_no_error_repeats_what_is_secret(served: Endpoint) -> None:
    for behaviour in (reply({"active": False}), reply({"active": TOKEN}), reply(b"{", status="500 Oh"), hang):
        served.behaviour = behaviour
        with pytest.raises(Refused) as refused:
            await Asking(served, max_revocation_delay=1).verify()
        error: BaseException | None = refused.value
        while error is not None:
            assert TOKEN not in f"{error!r} {error}"
            assert "hunter2" not in f"{error!r} {error}"
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


async def test_ten_thousand_refused_tokens_are_remembered_and_no_more(
    served: Endpoint, anyio_backend_name: str, tell: Tell, proof: Proof
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("a proof that takes long enough on one event loop")

    class Inactive:
        async def post(self, url: str, form: Any, *, headers: Any, max_bytes: int) -> bytes:
            await anyio.lowlevel.checkpoint()  # as any real one: what a loop has to clear away waits for it to run
            return b'{"active": false}'

    asking = Asking(served, fetcher=Inactive())
    count = proof("made-up tokens", small=20_000, large=10_000_000)
    before = resident_bytes()
    for number in range(count):
        await asking.verdict(f"made-up-token-of-usual-length-{number}")
    grown = resident_bytes() - before
    tell(f"{count:,} made-up tokens: {grown / 2**20:.1f} MiB")
    assert grown < 64 * 2**20


def resident_bytes() -> int:
    """What the process holds."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except FileNotFoundError:
        return 0

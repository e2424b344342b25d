"""Keys that an issuer adds, replaces and withdraws: what happens to tokens that were verified, and to new ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest
from conftest import Proof
from minting import ABSENT, NOW, jwks, signing_key
from tokens.fetched import A, B, Subject
from tokens.misbehaving import Misbehaving

from doorward.tokens.jwks import COOL_DOWN, LIFETIME

pytestmark = pytest.mark.anyio

C = signing_key("ES256", "C")
A_REPLACED = replace(signing_key("ES256", "other A"), kid="A")
NAMELESS, NAMELESS_REPLACED = (signing_key("ES256", name) for name in ("nameless", "other nameless"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that a test can wait for; the real one is tested where fetching is."""
    monkeypatch.setattr("doorward.tokens.jwks.DEADLINE", 0.5)


def document(*keys: Any, **changes: Any) -> dict[str, Any]:
    """A key set whose first key has other members."""
    members = jwks(*keys)["keys"]
    return {"keys": [{**members[0], **changes}, *members[1:]]}


def without_ids(*keys: Any) -> dict[str, Any]:
    """A key set in which no key has a `kid`."""
    members = [{name: value for name, value in key.items() if name != "kid"} for key in jwks(*keys)["keys"]]
    return {"keys": members}


# --- tokens that were verified ----------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "the same": (jwks(A, B), []),
    "another order": (jwks(B, A), []),
    "one added": (jwks(C, A, B), []),
    "other members changed": (document(A, B, x5c=["AA"], expires=1), []),
    "a key that cannot be used": ({"keys": [*jwks(A, B)["keys"], {"kty": "oct", "kid": "C", "k": "AAAA"}]}, []),
    "A withdrawn": (jwks(B), ["A"]),
    "A withdrawn, another added": (jwks(B, C), ["A"]),
    "all withdrawn": (jwks(C), ["A", "B"]),
    "A replaced under its id": (jwks(A_REPLACED, B), ["A"]),
    "A under another id": (document(A, B, kid="A2"), ["A"]),
    "A without an id": ({"keys": [*without_ids(A)["keys"], *jwks(B)["keys"]]}, ["A"]),
    "a second key with the id of A": (jwks(A, A_REPLACED, B), ["A"]),
    "A for encryption only": (document(A, B, use="enc"), ["A"]),
}


@pytest.mark.parametrize(("published", "withdrawn"), CHANGES.values(), ids=CHANGES)
async def test_a_change_withdraws_the_tokens_of_the_keys_that_are_gone_and_no_others(
    subject: Subject, published: dict[str, Any], withdrawn: list[str]
) -> None:
    subject.server.jwks = jwks(A, B)
    verified = {key.kid: await subject.verified(key) for key in (A, B)}
    subject.server.jwks = published
    for key in (A, B):
        told = await subject.verify(key, now=NOW + LIFETIME)
        assert (told != "accepted") is (key.kid in withdrawn)
    assert [kid for kid, each in verified.items() if each.standing.withdrawn] == withdrawn
    assert subject.fetches == 2


@pytest.mark.parametrize("published", [[B], [A, B]], ids=["the old one is withdrawn", "both are published"])
async def test_the_token_that_made_the_gate_fetch_a_new_key_holds(subject: Subject, published: list[Any]) -> None:
    old = await subject.verified()
    subject.server.jwks = jwks(*published)
    verified = await subject.verified(B, now=NOW + COOL_DOWN)
    assert verified.holds(now=NOW + COOL_DOWN, certificate_sha256=None)
    assert old.standing.withdrawn is (A not in published)


async def test_a_key_that_comes_back_verifies_anew(subject: Subject) -> None:
    first = await subject.verified()
    for age, keys in ((1, [B]), (2, [A])):
        subject.server.jwks = jwks(*keys)
        await subject.verify(now=NOW + age * LIFETIME)
    second = await subject.verified(now=NOW + 2 * LIFETIME)
    assert (first.standing.withdrawn, second.standing.withdrawn) == (True, False)


async def test_keys_of_an_issuer_that_was_taken_out_verify_nothing_that_holds(subject: Subject) -> None:
    before = await subject.verified()
    subject.keys.retire(keep=())
    subject.server.jwks = jwks(A, B)
    after = await subject.verified(B, now=NOW + COOL_DOWN)
    assert (before.standing.withdrawn, after.standing.withdrawn) == (True, True)


# --- another key under the same id ------------------------------------------------------------------------------------

REPLACED: dict[str, tuple[dict[str, Any], Any, dict[str, Any], Any, Any]] = {
    "the same id": (jwks(A), A, jwks(A_REPLACED), A_REPLACED, None),
    "the same id, among others": (jwks(B, A), A, jwks(A_REPLACED, B), A_REPLACED, None),
    "keys without ids": (without_ids(NAMELESS), NAMELESS, without_ids(NAMELESS_REPLACED), NAMELESS_REPLACED, ABSENT),
    "tokens without ids": (jwks(A), A, jwks(B), B, ABSENT),
}


@pytest.mark.parametrize(("before", "old", "after", "new", "kid"), REPLACED.values(), ids=REPLACED)
async def test_a_replaced_key_is_usable_after_the_cool_down(
    subject: Subject, before: dict[str, Any], old: Any, after: dict[str, Any], new: Any, kid: Any
) -> None:
    subject.server.jwks = before
    assert await subject.verify(old, kid=kid) == "accepted"
    subject.server.jwks = after
    assert await subject.verify(new, kid=kid, now=NOW + COOL_DOWN - 1) == "bad_signature"
    assert (subject.fetches, subject.charged) == (1, 0)
    assert await subject.verify(new, kid=kid, now=NOW + COOL_DOWN) == "accepted"
    assert (subject.fetches, subject.charged) == (2, 1)
    assert await subject.verify(old, kid=kid, now=NOW + COOL_DOWN) == "bad_signature"


async def forge(subject: Subject, now: float) -> str:
    """What a token gets that names A and was signed by somebody else."""
    return await subject.verify(C, kid="A", now=now)


async def unknown(subject: Subject, now: float) -> str:
    """What a token gets whose key was never published."""
    return await subject.verify(C, now=now)


@pytest.mark.parametrize(
    "kinds", [[forge], [forge, unknown], [unknown, forge]], ids=["forged", "forged first", "unknown first"]
)
async def test_one_cool_down_for_every_cause(subject: Subject, kinds: list[Callable[..., Any]], proof: Proof) -> None:
    await subject.verify()
    many = proof("tokens that no key verifies", small=300, large=30_000)
    for n in range(many):
        told = await kinds[n % len(kinds)](subject, NOW + 10 * COOL_DOWN * n / many)
        assert told in ("bad_signature", "unknown_key")
    assert subject.fetches == 1 + 9
    assert await subject.verify(now=NOW + 10 * COOL_DOWN) == "accepted"


async def test_a_forgery_is_charged_before_anything_is_fetched(subject: Subject) -> None:
    await subject.verify()
    subject.is_over_budget = True
    assert await forge(subject, NOW + COOL_DOWN) == "too_many_failures"
    assert (subject.fetches, subject.charged) == (1, 1)
    subject.server.jwks = jwks(A, B)
    assert await subject.verify(B, now=NOW + COOL_DOWN) == "accepted", "and it has not begun the cool-down"


@pytest.mark.usefixtures("impatient")
async def test_only_the_first_of_them_waits(subject: Subject) -> None:
    await subject.verify()
    subject.server.mode("jwks", "hang")
    async with anyio.create_task_group() as together:
        together.start_soon(partial(forge, subject, NOW + COOL_DOWN))
        await anyio.sleep(0.05)
        with anyio.fail_after(0.3):
            for _ in range(20):
                assert await forge(subject, NOW + COOL_DOWN) == "bad_signature"
            assert await subject.verify(now=NOW + COOL_DOWN) == "accepted"
    assert (subject.fetches, subject.charged) == (2, 1)


async def test_of_two_event_loops_one_fetches(subject: Subject) -> None:
    await subject.verify()

    def another_was_first() -> None:
        assert subject.keys._begins_cool_down(NOW + COOL_DOWN)

    subject.on_charge = another_was_first
    assert await forge(subject, NOW + COOL_DOWN) == "bad_signature"
    assert subject.fetches == 1


FAILURES: dict[str, Callable[[Misbehaving], Any]] = {
    "nobody there": lambda server: server.mode("jwks", "refuse"),
    "an error": lambda server: server.mode("jwks", "500"),
    "not JSON": lambda server: server.mode("jwks", "html"),
    "no key": lambda server: server.mode("jwks", "empty_keys"),
    "no key that can be used": lambda server: setattr(server, "jwks", document(A, use="enc")),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
async def test_a_fetch_for_a_forgery_that_fails_changes_nothing(
    subject: Subject, fail: Callable[[Misbehaving], Any]
) -> None:
    verified = await subject.verified()
    fail(subject.server)
    assert await forge(subject, NOW + COOL_DOWN) == "bad_signature"
    assert subject.fetches == 2
    assert await subject.verify(now=NOW + COOL_DOWN) == "accepted"
    assert verified.holds(now=NOW + COOL_DOWN, certificate_sha256=None)


@pytest.mark.parametrize("published_at", [1, 15, 29, 30, 31, 59], ids=lambda second: f"{second} s")
async def test_forgeries_do_not_delay_a_new_key_beyond_the_cool_down(subject: Subject, published_at: int) -> None:
    await subject.verify()
    for second in range(1, published_at + 1):
        await forge(subject, NOW + second)
    subject.server.jwks = jwks(A, B)
    waited = 0
    while await subject.verify(B, now=NOW + published_at + waited) != "accepted":
        waited += 1
        await forge(subject, NOW + published_at + waited)
    assert waited <= COOL_DOWN

"""The reason of a refusal, over HTTP: in the record always, in the log once for each cause."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from guarded import NOW, RESOURCE, Guarded, message
from minting import ABSENT, claims, mint, signing_key

import doorward
from doorward.errors import refusal
from doorward.refusal_log import MAX_CAUSES, MAX_LINES, QUIET_SECONDS, RefusalLog
from doorward.testing import Issuer

ISSUER = Issuer("https://as.example.com")
KEY = signing_key("ES256", "published")
SECOND = 1_000_000_000
OF = f"(issuer {ISSUER.url})"


@pytest.fixture
def it(tmp_path: Path) -> Guarded:
    """A gate that knows one key of one issuer."""
    settings: dict[str, Any] = {"max_token_lifetime": 3600}
    published = json.dumps({"keys": [KEY.public_jwk()]})
    return Guarded(
        tmp_path / "audit.jsonl", ISSUER, issuers=[doorward.Issuer(ISSUER.url, ["ES256"], published, **settings)]
    )


def signed(*, key: Any = KEY, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token of the issuer that is good, but for the changes."""
    return mint(claims(**({"aud": RESOURCE, "scope": "read"} | changes)), key=key, header=header)


AUD = f"aud does not name this resource: expected {RESOURCE} or {RESOURCE}/, came"
CAUSES = {
    "another audience": (
        lambda: signed(aud="https://other.example.com/mcp"),
        "invalid_audience",
        f"{AUD} https://other.example.com/mcp {OF}",
    ),
    "several audiences": (
        lambda: signed(aud=["a", "b", "c", "d"]),
        "invalid_audience",
        f"{AUD} a or b or c and 1 more {OF}",
    ),
    "an audience with a query": (
        lambda: signed(aud="https://a.example.com/?access_token=hunter2"),
        "invalid_audience",
        f"{AUD} a value of 43 characters that is not shown {OF}",
    ),
    "an audience that looks like a token": (
        lambda: signed(aud="eyJhbGciOiJFUzI1NiJ9"),
        "invalid_audience",
        f"{AUD} a value of 20 characters that is not shown {OF}",
    ),
    "an audience of control characters": (
        lambda: signed(aud="a\x1b[31m"),
        "invalid_audience",
        f"{AUD} a value of 6 characters that is not shown {OF}",
    ),
    "an audience without end": (
        lambda: signed(aud="a" * 5000),
        "invalid_audience",
        f"{AUD} a value of 5000 characters that is not shown {OF}",
    ),
    "another algorithm": (
        lambda: signed(key=signing_key("ES384", "published")),
        "unsupported_algorithm",
        f"alg is not on the allow list: expected ES256, came ES384 {OF}",
    ),
    "an algorithm that nobody knows": (
        lambda: signed(header={"alg": "hunter2"}),
        "unsupported_algorithm",
        f"alg is not on the allow list: expected ES256, came none that is known {OF}",
    ),
    "a key that is not published": (
        lambda: signed(key=signing_key("ES256", "unpublished")),
        "unknown_key",
        f"kid names no key that can be used {OF}",
    ),
    "a key of the same name": (
        lambda: signed(key=signing_key("ES256", "other"), header={"kid": "published"}),
        "bad_signature",
        f"the signature does not verify {OF}",
    ),
    "an issuer with a slash more": (
        lambda: signed(iss=f"{ISSUER.url}/"),
        "invalid_issuer",
        f"iss is not a configured issuer: it differs from {ISSUER.url} by case or by a slash at its end alone",
    ),
    "an issuer that is not configured": (
        lambda: signed(iss="https://hunter2.example.com"),
        "invalid_issuer",
        "iss is not a configured issuer",
    ),
    "no issuer": (lambda: signed(iss=ABSENT), "invalid_issuer", "iss is missing"),
    "a claim of a wrong type": (
        lambda: signed(exp="hunter2"),
        "invalid_claim",
        f"exp is not a number of seconds before the year 10000 {OF}",
    ),
    "a claim that is missing": (
        lambda: signed(exp=ABSENT),
        "missing_claim",
        f"exp is missing (RFC 9068 section 2.2) {OF}",
    ),
    "a lifetime that is too long": (
        lambda: signed(exp=NOW + 7200),
        "token_lifetime_too_long",
        f"exp lies too far behind iat: max_token_lifetime is 3600 s {OF}",
    ),
    "a header of a wrong type": (
        lambda: signed(header={"x5c": "hunter2"}),
        "malformed_token",
        f"x5c is not an array of strings {OF}",
    ),
    "no JWT": (lambda: "opaque", "malformed_token", "the token is not a JWT"),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("token", "code", "detail"), CAUSES.values(), ids=CAUSES)
async def test_the_record_and_the_log_say_why(
    it: Guarded, caplog: pytest.LogCaptureFixture, token: Callable[[], str], code: str, detail: str
) -> None:
    for _ in range(3):
        await it.gate.decide(authorization=f"Bearer {token()}", body=message())
    assert [(record["reason"], record["detail"]) for record in it.records()] == [(code, detail)] * 3
    [line] = [record.getMessage() for record in caplog.records if "requests are refused" in record.getMessage()]
    assert line == (
        f"requests are refused with 401 {code}: {detail}; `doorward tokens explain` says more about one token"
    )
    assert "hunter2" not in caplog.text + it.trail.read_text()


@pytest.mark.anyio
async def test_what_honest_clients_meet_is_no_warning(it: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "doorward")
    await it.gate.decide(body=message())
    await it.gate.decide(authorization=f"Bearer {signed(exp=NOW - 60)}", body=message())
    levels = [record.levelno for record in caplog.records if "requests are refused" in record.getMessage()]
    assert levels == [logging.INFO, logging.INFO]


@pytest.mark.anyio
async def test_a_token_that_came_without_http_is_explained_too(it: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(doorward.Unauthenticated):
        await it.gate.authenticate(signed(aud="a"))
    assert f"{AUD} a" in caplog.text


@pytest.mark.anyio
async def test_a_reload_does_not_repeat_what_was_logged(it: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        await it.gate.decide(authorization="Bearer opaque", body=message())
        it.gate.reload(it.gate.configuration)
    assert caplog.text.count("the token is not a JWT") == 1


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The details that were logged since the last look."""
    found = [record.getMessage().split(": ", 1)[1].split(";")[0] for record in caplog.records]
    caplog.clear()
    return found


def test_a_cause_is_logged_again_when_it_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    log, quiet = RefusalLog(), int(QUIET_SECONDS)
    for second in (0, 1, quiet, 2 * quiet - 1):
        log.note(refusal("bad_signature", "a"), tick=second * SECOND)
    assert lines(caplog) == ["a"], "it never went away"
    log.note(refusal("bad_signature", "a"), tick=(3 * quiet - 1) * SECOND)
    assert lines(caplog) == ["a"]


def test_another_detail_is_another_cause(caplog: pytest.LogCaptureFixture) -> None:
    log = RefusalLog()
    for code, detail in (("bad_signature", "a"), ("bad_signature", "b"), ("unknown_key", "a")) * 2:
        log.note(refusal(code, detail), tick=0)
    assert lines(caplog) == ["a", "b", "a"]


def test_a_flood_of_causes_is_bounded_and_none_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    log = RefusalLog()
    causes = [refusal("bad_signature", str(number)) for number in range(MAX_LINES + 5)]
    for cause in causes:
        log.note(cause, tick=0)
    assert lines(caplog) == [str(number) for number in range(MAX_LINES)]
    for cause in causes:
        log.note(cause, tick=60 * SECOND)
    assert "(5 refusals of other causes were not logged)" in caplog.text
    assert len(lines(caplog)) == 5, "those that found no room before"


def test_the_causes_remembered_are_bounded() -> None:
    log = RefusalLog()
    for number in range(MAX_CAUSES + 50):
        log.note(refusal("bad_signature", str(number)), tick=number * 60 * SECOND)
    assert len(log._seen) == MAX_CAUSES

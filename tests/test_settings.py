"""The settings: right once they exist, and silent about what is secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from doorward import KeySet, Verifier
from doorward.gate import Gate
from doorward.settings import (
    Agents,
    Audit,
    AuditSink,
    Budget,
    Checkpoint,
    Confirmation,
    Introspection,
    Issuer,
    Limits,
    MethodRule,
    PromptRule,
    ResourceRule,
    Revocation,
    Secret,
    ToolRule,
)
from doorward.settings.issuers import _ALGORITHMS, _HMAC, _KNOWN_TO_THE_CORE
from doorward.testing import Issuer as ThrowAway

URL = "https://as.example.com"
ENDPOINT = "https://as.example.com/ask"
JWKS = ThrowAway(URL).jwks()
NAN = float("nan")


def issuer(**given: Any) -> Issuer:
    return Issuer(**{"url": URL, "algorithms": ["ES256"], "jwks": JWKS, **given})


def asked(**given: Any) -> Introspection:
    return Introspection(**{"url": ENDPOINT, "client_id": "mcp", "secret": Secret(b"hunter2"), **given})


def rule(**given: Any) -> ToolRule:
    return ToolRule(**{"match": "a", "scopes": [], **given})


def webhook(url: Any = "https://approve.example.com/", **given: Any) -> Confirmation:
    return Confirmation(**({"webhook": url, "webhook_key": Secret(b"k" * 32)} | given))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        # the core's words about the rate, behind the name of the field
        (lambda: Budget("600"), 'rate is wrong: "600" is not a limit'),
        (lambda: Budget("600/fortnight"), "rate is wrong: .* is not a limit"),
        (lambda: Budget("-1/minute"), "rate is wrong"),
        (lambda: Budget("1.5/minute"), "rate is wrong"),
        (lambda: Budget("600/minute burst 601"), "rate is wrong: .*burst"),
        (lambda: Budget("600/minute burst 5", strict=True), "rate is wrong"),
        (lambda: Budget("600/minute strict"), "rate must not say strict"),
        (lambda: Budget(""), "rate must be a string, and not empty"),
        (lambda: Budget(600), "rate must be a string"),  # type: ignore[arg-type]
        (lambda: Budget("6/minute", strict=1), "strict must be true or false"),  # type: ignore[arg-type]
        (lambda: Budget("6/minute", mode="off"), "mode is 'off': it must be enforce or observe"),
        (lambda: rule(match=""), "match must be a string, and not empty"),
        (lambda: rule(match=None), "match must be a string"),
        (lambda: rule(scopes="read"), r'scopes must be a list, like \["mcp:tools:read"\]'),
        (lambda: rule(scopes=["two words"]), "scopes has 'two words': a scope is visible ASCII"),
        (lambda: rule(scopes=['a"']), "scopes has"),
        (lambda: rule(scopes=["a\\"]), "scopes has"),
        (lambda: rule(scopes=["a\r\nSet-Cookie: x"]), "scopes has"),
        (lambda: rule(scopes=["é"]), "scopes has"),
        (lambda: rule(scopes=[""]), "scopes has"),
        (lambda: rule(scopes=[1]), "scopes has 1"),
        (lambda: rule(limit="6/minute"), "limit must be a list"),
        (lambda: rule(limit=[6]), "limit has a wrong budget: rate must be a string"),
        (lambda: rule(limit=["6/minute", "7/minute burst 2"]), "limit has two budgets for the same unit"),
        (lambda: rule(total_limit=["6/era"]), "total_limit has a wrong budget: rate is wrong"),
        (lambda: rule(cost=-1), "cost must be a whole number, at least 0"),
        (lambda: rule(cost=1.5), "cost must be a whole number"),
        (lambda: rule(cost=True), "cost must be a whole number"),
        (lambda: rule(cost=10**30), "cost is out of bounds"),
        (lambda: rule(cost=7, limit=["9/hour", "6/minute"]), "cost is 7: more than 6/minute ever holds"),
        (lambda: rule(cost=3, total_limit=["6/minute burst 2"]), "cost is 3: more than 6/minute burst 2 ever holds"),
        (lambda: rule(cost=4, limit=[Budget("6/minute", strict=True)]), "cost is 4: more than 6/minute strict ever"),
        (lambda: rule(confirm="yes"), "confirm must be true or false"),
        (lambda: rule(mode="audit"), "mode is 'audit'"),
        (lambda: Limits(client="6/minute"), r"client must be a list"),
        (lambda: Limits(organization=["6/x"]), "organization has a wrong budget"),
        (lambda: Limits(failed_auth="none"), "failed_auth has a wrong budget"),
        (lambda: Limits(failed_auth=None), "failed_auth has a wrong budget"),  # type: ignore[arg-type]
        (lambda: Limits(streams=0), "streams must be a whole number, at least 1"),
        (lambda: Limits(streams=None), "streams must be a whole number, at least 1"),  # type: ignore[arg-type]
        (lambda: Limits(streams=10**9), "streams must be at most"),
        (lambda: Limits(max_keys=0), "max_keys must be a whole number, at least 1"),
        (lambda: Limits(max_keys=10**30), "max_keys is out of bounds"),
        (lambda: issuer(url=""), "url must be a string, and not empty"),
        (lambda: issuer(url="as.example.com"), "url is 'as.example.com': it must be like https://"),
        (lambda: issuer(url="https:///path"), "url is"),
        (lambda: issuer(url="https://[::1"), "url is"),
        (lambda: issuer(url="ftp://as.example.com"), "url is"),
        (lambda: issuer(url="https://as.example.com?x"), "url is"),
        (lambda: issuer(url="https://as.example.com#"), "url is"),
        (lambda: issuer(url="https://user@as.example.com"), "url is"),
        (lambda: issuer(url="https://as.example.com/\n"), "url is"),
        (lambda: issuer(algorithms=[]), "algorithms must be a list of strings, and not empty"),
        (lambda: issuer(algorithms="ES256"), "algorithms must be a list"),
        (lambda: issuer(algorithms=["none"]), "algorithms are wrong: none is not an algorithm"),
        (lambda: issuer(algorithms=["HS256"]), "algorithms has 'HS256', a shared secret: .* by ES256 or RS256"),
        (lambda: issuer(algorithms=["ES512"]), "algorithms are wrong: ES512"),
        (
            lambda: issuer(algorithms=["es256"]),
            r"algorithms has 'es256', which is not offered; did you mean ES256\? offer",
        ),
        (
            lambda: issuer(algorithms=["ES256", "RS265"]),
            r"algorithms has 'RS265', .* did you mean RS256\? offered are",
        ),
        (lambda: issuer(algorithms=["x"]), "algorithms has 'x', which is not offered; offered are ES256, ES384"),
        (lambda: issuer(jwks=None, url="http://as.example.com"), "url must be https, or on this machine"),
        (lambda: issuer(jwks=None, jwks_url="http://as.example.com/a"), "jwks_url must be https, or on this machine"),
        (lambda: issuer(jwks={}), "jwks is not a JSON Web Key Set: there is no array named keys"),
        (lambda: issuer(jwks="{"), "jwks is not a JSON Web Key Set"),
        (lambda: issuer(jwks=b"\xff"), "jwks is not a JSON Web Key Set"),
        (lambda: issuer(jwks=7), "jwks is not a JSON Web Key Set: it must be JSON"),
        (lambda: issuer(jwks={"keys": [NAN]}), "jwks"),
        (lambda: issuer(jwks={"keys": []}), "jwks has no key that can be used: it is empty"),
        (
            lambda: issuer(jwks={"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}),
            r"jwks has no key that can be used: keys\[0\]",
        ),
        (lambda: issuer(leeway=-1), "leeway is not from 0 to 300"),
        (lambda: issuer(leeway=301), "leeway is not from 0 to 300"),
        (lambda: issuer(leeway=NAN), "leeway is not from 0 to 300"),
        (lambda: issuer(leeway="30"), "leeway must be a number of seconds"),
        (lambda: issuer(leeway=True), "leeway must be a number of seconds"),
        (lambda: issuer(types=[]), "types must be a list of strings, and not empty"),
        (lambda: issuer(types="JWT"), "types must be a list"),
        (lambda: issuer(subject="email"), "subject is 'email': it must be sub or username or client"),
        (lambda: issuer(max_token_lifetime=0), "max_token_lifetime is not a positive number"),
        (lambda: issuer(max_token_lifetime=-60), "max_token_lifetime is not a positive number"),
        (lambda: issuer(max_token_lifetime=NAN), "max_token_lifetime is not a positive number"),
        (lambda: issuer(max_token_lifetime=float("inf")), "max_token_lifetime is not a positive number"),
        (lambda: issuer(jwks_url="https://as.example.com/keys"), "jwks_url must not stand beside jwks"),
        (lambda: issuer(jwks=None, jwks_url="keys.json"), "jwks_url is 'keys.json': it must be like"),
        (lambda: issuer(max_stale=-1), "max_stale must be from 0 seconds to 30 days"),
        (lambda: issuer(max_stale=NAN), "max_stale must be from 0 seconds to 30 days"),
        (lambda: issuer(max_stale="1d"), "max_stale must be a number of seconds"),
        (lambda: issuer(introspection=ENDPOINT), "introspection must be an Introspection"),
        (lambda: asked(url="http://as.example.com/ask"), "url must be https, or on this machine"),
        (lambda: asked(url="https://as.example.com/ask?a"), "url is"),
        (lambda: asked(client_id=""), "client_id must be a string, and not empty"),
        (lambda: asked(secret=None), "secret is missing: give it, or a private_key"),
        (lambda: asked(secret=b"text"), "secret must be a Secret"),
        (lambda: asked(private_key=Secret(b"key")), "private_key must not stand beside secret"),
        (lambda: asked(max_revocation_delay=0.5), "max_revocation_delay must be from 1 to 3600"),
        (lambda: asked(max_revocation_delay=3601), "max_revocation_delay must be from 1 to 3600"),
        (lambda: asked(max_revocation_delay=NAN), "max_revocation_delay must be from 1 to 3600"),
        (lambda: asked(max_revocation_delay=True), "max_revocation_delay must be a number"),
        (lambda: asked(opaque=1), "opaque must be true or false"),
        (lambda: asked(opaque=False), "jwts must be true where opaque is false"),
        (lambda: Agents(""), "file must be a string, and not empty"),
        (lambda: Revocation(None), "file must be a string"),  # type: ignore[arg-type]
        (lambda: Secret("text"), "value must be bytes"),  # type: ignore[arg-type]
        (lambda: Secret(b""), "value must be bytes, and not empty"),
        (lambda: Audit(path=""), "path must be a string, and not empty"),
        (lambda: Audit(durability="eventual"), "durability is 'eventual': it must be buffered or written or durable"),
        (lambda: Audit(on_failure="ignore"), "on_failure is 'ignore': it must be deny or allow"),
        (lambda: Audit(key=b"k" * 32), "key must be a Secret"),  # type: ignore[arg-type]
        (lambda: Audit(key=Secret(b"short")), "key must have at least 32 bytes"),
        (lambda: Audit(durability="durable"), "durability is 'durable': that needs a file"),
        (lambda: Audit(sinks=["audit.jsonl"]), "sinks has a str: each must be a doorward.AuditSink"),  # type: ignore[list-item]
        (lambda: Audit(sinks=AuditSink("a")), r"sinks is an AuditSink: it must be a list, like \[doorward.AuditSink"),  # type: ignore[arg-type]
        (lambda: AuditSink(sink=print), r"sink must have two methods, write\(lines\) and close"),  # type: ignore[arg-type]
        (lambda: Audit("a", sinks=[AuditSink("b")]), "sinks must not stand beside path"),
        (lambda: Audit(sinks=[AuditSink("b"), AuditSink("b", daily=True)]), "sinks name one place twice"),
        (AuditSink, "path, syslog, otel or sink must be given"),
        (lambda: AuditSink("a", otel=True), "path, syslog, otel or sink must be given, exactly one"),
        (lambda: AuditSink(""), "path must be a string, and not empty"),
        (lambda: AuditSink(otel=1), "otel must be true or false"),  # type: ignore[arg-type]
        (lambda: AuditSink(syslog="log.example.com"), "syslog is 'log.example.com': it must be like /dev/log"),
        (lambda: AuditSink(syslog="udp://log.example.com"), "syslog is 'udp://log.example.com': it must be like"),
        (lambda: AuditSink(syslog="tcp://[::1"), "syslog is"),
        (lambda: AuditSink("a", on_failure="ignore"), "on_failure is 'ignore': it must be deny or allow"),
        (lambda: AuditSink("a", max_bytes=100), "max_bytes must be a whole number, at least 4096"),
        (lambda: AuditSink("stdout", daily=True), "daily is for a file: nothing else is rotated"),
        (lambda: AuditSink(syslog="udp://log.example.com:514/path"), "syslog is"),
        (
            lambda: AuditSink(syslog="udp://me@log.example.com:514"),
            r"syslog is .*it must be like /dev/log, udp://host:514",
        ),
        (
            lambda: AuditSink(syslog="udp://log:514?framing=newline"),
            r"syslog is .*of udp:// are none",
        ),
        (
            lambda: AuditSink(syslog="tcp://log:601?verify=no"),
            r"syslog is .*the parameters of tcp:// are framing, each once",
        ),
        (
            lambda: AuditSink(syslog="tls://log:6514?verify=no"),
            r"syslog is .*are ca_file and certificate_file, each once",
        ),
        (
            lambda: AuditSink(syslog="tcp://log:601?framing=octets&framing=newline"),
            r"syslog is .*are framing, each once",
        ),
        (lambda: AuditSink(syslog="tcp://log:601?framing=lines"), r"syslog is .*framing must be octets or newline"),
        (lambda: AuditSink(syslog="tls://log:6514?ca_file="), r"syslog is .*a parameter is empty"),
        (lambda: AuditSink(syslog="/dev/log", max_bytes=5000), "max_bytes is for a file: nothing else is rotated"),
        (lambda: Audit(checkpoint=Secret(b"k")), "checkpoint must be a Checkpoint"),  # type: ignore[arg-type]
        (lambda: Checkpoint(key="k"), "key must be a Secret"),  # type: ignore[arg-type]
        (lambda: Checkpoint(key=Secret(b"k"), every=0), "every must be a whole number, at least 1"),
        (lambda: Checkpoint(key=Secret(b"k"), every=1_000_001), "every must be at most 1000000 records"),
        (lambda: Checkpoint(key=Secret(b"k"), seconds=0.5), "seconds must be from 1 to 86400"),
        (lambda: Checkpoint(key=Secret(b"k"), seconds=NAN), "seconds must be from 1 to 86400"),
        (lambda: Confirmation(lifetime=9), "lifetime must be from 10 seconds to 60 minutes"),
        (lambda: Confirmation(lifetime=3601), "lifetime must be from 10 seconds to 60 minutes"),
        (lambda: Confirmation(lifetime=NAN), "lifetime must be from 10 seconds to 60 minutes"),
        (lambda: Confirmation(lifetime="10m"), "lifetime must be a number of seconds"),  # type: ignore[arg-type]
        (lambda: Confirmation(asks="10/minute"), "asks must be a list"),
        (lambda: Confirmation(asks=[]), "asks must name a budget"),
        (lambda: Confirmation(asks=["many"]), "asks has a wrong budget"),
        (lambda: Confirmation(key=b"k" * 32), "key must be a Secret"),  # type: ignore[arg-type]
        (lambda: Confirmation(key=Secret(b"short")), "key must have at least 32 bytes"),
        (lambda: webhook(webhook_key=None), "webhook_key must stand beside webhook"),
        (lambda: webhook(None), "webhook must stand beside webhook_key"),
        (lambda: webhook(webhook_key=Secret(b"short")), "webhook_key must have at least 32 bytes"),
        (lambda: webhook("http://approve.example.com/"), "webhook must be an https URL"),
        (lambda: webhook("http://127.0.0.1/"), "webhook must be an https URL"),
        (lambda: webhook("https://"), "webhook must be an https URL"),
        (lambda: webhook("https://a:b@approve.example.com/"), "webhook must be an https URL"),
        (lambda: webhook("https://approve.example.com/#a"), "webhook must be an https URL"),
        (lambda: webhook("https://approve.example.com/a b"), "webhook must be an https URL"),
        (lambda: webhook("https://approve.example.com:x/"), "webhook must be an https URL"),
        (lambda: webhook("https://[::1/"), "webhook must be an https URL"),
        (lambda: webhook(""), "webhook must be a string, and not empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_right_is_refused_by_the_name_of_its_field(make: Callable[[], Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^(?:{problem})"):
        make()


@pytest.mark.parametrize(
    ("name", "given", "problem"),
    [
        ("tools", [{"match": "*"}], r"has a dict: each must be a doorward.ToolRule\(...\)"),
        ("tools", [PromptRule("*", [])], "has a PromptRule: each must be a doorward.ToolRule"),
        ("tools", rule(), r"is a ToolRule: it must be a list, like \[doorward.ToolRule"),
        ("tools", None, "is None: it must be a list"),
        ("resources", "a", r"is a str: it must be a list, like \[doorward.ResourceRule"),
        ("prompts", [None], "has None: each must be a doorward.PromptRule"),
        ("methods", [MethodRule], "has the class MethodRule: each must be a doorward.MethodRule"),
        ("issuers", [URL], "has a str: each must be a doorward.Issuer"),
        ("issuers", issuer(), r"is an Issuer: it must be a list, like \[doorward.Issuer"),
        ("agents", "agents.toml", "is a str: it must be a doorward.Agents"),
        ("revocation", "revoked.toml", "is a str: it must be a doorward.Revocation"),
        ("limits", {"client": ["6/minute"]}, "is a dict: it must be a doorward.Limits"),
        ("limits", {}, "is a dict: it must be a doorward.Limits"),
        ("audit", "audit.jsonl", "is a str: it must be a doorward.Audit"),
        ("audit", AuditSink("a"), "is an AuditSink: it must be a doorward.Audit"),
        ("confirmation", True, "is a bool: it must be a doorward.Confirmation"),
        ("scopes", ["a"], 'is a list: it must be a dictionary, like {"mcp:tools:write"'),
        ("scopes", {"a": "b"}, "must be a list, like"),
        ("filter_lists", "no", "must be true or false"),
        ("audiences", URL, "must be a list of strings"),
        ("max_body_bytes", "1", "must be a whole number"),
        ("approver", "me", "must be a function that takes a Question"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_argument_of_the_wrong_kind_is_refused_by_its_name(name: str, given: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} {problem}"):
        Gate(**{"resource": "https://mcp.example.com/mcp", "issuers": [issuer()], name: given})


@pytest.mark.parametrize(
    "make",
    [
        lambda: rule(scopes=["read", "a:b/c?d=[e]"], limit=["6/minute", "20/day"], total_limit=[Budget("9/second")]),
        lambda: rule(cost=0, limit=["1/day"]),
        lambda: rule(limit=["0/minute"]),
        lambda: rule(cost=6, limit=["6/minute"]),
        lambda: rule(scopes=(), limit=()),
        lambda: Limits(client=["1/second", "1/minute", "1/hour", "1/day"]),
        lambda: Limits(failed_auth=Budget("5/minute", mode="observe")),
        lambda: issuer(jwks=json.dumps(JWKS)),
        lambda: issuer(jwks=json.dumps(JWKS).encode(), leeway=0, max_token_lifetime=3600),
        lambda: issuer(url="http://127.0.0.1:8080/realms/x", algorithms=("ES256", "RS256"), types=["at+jwt"]),
        lambda: issuer(jwks={"keys": [{"kty": "unheard-of"}, *JWKS["keys"]]}),
        lambda: issuer(jwks=None),
        lambda: issuer(jwks=None, jwks_url="https://as.example.com/keys", max_stale=0),
        lambda: issuer(introspection=asked()),
        lambda: Confirmation(lifetime=10, asks=[Budget("1/day", strict=True)], key=Secret(b"k" * 32)),
        lambda: webhook("https://approve.example.com:8443/confirm?team=ops"),
        lambda: asked(url="http://127.0.0.1:8080/ask", opaque=False, jwts=True, max_revocation_delay=1),
        lambda: asked(secret=None, private_key=Secret(b"key", "2026-11")),
    ],
)
def test_what_is_right(make: Callable[[], Any]) -> None:
    made = make()
    assert made == make()


@pytest.mark.parametrize("name", [*_ALGORITHMS, *_HMAC, *_KNOWN_TO_THE_CORE, "RS265", "es256"])
def test_an_issuer_may_have_the_algorithms_of_the_core_that_are_for_published_keys(name: str) -> None:
    keys = KeySet.from_json(json.dumps(JWKS))
    try:
        Verifier(keys, issuer=URL, audience=["https://a"], algorithms=[name])
    except ValueError:
        assert name not in _ALGORITHMS
    else:
        assert name in _ALGORITHMS


def test_they_are_frozen_and_their_lists_as_well() -> None:
    given = ["read", "read"]
    made = rule(scopes=given, limit=["6/minute"])
    given.append("write")
    assert made.scopes == ("read",)
    assert made.limit == (Budget("6/minute"),)
    with pytest.raises(FrozenInstanceError):
        made.cost = 0  # type: ignore[misc]


def test_a_rule_of_one_kind_is_no_rule_of_another() -> None:
    assert len({kind("ping", ()) for kind in (ToolRule, PromptRule, ResourceRule, MethodRule)}) == 4


@pytest.mark.parametrize(
    ("budget", "limit", "unit"),
    [
        (Budget("600/minute"), "600/minute", "minute"),
        (Budget("600/minute burst 50"), "600/minute burst 50", "minute"),
        (Budget("2000/day", strict=True), "2000/day strict", "day"),
    ],
)
def test_a_budget_in_the_words_of_the_core(budget: Budget, limit: str, unit: str) -> None:
    assert (budget.limit, budget.unit) == (limit, unit)


def test_nothing_secret_shows() -> None:
    secret = b"a secret of thirty-two bytes, or more"
    asking = issuer(introspection=asked(secret=Secret(secret)))
    made = [Secret(secret, "2026-11"), Audit(key=Secret(secret, "2026-11")), asking]
    for shown in (*map(repr, made), *map(str, made)):
        assert secret.decode() not in shown
        assert JWKS["keys"][0]["x"] not in shown
    assert repr(made[0]) == "Secret(id='2026-11')"


def test_an_error_about_a_secret_does_not_hold_it() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes") as refused:
        Audit(key=Secret(b"hunter2"))
    assert "hunter2" not in repr(refused.value)
    with pytest.raises(ValueError, match="jwks has no key") as refused:
        issuer(jwks={"keys": [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]})
    assert "c2VjcmV0" not in repr(refused.value)


@pytest.mark.parametrize("url", ["redis://:hunter2@127.0.0.1:99999/0", "mysql://:hunter2@a", "redis://:hunter2@a/b"])
def test_a_store_s_url_is_checked_at_once_and_never_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"^store must be") as error:
        Limits(store=Secret(url.encode()))
    assert "hunter2" not in str(error.value)

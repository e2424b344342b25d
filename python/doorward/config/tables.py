"""The tables of ``doorward.toml`` as data: each key, the argument it becomes, and what its value is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from doorward.addresses import parse_proxy
from doorward.certificates import parse_certificate_header
from doorward.config.places import Converter, Keys, Layout, Place
from doorward.config.values import (
    audit_path,
    boolean,
    integer,
    jwks,
    jwks_file,
    parsed,
    path,
    scopes,
    seconds,
    secret,
    string,
    strings,
    syslog,
    text_of,
)
from doorward.hosts import parse_host, parse_origin
from doorward.methods import GOVERNED_BY_METHOD
from doorward.patterns import Ordered, Shadowed
from doorward.resource import parse_resource
from doorward.settings import (
    Agents,
    Audit,
    AuditSink,
    Budget,
    Checkpoint,
    Circular,
    Confirmation,
    Introspection,
    Issuer,
    Limits,
    MethodRule,
    PromptRule,
    ResourceRule,
    Revocation,
    Rule,
    Secret,
    ToolRule,
    closure_of,
)
from doorward.uris import decoded

__all__ = ["GATE", "LAYOUT"]


def _resource(place: Place, value: Any) -> str:
    if not isinstance(value, str):
        raise place.error("must be a string, the URL that clients use; rules for resources stand in [[resource_rule]]")
    resource: str = text_of(parse_resource)(place, value)
    return resource


def _budget(place: Place, value: Any) -> Budget:
    if isinstance(value, str):
        value = {"rate": value}
    elif not isinstance(value, dict):
        raise place.error('must be a rate like "600/minute", or a table like { rate = "600/minute", strict = true }')
    return place.make(Budget, value, _BUDGET, required=("rate",))


def _budgets(place: Place, value: Any) -> list[Budget]:
    if not isinstance(value, list):
        raise place.error('must be a list, like ["600/minute"]')
    return [_budget(place.at(position), each) for position, each in enumerate(value)]


def _hierarchy(place: Place, value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise place.error("must be a table")
    for scope in value:
        scopes(place.at(scope), [scope])
    made = {scope: scopes(place.at(scope), implied) for scope, implied in value.items()}
    try:
        closure_of(made)
    except Circular as error:
        raise place.at(error.scope).error("implies itself: one scope on the way from it to it must not") from None
    return made


def _issuers(place: Place, value: Any) -> list[Issuer]:
    issuers: list[Issuer] = []
    for inside, given in _tables(place, value):
        sources = [key for key in given if key in _KEY_SOURCES] if isinstance(given, dict) else []
        if len(sources) > 1:
            raise inside.at(sources[1]).error(f"must not stand beside {sources[0]}: the keys come from one place")
        issuers.append(inside.make(Issuer, given, _ISSUER, required=("url", "algorithms")))
        if issuers[-1].url in {issuer.url for issuer in issuers[:-1]}:
            raise inside.at("url").error("stands here twice: one issuer, one table")
        if _takes_opaque(issuers[-1]) and any(map(_takes_opaque, issuers[:-1])):
            raise inside.at("introspection", "opaque").error(
                "must be false: another issuer is asked about opaque tokens already, and would see this one's"
            )
    return issuers


def _takes_opaque(issuer: Issuer) -> bool:
    return issuer.introspection is not None and issuer.introspection.opaque


def _introspection(place: Place, value: Any) -> Introspection:
    return place.make(Introspection, value, _INTROSPECTION, required=("url", "client_id"))


def _rules(kind: type[Rule], *, among: Collection[str] | None = None) -> Converter:
    def rules(place: Place, value: Any) -> list[Rule]:
        made = [
            inside.make(kind, given, _RULE, required=("match", "scopes")) for inside, given in _tables(place, value)
        ]
        matches = [rule.match for rule in made]
        try:
            Ordered(matches, among=among)
            if kind is ResourceRule:
                Ordered([decoded(match, is_pattern=True) for match in matches])
        except Shadowed as error:
            raise place.at(error.position, "match").error(str(error).removeprefix("match ")) from None
        return made

    return rules


def _tables(place: Place, value: Any) -> list[tuple[Place, Any]]:
    if not isinstance(value, list):
        raise place.error(f"must be an array of tables: write [[{place.steps[-1]}]]")
    return [(place.at(position), each) for position, each in enumerate(value)]


def _limits(place: Place, value: Any) -> Limits:
    return place.make(Limits, value, _LIMITS)


def _store(place: Place, value: Any) -> str | Secret:
    return value if isinstance(value, str) else secret(place, value)


def _audit(place: Place, value: Any) -> Audit:
    return place.make(Audit, value, _AUDIT)


def _sinks(place: Place, value: Any) -> list[AuditSink]:
    return [inside.make(AuditSink, given, _SINK) for inside, given in _tables(place, value)]


def _checkpoint(place: Place, value: Any) -> Checkpoint:
    return place.make(Checkpoint, value, _CHECKPOINT, required=("key",))


def _confirmation(place: Place, value: Any) -> Confirmation:
    return place.make(Confirmation, value, _CONFIRMATION)


def _agents(place: Place, value: Any) -> Agents:
    return place.make(Agents, value, _FILE, required=("file",))


def _revocation(place: Place, value: Any) -> Revocation:
    return place.make(Revocation, value, _FILE, required=("file",))


_BUDGET: Keys = {"rate": ("rate", string), "strict": ("strict", boolean), "mode": ("mode", string)}
_RULE: Keys = {
    "match": ("match", string),
    "scopes": ("scopes", scopes),
    "limit": ("limit", _budgets),
    "total_limit": ("total_limit", _budgets),
    "cost": ("cost", integer),
    "concurrency": ("concurrency", integer),
    "on_error": ("on_error", string),
    "confirm": ("confirm", boolean),
    "mode": ("mode", string),
}
_ISSUER: Keys = {
    "url": ("url", string),
    "algorithms": ("algorithms", strings),
    "jwks": ("jwks", jwks),
    "jwks_file": ("jwks", jwks_file),
    "jwks_url": ("jwks_url", string),
    "max_stale": ("max_stale", seconds),
    "leeway": ("leeway", seconds),
    "types": ("types", strings),
    "max_token_lifetime": ("max_token_lifetime", seconds),
    "introspection": ("introspection", _introspection),
    "subject": ("subject", string),
}
_KEY_SOURCES = ("jwks", "jwks_file", "jwks_url")
_INTROSPECTION: Keys = {
    "url": ("url", string),
    "client_id": ("client_id", string),
    "secret": ("secret", secret),
    "private_key": ("private_key", secret),
    "max_revocation_delay": ("max_revocation_delay", seconds),
    "opaque": ("opaque", boolean),
    "jwts": ("jwts", boolean),
}
_FILE: Keys = {"file": ("file", path)}
_LIMITS: Keys = {
    "client": ("client", _budgets),
    "organization": ("organization", _budgets),
    "failed_auth": ("failed_auth", _budget),
    "handshake": ("handshake", _budget),
    "concurrency": ("concurrency", integer),
    "streams": ("streams", integer),
    "sessions": ("sessions", integer),
    "max_keys": ("max_keys", integer),
    "store": ("store", _store),
    "mode": ("mode", string),
    "on_error": ("on_error", string),
    "instances": ("instances", integer),
    "prefix": ("prefix", string),
    "snapshot": ("snapshot", path),
}
_SINK: Keys = {
    "path": ("path", audit_path),
    "syslog": ("syslog", syslog),
    "otel": ("otel", boolean),
    "on_failure": ("on_failure", string),
    "max_bytes": ("max_bytes", integer),
    "daily": ("daily", boolean),
}
_AUDIT: Keys = {
    "path": ("path", audit_path),
    "durability": ("durability", string),
    "on_failure": ("on_failure", string),
    "key": ("key", secret),
    "sink": ("sinks", _sinks),
    "checkpoint": ("checkpoint", _checkpoint),
}
_CHECKPOINT: Keys = {"key": ("key", secret), "every": ("every", integer), "seconds": ("seconds", seconds)}
_CONFIRMATION: Keys = {
    "lifetime": ("lifetime", seconds),
    "asks": ("asks", _budgets),
    "key": ("key", secret),
    "webhook": ("webhook", string),
    "webhook_key": ("webhook_key", secret),
}
GATE: Keys = {
    "resource": ("resource", _resource),
    "audiences": ("audiences", strings),
    "organization_claim": ("organization_claim", string),
    "challenge_scopes": ("challenge_scopes", scopes),
    "allowed_hosts": ("allowed_hosts", parsed(parse_host)),
    "allowed_origins": ("allowed_origins", parsed(parse_origin)),
    "trusted_proxies": ("trusted_proxies", parsed(parse_proxy)),
    "client_certificate": ("client_certificate", text_of(parse_certificate_header)),
    "max_body_bytes": ("max_body_bytes", integer),
    "max_message_bytes": ("max_message_bytes", integer),
    "filter_lists": ("filter_lists", boolean),
    "issuer": ("issuers", _issuers),
    "scopes": ("scopes", _hierarchy),
    "tool": ("tools", _rules(ToolRule)),
    "resource_rule": ("resources", _rules(ResourceRule)),
    "prompt": ("prompts", _rules(PromptRule)),
    "method": ("methods", _rules(MethodRule, among=GOVERNED_BY_METHOD)),
    "agents": ("agents", _agents),
    "revocation": ("revocation", _revocation),
    "limits": ("limits", _limits),
    "audit": ("audit", _audit),
    "confirmation": ("confirmation", _confirmation),
}
"""The top level. An array of tables cannot have the name of a string, so that the rules for resources stand in
``[[resource_rule]]``."""

_UNDER: dict[str, Keys] = {
    "[[issuer]]": _ISSUER,
    "[scopes]": {},
    "[[tool]]": _RULE,
    "[[resource_rule]]": _RULE,
    "[[prompt]]": _RULE,
    "[[method]]": _RULE,
    "[agents]": _FILE,
    "[revocation]": _FILE,
    "[limits]": _LIMITS,
    "[audit]": _AUDIT,
    "[confirmation]": _CONFIRMATION,
}
_HEADERS = {header.strip("[]"): header for header in _UNDER}
_COMMON = frozenset({"file", "key", "match", "mode", "path", "url"})
"""Keys that may be meant for anything: where they stand elsewhere says nothing."""


def _homes() -> dict[str, list[str]]:
    homes: dict[str, list[str]] = {key: [""] for key in GATE if key not in _HEADERS}
    for header, keys in _UNDER.items():
        for key in keys:
            if key not in _COMMON:
                homes.setdefault(key, []).append(header)
    return homes


_SYNONYMS = {
    "alg": "algorithms",
    "algorithm": "algorithms",
    "budget": "limit",
    "iss": "url",
    "issuer": "url",
    "issuer_url": "url",
    "jwks_uri": "jwks_url",
    "max_concurrency": "concurrency",
    "name": "match",
    "pattern": "match",
    "rate_limit": "limit",
    "rate_limits": "limit",
    "redis": "store",
    "required_scopes": "scopes",
    "tool": "match",
    "uri": "match",
}
"""Keys of other products, and of RFC 8414."""

LAYOUT = Layout(_HEADERS, _homes(), _SYNONYMS)

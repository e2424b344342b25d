"""May they: which rule governs a message, and which scopes it asks for. First match governs; no match, no call."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from doorward._core import Envelope, hash_arguments
from doorward.errors import Forbidden, Malformed, refusal
from doorward.methods import GOVERNED_BY_METHOD, METHODS, REFERENCES, REMOVED, STATELESS
from doorward.patterns import Ordered, Pattern
from doorward.queries import QueryPatterns
from doorward.request import Call
from doorward.settings import MAX_URI_BYTES, MethodRule, PromptRule, ResourceRule, Rule, ToolRule, closure_of
from doorward.uris import decoded, is_always_disguised, is_disguised, with_blanks, without_query

__all__ = [
    "HASHED_TARGETS",
    "MAX_FILTER_BYTES",
    "Policy",
    "call_of",
    "has_arguments",
    "pattern_of_template",
    "repeats",
    "watched_by",
    "with_hash",
]

HASHED_TARGETS: Final = frozenset({"tool", "prompt"})
"""What takes arguments, which a record names by their hash."""

_CALLS: Final = {"tool": "tools/call", "resource": "resources/read", "prompt": "prompts/get"}

_MAX_KNOWN: Final = 1024
"""Names whose rule is kept at hand, each of at most so many characters:"""

_SHORT: Final = 64

_MAX_WATCHED: Final = 1000
"""Resources that one subscription may name,"""

_MAX_WATCHED_BYTES: Final = 65_536
"""and bytes of all their URIs: to find their rules takes up to 15 ms, which no budget pays but a method rule's."""

MAX_FILTER_BYTES: Final = 2 * _MAX_WATCHED_BYTES
"""Of the filter of a subscription as it is written in a body, with quotes and escapes."""

_UNKNOWN: Final = object()

_EXPRESSIONS: Final = re.compile(r"(?:\{[^{}]*\})+")
"""Of a URI template (RFC 6570): whatever they expand to."""


class Policy:
    """The rules of a gate, in their order, and the hierarchy of its scopes."""

    def __init__(self, rules: Iterable[Rule], hierarchy: Mapping[str, Sequence[str]]) -> None:
        """Raises `ValueError` for a rule that can never match and for a scope that implies itself."""
        self.rules = tuple(rules)
        self._implied = closure_of(hierarchy)
        self._known: dict[tuple[str | None, str | None, str | None], Any] = {}
        self._governing = {
            "tool": _Rules(self.rules, ToolRule),
            "resource": _ResourceRules(self.rules, ResourceRule),
            "prompt": _Rules(self.rules, PromptRule),
            "method": _Rules(self.rules, MethodRule, among=GOVERNED_BY_METHOD),
        }

    def rule_for(self, call: Call) -> Rule | None:
        """The rule that governs the call; None where a valid token is enough. Raises `Forbidden` if none allows it."""
        known_by = call.method, call.target, call.name
        rule: Rule | None = self._known.get(known_by, _UNKNOWN)
        if rule is _UNKNOWN:
            rule = self._find(call)
            if len(call.name or "") <= _SHORT:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known[known_by] = rule
        return rule

    def _find(self, call: Call) -> Rule | None:
        if call.method is None:
            return None
        if call.target is None:
            if call.method not in GOVERNED_BY_METHOD:
                raise refusal("unknown_method")
            return self._governing["method"].find(call.method)
        if call.name is None:
            raise refusal("invalid_request", "the message does not name what it calls")
        if call.target == "resource" and _is_disguised(call.name, is_template=call.method == "completion/complete"):
            raise refusal("no_rule", "the URI may mean another resource than it spells")
        rule = self._governing[call.target].find(call.name)
        if rule is None:
            raise refusal("no_rule", f"no {call.target} rule matches")
        return rule

    def rules_for_subscription(self, uris: Iterable[str]) -> list[Rule]:
        """The rules of the resources that a ``subscriptions/listen`` asks to be told about. Raises `Forbidden`."""
        watched = (Call("request", "resources/subscribe", None, "resource", uri, None) for uri in uris)
        return [rule for rule in map(self.rule_for, watched) if rule is not None]

    def may_reach(self, target: str, name: str, effective: frozenset[str]) -> bool:
        """Whether a call of that name could be allowed. A ``template`` stands for every resource it can expand to: one
        that could be allowed is enough."""
        return any(
            rule.mode == "observe" or effective.issuperset(rule.scopes) for rule in self.rules_governing(target, name)
        )

    def rules_governing(self, target: str, name: str) -> tuple[Rule, ...]:
        """The one rule that governs calls of that name, or none; of a ``template`` all that fit something it can
        expand to, in their order."""
        if target == "template":
            return tuple(self._governing["resource"].touched_by(name))
        try:
            rule = self.rule_for(Call("request", _CALLS[target], 0, target, name, None))
        except Forbidden:
            return ()
        return () if rule is None else (rule,)

    def effective(self, scopes: Iterable[str]) -> frozenset[str]:
        """The scopes and all that they imply."""
        given = frozenset(scopes)
        return given.union(*(self._implied[scope] for scope in given if scope in self._implied))

    def authorise(self, rule: Rule, effective: frozenset[str]) -> None:
        """Raises `Forbidden` with every scope the call needs, also those it has (MCP 2026-07-28: one challenge)."""
        if not effective.issuperset(rule.scopes):
            raise Forbidden("insufficient_scope", required_scopes=tuple(rule.scopes))

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope a rule asks for, sorted, without ``offline_access``: that one is between client and issuer."""
        return tuple(sorted({scope for rule in self.rules for scope in rule.scopes} - {"offline_access"}))

    @property
    def narrowest_scopes(self) -> tuple[str, ...]:
        """The scopes of the least powerful rule, which a login asks for first: those that imply the fewest. Between
        equals a rule for tools is chosen, of these the most general, and of these the last."""
        asking = [rule for rule in reversed(self.rules) if rule.scopes]
        least = min(asking, key=self._power, default=None)
        return () if least is None else tuple(least.scopes)

    def _power(self, rule: Rule) -> tuple[int, bool, int]:
        # The fewer characters a pattern fixes, the more names it fits.
        return len(self.effective(rule.scopes)), not isinstance(rule, ToolRule), len(rule.match.replace("*", ""))


def call_of(envelope: Envelope, *, protocol: str | None = None) -> Call:
    """The call a message makes, in a version of the protocol where that is told. Raises `Malformed` for a call that
    could not be answered. Without the hash of its arguments: the rule is found first."""
    kind, method = envelope.kind, envelope.method
    governor = METHODS.get(method or "")
    if protocol is not None and protocol >= STATELESS and method in REMOVED:
        # What governed it there is gone with it: it is a method nobody knows.
        target, name = None, None
    else:
        target, name = _target(envelope, governor)
    if target is not None and kind != "request":
        raise refusal("invalid_request", "a call without an id")
    return Call(kind, method, envelope.id, target, name, None)


def with_hash(call: Call, envelope: Envelope, *, key: bytes | None) -> Call:
    """The call with the hash of its arguments, where it takes any: made with ``key``, where there is one."""
    if call.target not in HASHED_TARGETS:
        return call
    return call._replace(arguments_hash=envelope.hash_arguments(key=key))


def watched_by(params: Any) -> list[str]:
    """The URIs of the resources that a ``subscriptions/listen`` asks to be told about. Raises `Malformed`."""
    asked = params.get("notifications") if isinstance(params, Mapping) else None
    uris = asked.get("resourceSubscriptions") if isinstance(asked, dict) else None
    if uris is None:
        return []
    if not isinstance(uris, list) or len(uris) > _MAX_WATCHED or not all(isinstance(uri, str) for uri in uris):
        raise refusal("invalid_request", "resourceSubscriptions is not a list of URIs, or too long")
    sizes = [len(uri.encode("utf-8", "surrogatepass")) for uri in uris]
    if max(sizes, default=0) > MAX_URI_BYTES or sum(sizes) > _MAX_WATCHED_BYTES:
        raise refusal("invalid_request", "the URIs of resourceSubscriptions are too long")
    return uris


def pattern_of_template(template: str) -> str:
    """The pattern of all that a URI template can expand to, and perhaps of more."""
    return _EXPRESSIONS.sub("*", template)


def repeats(
    call: Call,
    method: str,
    rpc_id: str | int | None,
    params: Mapping[str, Any] | None,
    *,
    key: bytes | None,
    arguments: bool = True,
) -> bool:
    """Whether a message in a framework's objects is for certain the call that was read from a body before; one that is
    not for certain is read like any other. The fingerprint is made with ``key``, as the call's was; without
    ``arguments`` none is made, and only the rest is compared."""
    if method != call.method or rpc_id != call.id or type(rpc_id) is not type(call.id):
        return False
    if call.target is None:
        return True
    if method == "completion/complete" or params is None:
        return False
    if call.target == "resource":
        return params.get("uri") == call.name
    if params.get("name") != call.name:
        return False
    return not arguments or has_arguments(call, params.get("arguments"), key=key)


def has_arguments(call: Call, arguments: Any, *, key: bytes | None) -> bool:
    """Whether these are for certain the arguments of the call, which is one that has a fingerprint."""
    try:
        return hash_arguments({} if arguments is None else arguments, key=key) == call.arguments_hash
    except (TypeError, Malformed):
        return False


def _target(envelope: Envelope, governor: str | None) -> tuple[str | None, str | None]:
    """What governs a message, and the name of what it is about."""
    if governor in HASHED_TARGETS:
        return governor, envelope.name
    if governor == "reference":
        if envelope.reference is None:
            raise refusal("invalid_request", "a completion without a reference")
        kind, name = envelope.reference
        return REFERENCES[kind], name
    if governor == "resource":
        return governor, envelope.uri
    return None, None


def _is_disguised(uri: str, *, is_template: bool) -> bool:
    return is_always_disguised(pattern_of_template(uri)) if is_template else is_disguised(uri)


class _Rules:
    """The rules of one kind."""

    def __init__(self, rules: Iterable[Rule], kind: type[Rule], *, among: Collection[str] | None = None) -> None:
        self._rules = tuple(rule for rule in rules if isinstance(rule, kind))
        self._patterns = Ordered([rule.match for rule in self._rules], among=among)

    def find(self, name: str) -> Rule | None:
        """The first that fits."""
        position = self._patterns.first(name)
        return None if position is None else self._rules[position]

    def touched_by(self, template: str) -> list[Rule]:
        """Those that fit something the template can expand to."""
        names = Pattern(pattern_of_template(template))
        return [rule for rule in self._rules if names.meets(Pattern(rule.match))]


class _ResourceRules(_Rules):
    """The rules of resources. Servers decode a URI, some of them and in part, and read the parameters of its query by
    name: where another rule would govern what they read, the URI is refused."""

    def __init__(self, rules: Iterable[Rule], kind: type[Rule]) -> None:
        super().__init__(rules, kind)
        self._decoded = Ordered([decoded(rule.match, is_pattern=True) for rule in self._rules])
        self._queries = QueryPatterns([rule.match for rule in self._rules])

    def find(self, name: str) -> Rule | None:
        position = self._patterns.first(name)
        if position is None:
            return None
        spelled = decoded(name)
        if self._decoded.first(spelled) != position:
            raise refusal("no_rule", "another rule matches what the URI decodes to")
        for spelling in with_blanks(spelled):
            other = self._decoded.first(spelling)
            if other is not None and other < position:
                raise refusal("no_rule", "an earlier rule matches the URI with its parameters spelled otherwise")
        if without_query(spelled) == spelled:
            return self._rules[position]
        # Only an earlier one: a rule for "docs://search?*" may stand before one for the rest. An encoded question mark
        # begins a query for a server that decodes first.
        for path in (without_query(spelled), decoded(without_query(name))):
            resource = self._decoded.first(path)
            if resource is not None and resource < position:
                raise refusal("no_rule", "an earlier rule matches the URI without its query")
        if self._queries.match_before(position, name):
            raise refusal("no_rule", "an earlier rule matches parameters of the URI's query")
        return self._rules[position]

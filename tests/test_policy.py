"""The policy: which rule governs a message, and which scopes it asks for."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward._core import hash_arguments, read_envelope
from doorward.errors import Forbidden, Malformed, Refused
from doorward.methods import GOVERNED_BY_METHOD, METHODS
from doorward.policy import Policy, call_of, repeats, with_hash
from doorward.request import Call
from doorward.settings import MAX_NAME_BYTES, MAX_URI_BYTES, MethodRule, PromptRule, ResourceRule, Rule, ToolRule


def call(method: str, *, id: object = 1, **params: Any) -> Call:  # noqa: A002
    """The call of a body as it comes in."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if id is not None:
        message["id"] = id
    envelope = read_envelope(json.dumps(message).encode())
    return with_hash(call_of(envelope), envelope, key=None)


def reference(kind: str, **target: str) -> Call:
    """A completion for a prompt or a resource."""
    return call("completion/complete", ref={"type": kind, **target}, argument={"name": "a", "value": ""})


def policy(*rules: Rule, **hierarchy: list[str]) -> Policy:
    return Policy(rules, hierarchy)


def governing(rules: Policy, asked: Call) -> str | None:
    """The match of the governing rule, None where a token is enough, or the slug of the refusal."""
    try:
        rule = rules.rule_for(asked)
    except Refused as refused:
        return refused.code
    return None if rule is None else rule.match


# --- which rule governs -----------------------------------------------------------------------------------------------

EVERY_KIND = policy(
    ToolRule("delete_*", scopes=["w"]),
    ToolRule("*", scopes=["r"]),
    ResourceRule("file:///public/*", scopes=[]),
    PromptRule("greet", scopes=["p"]),
    MethodRule("tools/list", scopes=["l"]),
)


@pytest.mark.parametrize(
    ("asked", "governor"),
    [
        pytest.param(call("tools/call", name="delete_user"), "delete_*", id="the first that fits"),
        pytest.param(call("tools/call", name="Delete_user"), "*", id="case counts"),
        pytest.param(call("tools/call", name="greet"), "*", id="kinds do not mix"),
        pytest.param(call("prompts/get", name="greet"), "greet", id="a prompt"),
        pytest.param(call("prompts/get", name="delete_user"), "no_rule", id="no prompt rule"),
        pytest.param(call("resources/read", uri="file:///public/a"), "file:///public/*", id="a resource"),
        pytest.param(call("resources/subscribe", uri="file:///public/a"), "file:///public/*", id="a subscription"),
        pytest.param(call("resources/unsubscribe", uri="file:///public/a"), "file:///public/*", id="the end of one"),
        pytest.param(call("resources/read", uri="file:///etc/passwd"), "no_rule", id="another resource"),
        pytest.param(call("resources/read", uri="file:///public/../etc/passwd"), "no_rule", id="a disguised resource"),
        pytest.param(call("resources/read", uri="file:///public/%2e%2e/x"), "no_rule", id="an encoded disguise"),
        pytest.param(reference("ref/prompt", name="greet"), "greet", id="completing a prompt"),
        pytest.param(reference("ref/prompt", name="other"), "no_rule", id="completing a prompt that no rule allows"),
        pytest.param(
            reference("ref/resource", uri="file:///public/{a}"), "file:///public/*", id="completing a resource"
        ),
        pytest.param(reference("ref/resource", uri="file:///public/../x"), "no_rule", id="completing a disguised one"),
        pytest.param(call("tools/list"), "tools/list", id="a method with a rule"),
        pytest.param(call("prompts/list"), None, id="a method without one"),
        pytest.param(call("ping"), None, id="ping"),
        pytest.param(call("notifications/cancelled", id=None), None, id="a notification"),
        pytest.param(call("tools/destroy"), "unknown_method", id="a method that is not known"),
        pytest.param(call("Tools/list"), "unknown_method", id="a method in another case"),
        pytest.param(call("completion/ref/prompt", name="greet"), "unknown_method", id="a row of a table is no method"),
        pytest.param(call("ref/prompt", name="greet"), "unknown_method", id="nor is the type of a reference"),
        pytest.param(call("", name="greet"), "unknown_method", id="an empty method"),
        pytest.param(call("tools/call"), "invalid_request", id="a tool call without a name"),
        pytest.param(call("tools/call", uri="x"), "invalid_request", id="a tool named as a resource is"),
        pytest.param(call("resources/read", name="x"), "invalid_request", id="a resource named as a tool is"),
    ],
)
def test_what_governs(asked: Call, governor: str | None) -> None:
    assert governing(EVERY_KIND, asked) == governor


# --- resources that go by several spellings ---------------------------------------------------------------------------

SPELLED = policy(
    ResourceRule("users://boss@corp/*", ["admin"]),
    ResourceRule("users://müller/*", ["admin"]),
    ResourceRule("users://j%C3%B6rg/*", ["admin"]),
    ResourceRule("users://a%2Ab/*", ["admin"]),
    ResourceRule("users://index", ["admin"]),
    ResourceRule("users://*/private", ["admin"]),
    ResourceRule("users://*", ["read"]),
    ResourceRule("docs://search?q=boss@corp", ["admin"]),
    ResourceRule("docs://search?q=*", ["read"]),
    ResourceRule("docs://search", ["admin"]),
    ResourceRule("file:///c:/*", ["read"]),
)


@pytest.mark.parametrize(
    ("uri", "governor"),
    [
        pytest.param("users://boss@corp/mail", "users://boss@corp/*", id="as the rule spells it"),
        pytest.param("users://boss%40corp/mail", "no_rule", id="encoded"),
        pytest.param("users://boss%2540corp/mail", "no_rule", id="encoded twice"),
        pytest.param("users://müller/mail", "users://müller/*", id="beyond ASCII"),
        pytest.param("users://m%C3%BCller/mail", "no_rule", id="beyond ASCII, encoded"),
        pytest.param("users://m%c3%bcller/mail", "no_rule", id="in small letters"),
        pytest.param("users://j%C3%B6rg/mail", "users://j%C3%B6rg/*", id="encoded, as the rule spells it"),
        pytest.param("users://jörg/mail", "no_rule", id="decoded, where the rule is encoded"),
        pytest.param("users://j%c3%b6rg/mail", "no_rule", id="encoded in small letters"),
        pytest.param("users://a%2Ab/mail", "users://a%2Ab/*", id="an encoded asterisk"),
        pytest.param("users://a*b/mail", "no_rule", id="an asterisk"),
        pytest.param("users://axb/mail", "users://*", id="an encoded asterisk of a rule stands for itself"),
        pytest.param("users://ada/a%20b", "users://*", id="an honest space"),
        pytest.param("users://ren%C3%A9/mail", "users://*", id="an honest letter"),
        pytest.param("users://ada%40home/mail", "users://*", id="whatever no other rule is about"),
        pytest.param("users://ada/100%25", "users://*", id="an honest percent sign"),
        pytest.param("users://ada/50%25ff", "users://*", id="a percent sign before what could be an octet"),
        pytest.param("users://index", "users://index", id="without a query"),
        pytest.param("users://index?x", "no_rule", id="with a query that readers pass over"),
        pytest.param("users://index#x", "no_rule", id="with a fragment"),
        pytest.param("users://ada/private?x", "no_rule", id="behind a star"),
        pytest.param("users://ada/mail?x=1", "users://*", id="an honest query"),
        pytest.param("docs://search?q=a%20b", "docs://search?q=*", id="a query whose rule stands first"),
        pytest.param("docs://search?q=boss%40corp", "no_rule", id="a query, encoded"),
        pytest.param("docs://search?p=1", "no_rule", id="another query"),
        pytest.param("file:///c:/a", "file:///c:/*", id="a drive"),
    ],
)
@pytest.mark.parametrize("method", ["resources/read", "resources/subscribe"])
def test_every_reading_of_a_uri_has_the_same_rule(method: str, uri: str, governor: str) -> None:
    assert governing(SPELLED, call(method, uri=uri)) == governor
    assert governing(SPELLED, reference("ref/resource", uri=uri)) == governor
    assert [rule.match for rule in SPELLED.rules_governing("resource", uri)] == [governor] * (governor != "no_rule")


@pytest.mark.parametrize("uri", ["users://boss%40corp/mail", "file:/c:/a", "users://index?x"])
def test_nobody_is_told_of_a_resource_by_another_spelling(uri: str) -> None:
    with pytest.raises(Forbidden):
        SPELLED.rules_for_subscription(["users://ada/mail", uri])


@pytest.mark.parametrize(
    ("template", "governor"),
    [
        pytest.param("file://{+path}", "file://*", id="a path that brings its own slash"),
        pytest.param("https://{host}:{port}/{x}", "https://*", id="a host and a port"),
        pytest.param("https://{host}:443/{x}", "https://*", id="a port that may end a path"),
        pytest.param("https://api.example.com:443/{x}", "no_rule", id="a disguise whatever it expands to"),
        pytest.param("file://localhost/{x}", "no_rule", id="a host for a file"),
    ],
)
def test_a_template_is_completed_if_it_may_expand_plainly(template: str, governor: str) -> None:
    rules = policy(ResourceRule("file://*", []), ResourceRule("https://*", []))
    assert governing(rules, reference("ref/resource", uri=template)) == governor
    assert governing(rules, call("resources/read", uri=template)) == "no_rule"


@pytest.mark.parametrize("method", METHODS)
def test_without_rules_only_what_names_nothing_passes(method: str) -> None:
    named = {"name": "a", "uri": "a:b", "ref": {"type": "ref/prompt", "name": "a"}}
    expected = None if method in GOVERNED_BY_METHOD else "no_rule"
    assert governing(policy(), call(method, **named)) == expected


def test_a_response_needs_no_rule() -> None:
    answer = call_of(read_envelope(b'{"jsonrpc":"2.0","id":1,"result":{}}'))
    assert (answer.method, policy().rule_for(answer)) == (None, None)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in GOVERNED_BY_METHOD])
def test_a_call_without_an_id_could_not_be_answered(method: str) -> None:
    with pytest.raises(Malformed, match="a call without an id"):
        call(method, id=None, name="a", uri="a:b", ref={"type": "ref/prompt", "name": "a"})


def test_a_completion_for_a_prompt_has_the_fingerprint_of_no_arguments() -> None:
    assert reference("ref/prompt", name="a").arguments_hash == hash_arguments({})
    assert reference("ref/resource", uri="a://b").arguments_hash is None


def test_a_completion_of_nothing_is_malformed() -> None:
    with pytest.raises(Malformed, match="a completion without a reference"):
        call("completion/complete")


@pytest.mark.parametrize(
    ("asked", "is_fingerprinted"),
    [
        pytest.param(call("tools/call", name="a", arguments={"id": 7}), True, id="a tool's arguments"),
        pytest.param(call("prompts/get", name="a"), True, id="a prompt's, also none"),
        pytest.param(call("resources/read", uri="a:b"), False, id="a resource has none"),
        pytest.param(call("tools/list"), False, id="a list has none"),
    ],
)
def test_what_is_fingerprinted(asked: Call, is_fingerprinted: bool) -> None:
    assert (asked.arguments_hash is not None) is is_fingerprinted


# --- rules that can never match ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(lambda: policy(ToolRule("*", []), ToolRule("a", [])), "'\\*' stands before it", id="shadowed"),
        pytest.param(lambda: policy(PromptRule("a", []), PromptRule("a", [])), "stands before it", id="said twice"),
        pytest.param(lambda: policy(MethodRule("tools/call", [])), "the methods are", id="not a method rule's"),
        pytest.param(lambda: policy(MethodRule("tool/list", [])), "the methods are", id="not a method"),
        pytest.param(
            lambda: policy(MethodRule("tools/list", []), MethodRule("tools/*", [])),
            "take every name",
            id="all methods it fits are taken",
        ),
        pytest.param(lambda: ResourceRule("file:///a/../b", []), "always refused", id="a disguised URI"),
        pytest.param(lambda: ResourceRule("*/%2e%2e/*", []), "always refused", id="a disguise between stars"),
        pytest.param(lambda: ResourceRule("FILE:///*", []), "always refused", id="a scheme in capitals"),
        pytest.param(lambda: ResourceRule("file://localhost/*", []), "always refused", id="a file with a host"),
        pytest.param(
            lambda: policy(ResourceRule("a://%C3%A9/*", []), ResourceRule("a://é/*", [])),
            "stands before it",
            id="said twice, once encoded",
        ),
        pytest.param(lambda: ToolRule("a" * (MAX_NAME_BYTES + 1), []), "more than 256 bytes", id="longer than a name"),
        pytest.param(lambda: ToolRule("é" * (MAX_NAME_BYTES // 2 + 1), []), "more than 256 bytes", id="in bytes"),
        pytest.param(lambda: ResourceRule("a" * (MAX_URI_BYTES + 1), []), "more than 8192 bytes", id="than a URI"),
    ],
)
def test_a_rule_that_can_never_match_is_a_mistake(make: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^match .*can never match: .*{problem}"):
        make()


def test_the_same_match_for_two_kinds_is_none() -> None:
    assert len(policy(ToolRule("a", []), PromptRule("a", []), ResourceRule("a", [])).rules) == 3


@given(st.text("ab/.:%2eF*\\ \n", min_size=1, max_size=10))
def test_a_resource_rule_that_is_accepted_can_match(match: str) -> None:
    try:
        rule = ResourceRule(match, [])
    except ValueError:
        return
    fillings = ("", "x", "x/x")
    tried = (call("resources/read", uri=match.replace("*", filling)) for filling in fillings)
    assert match in {governing(policy(rule), asked) for asked in tried}


@given(st.text("listools/*nf", min_size=1, max_size=6))
def test_a_method_rule_that_is_accepted_can_match(match: str) -> None:
    try:
        rule = MethodRule(match, [])
    except ValueError:
        return
    assert any(governing(policy(rule), call(method)) == match for method in GOVERNED_BY_METHOD)


def test_settings_know_the_bounds_of_a_message() -> None:
    for name, most in (("name", MAX_NAME_BYTES), ("uri", MAX_URI_BYTES)):
        call("ping", **{name: "a" * most})
        with pytest.raises(Malformed):
            call("ping", **{name: "a" * (most + 1)})


def test_no_name_is_slow() -> None:
    rules = policy(*(ResourceRule("*a" * stars + f"*b{stars}", []) for stars in range(1, 60)))
    hostile = call("resources/read", uri="a" * MAX_URI_BYTES)
    began = time.process_time()
    assert governing(rules, hostile) == "no_rule"
    assert time.process_time() - began < 0.5


# --- scopes -----------------------------------------------------------------------------------------------------------

LETTERS = "abcdef"
# A scope implies only later letters, so that none implies itself.
HIERARCHIES = st.dictionaries(st.sampled_from(LETTERS), st.sets(st.sampled_from(LETTERS))).map(
    lambda drawn: {scope: sorted(each for each in narrower if each > scope) for scope, narrower in drawn.items()}
)
SCOPES = st.sets(st.sampled_from(LETTERS))


@given(HIERARCHIES, SCOPES, SCOPES)
def test_effective_scopes_are_a_closure(hierarchy: dict[str, list[str]], some: set[str], more: set[str]) -> None:
    rules = policy(**hierarchy)
    effective = rules.effective(some)
    assert some <= effective
    assert rules.effective(effective) == effective
    assert effective <= rules.effective(some | more)
    assert effective | rules.effective(more) == rules.effective(some | more)
    for scope in effective:
        assert set(hierarchy.get(scope, ())) <= effective
    # and nothing that no chain of implications leads to
    assert all(any(scope in hierarchy.get(other, ()) for other in effective) for scope in effective - some)


@pytest.mark.parametrize(
    ("hierarchy", "problem"),
    [
        pytest.param({"a": ["a"]}, "scope 'a' implies itself", id="directly"),
        pytest.param({"a": ["b"], "b": ["c"], "c": ["a"]}, "implies itself", id="around a corner"),
        pytest.param({"z": ["a"], "a": ["b"], "b": ["a"]}, "implies itself", id="below another"),
        pytest.param({"a": "read"}, "must be a list", id="a string is no list"),
        pytest.param({"a": ["b c"]}, "a scope is visible ASCII", id="two scopes in one"),
        pytest.param({'a"': ["b"]}, "a scope is visible ASCII", id="a quote"),
        pytest.param({"": ["b"]}, "a scope is visible ASCII", id="empty"),
    ],
)
def test_a_hierarchy_that_cannot_be_right(hierarchy: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Policy((), hierarchy)


def test_a_hierarchy_may_be_a_diamond() -> None:
    assert policy(a=["b", "c"], b=["d"], c=["d"]).effective(["a"]) == {"a", "b", "c", "d"}


def test_a_refusal_names_every_scope_that_the_call_needs() -> None:
    rule = ToolRule("a", scopes=["r", "w", "r"])
    rules = policy(rule, admin=["w"])
    rules.authorise(rule, rules.effective(["r", "admin"]))
    with pytest.raises(Forbidden) as refused:
        rules.authorise(rule, rules.effective(["r"]))
    assert (refused.value.code, refused.value.required_scopes) == ("insufficient_scope", ("r", "w"))


def test_the_scopes_that_are_published_and_asked_for() -> None:
    rules = policy(
        ToolRule("a", ["w"]), ToolRule("b", ["r", "offline_access"]), ToolRule("c", ["r"]), ToolRule("*", []), w=["r"]
    )
    assert rules.scopes == ("r", "w")


ADMIN = {"admin": ["write"], "write": ["read"]}
NARROWEST: dict[str, tuple[list[Rule], dict[str, list[str]], tuple[str, ...]]] = {
    "no rule asks for any": ([ToolRule("a", [])], {}, ()),
    "no rule at all": ([], {}, ()),
    "those that imply the fewest": (
        [ToolRule("delete_*", ["admin"]), ToolRule("set_*", ["write"]), ToolRule("get_*", ["read"])],
        ADMIN,
        ("read",),
    ),
    "wherever the rule stands": ([ToolRule("get_*", ["read"]), ToolRule("*", ["admin"])], ADMIN, ("read",)),
    "a rule without scopes asks for nothing": ([ToolRule("get_*", ["read"]), ToolRule("*", [])], {}, ("read",)),
    "as many: the more general rule": ([ToolRule("delete_*", ["write"]), ToolRule("*", ["read"])], {}, ("read",)),
    "wherever that stands": ([ToolRule("*_all", ["read"]), ToolRule("delete_*", ["write"])], {}, ("read",)),
    "as general: the later rule": ([ToolRule("set_*", ["write"]), ToolRule("get_*", ["read"])], {}, ("read",)),
    "of several kinds: a rule for tools": (
        [ToolRule("delete_*", ["write"]), ToolRule("get_*", ["read"]), ResourceRule("*", ["see"])],
        {},
        ("read",),
    ),
    "unless another asks for less": ([ToolRule("*", ["read", "write"]), ResourceRule("*", ["see"])], {}, ("see",)),
}


@pytest.mark.parametrize(("rules", "hierarchy", "scopes"), NARROWEST.values(), ids=NARROWEST)
def test_a_login_asks_first_for_the_scopes_of_the_least_powerful_rule(
    rules: list[Rule], hierarchy: dict[str, list[str]], scopes: tuple[str, ...]
) -> None:
    assert policy(*rules, **hierarchy).narrowest_scopes == scopes


REACH = policy(
    ToolRule("delete_*", ["write"]),
    ToolRule("watched", ["write"], mode="observe"),
    ToolRule("read_*", ["read"]),
    PromptRule("ask_*", []),
    ResourceRule("data://closed/*", ["write"]),
    ResourceRule("data://open/*", ["read"]),
    admin=["write", "read"],
)


@pytest.mark.parametrize(
    ("target", "name", "enough"),
    [
        ("tool", "delete_user", "write"),
        ("tool", "read_user", "read"),
        ("tool", "watched", None),
        ("tool", "other", "nobody"),
        ("prompt", "ask_this", None),
        ("prompt", "delete_user", "nobody"),
        ("resource", "data://open/1", "read"),
        ("resource", "data://open/../closed/1", "nobody"),
        ("template", "data://open/{id}", "read"),
        ("template", "data://closed/{+path}", "write"),
        ("template", "data://{kind}/1", "either"),
        ("template", "{+anything}", "either"),
        ("template", "other://{id}", "nobody"),
    ],
)
def test_what_a_list_shows_is_what_could_be_called(target: str, name: str, enough: str | None) -> None:
    def shown(*scopes: str) -> bool:
        return REACH.may_reach(target, name, REACH.effective(scopes))

    assert shown() is (enough is None)
    assert shown("read") is (enough in (None, "read", "either"))
    assert shown("write") is (enough in (None, "write", "either"))
    assert shown("admin") is (enough != "nobody")


KEY = b"k" * 32
OWN = {"name": "read_order", "arguments": {"order": 7}}


@pytest.mark.parametrize(
    ("method", "rpc_id", "params", "is_same"),
    [
        pytest.param("tools/call", 1, OWN, True, id="the same"),
        pytest.param("tools/call", 1, OWN | {"_meta": {"progressToken": 1}}, True, id="what is not judged beside it"),
        pytest.param("tools/call", 1, {"name": "read_order", "arguments": {"order": 8}}, False, id="another argument"),
        pytest.param("tools/call", 1, {"name": "read_order", "arguments": {"order": "7"}}, False, id="another type"),
        pytest.param("tools/call", 1, {"name": "read_order", "arguments": {"order": True}}, False, id="a truth"),
        pytest.param("tools/call", 1, {"name": "read_order"}, False, id="no arguments"),
        pytest.param("tools/call", 1, {"name": "read_order", "arguments": []}, False, id="arguments that are a list"),
        pytest.param("tools/call", 1, {"name": "read_order", "arguments": {"order": "\ud800"}}, False, id="no JSON"),
        pytest.param("tools/call", 1, OWN | {"name": "drop_order"}, False, id="another tool"),
        pytest.param("tools/call", 1, None, False, id="no params"),
        pytest.param("tools/call", 2, OWN, False, id="another id"),
        pytest.param("tools/call", "1", OWN, False, id="an id of another type"),
        pytest.param("tools/call", True, OWN, False, id="an id that only equals it"),
        pytest.param("prompts/get", 1, OWN, False, id="another method"),
    ],
)
@pytest.mark.parametrize("key", [None, KEY], ids=["", "keyed"])
def test_a_message_is_known_again_by_its_fingerprint(
    method: str, rpc_id: Any, params: dict[str, Any] | None, is_same: bool, key: bytes | None
) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": OWN}).encode()
    envelope = read_envelope(body)
    own = with_hash(call_of(envelope), envelope, key=key)
    assert repeats(own, method, rpc_id, params, key=key) is is_same
    assert not repeats(own, "tools/call", 1, OWN, key=b"another key, as long as the first"), "and by its key"


def test_arguments_that_are_looked_at_later_are_not_looked_at_now() -> None:
    own = call("tools/call", **OWN)
    assert repeats(own, "tools/call", own.id, OWN | {"arguments": {"order": 8}}, key=None, arguments=False)
    assert not repeats(own, "tools/call", own.id, OWN | {"name": "drop_order"}, key=None, arguments=False)
    assert not repeats(own, "tools/call", "another", OWN, key=None, arguments=False)


@pytest.mark.parametrize(
    ("own", "params", "is_same"),
    [
        pytest.param(call("resources/read", uri="a://b"), {"uri": "a://b"}, True, id="a resource"),
        pytest.param(call("resources/read", uri="a://b"), {"uri": "a://c"}, False, id="another resource"),
        pytest.param(call("tools/list"), {"cursor": "1"}, True, id="a list"),
        pytest.param(
            reference("ref/prompt", name="a"), {"ref": {"type": "ref/prompt", "name": "a"}}, False, id="uncertain"
        ),
    ],
)
def test_other_messages_are_known_again_where_that_is_certain(own: Call, params: dict[str, Any], is_same: bool) -> None:
    assert own.method is not None
    assert repeats(own, own.method, own.id, params, key=None) is is_same

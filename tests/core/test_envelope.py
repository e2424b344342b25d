"""A body is exactly one message, and we read it as the SDK behind us does - or not at all."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import doorward._pure as pure
from doorward import Malformed
from doorward._pure.envelope import (
    MAX_ID_BYTES,
    MAX_METHOD_BYTES,
    MAX_NAME_BYTES,
    MAX_TRACEPARENT_BYTES,
    MAX_URI_BYTES,
)
from doorward._pure.json import MAX_MEMBERS

native = pytest.importorskip("doorward._rust")

MEMBERS = ("kind", "method", "id", "name", "uri", "reference", "traceparent", "arguments_size")
PARAMS_READ = ("_meta", "arguments", "inputResponses", "notifications", "requestState")
ANY_SIZE = 1 << 30


def read(core: ModuleType, body: bytes) -> dict[str, Any]:
    envelope = core.read_envelope(body)
    found = {member: getattr(envelope, member) for member in MEMBERS}
    found["arguments_hash"] = envelope.hash_arguments()
    found["arguments_digest"] = envelope.digest_arguments()
    return found | {name: envelope.param(name, max_bytes=ANY_SIZE) for name in PARAMS_READ}


def verdict(core: ModuleType, body: bytes) -> Any:
    """What a core makes of a body: the members of the message, or why it is refused."""
    try:
        return read(core, body)
    except Malformed as refused:
        return refused.code


def message(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0"} | members).encode()


def call(**params: Any) -> bytes:
    return message(id=1, method="tools/call", params=params)


# --- what is a message ------------------------------------------------------------------------------------------------

ANSWER = {"code": -32600, "message": "no"}

KINDS = {
    "a request": (message(id=1, method="ping"), "request", 1),
    "a request with a text as id": (message(id="a", method="ping"), "request", "a"),
    "an empty text as id": (message(id="", method="ping"), "request", ""),
    "zero as id": (message(id=0, method="ping"), "request", 0),
    "minus zero as id": (b'{"jsonrpc":"2.0","id":-0,"method":"ping"}', "request", 0),
    "the largest id": (message(id=2**63 - 1, method="ping"), "request", 2**63 - 1),
    "the smallest id": (message(id=-(2**63), method="ping"), "request", -(2**63)),
    "a notification": (message(method="notifications/initialized"), "notification", None),
    "a result": (message(id=1, result={}), "response", 1),
    "an error": (message(id="a", error=ANSWER), "response", "a"),
    "an error about nothing": (message(id=None, error=ANSWER), "response", None),
    "a member we do not know": (message(id=1, method="ping", extra=[1]), "request", 1),
}


@pytest.mark.parametrize(("body", "kind", "identifier"), KINDS.values(), ids=KINDS)
def test_a_message(core: ModuleType, body: bytes, kind: str, identifier: Any) -> None:
    found = read(core, body)
    assert (found["kind"], found["id"]) == (kind, identifier)
    assert type(found["id"]) is type(identifier)
    assert (found["method"] is None) is (kind == "response")


INVALID_JSON = {
    "nothing": b"",
    "a byte order mark": b"\xef\xbb\xbf" + message(id=1, method="ping"),
    "UTF-16": message(id=1, method="ping").decode().encode("utf-16"),
    "UTF-16 without mark": message(id=1, method="ping").decode().encode("utf-16-le"),
    "gzip": gzip.compress(message(id=1, method="ping")),
    "a form": b"jsonrpc=2.0&id=1&method=ping",
    "an event stream": b"data: " + message(id=1, method="ping") + b"\n\n",
    "two messages": message(id=1, method="ping") + b"\n" + message(id=2, method="ping"),
    "half a message": message(id=1, method="ping")[:-1],
    "two methods": b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
    "two methods, one escaped": b'{"jsonrpc":"2.0","id":1,"method":"ping","\\u006dethod":"tools/call"}',
    "two names": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
    "two params": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{},"params":{}}',
    "two arguments": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{},"arguments":{}}}',
    "two of one argument": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"a":1,"a":2}}}',
    "duplicates where nobody looks": b'{"jsonrpc":"2.0","id":1,"method":"ping","extra":[{"a":1,"a":2}]}',
    "NaN as id": b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
    "a lone surrogate as id": b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
    "not JSON after what is no message": b'{"jsonrpc":"1.0","id":1,"method":',
    "too deep": message(id=1, method="ping", params={"arguments": {"a": 0}}).replace(
        b"0}", b"[" * 126 + b"]" * 126 + b"}"
    ),
}

INVALID_REQUEST = {
    "a batch": b"[" + message(id=1, method="ping") + b"]",
    "an empty batch": b"[]",
    "a text": b'"ping"',
    "a number": b"1",
    "null": b"null",
    "an empty object": b"{}",
    "no version": b'{"id":1,"method":"ping"}',
    "version 1.0": b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
    "a version that is a number": b'{"jsonrpc":2.0,"id":1,"method":"ping"}',
    "a null version": b'{"jsonrpc":null,"id":1,"method":"ping"}',
    "id null": message(id=None, method="ping"),
    "id 1.0": message(id=1.0, method="ping"),
    "id 1e0": b'{"jsonrpc":"2.0","id":1e0,"method":"ping"}',
    "id true": message(id=True, method="ping"),
    "id false": message(id=False, method="ping"),
    "an array as id": message(id=[1], method="ping"),
    "an object as id": message(id={}, method="ping"),
    "an id beyond 64 bits": message(id=2**63, method="ping"),
    "an id below 64 bits": message(id=-(2**63) - 1, method="ping"),
    "an id too long": message(id="i" * (MAX_ID_BYTES + 1), method="ping"),
    "an id too long in bytes": message(id="\u20ac" * (MAX_ID_BYTES // 3 + 1), method="ping"),
    "nothing but an id": message(id=1),
    "a null method": message(id=1, method=None),
    "a number as method": message(id=1, method=1),
    "a method too long": message(id=1, method="m" * (MAX_METHOD_BYTES + 1)),
    "result beside method": message(id=1, method="tools/call", result={}),
    "error beside method": message(id=1, method="tools/call", error=ANSWER),
    "a null result beside method": message(id=1, method="tools/call", result=None),
    "result beside a notification": message(method="tools/call", result={}),
    "result and error": message(id=1, result={}, error=ANSWER),
    "a result without id": message(result={}),
    "a result with id null": message(id=None, result={}),
    "an error without id": message(error=ANSWER),
    "an error with id 1.0": message(id=1.0, error=ANSWER),
    "a result that is no object": message(id=1, result=[]),
    "an error that is no object": message(id=1, error="no"),
    "params beside a result": message(id=1, result={}, params={}),
    "an array as params": message(id=1, method="tools/call", params=[]),
    "null params": message(id=1, method="tools/call", params=None),
    "a text as params": message(id=1, method="tools/call", params="x"),
    "a number as name": call(name=1),
    "a null name": call(name=None),
    "a name too long": call(name="n" * (MAX_NAME_BYTES + 1)),
    "an array as uri": message(id=1, method="resources/read", params={"uri": ["file:///a"]}),
    "a uri too long": message(id=1, method="resources/read", params={"uri": "u" * (MAX_URI_BYTES + 1)}),
    "an array as arguments": call(name="a", arguments=[]),
    "a text as arguments": call(name="a", arguments="{}"),
    "false as arguments": call(name="a", arguments=False),
}

BODIES = INVALID_JSON | INVALID_REQUEST | {name: body for name, (body, _, _) in KINDS.items()}


@pytest.mark.parametrize("body", INVALID_JSON.values(), ids=INVALID_JSON)
def test_not_one_strict_json_value(core: ModuleType, body: bytes) -> None:
    assert verdict(core, body) == "invalid_json"


@pytest.mark.parametrize("body", INVALID_REQUEST.values(), ids=INVALID_REQUEST)
def test_not_one_message(core: ModuleType, body: bytes) -> None:
    assert verdict(core, body) == "invalid_request"


def test_the_bounds_are_inclusive(core: ModuleType) -> None:
    found = read(
        core,
        message(
            id="i" * MAX_ID_BYTES,
            method="m" * MAX_METHOD_BYTES,
            params={"name": "n" * MAX_NAME_BYTES, "uri": "\u20ac" * (MAX_URI_BYTES // 3)},
        ),
    )
    assert [len(found[member]) for member in ("id", "method", "name")] == [256, 128, 256]


# --- what it says -----------------------------------------------------------------------------------------------------


def test_a_tool_call(core: ModuleType) -> None:
    found = read(core, call(name="delete_user", arguments={"b": 1, "a": []}, _meta={"progressToken": 1}))
    assert (found["method"], found["name"], found["uri"]) == ("tools/call", "delete_user", None)
    assert found["arguments_hash"] == core.hash_arguments({"a": [], "b": 1})


def test_a_resource(core: ModuleType) -> None:
    found = read(core, message(id=1, method="resources/read", params={"uri": "file:///a%2Fb"}))
    assert (found["uri"], found["name"]) == ("file:///a%2Fb", None)


@pytest.mark.parametrize("body", [call(name="a"), call(name="a", arguments=None), call(name="a", arguments={})])
def test_no_arguments_are_empty_arguments(core: ModuleType, body: bytes) -> None:
    assert read(core, body)["arguments_hash"] == core.hash_arguments({})


def test_only_the_arguments_are_hashed(core: ModuleType) -> None:
    one = call(name="a", arguments={"x": 1}, _meta={"a": 1}, inputResponses={"b": 2})
    other = message(id=2, method="prompts/get", params={"arguments": {"x": 1.0}}, arguments={"y": 2})
    assert read(core, one)["arguments_hash"] == read(core, other)["arguments_hash"]
    assert read(core, one)["arguments_hash"] != read(core, call(name="a", arguments={"x": 2}))["arguments_hash"]


def test_a_keyed_fingerprint(core: ModuleType) -> None:
    body = call(name="a", arguments={"x": 1})
    assert core.read_envelope(body).hash_arguments(key=b"secret") == core.hash_arguments({"x": 1}, key=b"secret")


@pytest.mark.parametrize("hashing", ["hash_arguments", "digest_arguments"])
def test_an_empty_key_is_refused(core: ModuleType, hashing: str) -> None:
    envelope = core.read_envelope(call(name="a"))
    with pytest.raises(ValueError, match="empty"):
        getattr(envelope, hashing)(key=b"")


REFERENCES: dict[str, tuple[Any, Any]] = {
    "a prompt": ({"type": "ref/prompt", "name": "p"}, ("ref/prompt", "p")),
    "a resource": ({"type": "ref/resource", "uri": "file:///{x}"}, ("ref/resource", "file:///{x}")),
    "a prompt that has a uri too": ({"type": "ref/prompt", "name": "p", "uri": "u"}, ("ref/prompt", "p")),
    "a prompt without name": ({"type": "ref/prompt", "uri": "u"}, "invalid_request"),
    "a resource without uri": ({"type": "ref/resource", "name": "p"}, "invalid_request"),
    "a name that is no text": ({"type": "ref/prompt", "name": 1}, "invalid_request"),
    "another type": ({"type": "ref/tool", "name": "p"}, "invalid_request"),
    "no type": ({"name": "p"}, "invalid_request"),
    "a type that cannot be a key": ({"type": [], "name": "p"}, "invalid_request"),
    "no object": ("ref/prompt", "invalid_request"),
    "null": (None, "invalid_request"),
}


@pytest.mark.parametrize(("reference", "expected"), REFERENCES.values(), ids=REFERENCES)
def test_the_reference_of_a_completion(core: ModuleType, reference: Any, expected: Any) -> None:
    found = verdict(core, message(id=1, method="completion/complete", params={"ref": reference, "argument": {}}))
    assert (found if isinstance(found, str) else found["reference"]) == expected
    assert read(core, call(ref=reference))["reference"] is None


# --- what is read of the params later ---------------------------------------------------------------------------------

WRITTEN: dict[str, bytes] = {
    "nothing": b"{}",
    "with white space": b' { "b" : 1 , "a" : [ ] } ',
    "beyond ASCII": '{"é": "€😀"}'.encode(),
    "escapes": rb'{"\u00e9": "\ud83d\ude00\n"}',
    "exact numbers": b'{"a": 12345678901234567890123, "b": 1.0, "c": -0, "d": 1e3}',
    "null": b"null",
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_the_arguments_are_known_as_they_are_written(core: ModuleType, written: bytes) -> None:
    params = b'{"name": "a" , "arguments" :' + written + b"}"
    body = b'{"params": ' + params + b', "method": "tools/call", "id": 1, "jsonrpc": "2.0"}'
    envelope = core.read_envelope(body)
    expected = written.strip()
    assert envelope.arguments_size == len(expected)
    assert envelope.digest_arguments() == f"sha256:{hashlib.sha256(expected).hexdigest()}"
    assert envelope.digest_arguments(key=b"k") == f"hmac-sha256:{hmac.new(b'k', expected, 'sha256').hexdigest()}"
    assert repr(envelope.param("arguments", max_bytes=len(expected))) == repr(json.loads(expected))
    with pytest.raises(Malformed, match="too large"):
        envelope.param("arguments", max_bytes=len(expected) - 1)


@pytest.mark.parametrize("name", PARAMS_READ)
def test_a_member_of_the_params_is_read_where_it_is_wanted(core: ModuleType, name: str) -> None:
    value = {"a": [1, "x", None, True, {"b": 1.5}]}
    assert core.read_envelope(call(**{name: value})).param(name, max_bytes=100) == value
    assert core.read_envelope(message(id=1, method="ping", **{name: value})).param(name, max_bytes=100) is None
    assert core.read_envelope(call()).param(name, max_bytes=0) is None


def test_no_other_member_is_read(core: ModuleType) -> None:
    with pytest.raises(ValueError, match="not noted"):
        core.read_envelope(call(name="a")).param("name", max_bytes=100)


TRACEPARENTS: dict[str, tuple[dict[str, Any], str | None]] = {
    "in _meta": ({"_meta": {"traceparent": "00-1-2-01"}}, "00-1-2-01"),
    "the longest": ({"_meta": {"traceparent": "0" * MAX_TRACEPARENT_BYTES}}, "0" * MAX_TRACEPARENT_BYTES),
    "a longer one": ({"_meta": {"traceparent": "0" * (MAX_TRACEPARENT_BYTES + 1)}}, None),
    "no text": ({"_meta": {"traceparent": {"traceparent": "00"}}}, None),
    "among the arguments": ({"arguments": {"traceparent": "00"}}, None),
    "outside of _meta": ({"traceparent": "00", "_meta": {}}, None),
    "deeper in _meta": ({"_meta": {"a": {"traceparent": "00"}}}, None),
    "_meta is an array": ({"_meta": [{"traceparent": "00"}]}, None),
    "_meta is a text": ({"_meta": "traceparent"}, None),
}


@pytest.mark.parametrize(("params", "expected"), TRACEPARENTS.values(), ids=TRACEPARENTS)
def test_the_span_that_a_message_names(core: ModuleType, params: dict[str, Any], expected: str | None) -> None:
    assert core.read_envelope(call(**params)).traceparent == expected


def test_a_message_and_its_params_have_few_members(core: ModuleType) -> None:
    def members(count: int) -> dict[str, Any]:
        return {f"m{number}": 0 for number in range(count)}

    assert verdict(core, message(id=1, method="ping", params=members(MAX_MEMBERS)))["kind"] == "request"
    assert verdict(core, message(id=1, method="ping", params=members(MAX_MEMBERS + 1))) == "invalid_json"
    assert verdict(core, message(id=1, method="ping", **members(MAX_MEMBERS - 3)))["kind"] == "request"
    assert verdict(core, message(id=1, method="ping", **members(MAX_MEMBERS - 2))) == "invalid_json"
    assert verdict(core, call(name="a", arguments=members(10_000)))["kind"] == "request", "arguments have any number"


def test_the_arguments_show_in_no_repr(core: ModuleType) -> None:
    assert "hunter2" not in repr(core.read_envelope(call(name="a", arguments={"password": "hunter2"})))


def test_an_envelope_is_frozen(core: ModuleType) -> None:
    envelope = core.read_envelope(call(name="a"))
    with pytest.raises(AttributeError):
        envelope.name = "b"


# --- as others read it ------------------------------------------------------------------------------------------------

IDS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
ANY = st.recursive(
    IDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
META = st.fixed_dictionaries({}, optional={"traceparent": IDS, "x": ANY})
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "name": IDS,
        "uri": IDS,
        "arguments": ANY,
        "_meta": ANY | META,
        "notifications": ANY,
        "ref": ANY | st.just({"type": "ref/prompt"}),
    },
)
MESSAGES = st.fixed_dictionaries(
    {"jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", 2.0, "1.0"])},
    optional={
        "id": IDS,
        "method": st.sampled_from(["tools/call", "ping", "completion/complete"]) | IDS,
        "params": PARAMS | PARAMS | ANY,
        "result": ANY,
        "error": ANY,
    },
)


@given(MESSAGES.map(json.dumps), st.data())
def test_both_cores_read_alike(text: str, data: st.DataObject) -> None:
    body = bytearray(text.encode())
    for _ in range(data.draw(st.integers(0, 2))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from(b'[]{}":,\\0e.- \x00\xff'))
    assert verdict(native, bytes(body)) == verdict(pure, bytes(body))


@given(st.binary())
def test_both_cores_judge_any_bytes_alike(body: bytes) -> None:
    assert verdict(native, body) == verdict(pure, body)


def sdk_readers() -> list[Any]:
    """Both ways the SDK reads a body: the older protocol by pydantic's parser, the newer by the standard library's."""
    pydantic_core = pytest.importorskip("pydantic_core")
    return [json.loads, pydantic_core.from_json]


@given(MESSAGES.map(json.dumps))
def test_what_is_accepted_the_sdk_reads_the_same_way(text: str) -> None:
    for core in (native, pure):
        found = verdict(core, text.encode())
        if isinstance(found, str):
            continue
        for reader in sdk_readers():
            seen = reader(text.encode())
            params = seen.get("params", {})
            assert seen.get("method") == found["method"]
            assert (seen.get("id"), type(seen.get("id"))) == (found["id"], type(found["id"]))
            assert (params.get("name"), params.get("uri")) == (found["name"], found["uri"])
            assert core.hash_arguments(params.get("arguments") or {}) == found["arguments_hash"]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_kind_is_that_of_the_sdk(core: ModuleType, body: bytes) -> None:
    """Never may the SDK run what we took for something else; it may refuse more than we do."""
    jsonrpc = pytest.importorskip("mcp_types.jsonrpc")
    pydantic = pytest.importorskip("pydantic")
    found = verdict(core, body)
    if isinstance(found, str):
        return
    try:
        seen = jsonrpc.jsonrpc_message_adapter.validate_json(body)
    except pydantic.ValidationError:
        return
    kinds = {"JSONRPCRequest": "request", "JSONRPCNotification": "notification"}
    assert kinds.get(type(seen).__name__, "response") == found["kind"]
    assert (getattr(seen, "id", None), getattr(seen, "method", None)) == (found["id"], found["method"])

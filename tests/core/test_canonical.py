"""Equal arguments, equal hash: RFC 8785, but exact from 2**53 on, whether the arguments come as objects or as text."""

from __future__ import annotations

import base64
import collections
import enum
import hashlib
import hmac
import importlib.util
import json
import random
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pytest
import rfc8785
from attacks import SHARED, shared_vectors
from hypothesis import example, given
from hypothesis import strategies as st

import doorward._pure as pure
from doorward import Malformed
from doorward._pure.canonical import canonical

native = pytest.importorskip("doorward._rust")

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def arguments_of(floats: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, Any]]:
    scalars = st.none() | st.booleans() | st.integers() | floats | TEXT
    values: st.SearchStrategy[Any] = st.recursive(
        scalars, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=30
    )
    return st.dictionaries(TEXT, values)


ARGUMENTS = arguments_of(FLOATS)


def sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


FORMS = {
    "no arguments": ("{}", "{}"),
    "order and white space": (' { "b" : [ 1 , { } ] , "a" : null } ', '{"a":null,"b":[1,{}]}'),
    "order inside order": ('{"b":{"d":1,"c":[{"f":1,"e":2}]},"a":0}', '{"a":0,"b":{"c":[{"e":2,"f":1}],"d":1}}'),
    "out of order in an array in order": (
        '{"a":[{"z":1,"y":2},{"x":[]}],"b":{"d":0,"c":0}}',
        '{"a":[{"y":2,"z":1},{"x":[]}],"b":{"c":0,"d":0}}',
    ),
    "names in UTF-16 order": ('{"\ufb33":1,"\U0001f602":2,"\u20ac":3}', '{"\u20ac":3,"\U0001f602":2,"\ufb33":1}'),
    "an escaped name": ('{"b":1,"\\u0061\\n":2}', '{"a\\n":2,"b":1}'),
    "the escapes": ('"\\u001F\\b\\t\\n\\f\\r\\"\\\\\\/\\u007f\\u2028"', '"\\u001f\\b\\t\\n\\f\\r\\"\\\\/\x7f\u2028"'),
    "zeros": ("[0,-0,0.0,-0.0,0e9,1e-999]", "[0,0,0,0,0,0]"),
    "whole doubles": ("[1.0,1e2,-5.00,1e21]", "[1,100,-5,1e+21]"),
    "the last double that is written as an integer": ("9007199254740991.0", "9007199254740991"),
    "the first that is not": ("9007199254740992.0", "9.007199254740992e+15"),
    "its negative": ("-9007199254740992.0", "-9.007199254740992e+15"),
    "an integer that rounds to it": ("9007199254740993", "9007199254740993"),
    "a double of 17 digits": (
        "[1.2345678901234568e18,1234567890123456800]",
        "[1.2345678901234568e+18,1234567890123456800]",
    ),
    "a power of ten": ("[1e18,1E+18,10.0e17,1000000000000000000.0]", "[1e+18,1e+18,1e+18,1e+18]"),
    "below the exponents of ECMAScript": ("[1e20,-123456789012345680000.0]", "[1e+20,-1.2345678901234568e+20]"),
    "fractions": ("[0.5,4.50,0.000001,0.0000001,1.5E-7,-0.1]", "[0.5,4.5,0.000001,1e-7,1.5e-7,-0.1]"),
    "digits no double has": ("[0.1000000000000000055,333333333.33333329]", "[0.1,333333333.3333333]"),
    "integers are exact": ("[9007199254740993,-1" + "0" * 30 + "1]", "[9007199254740993,-1" + "0" * 30 + "1]"),
    "an integer above 10^21": ("1" + "0" * 21, "1" + "0" * 21),
}


@pytest.mark.parametrize(("text", "form"), FORMS.values(), ids=FORMS)
def test_the_form(core: ModuleType, text: str, form: str) -> None:
    assert core.hash_arguments(text.encode()) == sha256(form)


def test_the_examples_of_the_rfc(core: ModuleType) -> None:
    for pair in shared_vectors("jcs.json")["pairs"]:
        assert core.hash_arguments(base64.b64decode(pair["input_b64"])) == f"sha256:{pair['sha256']}", pair["id"]


def test_a_key_makes_it_a_mac(core: ModuleType) -> None:
    expected = hmac.new(b"secret", b'{"a":1}', "sha256").hexdigest()
    assert core.hash_arguments({"a": 1}, key=b"secret") == f"hmac-sha256:{expected}"
    assert core.hash_arguments(b'{"a":1.0}', key=b"secret") == f"hmac-sha256:{expected}"


def test_an_empty_key_is_a_mistake(core: ModuleType) -> None:
    with pytest.raises(ValueError, match="empty"):
        core.hash_arguments({}, key=b"")


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 9


OBJECTS: dict[str, tuple[Any, str]] = {
    "a tuple is an array": ({"a": (1, 2)}, '{"a":[1,2]}'),
    "subclasses count as what they extend": ({"a": Colour.RED, "b": Level.HIGH}, '{"a":"red","b":9}'),
    "an ordered dict": (collections.OrderedDict(b=1, a=2), '{"a":2,"b":1}'),
    "a read-only mapping": (MappingProxyType({"b": MappingProxyType({})}), '{"b":{}}'),
    "truth is no number": ({"a": [True, 1, False, 0]}, '{"a":[true,1,false,0]}'),
}


@pytest.mark.parametrize(("arguments", "form"), OBJECTS.values(), ids=OBJECTS)
def test_python_objects(core: ModuleType, arguments: Any, form: str) -> None:
    assert core.hash_arguments(arguments) == sha256(form)


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["itself"] = value
    return value


def unfolding() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(100):
        value = {"a": value, "b": value}
    return value


NOT_JSON: dict[str, Any] = {
    "NaN": {"a": float("nan")},
    "infinity": {"a": [float("-inf")]},
    "an integer no double holds": {"a": 2**1024},
    "an integer of a million digits": {"a": 1 << 4_000_000},
    "a name that is no string": {1: 2},
    "a name that is no string, deep": {"a": [{None: 1}]},
    "a set": {"a": {1}},
    "bytes": {"a": b"b"},
    "an object": {"a": object()},
    "a lone surrogate": {"a": "\ud800"},
    "a lone surrogate as a name": {"\udc00": 1},
    "too deep": deep(129),
    "a mapping in itself": endless(),
}


@pytest.mark.parametrize("arguments", NOT_JSON.values(), ids=NOT_JSON)
def test_objects_json_does_not_have(core: ModuleType, arguments: Any) -> None:
    with pytest.raises(Malformed) as caught:
        core.hash_arguments(arguments)
    assert caught.value.code == "invalid_json"


def test_as_deep_as_text_may_be(core: ModuleType) -> None:
    assert core.hash_arguments(deep(128)) == core.hash_arguments(json.dumps(deep(128)).encode())


def test_the_largest_integers(core: ModuleType) -> None:
    most = 2**1024 - 2**970 - 1  # one more, and the nearest double is infinite
    for number in (most, -most, 2**63, -(2**63) - 1, 2**53 + 1):
        assert core.hash_arguments({"a": number}) == sha256(f'{{"a":{number}}}')
        assert core.hash_arguments(b'{"a":%d}' % number) == sha256(f'{{"a":{number}}}')
    for number in (most + 1, -most - 1):
        with pytest.raises(Malformed):
            core.hash_arguments({"a": number})
        with pytest.raises(Malformed):
            core.hash_arguments(b'{"a":%d}' % number)


@pytest.mark.parametrize("arguments", ["{}", [], None, bytearray(b"{}"), 1], ids=repr)
def test_neither_a_mapping_nor_bytes(core: ModuleType, arguments: Any) -> None:
    with pytest.raises(TypeError):
        core.hash_arguments(arguments)


@given(ARGUMENTS, st.sampled_from([None, 1]), st.booleans(), st.sampled_from([None, b"key"]))
def test_objects_and_their_text_have_one_hash(
    arguments: dict[str, Any], indent: int | None, escape: bool, key: bytes | None
) -> None:
    text = json.dumps(arguments, indent=indent, ensure_ascii=escape).encode()
    hashes = {
        core.hash_arguments(given, key=key)
        for core in (native, pure)
        for given in (arguments, text, canonical(arguments))
    }
    assert len(hashes) == 1


@given(ARGUMENTS, st.randoms(use_true_random=False))
def test_the_order_of_the_members_does_not_count(arguments: dict[str, Any], chance: random.Random) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(item) for item in value]
        if isinstance(value, dict):
            return {name: shuffled(value[name]) for name in chance.sample(list(value), len(value))}
        return value

    mixed = shuffled(arguments)
    for core in (native, pure):
        assert core.hash_arguments(json.dumps(mixed).encode()) == core.hash_arguments(arguments)


@given(ARGUMENTS)
def test_the_form_is_its_own_form(arguments: dict[str, Any]) -> None:
    form = canonical(arguments)
    assert canonical(json.loads(form)) == form
    assert native.hash_arguments(form) == sha256(form.decode())


@given(ARGUMENTS)
def test_the_form_means_what_the_arguments_mean(arguments: dict[str, Any]) -> None:
    """To the double: 1 and 1.0 share a form."""
    assert json.loads(canonical(arguments), parse_int=float) == json.loads(json.dumps(arguments), parse_int=float)


AMBIGUOUS = st.floats(2.0**53, allow_infinity=False) | st.floats(max_value=-(2.0**53), allow_infinity=False)
NEAR = st.integers(2**53 - 20, 2**53 + 20) | st.integers(2**53, 2**70)


@given(AMBIGUOUS, st.integers(-2, 2))
def test_no_double_from_2_to_the_53_on_has_the_hash_of_an_integer(double: float, step: int) -> None:
    shortest = int(Decimal(repr(double)))  # its digits with zeros behind them: what RFC 8785 writes up to 10**21
    for core in (native, pure):
        of_double = core.hash_arguments({"a": double})
        for integer in {int(double) + step, shortest + step}:
            assert core.hash_arguments({"a": integer}) != of_double
            assert core.hash_arguments(b'{"a":%d}' % integer) != of_double


@given(NEAR, st.sampled_from([1, -1]), NEAR, st.sampled_from([1, -1]))
@example(2**53, 1, 2**53 + 1, 1)
@example(1234567890123456768, 1, 1234567890123456800, 1)
def test_numbers_of_different_values_have_different_hashes(one: int, sign: int, other: int, other_sign: int) -> None:
    one, other = sign * one, other_sign * other
    for core in (native, pure):
        numbers = [one, other, float(one), float(other)]
        hashes = [core.hash_arguments({"a": number}) for number in numbers]
        for number, hashed in zip(numbers, hashes, strict=True):
            for another, hashed_another in zip(numbers, hashes, strict=True):
                assert hashed != hashed_another or number == another


@given(AMBIGUOUS, st.sampled_from(["{:.17g}", "{:.20e}", "{:.1f}", "{!r}"]))
def test_a_double_has_one_hash_however_it_is_written(double: float, spelling: str) -> None:
    literal = spelling.format(double)
    if not {".", "e"} & set(literal):
        literal += ".0"
    hashes = {core.hash_arguments(f"[{literal}]".encode()) for core in (native, pure)}
    assert hashes == {sha256(canonical([double]).decode())}


@given(st.integers(-(2**70), 2**70), st.integers(-2, 2).filter(bool))
def test_neighbouring_integers_have_different_hashes(integer: int, step: int) -> None:
    for core in (native, pure):
        assert core.hash_arguments({"a": integer}) != core.hash_arguments({"a": integer + step})


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_any_literal_has_one_form_in_both_cores(literal: str) -> None:
    form = canonical(json.loads(literal)).decode()
    assert native.hash_arguments(literal.encode()) == pure.hash_arguments(literal.encode()) == sha256(form)


@given(arguments_of(FLOATS.filter(lambda double: not 2.0**53 <= abs(double) < 1e21)))
def test_agrees_with_rfc8785_where_it_has_an_answer(arguments: dict[str, Any]) -> None:
    try:
        form = rfc8785.dumps(arguments)
    except rfc8785.CanonicalizationError:  # integers beyond 2**53
        return
    assert canonical(arguments) == form


def test_doubles_are_written_as_ecmascript_does(core: ModuleType, proof: Callable[..., int]) -> None:
    """The published number series of RFC 8785: each line's number is only taken when its hash is that of the form."""
    count = proof("doubles of the published series", small=3_000, large=1_000_000)
    for bits, text in published(count):
        double = struct.unpack("<d", struct.pack("<Q", bits))[0]
        form = with_exponent(text) if abs(double) >= 2.0**53 else text
        assert core.hash_arguments({"": double}) == sha256(f'{{"":{form}}}'), hex(bits)


def test_the_whole_series_has_the_published_sum(proof: Callable[..., int]) -> None:
    count = proof("doubles against the published sum", small=10_000, large=10_000_000)
    digest = hashlib.sha256()
    for bits, _ in published(count):
        form = canonical(struct.unpack("<d", struct.pack("<Q", bits))[0]).decode()
        digest.update(f"{bits:x},{as_ecmascript(form)}\n".encode())
    assert digest.hexdigest() == shared_vectors("jcs.json")["es6_numbers"]["sha256"][str(count)]


def with_exponent(text: str) -> str:
    """The text of a double as it is hashed, from that of ECMAScript, which has no exponent below 10**21."""
    if "e" in text:
        return text
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    fraction = digits[1:].rstrip("0")
    return f"{sign}{digits[0]}{'.' * bool(fraction)}{fraction}e+{len(digits) - 1}"


def as_ecmascript(form: str) -> str:
    """The other way round."""
    mantissa, plus, power = form.partition("e+")
    if not plus or int(power) >= 21:
        return form
    whole, _, fraction = mantissa.partition(".")
    return whole + fraction.ljust(int(power), "0")


def published(count: int) -> Iterator[tuple[int, str]]:
    shared_vectors("jcs.json")  # skips where the vectors are absent
    spec = importlib.util.spec_from_file_location("es6_numbers", Path(SHARED) / "es6_numbers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for bits in module.series(count):
        yield bits, module.ecmascript(struct.unpack("<d", struct.pack("<Q", bits))[0])

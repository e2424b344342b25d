"""One strict JSON for tokens and bodies: what two parsers could read differently is refused, by both cores alike."""

from __future__ import annotations

import base64
import json
import math
import re
import time
from types import ModuleType

import pytest
from attacks import shared_vectors
from hypothesis import example, given
from hypothesis import strategies as st

import doorward._pure as pure
from doorward import Malformed
from doorward._pure.json import MAX_DEPTH, MAX_NUMBER_BYTES, parse

native = pytest.importorskip("doorward._rust")


def accepts(core: ModuleType, text: bytes) -> bool:
    """Judged by the one function of the contract that takes any JSON value."""
    try:
        core.hash_arguments(text)
    except Malformed:
        return False
    return True


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + closing * depth).encode()


REFUSED = {
    "nothing": b"",
    "white space alone": b" \n",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16, little endian": "{}".encode("utf-16"),
    "UTF-16 without mark": '{"a":1}'.encode("utf-16-be"),
    "UTF-32": "{}".encode("utf-32"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00C\xbf\xa6\xa3\x02\x00\x00\x00",
    "a second value": b"{}{}",
    "a second line": b'{"a":1}\n{"a":2}',
    "a NUL at the end": b"{}\x00",
    "a member twice": b'{"a":1,"a":1}',
    "a member twice, once escaped": b'{"a":1,"\\u0061":1}',
    "a member twice, deep": b'[{"b":[{"a":1,"c":2,"a":3}]}]',
    "a member twice, among sorted ones": b'{"a":1,"b":1,"b":2,"c":3}',
    "an empty name twice": b'{"":1,"":2}',
    "NaN": b"[NaN]",
    "Infinity": b"[Infinity]",
    "-Infinity": b"[-Infinity]",
    "overflow": b"[1e309]",
    "negative overflow": b"[-1.8e308]",
    "an integer no double holds": b"9" * 309,
    "a number beyond its bound": b"1." + b"0" * MAX_NUMBER_BYTES,
    "a leading zero": b"[01]",
    "a plus": b"[+1]",
    "a bare point": b"[.5]",
    "a point at the end": b"[5.]",
    "hexadecimal": b"[0x1]",
    "digits of another script": "[\u0661]".encode(),
    "a lone high surrogate": b'["\\ud800"]',
    "a lone low surrogate": b'["\\udc00"]',
    "two high surrogates": b'["\\ud800\\ud800"]',
    "surrogates the wrong way round": b'["\\udc00\\ud800"]',
    "a lone surrogate as a name": b'{"\\uDEAD":0}',
    "a surrogate in UTF-8": b'["\xed\xa0\x80"]',
    "an overlong slash": b'["\xc0\xaf"]',
    "beyond Unicode": b'["\xf4\x90\x80\x80"]',
    "Latin-1": b'["\xe9"]',
    "a control character": b'["\x1f"]',
    "a line break in a string": b'["\n"]',
    "an unknown escape": b'["\\x41"]',
    "an escape of three digits": b'["\\u041"]',
    "an escape with a sign": b'["\\u+041"]',
    "single quotes": b"['a']",
    "a comment": b"{} // nothing",
    "a trailing comma": b"[1,]",
    "a no-break space": "\u00a0{}".encode(),
    "too deep": nested(MAX_DEPTH + 1),
    "too deep, in objects": nested(MAX_DEPTH + 1, '{"a":', "}"),
}

ACCEPTED = {
    "space around": b" \t\r\n{ } \n",
    "a surrogate pair": b'["\\ud83d\\uDE02"]',
    "what looks like a surrogate": b'["\\\\ud800"]',
    "two spellings of one letter": '{"\u00e9":1,"e\u0301":2}'.encode(),
    "an escaped NUL": b'["\\u0000"]',
    "U+007F and a non-character": '["\x7f\uffff"]'.encode(),
    "underflow": b"[1e-999]",
    "the largest double": b"[1.7976931348623157e308]",
    "a long integer": b"-" + b"9" * 307,
    "many digits": b"0." + b"1" * (MAX_NUMBER_BYTES - 2),
    "as deep as may be": nested(MAX_DEPTH),
    "as deep, in objects": nested(MAX_DEPTH, '{"a":', "}").replace(b":}", b":0}"),
    "brackets in strings": b'["' + b"[" * 1000 + b'\\"' + b"{" * 1000 + b'\\\\"]',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_refuses(core: ModuleType, text: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        core.hash_arguments(text)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(core: ModuleType, text: bytes) -> None:
    assert accepts(core, text)


def test_the_refusal_never_quotes_the_input(core: ModuleType) -> None:
    with pytest.raises(Malformed) as caught:
        core.hash_arguments(b'{"password": hunter2}')
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_json_test_suite(core: ModuleType) -> None:
    """Two of its accepted texts have a member twice; where it leaves the choice, we refuse what is not I-JSON."""
    verdicts = {case["id"]: case for case in shared_vectors("json_hostile.json")["parsing"]}
    wrong = []
    for name, case in verdicts.items():
        expected = case["expect"] == "accept" and "duplicated_key" not in name
        if case["expect"] == "either":
            expected = bool(re.search(r"double_huge_neg_exp|underflow|too_big_|very_big_negative_int", name))
        if accepts(core, base64.b64decode(case["input_b64"])) is not expected:
            wrong.append(name)
    assert wrong == []


def test_the_transforms_of_the_json_test_suite(core: ModuleType) -> None:
    """Texts that parsers were found to change on the way: refused, or read to the letter."""
    for case in shared_vectors("json_hostile.json")["transform"]:
        expected = re.search(r"same_key|invalid_codepoint", case["id"]) is None
        assert accepts(core, base64.b64decode(case["input_b64"])) is expected, case["id"]


HOSTILE = {
    "100,000 members in reverse": b"{" + b",".join(b'"%06d":0' % n for n in range(100_000, 0, -1)) + b"}",
    "100,000 members, the last twice": b"{" + b",".join(b'"%d":0' % n for n in [*range(100_000), 99_999]) + b"}",
    "long names that begin alike": b"{" + b",".join(b'"%s%d":0' % (b"a" * 3_000, n) for n in range(999, 0, -1)) + b"}",
    "a million brackets": b"[" * 1_000_000,
    "a million objects": b'{"":' * 1_000_000,
    "a million empty arrays": b"[" + b"[]," * 1_000_000 + b"[]]",
    "an endless string of quotes": b'"' + b'\\"' * 2_000_000,
    "an endless string of backslashes": b'["' + b"\\" * 4_000_001,
    "nested, and every level out of order": b'{"b":0,"a":' * 126 + b'"%s"' % (b"x" * 3_000_000) + b"}" * 126,
    "an endless number": b"1" * 4_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_linear_time(core: ModuleType, text: bytes) -> None:
    started = time.process_time()
    accepts(core, text)
    assert time.process_time() - started < 5  # a quadratic step would take minutes


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)
NEARLY = st.text(alphabet='[]{}":,\\/ \n0123456789.eE+-utrfalsn\u00e9\U0001f602', max_size=40)


@given(st.binary() | NEARLY.map(str.encode))
@example(b'{"a":1,"a":1}')
def test_both_cores_judge_any_bytes_alike(text: bytes) -> None:
    assert accepts(native, text) is accepts(pure, text)


@given(VALUES, st.data())
def test_both_cores_judge_damaged_json_alike(value: object, data: st.DataObject) -> None:
    text = bytearray(json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from(b'[]{}":,\\0e.- \x00\xff'))
    assert accepts(native, bytes(text)) is accepts(pure, bytes(text))


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_what_is_accepted_is_what_the_standard_library_reads(value: object, indent: int | None, escape: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=escape).encode()
    assert parse(text) == json.loads(text) == value
    assert accepts(native, text)


@given(st.floats(allow_nan=False))
def test_only_finite_numbers_are_numbers(number: float) -> None:
    for core in (native, pure):
        assert accepts(core, repr(number).replace("inf", "1e999").encode()) is math.isfinite(number)

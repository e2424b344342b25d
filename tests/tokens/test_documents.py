"""The documents of issuers, read strictly."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.tokens.documents import MAX_DEPTH, parse_document

REFUSED = {
    "nothing": b"",
    "a list": b"[]",
    "text": b'"a"',
    "two values": b"{} {}",
    "a comment": b"{} // a",
    "a trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "a member twice": b'{"a": 1, "a": 1}',
    "a member twice, once escaped": rb'{"a": 1, "\u0061": 2}',
    "a member twice, deep": b'{"a": [{"b": {"c": 1, "c": 2}}]}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "beyond a double": b'{"a": 1e400}',
    "many digits": b'{"a": ' + b"1" * 33 + b"}",
    "very many digits": b'{"a": ' + b"1" * 100_000 + b"}",
    "not UTF-8": b'{"a": "\xff"}',
    "an encoded surrogate": b'{"a": "\xed\xa0\x80"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-32": '{"a": 1}'.encode("utf-32-le"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a lone surrogate": rb'{"a": "\ud800"}',
    "a lone surrogate as a name": rb'{"\udc00": 1}',
    "a control character": b'{"a": "\x01"}',
    "one level too many": b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "levels without end": b'{"a": ' + b"[" * 500_000,
    "objects without end": b'{"a": ' * 100_000,
}


@pytest.mark.parametrize("document", REFUSED.values(), ids=REFUSED)
def test_what_is_no_document(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(not |nested |a lone )") as refused:
        parse_document(document)
    # The parser's own error holds the document.
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b"{}", {}),
        (b' {"a": [1, 2.5, null, true, "\xc3\xa4"]}\n', {"a": [1, 2.5, None, True, "ä"]}),
        (rb'{"a": "\ud83d\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": ' + b"[" * (MAX_DEPTH - 2) + b"]" * (MAX_DEPTH - 2) + b"}", None),
        (b'{"a": 1, "b": {"a": 1}}', {"a": 1, "b": {"a": 1}}),
    ],
)
def test_what_is_one(document: bytes, value: object) -> None:
    parsed = parse_document(document)
    assert value is None or parsed == value


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(st.dictionaries(st.text(), VALUES))
def test_what_is_written_is_read(document: dict[str, object]) -> None:
    assert parse_document(json.dumps(document).encode()) == document


@given(st.binary())
def test_nothing_else_is_raised(document: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(parse_document(document), dict)

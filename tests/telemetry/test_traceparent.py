"""W3C Trace Context, read strictly: what is not exactly a parent is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.telemetry import SpanParent, traceparent_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"
PARENT = SpanParent(int(TRACE, 16), int(SPAN, 16), sampled=True)

NONE: dict[str, list[object]] = {
    "there is none": [],
    "two of them": [GOOD, GOOD],
    "empty": [""],
    "no text": [17],
    "null": [None],
    "a list": [[GOOD]],
    "upper case": [GOOD.upper()],
    "space before": [f" {GOOD}"],
    "newline behind": [f"{GOOD}\n"],
    "more behind": [f"{GOOD}-00"],
    "very long": [GOOD + "-" + "0" * 100_000],
    "a version to come": [f"01{GOOD[2:]}"],
    "the version that is none": [f"ff{GOOD[2:]}"],
    "a trace of zeros": [f"00-{'0' * 32}-{SPAN}-01"],
    "a span of zeros": [f"00-{TRACE}-{'0' * 16}-01"],
    "too short": [GOOD[:-1]],
    "other digits": [f"00-{'٣' * 32}-{SPAN}-01"],
}


@pytest.mark.parametrize("values", NONE.values(), ids=NONE)
def test_what_is_no_parent(values: list[object]) -> None:
    assert traceparent_of(values) is None


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_a_parent(flags: str, *, sampled: bool) -> None:
    # Section 3.2.2.5.2: of the flags only the lowest is read.
    assert traceparent_of([f"{GOOD[:-2]}{flags}"]) == PARENT._replace(sampled=sampled)


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    traceparent_of([text])

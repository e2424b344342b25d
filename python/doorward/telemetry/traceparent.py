"""W3C Trace Context: the trace that a caller says it is in.

Read strictly, and believed of nobody: it says where a span is hung up, and decides nothing. ``tracestate`` and
``baggage`` are left alone: they are a caller's own text, and would end in every span.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["SpanParent", "traceparent_of"]

_VERSION_0: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
"""Trace Context section 3.2: lower case, and nothing behind it. A later version may look otherwise; there is none."""


class SpanParent(NamedTuple):
    """A span of somebody else's."""

    trace_id: int
    span_id: int
    sampled: bool


def traceparent_of(values: Sequence[object]) -> SpanParent | None:
    """The parent that a ``traceparent`` names; None for none, for more than one, and for what is none."""
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    found = _VERSION_0.fullmatch(values[0])
    if found is None:
        return None
    trace_id, span_id = int(found[1], 16), int(found[2], 16)
    if trace_id == 0 or span_id == 0:
        return None
    return SpanParent(trace_id, span_id, bool(int(found[3], 16) & 1))

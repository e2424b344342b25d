"""What an instance's chain goes on from, and lines that are signed.

Sequence numbers have no gap but for lines that were lost: a jump of n + 1 means that n records never reached the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256

from doorward._core import Chain

__all__ = ["Chain", "chain_after", "seal_signed"]


def seal_signed(chain: Chain, record: str, sign: Callable[[bytes], bytes]) -> bytes:
    """The record's line, with a last member ``signature``: hexadecimal, over the bytes of the line before it."""
    signed = chain.begin(record)
    line = b'%b,"signature":"%b"}' % (signed, sign(signed).hex().encode())
    chain.end(line)
    return line + b"\n"


def chain_after(instance: str, lines: bytes) -> Chain:
    """The chain that goes on behind these last lines of a file. What a crash cut short counts as a line, and so does
    what somebody spoilt: it keeps its number, and its hash is carried on together with that of the last line that still
    tells one, since a line that was cut carries none itself."""
    ended = lines.rstrip(b"\n").split(b"\n")
    unreadable = 0
    sequence = None
    for line in reversed(ended):
        sequence = _sequence(line)
        if sequence is not None:
            break
        unreadable += 1
    told = max(0, len(ended) - unreadable - 1)
    previous = sha256(b"\n".join(ended[told:])).hexdigest()
    return Chain(instance, sequence=(sequence or 0) + unreadable, previous=f"sha256:{previous}")


def _sequence(line: bytes) -> int | None:
    try:
        sequence = json.loads(line)["sequence"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    # A number that nobody counted to was written by nobody of ours.
    is_ours = isinstance(sequence, int) and not isinstance(sequence, bool) and 0 <= sequence < 1 << 63
    return sequence if is_ours else None

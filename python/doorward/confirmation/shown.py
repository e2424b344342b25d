"""What the human reads. The arguments come from whoever wants the call, so they may say anything but be taken for the
gate's own words: each stands on one line, in quotes, and what could break out of that is spelled as an escape."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["in_words"]

_MAX_ARGUMENTS: Final = 20
"""Lines that somebody still reads."""

_MAX_VALUE: Final = 300
"""Characters of one argument."""

_MAX_NAME: Final = 100
"""Characters of the name of an argument, of a client and of an organization; of what is called, three times as many."""

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
"""Categories of characters that show nothing or move what stands beside them: controls, bidirectional overrides and
zero-width ones, the unassigned, the private, and every space but the plain one."""

_BLANK: Final = frozenset(map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)))
"""Letters and symbols that look like nothing."""

_MARKUP: Final = frozenset("<>&`")
"""What begins markup where a client renders some."""

_KINDS: Final = {"tool": "Run this tool", "resource": "Read this resource", "prompt": "Use this prompt"}


def in_words(
    kind: str,
    name: str,
    arguments: Mapping[str, Any],
    *,
    client: str,
    digest: str,
    organization: str | None = None,
    version: str = "",
) -> str:
    """The question as text, a line for each argument. ``kind``: ``tool``, ``resource`` or ``prompt``; ``digest``: the
    hash of the arguments, shown where not all of them are; ``organization``: the caller's, None where it has none."""
    shown_name, whole_name = _quoted(name, 3 * _MAX_NAME)
    lines = [
        f"{_KINDS[kind]}?",
        "",
        # Escaped, a character is ten: this is all of it.
        f"  {shown_name}" + (f" version {_quoted(version, 10 * _MAX_NAME)[0]}" if version else ""),
        f"  asked for by {_quoted(client, _MAX_NAME)[0]}"
        + ("" if organization is None else f" of organization {_quoted(organization, _MAX_NAME)[0]}"),
    ]
    is_whole = whole_name and len(arguments) <= _MAX_ARGUMENTS
    if arguments:
        lines += ["", "with these arguments:"]
    for position, (key, value) in enumerate(arguments.items()):
        if position == _MAX_ARGUMENTS:
            break
        shown_key, whole_key = _quoted(key, _MAX_NAME)
        shown_value, whole_value = _rendered(value)
        lines.append(f"  {shown_key} = {shown_value}")
        is_whole = is_whole and whole_key and whole_value
    if not is_whole:
        left = len(arguments) - _MAX_ARGUMENTS
        more = f" {left} more arguments are not shown." if left > 0 else ""
        lines[1:1] = [f"NOT EVERYTHING IS SHOWN.{more} The hash of all arguments is {digest}."]
    return "\n".join(lines)


def _rendered(value: Any) -> tuple[str, bool]:
    """JSON on one line, and whether it is all there. Text is cut inside of its quotes."""
    if isinstance(value, str):
        return _quoted(value, _MAX_VALUE)
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    return _cut(text, _MAX_VALUE, "")


def _quoted(text: str, limit: int) -> tuple[str, bool]:
    inside = json.dumps(text, ensure_ascii=False)[1:-1]
    shown, is_whole = _cut(inside, limit, '"')
    return f'"{shown}', is_whole


def _cut(text: str, limit: int, end: str) -> tuple[str, bool]:
    """The text with escapes, up to the limit, and how much is missing behind its end."""
    shown: list[str] = []
    length = 0
    for position, character in enumerate(text):
        piece = _escaped(character) if _is_hidden(text, position) else character
        length += len(piece)
        if length > limit:
            return f"{''.join(shown)}{end} … and {len(text) - position} characters more", False
        shown.append(piece)
    return f"{''.join(shown)}{end}", True


def _is_hidden(text: str, position: int) -> bool:
    character = text[position]
    if character == " ":
        # Many of them push what follows to where a line of ours could stand.
        return position > 0 and text[position - 1] == " "
    if " " < character <= "~":
        # An image is other words, and a link another place: JSON itself never has one bracket right behind the other.
        return character in _MARKUP or (character == "]" and text[position + 1 : position + 2] in {"(", "["})
    category = unicodedata.category(character)
    if category.startswith("M"):
        # One accent belongs to its letter; a pile of them covers other lines.
        return position == 0 or unicodedata.category(text[position - 1]).startswith("M") or _is_selector(character)
    return category in _INVISIBLE or character in _BLANK


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef" or character in _BLANK


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

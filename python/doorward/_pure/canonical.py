"""The canonical form of JSON (RFC 8785) and its fingerprint: equal arguments, equal text, equal hash.

Two differences from RFC 8785, which reads every number as a double, both from 2**53 on. There several integers round
to one double, and arguments of different values would share one fingerprint.

- An integer written without fraction and exponent keeps its exact digits.
- A double, which is a number written with a fraction or an exponent, always has an exponent: ``1e+18``, where RFC 8785
  writes ``1000000000000000000``. So no double has the form of an integer.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring
from typing import Any, Final

from doorward._pure.json import MAX_DEPTH, JsonError, parse
from doorward.errors import Refused, refusal

__all__ = ["canonical", "fingerprint", "hash_arguments"]


def hash_arguments(arguments: Mapping[str, Any] | bytes, *, key: bytes | None = None) -> str:
    """The fingerprint of a mapping, or of the bytes of any JSON value: `sha256:<hex>` or `hmac-sha256:<hex>`."""
    require_usable(key)
    if isinstance(arguments, bytes):
        return fingerprint(canonical(parse_body(arguments)), key)
    if not isinstance(arguments, Mapping):
        raise TypeError("arguments must be a mapping or bytes")
    return fingerprint(canonical(arguments), key)


def parse_body(body: bytes) -> Any:
    """A body or an argument that is not strict JSON is refused; a token has another slug for it."""
    try:
        return parse(body)
    except JsonError as error:
        raise refusal("invalid_json", str(error)) from None


def require_usable(key: bytes | None) -> None:
    """An empty key would make a fingerprint look keyed that anybody can compute."""
    if key is not None and not key:
        raise ValueError("the key is empty")


def fingerprint(form: bytes, key: bytes | None) -> str:
    """`sha256:<hex>` of a canonical form, with a key `hmac-sha256:<hex>`."""
    if key is None:
        return "sha256:" + hashlib.sha256(form).hexdigest()
    return "hmac-sha256:" + hmac.digest(key, form, "sha256").hex()


def canonical(value: Any) -> bytes:
    """The canonical form of any value that JSON has, as parsed or as given."""
    try:
        return _form(value, 0).encode("utf-8")
    except UnicodeEncodeError:
        raise _invalid("a lone surrogate in a string") from None


_MAX_FORM_CHARACTERS: Final = 64 << 20
"""How long the form of Python objects may become: objects that share their parts unfold exponentially. Text cannot, and
a body is bounded far below."""

_SURELY_FINITE: Final = 2**1023
"""Integers below it fit a double. Made once: an integer of a body is written in less time than this one is made."""


def _invalid(detail: str) -> Refused:
    return refusal("invalid_json", detail)


def _form(value: Any, depth: int) -> str:
    """The recursion is bounded by `MAX_DEPTH`. A subclass counts as what it extends."""
    if isinstance(value, str):
        # Its escapes are those of RFC 8785 section 3.2.2.2.
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _double(value)
    if depth >= MAX_DEPTH:
        raise _invalid("nested too deeply, or not JSON")
    if isinstance(value, dict):
        form = _object(dict.items(value), depth + 1)
    elif isinstance(value, (list, tuple)):
        form = "[" + ",".join([_form(item, depth + 1) for item in value]) + "]"
    elif isinstance(value, Mapping):
        form = _object(dict(value).items(), depth + 1)
    else:
        raise _invalid("not JSON")
    if len(form) > _MAX_FORM_CHARACTERS:
        raise _invalid("too large")
    return form


def _object(items: Iterable[tuple[Any, Any]], depth: int) -> str:
    members = list(items)
    if not all(isinstance(name, str) for name, _ in members):
        raise _invalid("a name is not a string")
    members.sort(key=_name if all(name.isascii() for name, _ in members) else _utf16_name)
    return "{" + ",".join([f"{encode_basestring(name)}:{_form(value, depth)}" for name, value in members]) + "}"


def _name(member: tuple[str, Any]) -> str:
    return member[0]


def _utf16_name(member: tuple[str, Any]) -> bytes:
    """RFC 8785 section 3.2.3 orders names by UTF-16 code units."""
    return member[0].encode("utf-16-be", "surrogatepass")


def _integer(value: int) -> str:
    if not -_SURELY_FINITE < value < _SURELY_FINITE:
        try:  # as in text: what overflows a double is no number; it also bounds the digits
            float(value)
        except OverflowError:
            raise _invalid("a number is too large") from None
    return int.__repr__(value)


_FIRST_AMBIGUOUS: Final = 2.0**53
"""The first double that several integers round to."""


def _double(value: float) -> str:
    """As ECMAScript writes it (RFC 8785 section 3.2.2.3), but with an exponent from 2**53 on. The digits are those of
    Python."""
    if not math.isfinite(value):
        raise _invalid("a number is not finite")
    if value == 0:
        return "0"
    mantissa, _, exponent = float.__repr__(value).partition("e")
    if exponent:
        return _with_exponent(mantissa, int(exponent))
    text = mantissa.removesuffix(".0")
    if abs(value) < _FIRST_AMBIGUOUS:
        return text
    sign, digits = text[: -len(text.lstrip("-"))], text.lstrip("-")
    return f"{sign}{digits[0]}.{digits[1:].rstrip('0')}e+{len(digits) - 1}"


def _with_exponent(mantissa: str, power: int) -> str:
    """Python writes small doubles with an exponent sooner than ECMAScript does."""
    if not -7 < power < 0:
        return f"{mantissa}e{power:+d}"
    sign = "-" if mantissa.startswith("-") else ""
    digits = mantissa.removeprefix("-").replace(".", "")
    return f"{sign}0.{'0' * (-power - 1)}{digits}"

"""Every kind of secret in every form it is written in: none may pass, and what is no secret stays."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import ModuleType
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.audit import credentials
from doorward.audit.credentials import scrub, tells
from doorward.settings import Secret, known_secrets
from doorward.testing import Issuer

_TOKEN = Issuer("https://as.example.com").token(audience="https://mcp.example.com/mcp", scopes=["read"])
_SPACED = base64.urlsafe_b64encode(b' {\n "alg": "ES256" }').decode().rstrip("=") + "." + _TOKEN.split(".", 1)[1]
_CONFIGURED = {
    "a secret of letters": Secret(b"correcthorsebattery7531"),
    "a secret with marks": Secret(b"c0rrect horse/battery+staple&7531=x"),
    "a secret with quotes": Secret(b"it's \"quoted\" \\back\\ 99"),
    "a secret with a line": Secret(b"first-line\nsecond\tline-42"),
    "a secret with percents": Secret(b"100%41%sure%2Fthing"),
    "a secret beyond ASCII": Secret("pässwörd-€-зима-🔑".encode()),
    "a secret of bytes": Secret(b"\x00\x01\xfe\xffbinary-key-\x80\x9f"),
    "a secret of digits": Secret(b"deadbeefcafe0123"),
}

KINDS: dict[str, str] = {
    "a JWT": _TOKEN,
    "a JWT with a spaced header": _SPACED,
    "a JWT cut off": _TOKEN[: len(_TOKEN) // 2],
    "a JWE": base64.urlsafe_b64encode(b'{"alg":"dir","enc":"A256GCM"}').decode().rstrip("=") + "..aXY.Y2lwaGVy.dGFn",
    "an agent token": "doorward_agent_0123456789ab_" + "Xy" * 24 + "Z",
    **{kind: secret.value.decode("utf-8", "surrogateescape") for kind, secret in _CONFIGURED.items()},
}


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _percent_all(text: str) -> str:
    return "".join(f"%{octet:02x}" for octet in _octets(text))


def _json_all(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02X}" for high, low in zip(units[::2], units[1::2], strict=True))


def _base64(text: str) -> str:
    return base64.b64encode(b"client-1:" + _octets(text)).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "percent-encoded": lambda text: quote(_octets(text), safe=""),
    "percent-encoded twice": lambda text: quote(quote(_octets(text), safe=""), safe=""),
    "percent-encoded three times": lambda text: quote(quote(quote(_octets(text), safe=""), safe=""), safe=""),
    "every byte percent-encoded": _percent_all,
    "every byte percent-encoded twice": lambda text: quote(_percent_all(text)),
    "a form": lambda text: quote_plus(_octets(text)),
    "behind a word and %20": lambda text: "Bearer%20" + quote(_octets(text), safe=""),
    "behind %22": lambda text: "%22" + quote(_octets(text), safe="") + "%22",
    "JSON": lambda text: json.dumps(text),
    "JSON beyond ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"x": text})),
    "JSON in JSON in JSON": lambda text: json.dumps(json.dumps(json.dumps({"x": text}))),
    "JSON, every character escaped": _json_all,
    "JSON, percent-encoded": lambda text: quote(json.dumps(text)),
    "JSON behind a newline": lambda text: json.dumps("a\n" + text + "\nb"),
    "a repr": repr,
    "a repr behind a newline": lambda text: repr("a\n" + text + "\n"),
    "a repr behind a tab": lambda text: repr("a\t" + text),
    "a repr behind NUL": lambda text: repr("a\x00" + text),
    "a repr in a repr": lambda text: repr(repr("a\n" + text)),
    "ASCII": ascii,
    "a repr of bytes": lambda text: repr(_octets(text)),
    "a repr of a repr of bytes": lambda text: repr(repr(b"a\n" + _octets(text))),
    "bytes read as Latin-1": lambda text: _octets(text).decode("latin-1"),
    "UTF-16": lambda text: repr(text.encode("utf-16", "surrogatepass")),
    "UTF-16, big endian": lambda text: repr(text.encode("utf-16-be", "surrogatepass")),
    "UTF-16, read as Latin-1": lambda text: text.encode("utf-16-le", "surrogatepass").decode("latin-1"),
    "base64": lambda text: base64.b64encode(_octets(text)).decode(),
    "base64, URL-safe": lambda text: base64.urlsafe_b64encode(_octets(text)).decode().rstrip("="),
    "base64 of user and secret": _base64,
    "base64 of a longer user and secret": lambda text: base64.b64encode(b"client-17:" + _octets(text)).decode(),
    "base64 of one more and secret": lambda text: base64.b64encode(b"client-178:" + _octets(text) + b"\n").decode(),
    "base64, percent-encoded": lambda text: quote(_base64(text), safe=""),
    "base64 behind a word": lambda text: "token_" + _base64(text),
    "Basic": lambda text: "Basic " + _base64(text),
    "hexadecimal": lambda text: _octets(text).hex(),
    "behind a letter": lambda text: "x" + text,
    "behind a digit": lambda text: "0" + text,
    "behind a name": lambda text: "jwt_" + text + "_end",
    "behind a percent sign": lambda text: "100%" + text,
    "behind letters beyond ASCII": lambda text: "ключ" + text + "€",
    "in a path": lambda text: f"/a/{text}/b",
    "the password of a URL": lambda text: f"redis://user:{quote(_octets(text), safe='')}@10.0.0.1:6379/0",
}


def _pieces(kind: str) -> list[str]:
    """What no output may hold: the secret, and of a long one each third."""
    secret = KINDS[kind]
    size = len(secret) // 3
    return [secret, *(secret[at : at + size] for at in (0, size, 2 * size))]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_form_of_a_secret_passes(kind: str, form: str) -> None:
    write = FORMS[form]
    text = f"before {write(KINDS[kind])} after"
    clean = scrub(text)
    assert "[redacted]" in clean
    assert clean.startswith("before")
    assert clean.endswith("after")
    for piece in _pieces(kind):
        for each in (piece, write(piece), write(piece)[1:-1]):
            assert len(each) < 8 or each not in clean, clean

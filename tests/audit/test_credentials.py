"""Every kind of secret in every form it is written in: none may pass, and what is no secret stays."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.audit.credentials import scrub, tells
from doorward.settings import Secret, known_secrets
from doorward.testing import Issuer

_TOKEN = Issuer("https://as.example.com").token(audience="https://mcp.example.com/mcp", scopes=["read"])
_SPACED = base64.urlsafe_b64encode(b' {\n "alg": "ES256" }').decode().rstrip("=") + "." + _TOKEN.split(".", 1)[1]
_CONFIGURED = {
    "a secret of letters": Secret(b"correcthorsebattery7531"),
    "a secret with marks": Secret(b"c0rrect horse/battery+staple&7531=x"),
    "a secret with quotes": Secret(b'it\'s "quoted" \\back\\ 99'),
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
    "base64 of user and percent-encoded secret": lambda text: _base64(quote_plus(_octets(text))),
    "base64, percent-encoded": lambda text: quote(_base64(text), safe=""),
    "base64 behind a word": lambda text: "token_" + _base64(text),
    "Basic": lambda text: "Basic " + _base64(text),
    "hexadecimal": lambda text: _octets(text).hex(),
    "hexadecimal in capitals": lambda text: _octets(text).hex().upper(),
    "HTML": html.escape,
    "HTML without quotes": lambda text: html.escape(text, quote=False),
    "HTML of a template": lambda text: html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
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


NESTED = [
    ("JSON", "a repr"),
    ("JSON beyond ASCII", "a repr in a repr"),
    ("JSON", "HTML"),
    ("JSON", "HTML of a template"),
    ("bytes read as Latin-1", "a repr"),
    ("base64", "JSON"),
    ("base64 of user and secret", "percent-encoded twice"),
]


@pytest.mark.parametrize(("inner", "outer"), NESTED, ids=" in ".join)
@pytest.mark.parametrize("kind", KINDS)
def test_no_form_in_a_form_passes(kind: str, inner: str, outer: str) -> None:
    written = FORMS[outer](FORMS[inner](KINDS[kind]))
    clean = scrub(f"before {written} after")
    assert "[redacted]" in clean
    assert written[2:-2] not in clean


UNNAMED = "2YotnFZFEjr1zCsicMWpAA"
"""A token that nothing but its place tells apart from a word."""

BY_NAME: dict[str, tuple[str, str]] = {
    "a query": (f"GET /mcp?access_token={UNNAMED}&x=1", "GET /mcp?access_token=[redacted]&x=1"),
    "code and state of a redirect": (
        "GET /cb?code=4/0Ab&state=x%26y HTTP",
        "GET /cb?code=[redacted]&state=[redacted] HTTP",
    ),
    "a redirect in a parameter": (
        "/login?next=%2Fcb%3Fcode%3Dabc%26x%3D1",
        "/login?next=%2Fcb%3Fcode%3D[redacted]%26x%3D1",
    ),
    "an encoded query twice": ("u=a%253Faccess_token%253Dabc%2526x", "u=a%253Faccess_token%253D[redacted]%2526x"),
    "a fragment": ("https://app/#access_token=abc&state=xyz", "https://app/#access_token=[redacted]&state=[redacted]"),
    "a form": ("code=abc&grant_type=authorization_code", "code=[redacted]&grant_type=authorization_code"),
    "a form as bytes": ("got b'code=abc' from", "got b'code=[redacted]' from"),
    "an encoded delimiter in a value": ("access_token=ab%26cd&x=1", "access_token=[redacted]&x=1"),
    "a name with another name before it": ("my_access_token=abc", "my_access_token=[redacted]"),
    "a name behind an escape": (r"'a\naccess_token=abc\nb'", r"'a\naccess_token=[redacted]\nb'"),
    "an escaped name": (r'{"p\u0061ssword": "abc"}', r'{"p\u0061ssword": "[redacted]"}'),
    "JSON with a quote in it": (r'{"password": "a\"b, c", "x": 1}', '{"password": "[redacted]", "x": 1}'),
    "JSON in JSON with a quote in it": (
        r'"{\"password\": \"a\\\"b\", \"x\": 1}"',
        r'"{\"password\": \"[redacted]\", \"x\": 1}"',
    ),
    "a token in quotes": ('{"token": "abc", "n": 1}', '{"token": "[redacted]", "n": 1}'),
    "an assigned token": ("csrf_token=abc x", "csrf_token=[redacted] x"),
    "a parsed query": ("{'access_token': ['abc', 'def']}", "{'access_token': ['[redacted]', '[redacted]']}"),
    "a wrapped secret": ("password=SecretStr('abc') x", "password=[redacted]) x"),
    "a header of GitLab": ("PRIVATE-TOKEN: abc", "PRIVATE-TOKEN: [redacted]"),
    "a header of Vault": ("X-Vault-Token: hvs.abc", "X-Vault-Token: [redacted]"),
    "a header of AWS": ("x-amz-security-token: abc", "x-amz-security-token: [redacted]"),
    "a header of Azure": ("Ocp-Apim-Subscription-Key: abc", "Ocp-Apim-Subscription-Key: [redacted]"),
    "a variable of AWS": ("AWS_SECRET_ACCESS_KEY=abc", "AWS_SECRET_ACCESS_KEY=[redacted]"),
    "a connection string": ("AccountName=a;AccountKey=abc;x", "AccountName=a;AccountKey=[redacted];x"),
    "a signed URL": ("?X-Amz-Date=1&X-Amz-Signature=abc", "?X-Amz-Date=1&X-Amz-Signature=[redacted]"),
    "a log-out": ("/end?id_token_hint=abc&x=1", "/end?id_token_hint=[redacted]&x=1"),
    "a single sign-on": ("/acs?SAMLResponse=abc&ticket=def", "/acs?SAMLResponse=[redacted]&ticket=[redacted]"),
    "a header in a repr": ("[('x-api-key', 'abc'), ('a', 'b')]", "[('x-api-key', '[redacted]'), ('a', 'b')]"),
    "a raw header in a repr": ("(raw=[(b'x-api-key', b'abc')])", "(raw=[(b'x-api-key', b'[redacted]')])"),
    "every cookie": ("Cookie: a=1; session=2", "Cookie: [redacted]"),
    "every cookie of a repr": ("{'cookie': 'a=1; session=2', 'n': 1}", "{'cookie': '[redacted]', 'n': 1}"),
    "a raw header": ("(b'cookie', b'a=1; s=2'), (b'x', b'y')", "(b'cookie', b'[redacted]'), (b'x', b'y')"),
    "another scheme": ('Authorization: Digest username="a", response="b"\nx', "Authorization: [redacted]\nx"),
    "a line in a repr": (r"'Authorization: Digest a=b\r\nHost: x'", r"'Authorization: [redacted]\r\nHost: x'"),
    "a scheme and a plus": (f"a=Bearer+{UNNAMED}&b", "a=Bearer+[redacted]&b"),
    "a scheme and %20": (f"a=Bearer%20{UNNAMED}&b", "a=Bearer%20[redacted]&b"),
    "a short Basic": ("Basic dXNlcjpwYXNz", "Basic [redacted]"),
    "a password of a URL": ("redis://user:hunter2@10.0.0.1:6379/0", "redis://user:[redacted]@10.0.0.1:6379/0"),
    "a password alone": ("redis://:hunter2@h", "redis://:[redacted]@h"),
    "a password with raw delimiters": ("postgres://u:p/a?s#s@w@h/db", "postgres://u:[redacted]@h/db"),
    "a password of an encoded URL": ("to=redis%3A%2F%2Fu%3Ahunter2%40h", "to=redis%3A%2F%2Fu%3A[redacted]%40h"),
    "a URL in JSON of PHP": (r'"redis:\/\/u:hunter2@h\/0"', r'"redis:\/\/u:[redacted]@h\/0"'),
    "a token as a user": (f"https://{UNNAMED}@git.example/x", "https://[redacted]@git.example/x"),
    "what was redacted before": (
        "password=[redacted]&access_token=[redacted]",
        "password=[redacted]&access_token=[redacted]",
    ),
    "more behind what was redacted": ("password=[redacted]abc x", "password=[redacted][redacted] x"),
}


@pytest.mark.parametrize(("text", "clean"), BY_NAME.values(), ids=BY_NAME)
def test_what_a_name_says_is_secret(text: str, clean: str) -> None:
    assert scrub(text) == clean


PLAIN = {
    "a challenge": 'Bearer error="invalid_token", resource_metadata="https://mcp.example.com/.well-known/x"',
    "a sentence about tokens": "invalid_token: the token has expired",
    "a state": "state=RUNNING code=404 state: open",
    "a code in JSON": '{"jsonrpc": "2.0", "error": {"code": -32001, "message": "x"}}',
    "a status": "status_code=404&error_code=7",
    "a URL": "https://as.example.com:8443/a/b?x=1&y=@z",
    "a URL with an at sign in its path": "https://registry.example.com/@scope/name",
    "a user": "ssh://git@git.example.com/x",
    "a path": "/usr/lib/python3.12/site-packages/starlette/middleware/errors.py",
    "a Windows path": r"C:\Users\x41\token\access\new\test.py",
    "an id of a key": "AWS_ACCESS_KEY_ID=abc key_id=abc access_keys=2",
    "names of fields": "fields = ('user', 'password', 'email') and ['password', 'email']",
    "a session": "session=closed otp=off ticket=7",
    "a digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "an id": "request 0198f3a2-7b1c-7d3e-9f00-8a6b5c4d3e2f took 1.5 ms",
    "percentages": "100% of 20% is 20%",
    "words in capitals": "THE BEARER OF BASIC NEWS: NEGOTIATE",
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrub(text) is text


TELLING = [
    "access_token",
    "X-Api-Key",
    "Proxy-Authorization",
    "set-cookie",
    "password",
    "csrf_token",
    "client-secret",
    "id_token",
]
SILENT = ["user", "tokens", "max_tokens", "secretary", "code", "state", ""]


def test_a_member_is_secret_by_its_name() -> None:
    assert all(tells(name, value) for name in TELLING for value in ("x", b"x", ["x"], {"a": "x"}, object()))
    assert not any(tells(name, "x") for name in SILENT)
    assert not any(tells(name, value) for name in TELLING for value in (None, True, 7, 1.5))


# --- the bound --------------------------------------------------------------------------------------------------------


def test_a_text_that_is_too_long_is_cut_off_and_says_so() -> None:
    clean = scrub("x" * 32_768 + "y" * 10_000_000)
    assert clean == "x" * 32_768 + " [cut off after 32768 characters]"
    assert scrub("€" * 32_768) == "€" * 32_768


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_across_the_bound_is_known(kind: str) -> None:
    secret = KINDS[kind]
    for inside in (1, len(secret) // 2, len(secret) - 1):
        before = "-" * (32_768 - inside - 1) + " "
        clean = scrub(before + secret + " after")
        assert clean.startswith(before + "[redacted]")
        assert clean.endswith("[redacted] [cut off after 32768 characters]")


# --- configured secrets -----------------------------------------------------------------------------------------------


def test_a_secret_is_known_for_as_long_as_one_like_it_is_held() -> None:
    first, second = Secret(b"one secret, held twice"), Secret(b"one secret, held twice")
    del first
    assert scrub("one secret, held twice") == "[redacted]"
    assert second.value in known_secrets()
    del second
    assert b"one secret, held twice" not in known_secrets()
    assert scrub("one secret, held twice") == "one secret, held twice"


@settings(max_examples=20)
@given(st.text(st.characters(exclude_characters="%\\\0", exclude_categories=["Cs"]), min_size=10))
def test_a_secret_of_any_characters_passes_in_no_form(text: str) -> None:
    secret = Secret(text.encode())
    for write in FORMS.values():
        assert "[redacted]" in scrub(write(text))
    assert secret.value

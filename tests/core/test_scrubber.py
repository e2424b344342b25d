"""The scanner for credentials: the same in both cores, and its cost grows with the length of the text alone."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import doorward._pure
from doorward.testing import Issuer

_SECRET: Final = b"correct horse/battery+staple%7531"

WORDS: Final[dict[str, Any]] = {
    "headers": ("authorization", "cookie"),
    "names": ("accesstoken", "password", "apikey"),
    "assigned": ("token", "secret", "idtoken"),
    "parameters": ("code", "state", "device_code"),
    "schemes": ("bearer", "basic"),
    "prefixes": ("doorward_agent_",),
    "forms": (_SECRET, "schlüssel-ä".encode()),
    "encoded": (b"Y29ycmVjdCBob3JzZS9iYXR0",),
}

_TOKEN: Final = Issuer("https://as.example.com").token(audience="https://mcp.example.com/mcp")

PIECES: Final = (
    *("eyJ", "eyJhbGciOiJub25lIn0", "ew0KIm", "IHsi", "ZXlKaGJHY2lPaUp1YjI1bElu", "65794a68624763694f694a", _TOKEN),
    *(
        ".",
        "..",
        "-",
        "_",
        "a",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "A1",
        "=",
        "==",
        ":",
        ",",
        ";",
        "&",
        "?",
        "#",
        "/",
        "//",
        "://",
        "@",
    ),
    *(
        "'",
        '"',
        "b'",
        "\\",
        "\\\\",
        '\\"',
        "\\n",
        "\\t",
        "\\x41",
        "\\u0041",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\U0001F511",
    ),
    *(
        "%",
        "%25",
        "%2541",
        "%41",
        "%00",
        "%3D",
        "%26",
        "%22",
        "%5C",
        "\x00",
        " ",
        "    ",
        "\t",
        "\n",
        "\r\n",
        "(",
        ")",
        "[",
        "{",
        "}",
    ),
    *(
        "authorization",
        "Cookie",
        "access_token",
        "api-key",
        "password",
        "token",
        "id_token",
        "code",
        "state",
        "Bearer",
        "basic",
    ),
    *(
        "doorward_agent_",
        "doorward_agent_0a",
        "[redacted]",
        "-----BEGIN ",
        "PRIVATE KEY",
        "-----",
        "-----END ",
        "user:pw@h",
    ),
    *(_SECRET.decode(), "schlüssel-ä", "Y29ycmVjdCBob3JzZS9iYXR0", "ü", "€", "🔑", "\ud800"),
)
"""What means something to the scanner, or looks as if it did."""


@pytest.fixture(scope="module")
def scrubber(core: ModuleType) -> Any:
    return core.Scrubber(**WORDS)


@pytest.fixture(scope="module")
def twin() -> Any:
    return doorward._pure.Scrubber(**WORDS)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=40))
def test_both_cores_take_out_the_same(scrubber: Any, twin: Any, pieces: list[str]) -> None:
    text = "".join(pieces)
    assert scrubber.scrub(text) == twin.scrub(text)


@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_what_was_taken_out_stays_out(scrubber: Any, pieces: list[str]) -> None:
    clean = scrubber.scrub("".join(pieces))
    assert _TOKEN not in clean
    assert _SECRET.decode() not in clean


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4))
def test_no_repetition_costs_more_than_its_length(scrubber: Any, pieces: list[str]) -> None:
    _assert_linear(scrubber, "".join(pieces))


REPEATED: Final = {
    "the beginnings of a JWT": "eyJaaaaa-",
    "the beginnings of a JWT, in parts": "eyJaaaaa.",
    "the beginnings of a header": "eyJ",
    "spaced headers": "IHsi",
    "prefixes": "doorward_agent_",
    "labels": "-----BEGIN PRIVATE KEY-----",
    "labels of others": "-----BEGIN CERTIFICATE-----",
    "ends without a beginning": "-----END X-----",
    "schemes": "Bearer ",
    "schemes without gaps": "basicbearer",
    "schemes and commas": "Bearer, ",
    "padding": "Bearer aaaa=",
    "names": "access_token",
    "names and spaces": "password   ",
    "assignments": "password=",
    "openings": "password=(",
    "opening quotes": "password='",
    "lists": "'cookie',(",
    "parameters": "code=",
    "parameters, encoded": "code%3D",
    "parameters of many levels": "code=code%3Dcode%253D",
    "separators": "=",
    "separators and spaces": " = ",
    "spaces": " ",
    "lines": "authorization: x\\",
    "URLs": "://",
    "users": "a://b:c",
    "users in a path": "a://b:c/",
    "URLs of many levels": "%253A%252F%252F%3A%2F%2F://",
    "percent signs": "%",
    "percent signs, encoded": "%25",
    "what becomes a percent sign": "%2525252541",
    "backslashes": "\\",
    "escapes": "\\u0041",
    "escaped backslashes": "\\u005c",
    "NUL": "\x00",
    "base64": "ZXlKaGJHY2lPaUp1YjI1bElu",
    "a secret in base64": "Y29ycmVjdCBob3JzZS9iYXR0",
    "a secret": _SECRET.decode(),
    "hexadecimal": "65794a",
    "quotes": "'",
    "reprs": "b'\\'",
}


@pytest.mark.parametrize("piece", REPEATED.values(), ids=REPEATED)
def test_an_adversarial_repetition_costs_no_more_than_its_length(scrubber: Any, piece: str) -> None:
    _assert_linear(scrubber, piece)


MOST_STEPS: Final = 250
"""Reads of one byte: by each finder, in two views, for each of few levels. What is measured is below 100."""


def _assert_linear(scrubber: Any, piece: str) -> None:
    """By counting what is read: a clock would measure the machine."""
    sizes = [2_000, 8_000, 32_000]
    steps = [scrubber.steps((piece * (size // len(piece) + 1))[:size]) for size in sizes]
    assert all(count <= MOST_STEPS * size for count, size in zip(steps, sizes, strict=True)), steps
    assert steps[2] <= 4.5 * steps[1] + 1_000, steps


def test_what_lies_behind_the_bound_is_not_read(scrubber: Any) -> None:
    assert scrubber.steps("%61eyJ" * 10_000) == scrubber.steps("%61eyJ" * 1_000_000)


@pytest.mark.parametrize("kind", ["forms", "encoded"])
def test_an_empty_form_is_refused(core: ModuleType, kind: str) -> None:
    with pytest.raises(ValueError, match="a form must not be empty"):
        core.Scrubber(**{**WORDS, kind: (b"",)})

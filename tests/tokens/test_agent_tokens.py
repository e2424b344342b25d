"""The form of an agent's token: found by scanners, and wrong at a glance when a character is."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgate.errors import Unauthenticated
from toolgate.tokens.agent_tokens import ID, SCANNED, digest_of, id_of, is_agent_token, new_id, new_token

DOCUMENT = Path(__file__).parents[2] / "docs" / "agent-tokens.md"
AGENT = "0123456789ab"
TOKEN = new_token(AGENT)
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def refused(token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        id_of(token)
    assert token not in f"{caught.value!r} {caught.value}" or not token
    return caught.value.code


def test_a_new_token_says_whose_it_is() -> None:
    assert is_agent_token(TOKEN)
    assert id_of(TOKEN) == AGENT


def test_it_goes_anywhere_as_it_is_and_is_no_jwt() -> None:
    assert re.fullmatch(r"[0-9A-Za-z_]+", TOKEN)
    assert "." not in TOKEN


def test_the_secret_has_256_bits_and_is_another_one_each_time() -> None:
    secret = TOKEN.split("_")[-1][:-6]
    assert len(secret) * math.log2(len(CHARACTERS)) >= 256
    assert len({new_token(AGENT) for _ in range(1000)}) == 1000
    assert len({new_id() for _ in range(1000)}) == 1000


def test_ids_are_of_their_form() -> None:
    assert all(ID.fullmatch(new_id()) for _ in range(100))


def test_scanners_find_it_with_the_documented_expression() -> None:
    assert f"`{SCANNED}`" in DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(SCANNED, f"TOKEN='{TOKEN}'\nAuthorization: Bearer {TOKEN}, toolgate_agent_short_abc x{TOKEN}")
    assert found == [TOKEN, TOKEN]


def test_what_is_kept_is_no_part_of_it() -> None:
    assert digest_of(TOKEN).hex() not in TOKEN
    assert len(digest_of(TOKEN)) == 32


@pytest.mark.parametrize("position", range(len("toolgate_agent_"), len(TOKEN)))
def test_any_changed_character_shows_without_a_look_up(position: int) -> None:
    for character in CHARACTERS + "_-. é\n":
        if character != TOKEN[position]:
            assert refused(TOKEN[:position] + character + TOKEN[position + 1 :]) == "malformed_token"


@pytest.mark.parametrize("position", range(len("toolgate_agent_"), len(TOKEN) - 1))
def test_any_two_swapped_characters_show(position: int) -> None:
    swapped = TOKEN[:position] + TOKEN[position + 1] + TOKEN[position] + TOKEN[position + 2 :]
    if swapped != TOKEN:
        assert refused(swapped) == "malformed_token"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("toolgate_agent_", id="the prefix alone"),
        pytest.param(TOKEN[:-1], id="cut"),
        pytest.param(f"{TOKEN}0", id="longer"),
        pytest.param(f"{TOKEN}\n", id="a line"),
        pytest.param(TOKEN.replace("_agent_", "_Agent_"), id="another prefix"),
        pytest.param("toolgate_agent_" + "a" * 1_000_000, id="a megabyte"),
        pytest.param("toolgate_agent_" + "٣" * 62, id="digits of another script"),
        pytest.param("toolgate_agent_" + "\ud800" * 62, id="lone surrogates"),
    ],
)
def test_what_is_not_of_the_form_is_malformed(token: str) -> None:
    assert refused(token) == "malformed_token"


@given(st.text(max_size=200))
def test_nothing_else_is_taken_for_one(text: str) -> None:
    assert is_agent_token(text) is text.startswith("toolgate_agent_")
    assert refused(f"toolgate_agent_{text}") == "malformed_token"

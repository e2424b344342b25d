"""The form of an agent's token: found by scanners, and wrong at a glance when a character is."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.errors import Unauthenticated
from doorward.tokens import agent_tokens
from doorward.tokens.agent_tokens import (
    ID,
    SCANNED,
    digest_of,
    id_of,
    is_agent_token,
    is_of_former_name,
    new_id,
    new_token,
)

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
    found = re.findall(SCANNED, f"TOKEN='{TOKEN}'\nAuthorization: Bearer {TOKEN}, doorward_agent_short_abc x{TOKEN}")
    assert found == [TOKEN, TOKEN]


def test_what_is_kept_is_no_part_of_it() -> None:
    assert digest_of(TOKEN).hex() not in TOKEN
    assert len(digest_of(TOKEN)) == 32


@pytest.mark.parametrize("position", range(len("doorward_agent_"), len(TOKEN)))
def test_any_changed_character_shows_without_a_look_up(position: int) -> None:
    for character in CHARACTERS + "_-. é\n":
        if character != TOKEN[position]:
            assert refused(TOKEN[:position] + character + TOKEN[position + 1 :]) == "malformed_token"


@pytest.mark.parametrize("position", range(len("doorward_agent_"), len(TOKEN) - 1))
def test_any_two_swapped_characters_show(position: int) -> None:
    swapped = TOKEN[:position] + TOKEN[position + 1] + TOKEN[position] + TOKEN[position + 2 :]
    if swapped != TOKEN:
        assert refused(swapped) == "malformed_token"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("doorward_agent_", id="the prefix alone"),
        pytest.param(TOKEN[:-1], id="cut"),
        pytest.param(f"{TOKEN}0", id="longer"),
        pytest.param(f"{TOKEN}\n", id="a line"),
        pytest.param(TOKEN.replace("_agent_", "_Agent_"), id="another prefix"),
        pytest.param("doorward_agent_" + "a" * 1_000_000, id="a megabyte"),
        pytest.param("doorward_agent_" + "٣" * 62, id="digits of another script"),
        pytest.param("doorward_agent_" + "\ud800" * 62, id="lone surrogates"),
    ],
)
def test_what_is_not_of_the_form_is_malformed(token: str) -> None:
    assert refused(token) == "malformed_token"


@given(st.text(max_size=200))
def test_nothing_else_is_taken_for_one(text: str) -> None:
    assert is_agent_token(text) is text.startswith("doorward_agent_")
    assert refused(f"doorward_agent_{text}") == "malformed_token"


@pytest.mark.parametrize(
    ("prefix", "damaged", "former"),
    [
        pytest.param("keeper_agent_", False, True, id="another name, good checksum"),
        pytest.param("keeper_agent_", True, False, id="another name, wrong checksum"),
        pytest.param("keeper_", False, False, id="no agent token"),
    ],
)
def test_an_agent_token_from_before_the_renaming_is_recognised(
    monkeypatch: pytest.MonkeyPatch, prefix: str, damaged: bool, former: bool
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(agent_tokens, "_PREFIX", prefix)
        token = new_token(AGENT)
    if damaged:
        token = token[:-1] + ("a" if token[-1] != "a" else "b")
    assert not is_agent_token(token)
    assert is_of_former_name(token) is former

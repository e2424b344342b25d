"""The official TypeScript clients ask their user when the gate does, in both protocol eras."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from adapters.asked import Office, opened
from guarded import Guarded
from interop.npm import install
from interop.typescript import FLAVOURS, TypeScript, typescript

import doorward


@pytest.fixture
def office(guarded: Callable[..., Guarded]) -> Iterator[Office]:
    install()
    rules = [doorward.ToolRule("wipe", scopes=["write"], confirm=True), doorward.ToolRule("register", [], confirm=True)]
    with opened(guarded, "sse", tools=rules) as office:
        yield office


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_user_is_asked_and_their_word_counts(office: Office, flavour: str) -> None:
    with typescript(flavour, office.gate.resource, office.it.token("write")) as client:
        client.gets("connect")
        answer = client.does("call", tool="wipe", args={"name": "ada"})
        assert answer["asked"] == ["elicitation/create"], answer
        assert _text(answer) == "wiped ada"
        for name in ("say no", "fill in nothing"):
            refused = client.fails("call", tool="wipe", args={"name": name})
            assert "confirm" in str(refused)
        _goes_on(client)
    assert office.ran == ["wipe ada", "wipe bob"]
    refused_for = [record["reason"] for record in office.records(name="wipe") if record["result"] == "denied_policy"]
    assert refused_for == ["confirmation_refused"] * 2


def _goes_on(client: TypeScript) -> None:
    assert _text(client.does("call", tool="wipe", args={"name": "bob"})) == "wiped bob"


def _text(answer: dict[str, object]) -> str:
    value = answer["value"]
    assert isinstance(value, dict)
    return str(value["result"]["content"][0]["text"])

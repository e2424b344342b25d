"""What a message brings of a question and its answer."""

from __future__ import annotations

from typing import Any

import mcp_types._v2025_11_25 as v2025
import mcp_types._v2026_07_28 as v2026
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.confirmation import FORM, Brought, brought_by, is_accepted, shows_forms
from doorward.errors import Forbidden, Malformed

VERSION, CAPABILITIES = (f"io.modelcontextprotocol/{name}" for name in ("protocolVersion", "clientCapabilities"))

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        ({"action": "accept", "content": {"confirm": "yes"}}, True),
        ({"action": "accept", "content": {"confirm": "yes"}, "_meta": {"any": 1}}, True),
        ({"action": "accept"}, False),
        ({"action": "accept", "content": None}, False),
        ({"action": "accept", "content": {}}, False),
        ({"action": "accept", "content": []}, False),
        ({"action": "accept", "content": "yes"}, False),
        ({"action": "accept", "content": ["confirm", "yes"]}, False),
        ({"action": "accept", "content": {"confirm": "no"}}, False),
        ({"action": "accept", "content": {"confirm": "Yes"}}, False),
        ({"action": "accept", "content": {"confirm": "YES"}}, False),
        ({"action": "accept", "content": {"confirm": " yes"}}, False),
        ({"action": "accept", "content": {"confirm": "y"}}, False),
        ({"action": "accept", "content": {"confirm": ""}}, False),
        ({"action": "accept", "content": {"confirm": True}}, False),
        ({"action": "accept", "content": {"confirm": 1}}, False),
        ({"action": "accept", "content": {"confirm": ["yes"]}}, False),
        ({"action": "accept", "content": {"confirm": None}}, False),
        ({"action": "accept", "content": {"Confirm": "yes"}}, False),
        ({"action": "accept", "content": {"confirm": "yes", "why": "it is fine"}}, False),
        ({"action": "accept", "confirm": "yes"}, False),
        ({"action": "accept", "content": {"confirm": "yes"}, "always": True}, False),
        ({"action": "decline", "content": {"confirm": "yes"}}, False),
        ({"action": "cancel", "content": {"confirm": "yes"}}, False),
        ({"action": "Accept", "content": {"confirm": "yes"}}, False),
        ({"action": True, "content": {"confirm": "yes"}}, False),
        ({"action": ["accept"], "content": {"confirm": "yes"}}, False),
        ({"content": {"confirm": "yes"}}, False),
        ({"confirm": "yes"}, False),
        ("yes", False),
        (True, False),
        (None, False),
    ],
    ids=str,
)
def test_only_a_yes_in_the_field_is_a_yes(answer: Any, accepted: bool) -> None:
    assert is_accepted(answer) is accepted


@pytest.mark.parametrize(
    ("meta", "version"),
    [
        ({"fastmcp": {"version": "1.0"}}, "1.0"),
        ({"fastmcp": {"version": 1}}, ""),
        ({"fastmcp": "1.0"}, ""),
        ({}, ""),
        (None, ""),
    ],
    ids=str,
)
def test_a_client_may_name_a_version(meta: Any, version: str) -> None:
    assert brought_by({"name": "wipe", "_meta": meta}).version == version


def test_a_version_that_nobody_would_read_is_refused() -> None:
    with pytest.raises(Malformed):
        brought_by({"_meta": {"fastmcp": {"version": "1" * 101}}})


@given(ANYTHING)
def test_whatever_the_content_is_else_is_a_no(content: Any) -> None:
    assert not is_accepted(content)
    assert is_accepted({"action": "accept", "content": content}) is (content == {"confirm": "yes"})


def test_the_form_has_one_required_field_that_no_default_fills_in() -> None:
    [(name, field)] = FORM["properties"].items()
    assert FORM["required"] == [name]
    assert "default" not in field
    assert field["enum"][0] == "no", "what a client preselects"
    for version in (v2025, v2026):
        shown = {"message": "?", "requestedSchema": FORM, "mode": "form"}
        version.ElicitRequestFormParams.model_validate(shown)
    yes, no = ({"action": "accept", "content": {name: value}} for value in ("yes", "no"))
    assert (is_accepted(yes), is_accepted(no)) == (True, False)


@pytest.mark.parametrize(
    ("capabilities", "forms"),
    [
        ({"elicitation": {}}, True),
        ({"elicitation": {"form": {}}}, True),
        ({"elicitation": {"form": {}, "url": {}}}, True),
        ({"elicitation": {"url": {}}}, False),
        ({"elicitation": None}, False),
        ({"elicitation": True}, False),
        ({"sampling": {}}, False),
        ({}, False),
        (None, False),
    ],
    ids=str,
)
def test_who_can_show_a_form(capabilities: Any, forms: bool) -> None:
    assert shows_forms(capabilities) is forms


def test_a_message_of_the_newer_protocol_says_whether_it_can_ask() -> None:
    meta = {VERSION: "2026-07-28", CAPABILITIES: {"elicitation": {}}}
    yes = {"action": "accept", "content": {"confirm": "yes"}}
    answers = {"doorward.confirmation": yes, "it": 1}
    params = {"name": "x", "arguments": {"a": 1}, "requestState": "s", "inputResponses": answers, "_meta": meta}
    assert brought_by(params) == Brought({"a": 1}, "s", yes, True)
    assert brought_by({"_meta": meta | {CAPABILITIES: {}}}) == Brought({}, None, None, False)


@pytest.mark.parametrize(
    "params", [None, [], {}, {"_meta": {VERSION: "2025-11-25"}}, {"_meta": {VERSION: 7}}, {"_meta": []}]
)
def test_of_the_older_only_the_session_knows(params: Any) -> None:
    assert brought_by(params).shows_forms is None


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("arguments", "requestState", "inputResponses", "_meta"), ANYTHING)
    )
)
def test_what_is_malformed_is_nothing_or_refused(params: dict[str, Any]) -> None:
    state, arguments = params.get("requestState"), params.get("arguments")
    if not (state is None or isinstance(state, str)):
        with pytest.raises(Forbidden, match="confirmation_invalid"):
            brought_by(params)
    elif not (arguments is None or isinstance(arguments, dict)):
        with pytest.raises(Malformed, match="invalid_request"):
            brought_by(params)
    else:
        assert brought_by(params).state == state
        assert brought_by(params).arguments == (arguments or {})

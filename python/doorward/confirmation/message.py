"""What a message brings of a question and its answer (MCP 2026-07-28, multi-round-trip requests)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from doorward._core import Envelope
from doorward.confirmation.state import MAX_STATE
from doorward.errors import refusal

__all__ = ["ANSWER", "ANSWERS", "FORM", "METHODS", "Brought", "brought_by", "is_accepted", "params_in", "shows_forms"]

METHODS: Final = frozenset({"tools/call", "resources/read", "prompts/get"})
"""What may be answered by asking for input."""

ANSWER: Final = "doorward.confirmation"
"""Under which key the gate asks, and is answered."""

ANSWERS: Final = "inputResponses"
"""The parameter that brings answers, by key."""

_FIELD: Final = "confirm"
_YES: Final = "yes"

FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        _FIELD: {
            "type": "string",
            "title": "Allow this call once, exactly as shown?",
            "description": "yes: it runs once. no: it does not run.",
            "enum": ["no", _YES],
        }
    },
    "required": [_FIELD],
}
"""The form that a client shows with the question: one required field, since some clients accept a form without fields
by themselves. A plain ``enum`` of two words is in every version of the protocol that has forms, and needs no titles.
There is no default, and the first value is ``no``: some clients fill in a default or preselect the first value."""

_ANSWER_MEMBERS: Final = frozenset({"action", "content", "_meta"})
"""Of an ``ElicitResult`` (MCP 2025-11-25 and 2026-07-28)."""

_STATELESS: Final = "2026-07-28"
"""The first protocol in which a result can ask; versions are dates, and sort like them."""

_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
_MAX_VERSION: Final = 100
"""Characters of it: all of them are shown."""

_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"


_MAX_ANSWERS_BYTES: Final = 1024 * 1024
"""Of the answers that a message brings: a quarter of the largest body, as of the state that they belong to."""

_MAX_META_BYTES: Final = 65_536
"""Of ``_meta``: capabilities, versions and a few words about the client."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What one message says."""

    arguments: Mapping[str, Any] = field(repr=False)
    state: str | None = field(default=None, repr=False)
    answer: Any = field(default=None, repr=False)
    shows_forms: bool | None = None
    """Whether the client can ask its user by a result; None where only its session can tell: the older protocol."""
    version: str = ""
    """Of the tool, where a server of fastmcp has several by one name and the client names one."""


def brought_by(params: Any) -> Brought:
    """Raises `Forbidden` for a state that is none, and `Malformed` for a version that nobody would read, and for
    arguments that are none, since a human would be shown others than the server gets; everything else that is malformed
    is nothing."""
    if not isinstance(params, Mapping):
        return Brought({})
    arguments, state, answers, meta = (params.get(each) for each in ("arguments", "requestState", ANSWERS, "_meta"))
    if state is not None and not isinstance(state, str):
        raise refusal("confirmation_invalid")
    if arguments is not None and not isinstance(arguments, Mapping):
        raise refusal("invalid_request", "the arguments are not an object")
    forms: bool | None = None
    if isinstance(meta, Mapping) and isinstance(meta.get(_VERSION), str) and meta[_VERSION] >= _STATELESS:
        forms = shows_forms(meta.get(_CAPABILITIES))
    return Brought(
        {} if arguments is None else arguments,
        state,
        answers.get(ANSWER) if isinstance(answers, Mapping) else None,
        forms,
        _version(meta),
    )


def params_in(envelope: Envelope, *, max_arguments: int) -> Mapping[str, Any]:
    """What `brought_by` reads of a message. Raises `Malformed` where a member is too large to be read;
    ``max_arguments`` in bytes."""
    most = {
        "_meta": _MAX_META_BYTES,
        "arguments": max_arguments,
        ANSWERS: _MAX_ANSWERS_BYTES,
        "requestState": 2 * MAX_STATE,  # what is too long for a state is told apart from what is too long to be read
    }
    return {name: envelope.param(name, max_bytes=max_bytes) for name, max_bytes in most.items()}


def _version(meta: Any) -> str:
    own = meta.get("fastmcp") if isinstance(meta, Mapping) else None
    version = own.get("version") if isinstance(own, Mapping) else None
    if not isinstance(version, str):
        return ""
    if len(version) > _MAX_VERSION:
        raise refusal("invalid_request", "the version of a tool is too long")
    return version


def shows_forms(capabilities: Any) -> bool:
    """Whether these capabilities of a client have forms: an empty elicitation means them (MCP 2025-11-25)."""
    asked = capabilities.get("elicitation") if isinstance(capabilities, Mapping) else None
    return isinstance(asked, Mapping) and (not asked or isinstance(asked.get("form"), Mapping))


def is_accepted(answer: Any) -> bool:
    """Whether an ``ElicitResult`` is a yes: the form is accepted and holds its one field, with ``yes``, and nothing
    more. Everything else is a no."""
    if not isinstance(answer, Mapping) or not answer.keys() <= _ANSWER_MEMBERS or answer.get("action") != "accept":
        return False
    content = answer.get("content")
    return isinstance(content, Mapping) and dict(content) == {_FIELD: _YES}

"""One JSON-RPC message, read strictly and once: what is asked, for which tool, with which arguments.

A body is exactly one of: request (``method``, and an id that is a string or an integer), notification (``method``, no
``id`` member at all), response (no ``method``; exactly one of ``result`` and ``error``). What falls between these is
what two readers judge differently: the SDK runs a message with ``method`` beside ``result``, and takes one whose id is
null or 1.0 for a notification.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, final

from doorward._pure.canonical import canonical, fingerprint, require_usable
from doorward._pure.json import JsonError, Located, parse_located
from doorward.errors import Refused, refusal

__all__ = ["Envelope", "read_envelope"]

MAX_METHOD_BYTES: Final = 128
"""The longest ``method``: the longest of the specification has 36 bytes."""

MAX_ID_BYTES: Final = 256
"""The longest ``id`` that is a string: it is echoed and recorded, and a UUID has 36 bytes."""

MAX_NAME_BYTES: Final = 256
"""The longest name of a tool or prompt: the specification asks for at most 128 characters of ASCII."""

MAX_URI_BYTES: Final = 8192
"""The longest ``uri``: what HTTP servers commonly take as a request line."""

MAX_TRACEPARENT_BYTES: Final = 64
"""The longest ``_meta.traceparent``: version 00 of Trace Context has 55 bytes, and no other is read."""

_NOTED: Final = frozenset({"_meta", "arguments", "inputResponses", "notifications", "requestState"})
"""Members of the params that `Envelope.param` reads."""


@final
@dataclass(frozen=True, slots=True)
class Envelope:
    """One JSON-RPC message, read strictly."""

    kind: str
    method: str | None = None
    id: str | int | None = None
    name: str | None = None
    uri: str | None = None
    reference: tuple[str, str] | None = None
    traceparent: str | None = None
    _params: dict[str, Any] = field(default_factory=dict, repr=False)
    _body: bytes = field(default=b"", repr=False)
    _text: str = field(default="", repr=False)
    _places: dict[str, slice] = field(default_factory=dict, repr=False)

    @property
    def arguments_size(self) -> int:
        """Bytes of ``params.arguments`` as written."""
        return len(self._place("arguments"))

    def hash_arguments(self, *, key: bytes | None = None) -> str:
        """The fingerprint of ``params.arguments``; absent or null counts as ``{}``. Hashed when it is asked for: a call
        that is refused needs no hash."""
        require_usable(key)
        return fingerprint(canonical(self._params.get("arguments") or {}), key)

    def digest_arguments(self, *, key: bytes | None = None) -> str:
        """The hash of ``params.arguments`` as written."""
        require_usable(key)
        place = self._place("arguments")
        return fingerprint(self._body[place.start : place.stop], key)

    def param(self, name: str, *, max_bytes: int) -> Any:
        """A member of the params; None where it is absent."""
        if name not in _NOTED:
            raise ValueError("the place of this member is not noted")
        if len(self._place(name)) > max_bytes:
            raise _invalid("a member of the params is too large")
        return self._params.get(name)

    def _place(self, name: str) -> range:
        """Where in the body the member is written, in bytes. Only what is around it is encoded, which is short where
        the member is long."""
        place = self._places.get(name)
        if place is None:
            return range(0)
        if len(self._text) == len(self._body):
            return range(place.start, place.stop)
        before, after = self._text[: place.start].encode(), self._text[place.stop :].encode()
        return range(len(before), len(self._body) - len(after))


def read_envelope(body: bytes) -> Envelope:
    """Read a body once: all that is needed of it later comes out of this one pass."""
    message, text, places = _parsed(body)
    if not isinstance(message, dict):
        raise _invalid("not an object")
    if message.get("jsonrpc") != "2.0":
        raise _invalid('jsonrpc is not "2.0"')
    envelope = _call(message) if "method" in message else _response(message)
    params = _params(message)
    name = _optional_text(params, "name", most=MAX_NAME_BYTES)
    uri = _optional_text(params, "uri", most=MAX_URI_BYTES)
    reference = _reference(params) if envelope.method == "completion/complete" else None
    if not isinstance(params.get("arguments"), (dict, type(None))):
        raise _invalid("the arguments are not an object")
    return replace(
        envelope,
        name=name,
        uri=uri,
        reference=reference,
        traceparent=_traceparent(params.get("_meta")),
        _params=params,
        _body=body,
        _text=text,
        _places=places,
    )


def _parsed(body: bytes) -> Located:
    try:
        return parse_located(body, "params")
    except JsonError as error:
        raise refusal("invalid_json", str(error)) from None


def _invalid(detail: str) -> Refused:
    return refusal("invalid_request", detail)


def _call(message: dict[str, Any]) -> Envelope:
    """https://www.jsonrpc.org/specification#request_object"""
    if "result" in message or "error" in message:
        raise _invalid("a method beside a result or an error")
    if not _is_bounded(message["method"], MAX_METHOD_BYTES):
        raise _invalid("the method is no string, or too long")
    if "id" not in message:
        return Envelope("notification", message["method"])
    return Envelope("request", message["method"], _id(message))


def _response(message: dict[str, Any]) -> Envelope:
    """https://www.jsonrpc.org/specification#response_object"""
    if "params" in message:
        raise _invalid("params without a method")
    if "id" not in message:
        raise _invalid("a response without an id")
    if ("result" in message) == ("error" in message):
        raise _invalid("neither a call nor one result or error")
    # Null is the id of an error about a message whose id could not be read.
    identifier = None if "error" in message and message["id"] is None else _id(message)
    if not isinstance(message.get("result", message.get("error")), dict):
        raise _invalid("the result or error is not an object")
    return Envelope("response", id=identifier)


def _id(message: dict[str, Any]) -> str | int:
    value: Any = message["id"]
    if _is_bounded(value, MAX_ID_BYTES) or (type(value) is int and -(2**63) <= value < 2**63):
        return value  # type: ignore[no-any-return]
    raise _invalid("the id is neither a string nor an integer, or too long")


def _params(message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise _invalid("the params are not an object")
    return params


def _reference(params: dict[str, Any]) -> tuple[str, str] | None:
    """``params.ref`` of https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/completion"""
    if "ref" not in params:
        return None
    reference = params["ref"]
    kind = reference.get("type") if isinstance(reference, dict) else None
    if kind == "ref/prompt":
        target = _optional_text(reference, "name", most=MAX_NAME_BYTES)
    elif kind == "ref/resource":
        target = _optional_text(reference, "uri", most=MAX_URI_BYTES)
    else:
        raise _invalid("the ref is neither of a prompt nor of a resource")
    if target is None:
        raise _invalid("the ref names nothing")
    return kind, target


def _traceparent(meta: Any) -> str | None:
    """``traceparent`` of the ``_meta`` of the params (MCP, SEP-414)."""
    found = meta.get("traceparent") if isinstance(meta, dict) else None
    return found if _is_bounded(found, MAX_TRACEPARENT_BYTES) else None


def _optional_text(members: dict[str, Any], name: str, *, most: int) -> str | None:
    if name not in members:
        return None
    if not _is_bounded(members[name], most):
        raise _invalid("a name or uri is no string, or too long")
    return members[name]  # type: ignore[no-any-return]


def _is_bounded(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and len(value.encode()) <= most

"""Nothing secret in the logs of the process: what a server, its libraries and the SDK log is scrubbed of credentials.

``doorward.audit.redact.install()`` once, at start. It works on every record of the standard library's logging, whatever
logger it comes from and whenever its handlers were made: the factory of log records scrubs message, arguments and
traceback, and puts a filter on the handlers that are about to see the record, since what a call passes as ``extra`` is
only known there. For structlog beside the standard library, `processor` is a processor.

It knows bearer and other HTTP credentials, JWTs, agent tokens, members named like a secret, and the secrets that the
gate was configured with. It cannot know an argument of a tool from any other text, nor a secret it was never told.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

from doorward.audit.credentials import REDACTED, scrub, tells

__all__ = ["Redact", "install", "processor", "scrub"]

MAX_DEPTH: Final = 6
"""Of structures in arguments and extras: what is nested deeper is scrubbed as its text."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

Factory = Callable[..., logging.LogRecord]


class Redact(logging.Filter):
    """For handlers: scrubs every record, and puts ``request_id`` on it, that of the call it was logged in or ``-``."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: nothing is left out, only changed."""
        _scrub_message(record)
        for name, value in list(vars(record).items()):
            if name not in _STANDARD:
                setattr(record, name, REDACTED if tells(name, value) else _scrubbed(value))
        if not hasattr(record, "request_id"):
            record.request_id = _request_id() or "-"
        return True


def install(handlers: Iterable[logging.Handler] | None = None) -> Redact:
    """Scrub what this process logs from now on; a second time changes nothing. ``handlers``: only what these handle.
    Returns the filter, for handlers that no logger of the standard library knows."""
    for handler in handlers or ():
        _put_on(handler)
    if handlers is None:
        if logging.lastResort is not None:
            _put_on(logging.lastResort)
        before = logging.getLogRecordFactory()
        if not getattr(before, "doorward", False):
            logging.setLogRecordFactory(_factory(before))
    return _FILTER


def processor(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For structlog: behind what formats exceptions, before the renderer."""
    text = "".join(_formatted(event.get("exc_info")))
    if scrub(text) != text:
        del event["exc_info"]
        event["exception"] = scrub(text)
    for key, value in list(event.items()):
        if key != "exc_info":
            event[key] = REDACTED if tells(key, value) else _scrubbed(value)
    identity = _request_id()
    if identity is not None:
        event.setdefault("request_id", identity)
    return event


_FILTER: Final = Redact()


def _factory(before: Factory) -> Factory:
    def make(*given: Any, **named: Any) -> logging.LogRecord:
        record = before(*given, **named)
        _scrub_message(record)
        _reach_handlers(record.name)
        return record

    make.doorward = True  # type: ignore[attr-defined]  # a mark of ours on a function
    return make


def _reach_handlers(name: str) -> None:
    """A filter on a logger misses its children, so it goes on the handlers; and those may be made at any time."""
    logger = logging.root if name == "root" else logging.root.manager.loggerDict.get(name)
    at: logging.Logger | None = logger if isinstance(logger, logging.Logger) else logging.root
    while at is not None:
        for handler in at.handlers:
            _put_on(handler)
        at = at.parent if at.propagate else None


def _put_on(handler: logging.Handler) -> None:
    if _FILTER not in handler.filters:
        # First, as a filter of the host's may be what writes the record elsewhere.
        handler.filters.insert(0, _FILTER)


def _scrub_message(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # logging would print message and arguments as they are
        record.msg, record.args = f"{scrub(str(record.msg))} (its arguments do not fit, and were left out)", ()
    else:
        clean = scrub(message)
        record.msg = record.msg if isinstance(record.msg, str) else _scrubbed(record.msg)
        record.args = _scrubbed(record.args) if record.args else record.args
        if clean != message and not _is_clean(record):
            # It stands in the format, or in two of its pieces.
            record.msg, record.args = clean, ()
    if record.exc_info and not record.exc_text:
        text = "".join(_formatted(record.exc_info)).rstrip("\n")
        if text and scrub(text) != text:
            # Whoever formats it anew, or looks into it, would find what was taken out.
            record.exc_text, record.exc_info = scrub(text), None
    elif record.exc_text:
        record.exc_text = scrub(record.exc_text)
    if record.stack_info:
        record.stack_info = scrub(record.stack_info)


def _is_clean(record: logging.LogRecord) -> bool:
    try:
        message = record.getMessage()
    except Exception:  # of another type than its format wants, by now
        return False
    return scrub(message) == message


def _formatted(exc_info: Any) -> list[str]:
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, BaseException):
        return traceback.format_exception(exc_info)
    if isinstance(exc_info, tuple) and len(exc_info) == 3 and exc_info[1] is not None:
        return traceback.format_exception(*exc_info)
    return []


def _scrubbed(value: Any, depth: int = 0) -> Any:
    """The same value where there is nothing to take out, so that formatters find what they expect."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, bytes | bytearray):
        text = bytes(value).decode("latin-1")
        clean = scrub(text)
        return value if clean == text else clean.encode("latin-1")
    if depth < MAX_DEPTH:
        if type(value) is tuple and len(value) == 2 and tells(_name(value[0]), value[1]):
            return (value[0], REDACTED)  # a header, as ASGI has them
        if isinstance(value, Mapping):
            return {
                key: REDACTED if tells(_name(key), each) else _scrubbed(each, depth + 1) for key, each in value.items()
            }
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(_scrubbed(each, depth + 1) for each in value)
    return _scrubbed_object(value)


def _scrubbed_object(value: Any) -> Any:
    try:
        shown = (str(value), repr(value))
    except Exception:  # it shows nothing, then
        return value
    return value if all(scrub(text) == text for text in shown) else scrub(shown[0])


def _name(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else key if isinstance(key, str) else ""


def _request_id() -> str | None:
    from doorward.decision import current

    decision = current()
    return None if decision is None else decision.request_id

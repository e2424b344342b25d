"""Takes credentials out of what the process logs: what a server, its libraries and the SDK log.

`Gate.protect` and every other way to serve behind a gate call `install`. It works on every record of the standard
library's logging, from whatever logger and whenever its handlers were made. The factory of log records scrubs the
arguments that are text, and puts a filter on the handlers that are about to see the record. The filter scrubs the rest
when a handler emits the record: the message, which is formatted there and not before, other arguments, ``extra``, the
traceback and the stack. For structlog without the standard library, `processor` is a processor.

`doorward.audit.credentials` says what is found. An argument of a tool is text like any other.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from doorward.audit.credentials import REDACTED, scrub, tells

__all__ = ["Redact", "install", "processor", "scrub"]

MAX_DEPTH: Final = 6
"""Of structures in arguments and extras: what is nested deeper is scrubbed as its text."""

MAX_RECORD: Final = 131_072
"""Characters of one record that are scanned: four texts of the longest kind. What is left then is left out."""

_LEFT_OUT: Final = f"[left out: the record has more than {MAX_RECORD} characters]"

_PROBE: Final = "doorward.audit.redact.probe"
"""The logger of a record that is made to see whether `install` was called."""

_SHORT: Final = 256
"""Characters of texts that are scanned together, since starting a scan costs more than they do."""

_BUILTIN: Final = (dict, list, tuple, set, frozenset)

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

Factory = Callable[..., logging.LogRecord]


class Redact(logging.Filter):
    """For handlers: scrubs every record, and puts ``request_id`` on it, that of the call it was logged in or ``-``."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: nothing is left out, only changed."""
        scrubber = _RecordScrubber()
        scrubber.scrub_message(record)
        scrubber.scrub_traceback(record)
        for name, value in list(vars(record).items()):
            if name not in _STANDARD:
                setattr(record, name, scrubber.member(name, value, 0))
        if not hasattr(record, "request_id"):
            record.request_id = _request_id() or "-"
        return True


def install(handlers: Iterable[logging.Handler] | None = None) -> Redact:
    """Scrub what this process logs from now on; a second time changes nothing, unless somebody replaced the factory of
    log records since. ``handlers``: only what these handle. Returns the filter, for handlers that no logger of the
    standard library knows."""
    if handlers is not None:
        for handler in handlers:
            _put_on(handler)
        return _FILTER
    with _lock:
        if logging.lastResort is not None:
            _put_on(logging.lastResort)
        for logger in (logging.root, *logging.root.manager.loggerDict.copy().values()):
            for handler in logger.handlers if isinstance(logger, logging.Logger) else ():
                _put_on(handler)
        before = logging.getLogRecordFactory()
        if not _is_reached_by(before):
            logging.setLogRecordFactory(_factory(before))
    return _FILTER


def processor(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For structlog: behind what formats exceptions, before the renderer."""
    scrubber = _RecordScrubber()
    text = "".join(_formatted(event.get("exc_info")))
    clean = scrubber.text(text)
    if clean != text:
        del event["exc_info"]
        event["exception"] = clean
    for key, value in list(event.items()):
        if key != "exc_info":
            event[key] = scrubber.member(key, value, 0)
    identity = _request_id()
    if identity is not None:
        event.setdefault("request_id", identity)
    return event


_FILTER: Final = Redact()


_lock: Final = threading.Lock()


class _Reached(BaseException):
    """Ends the making of the record that `_is_reached_by` asks for: no wrapper around the factory catches it."""


def _is_reached_by(factory: Factory) -> bool:
    """Whether the factory is the scrubbing one, or ends up calling it."""
    try:
        factory(_PROBE, logging.DEBUG, __file__, 0, "", (), None)
    except _Reached:
        return True
    return False


def _factory(before: Factory) -> Factory:
    def make(*given: Any, **named: Any) -> logging.LogRecord:
        if (given[0] if given else named.get("name")) == _PROBE:
            raise _Reached
        record = before(*given, **named)
        _RecordScrubber().scrub_texts(record)
        _reach_handlers(record.name)
        return record

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


class _Formatted(str):
    """A message that is formatted and scrubbed: the arguments, which formatters of access logs read, do not change it,
    and the next handler does not scan it again."""

    __slots__ = ()

    def __str__(self) -> str:
        return self

    def __mod__(self, args: object) -> str:
        return str.__str__(self)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str.__str__(self),)  # other processes that read a pickled record need not have this class


class _RecordScrubber:
    """Scrubs one record, and no more of it than `MAX_RECORD` characters."""

    def __init__(self) -> None:
        self._left = MAX_RECORD
        self._known: dict[str, str] = {}

    def text(self, text: str) -> str:
        """The text without credentials; each text is scanned once."""
        if text in self._known:
            return self._known[text]
        if self._left <= 0:
            return _LEFT_OUT if text else text
        self._left -= min(len(text), MAX_RECORD) + 1
        clean = self._known[text] = scrub(text)
        self._known[clean] = clean
        return clean

    def scrub_texts(self, record: logging.LogRecord) -> None:
        """Scrub what is text already: for code that reads a record before a handler does. Formats nothing unless one of
        the texts has a credential."""
        pieces = record.args if isinstance(record.args, tuple) else ()
        texts = [each for each in (record.msg, *pieces) if type(each) is str]
        short = "\n".join(each for each in texts if len(each) <= _SHORT)
        long = [each for each in texts if len(each) > _SHORT]
        if any(self.text(each) != each for each in (short, *long)):
            self.scrub_message(record)

    def scrub_message(self, record: logging.LogRecord) -> None:
        """Scrub the message as it will be shown, and what it is made of. The record keeps as many arguments as it had:
        formatters of access logs read them."""
        if type(record.msg) is _Formatted:
            return
        try:
            message = record.getMessage()
        except Exception:  # logging would print message and arguments as they are
            record.msg, record.args = f"{self.text(str(record.msg))} (its arguments do not fit, and were left out)", ()
            return
        clean = self.text(message)
        if not isinstance(record.msg, str):
            record.msg = self.value(record.msg)
        given = record.args
        record.args = self._structures(given)
        if record.args is not given:
            # A structure knows the names of its members, which its text may not show.
            message = _message(record) or clean
            clean = self.text(message)
        if isinstance(record.args, tuple):
            record.args = tuple(
                self._piece(each, message, clean) if type(each) is str else each for each in record.args
            )
        if clean != message or _message(record) != clean:
            record.msg = _Formatted(clean)

    def _structures(self, args: Any) -> Any:
        """The arguments, with those scrubbed that are no plain text; the same object where there is nothing to do."""
        if not isinstance(args, tuple):  # one mapping, perhaps of a class that answers for missing keys
            return self._unchanged(args)
        pieces = tuple(each if type(each) is str else self._unchanged(each) for each in args)
        return args if all(new is old for new, old in zip(pieces, args, strict=True)) else pieces

    def _unchanged(self, value: Any) -> Any:
        """The scrubbed value; the object itself where that is equal, as a copy is of another class."""
        scrubbed = self.value(value)
        return value if type(scrubbed) in _BUILTIN and _are_equal(scrubbed, value) else scrubbed

    def _piece(self, text: str, message: str, clean: str) -> str:
        """An argument of the message. Where neither it nor what is left of it is in the clean message, it was a part of
        a credential, such as the last of three parts of a JWT."""
        if clean == message and text in message:
            return text
        scrubbed = self.text(text)
        return scrubbed if scrubbed in clean or text not in message else REDACTED

    def scrub_traceback(self, record: logging.LogRecord) -> None:
        """Scrub the exception and the stack."""
        if record.exc_text:
            record.exc_text = self.text(record.exc_text)
        if record.exc_info:
            text = "".join(_formatted(record.exc_info)).rstrip("\n")
            clean = self.text(text)
            if clean != text:
                # A handler that formats it by itself, or looks into it, would show what was taken out.
                record.exc_text, record.exc_info = record.exc_text or clean, None
        if record.stack_info:
            record.stack_info = self.text(record.stack_info)

    def member(self, name: str, value: Any, depth: int) -> Any:
        """The value of a member: by its name, else by what it looks like."""
        return REDACTED if tells(name, value) else self.value(value, depth)

    def value(self, value: Any, depth: int = 0) -> Any:
        """The same value where there is nothing to take out, so that formatters find what they expect."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes | bytearray):
            text = bytes(value[: MAX_RECORD + 1]).decode("latin-1")
            clean = self.text(text)
            return value if clean == text else clean.encode("latin-1")
        if self._left <= 0:
            return _LEFT_OUT
        return self._structure(value, depth) if depth < MAX_DEPTH else self._object(value)

    def _structure(self, value: Any, depth: int) -> Any:
        if _is_header(value):
            return type(value)((value[0], self.member(_name(value[0]), value[1], depth + 1)))
        if isinstance(value, Mapping):
            return {
                self.value(key, depth + 1): self.member(_name(key), each, depth + 1)
                for key, each in self._items(value.items())
            }
        if type(value) in _BUILTIN:
            return type(value)(self.value(each, depth + 1) for each in self._items(value))
        return self._object(value)

    def _items(self, items: Iterable[Any]) -> Iterator[Any]:
        """Those that are still scanned: each costs a character at least."""
        for each in items:
            if self._left <= 0:
                return
            self._left -= 1
            yield each

    def _object(self, value: Any) -> Any:
        for shown in (_shown(str, value), _shown(repr, value)):
            clean = self.text(shown)
            if clean != shown:
                return clean
        return value


def _shown(show: Callable[[Any], str], value: Any) -> str:
    try:
        return show(value)
    except Exception:  # what cannot be shown shows no secret
        return ""


def _are_equal(one: object, another: object) -> bool:
    try:
        return bool(one == another)
    except Exception:  # comparing arrays of numbers gives an array
        return False


def _message(record: logging.LogRecord) -> str | None:
    try:
        return record.getMessage()
    except Exception:  # an argument is of another type than the format wants, by now
        return None


def _formatted(exc_info: Any) -> list[str]:
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, BaseException):
        return traceback.format_exception(exc_info)
    if isinstance(exc_info, tuple) and len(exc_info) == 3 and exc_info[1] is not None:
        return traceback.format_exception(*exc_info)
    return []


def _is_header(value: Any) -> bool:
    """Whether it is a name and a value. A list of two words may be any list: there the name looks like a header's."""
    if type(value) not in (tuple, list) or len(value) != 2:
        return False
    return bool(_name(value[0])) and (type(value) is tuple or isinstance(value[0], bytes) or "-" in value[0])


def _name(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else key if isinstance(key, str) else ""


def _request_id() -> str | None:
    from doorward.decision import current

    decision = current()
    return None if decision is None else decision.request_id

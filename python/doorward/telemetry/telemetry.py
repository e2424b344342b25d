"""Whether anybody wants to know, and what they are told."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from doorward.telemetry.metrics import Metrics
    from doorward.telemetry.spans import Spans, Trace

__all__ = ["Telemetry"]

_LOOK_NS: Final = 1_000_000_000
"""Between two looks for a provider: one that is set later is found within a second, at a price nobody sees."""

_MAX_LEFT: Final = 4096
"""Of what finalizers leave to be told: calls that nobody closed."""

_log = logging.getLogger("doorward")


class Telemetry:
    """The spans and metrics of one gate. Nothing here ever fails a call: an exporter's bug is not the caller's."""

    def __init__(self) -> None:
        self.spans: Spans | None = None
        self.metrics: Metrics | None = None
        self._trace: type[Trace] | None = None
        self._look_at = 0
        self._left: deque[Callable[[], None]] = deque(maxlen=_MAX_LEFT)
        self._told = False

    def begin(self, at: int) -> Trace | None:
        """What a decision that begins now is told to; None where nobody listens. ``at``: `time.perf_counter_ns`."""
        if at >= self._look_at:
            self._look(at)
        if self._trace is None:
            return None
        if self._left:
            self.flush()
        return self._trace(self)

    def alarm(self, slug: str) -> None:
        """Count what an operator should know. Safe in a finalizer, as `leave` is."""
        metrics = self.metrics
        if metrics is not None:
            self.leave(lambda: metrics.alarm(slug))

    def leave(self, telling: Callable[[], None]) -> None:
        """Tell it later: a finalizer may run while the very lock is held that telling takes."""
        self._left.append(telling)

    def flush(self) -> None:
        """Tell what was left."""
        with suppress(IndexError):  # another thread was quicker
            while True:
                self._left.popleft()()

    def failed(self, error: Exception) -> None:
        """Say it once: what fails for one span fails for all."""
        if not self._told:
            self._told = True
            _log.warning("OpenTelemetry failed with %s: spans or metrics are missing", type(error).__name__)

    def _look(self, at: int) -> None:
        self._look_at = at + _LOOK_NS
        # Whoever sets a provider has imported it.
        if "opentelemetry.trace" not in sys.modules:
            return
        try:
            from doorward.telemetry.metrics import metrics_of_the_process
            from doorward.telemetry.spans import Trace, spans_of_the_process

            self.spans = self.spans or spans_of_the_process()
            self.metrics = self.metrics or metrics_of_the_process()
        except Exception as error:  # of a provider that cannot be loaded, anything
            self.failed(error)
            return
        if self.spans is not None or self.metrics is not None:
            self._trace = Trace
        if self.spans is not None and self.metrics is not None:
            self._look_at = sys.maxsize

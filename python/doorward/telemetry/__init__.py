"""One span and one set of metrics a decision, by whatever OpenTelemetry provider the process has set.

Nothing is imported and nothing is made while it has set none: the API alone records nothing.
"""

from doorward.telemetry.ended import Ended
from doorward.telemetry.telemetry import Telemetry
from doorward.telemetry.traceparent import SpanParent, traceparent_of

__all__ = ["Ended", "SpanParent", "Telemetry", "traceparent_of"]

"""What happened: exactly one record of every decision, and where it goes."""

from toolgate.audit.record import Outcome, call_record, principal_fragment
from toolgate.audit.trail import Trail

__all__ = ["Outcome", "Trail", "call_record", "principal_fragment"]

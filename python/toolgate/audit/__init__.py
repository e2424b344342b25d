"""What happened: exactly one record of every decision, and where it goes."""

from toolgate.audit import redact
from toolgate.audit.keys import HashKey
from toolgate.audit.record import (
    SUCCESS,
    UNKNOWN_PRINCIPAL,
    Outcome,
    call_record,
    principal_fragment,
    unverified_fragment,
)
from toolgate.audit.tickets import Ticket
from toolgate.audit.trail import Trail

__all__ = [
    "SUCCESS",
    "UNKNOWN_PRINCIPAL",
    "HashKey",
    "Outcome",
    "Ticket",
    "Trail",
    "call_record",
    "principal_fragment",
    "redact",
    "unverified_fragment",
]

"""What happened: exactly one record of every decision, and where it goes."""

from doorward.audit import redact
from doorward.audit.keys import HashKey
from doorward.audit.record import (
    SUCCESS,
    UNKNOWN_PRINCIPAL,
    Outcome,
    call_record,
    outcome_of,
    principal_fragment,
    unverified_fragment,
)
from doorward.audit.tickets import Ticket
from doorward.audit.trail import Trail

__all__ = [
    "SUCCESS",
    "UNKNOWN_PRINCIPAL",
    "HashKey",
    "Outcome",
    "Ticket",
    "Trail",
    "call_record",
    "outcome_of",
    "principal_fragment",
    "redact",
    "unverified_fragment",
]

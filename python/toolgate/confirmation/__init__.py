"""May they now, says a human: questions, the state that carries them, and whoever answers."""

from toolgate.confirmation.confirmations import Confirmations
from toolgate.confirmation.consent import Consent
from toolgate.confirmation.message import ANSWER, Brought, brought_by, is_accepted, shows_forms
from toolgate.confirmation.question import Approver, NotAsked, Question
from toolgate.confirmation.state import Unread

__all__ = [
    "ANSWER",
    "Approver",
    "Brought",
    "Confirmations",
    "Consent",
    "NotAsked",
    "Question",
    "Unread",
    "brought_by",
    "is_accepted",
    "shows_forms",
]

"""May they now, says a human: questions, the state that carries them, and whoever answers."""

from doorward.confirmation.confirmations import Confirmations
from doorward.confirmation.consent import Consent
from doorward.confirmation.message import ANSWER, Brought, brought_by, is_accepted, params_in, shows_forms
from doorward.confirmation.question import Approver, NotAsked, Question
from doorward.confirmation.state import Unread

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
    "params_in",
    "shows_forms",
]

"""Confirmation: questions, the state that carries them, and who answers."""

from doorward.confirmation.confirmations import Confirmations
from doorward.confirmation.consent import Consent
from doorward.confirmation.message import ANSWER, FORM, Brought, brought_by, is_accepted, params_in, shows_forms
from doorward.confirmation.question import Approver, NotAsked, Question
from doorward.confirmation.state import Unread

__all__ = [
    "ANSWER",
    "FORM",
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

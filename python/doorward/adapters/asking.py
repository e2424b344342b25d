"""Asking the client: by a result on the newer protocol, within the call on the older one.

The answer is the client's: it proves neither that a person has seen the form, nor anything against a hostile client.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

import anyio
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from mcp_types.methods import is_input_required
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ValidationError

from doorward.confirmation import ANSWER, FORM, Consent, is_accepted, shows_forms
from doorward.confirming import Confirming
from doorward.decision import Decision
from doorward.errors import Refused, refusal
from doorward.gate import Gate

__all__ = ["carried", "current_message", "settle"]

current_message: Final[ContextVar[ServerRequestContext[Any, Any] | None]] = ContextVar("doorward_message", default=None)
"""What runs now, for the calls that it leads to: their client is its client."""


async def settle(
    gate: Gate, decision: Decision, message: ServerRequestContext[Any, Any] | None, *, by_result: bool
) -> InputRequiredResult | None:
    """Have a pending decision answered: afterwards it may run, or is refused. What is returned is to be the answer to
    the message instead: the question. ``by_result`` says whether that can be."""
    confirming = gate.confirming(decision)
    consent = decision.consent
    if consent is None or not decision.is_pending:
        return None
    try:
        if confirming.confirmations.has_approver:
            await confirming.consult(decision)
        elif by_result and consent.asking is not None and message is not None and _is_modern(message):
            decision.close("asked")
            return _question(consent, consent.asking)
        else:
            await _elicit(gate, confirming, decision, message)
    except BaseException:
        decision.close("cancelled")
        raise
    return None


async def carried(gate: Gate, decision: Decision, answer: HandlerResult) -> HandlerResult:
    """What a confirmed tool answers; where it asks for input itself, its state travels in one of the gate's, so that
    the next round is known to belong to what was confirmed. Raises `Refused`."""
    consent = decision.consent
    if consent is None or not is_input_required(answer):
        return answer
    said = answer.model_dump(by_alias=True, mode="json", exclude_none=True) if isinstance(answer, BaseModel) else answer
    inner = said.get("requestState")
    try:
        state = await gate.confirming(decision).confirmations.carry(consent, inner if isinstance(inner, str) else None)
    except ValueError as error:
        raise MCPError(-32603, str(error)) from None
    return {**said, "requestState": state}


async def _elicit(
    gate: Gate, confirming: Confirming, decision: Decision, message: ServerRequestContext[Any, Any] | None
) -> None:
    consent = decision.consent
    if consent is None or message is None or not _can_ask(message):
        refused = refusal("confirmation_unavailable", "the client cannot be asked")
        await confirming.give_up(decision, refused, is_asked=False)
        return
    try:
        ended = confirming.hold(decision)
    except Refused as refused:
        await confirming.give_up(decision, refused, is_asked=False)
        return
    try:
        await _elicit_held(gate, confirming, decision, consent, message)
    finally:
        ended()


async def _elicit_held(
    gate: Gate, confirming: Confirming, decision: Decision, consent: Consent, message: ServerRequestContext[Any, Any]
) -> None:
    decision.note("asked", by="client")
    accepted: bool | None = None
    with anyio.move_on_after(max(0.0, consent.question.deadline - gate.now())):
        try:
            answer = await message.session.elicit_form(consent.question.text, FORM, message.request_id)
            accepted = is_accepted(answer.model_dump(by_alias=True))
        except ValidationError:
            accepted = False
        except MCPError:
            await confirming.give_up(decision, refusal("confirmation_unavailable", "the client did not ask"))
            return
    if accepted is None:
        await confirming.give_up(decision, refusal("confirmation_expired", "nobody answered in time"))
    else:
        await confirming.answered(decision, accepted=accepted)


def _question(consent: Consent, state: str) -> InputRequiredResult:
    form = ElicitRequest(params=ElicitRequestFormParams(message=consent.question.text, requested_schema=FORM))
    return InputRequiredResult(input_requests={ANSWER: form}, request_state=state)


def _can_ask(message: ServerRequestContext[Any, Any]) -> bool:
    capabilities = message.session.client_capabilities
    if capabilities is None or _is_modern(message) or not message.session.can_send_request:
        return False
    return shows_forms(capabilities.model_dump(by_alias=True, exclude_none=True))


def _is_modern(message: ServerRequestContext[Any, Any]) -> bool:
    return message.protocol_version in MODERN_PROTOCOL_VERSIONS

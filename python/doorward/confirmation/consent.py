"""What is known of the answer to one question; part of the decision from the moment one is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from doorward.confirmation.message import ANSWERS, Brought
from doorward.confirmation.question import Question
from doorward.confirmation.state import RUNNING, State

__all__ = ["MAX_ROUNDS", "Consent"]

MAX_ROUNDS: Final = 32
"""In which a tool may ask for something after it was confirmed: clients give up after ten."""


class Consent:
    """One call's. Made by `Confirmations`."""

    __slots__ = (
        *("_question", "_worded", "asking", "binding", "brought", "client", "given", "grant", "nonce", "opened"),
        "request_id",
        "spending",
    )

    def __init__(
        self, worded: Callable[[], Question], brought: Brought, binding: str, *, request_id: str, client: str
    ) -> None:
        """``worded``: puts the question into words, which for large arguments takes long. ``client``: the identity of
        the caller (`Principal.identity`)."""
        self._worded = worded
        self._question: Question | None = None
        self.request_id = request_id
        """Of the call's record."""
        self.client = client
        self.brought = brought
        self.binding = binding
        self.given = False
        """Whether the call may run."""
        self.opened: State | None = None
        """What the message brought, verified."""
        self.nonce = ""
        """Of that state."""
        self.asking: str | None = None
        """The state to ask with, where the client can be asked by a result."""
        self.grant: Any = None
        """What asking has spent."""
        self.spending: Any = None
        """What the call itself is going to spend."""

    def __repr__(self) -> str:
        return f"<Consent given={self.given}>"

    @property
    def question(self) -> Question:
        """What is asked; put into words when it is, once asking is paid for."""
        if self._question is None:
            self._question = self._worded()
        return self._question

    @property
    def rounds(self) -> int:
        """How often the tool itself has asked before."""
        return 0 if self.opened is None else self.opened.round

    @property
    def asked_in(self) -> str:
        """The id of the request that was answered with the question."""
        return self.request_id if self.opened is None else self.opened.question

    def for_the_tool(self, params: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """What the tool sees of the message: its own state and the answers it has asked for, and nothing of the gate's.
        Before it has asked, nothing but its arguments is input: that is what was shown and confirmed."""
        if params is None:
            return None
        seen = {name: value for name, value in params.items() if name not in ("requestState", ANSWERS)}
        if self.opened is not None and self.opened.stage == RUNNING:
            if params.get(ANSWERS) is not None:
                seen[ANSWERS] = params[ANSWERS]
            if self.opened.inner is not None:
                seen["requestState"] = self.opened.inner
        return seen

    def continued(self, inner: str | None, *, expires: float) -> State:
        """The state for the tool's own next round."""
        return replace(
            self.opened or State(RUNNING, self.asked_in, expires, 0, None),
            stage=RUNNING,
            expires=expires,
            round=self.rounds + 1,
            inner=inner,
        )

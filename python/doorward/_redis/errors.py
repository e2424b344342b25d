"""What can be wrong with an answer of the store. The words are fixed: none of Redis's, none of the URL's."""

from __future__ import annotations

__all__ = ["NotAnAnswer", "StoreAway", "StoreError", "StoreRefused", "StoreSlow"]


class StoreError(Exception):
    """There is no answer to go by."""


class StoreAway(StoreError):
    """Nobody could be asked: out of reach, known to be, or too many are waiting."""


class StoreSlow(StoreError):
    """No answer within the deadline. What was asked for may have been done or not."""


class StoreRefused(StoreError):
    """The server answered with an error; ``word`` is its first word, like ``OOM`` or ``NOPERM``."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the store answered {word}")
        self.word = word


class NotAnAnswer(StoreRefused):
    """The reply is none that the script can give: something else may stand between Redis and this process."""

    def __init__(self) -> None:
        super().__init__("NOTHING")

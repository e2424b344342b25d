"""What is sent: a command, in words and in the bytes of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

__all__ = ["Command", "Script", "Words"]

Words = tuple[Any, ...]
"""Text, bytes and numbers; a command of two words is one text, like ``CONFIG GET``."""


class Script:
    """A Lua script, and the digest under which Redis keeps it. ``name`` is what the log calls it."""

    __slots__ = ("digest", "name", "text")

    def __init__(self, text: str, *, name: str = "a script") -> None:
        self.text = text
        self.name = name
        # Redis's name for it, no protection of anything.
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Command:
    """One command, which may be sent again and again."""

    __slots__ = ("_packed", "script", "words")

    def __init__(self, *words: Any, script: Script | None = None) -> None:
        self.words: Words = words
        self.script = script
        self._packed = b""

    @classmethod
    def of_script(cls, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Command:
        """A call of a script, by its name."""
        return cls("EVALSHA", script.digest, len(keys), *keys, *args, script=script)

    @property
    def name(self) -> str:
        """What the log calls it."""
        return str(self.words[0]) if self.script is None else self.script.name

    def pack(self) -> bytes:
        """In the bytes of the protocol. Raises `TypeError` or `ValueError` for a word that cannot be sent."""
        if not self._packed:
            from hiredis import pack_command

            verb, *rest = self.words
            self._packed = pack_command((*verb.split(" "), *rest))
        return self._packed

    def spelled_out(self) -> Command:
        """The same call with the script's text, which a server that has forgotten it understands too."""
        if self.script is None:
            raise ValueError("only a script can be spelled out")
        return Command("EVAL", self.script.text, *self.words[2:])

"""Where the credential of a local caller comes from (MCP 2026-07-28, authorization: a server that is not reached over
HTTP takes it from its environment)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Final

from doorward import private_files
from doorward.errors import Forbidden, Limited, Refused, Unauthenticated, refusal
from doorward.settings import Secret

__all__ = ["TOKEN_VARIABLE", "LocalCredential"]

TOKEN_VARIABLE: Final = "DOORWARD_TOKEN"  # noqa: S105 - the name of a variable
"""Where the token stands unless another place is given."""

_MAX_BYTES: Final = 65_536
"""More than any token: a longer file is another file."""

_log = logging.getLogger("doorward")


class LocalCredential:
    """A token in the environment, or in a file that is nobody else's to read; the file is read again when it changes,
    since tokens expire and servers stay."""

    def __init__(
        self,
        *,
        token_file: str | PathLike[str] | None = None,
        token_env: str | None = None,
        alarm: Callable[[str], None] = lambda slug: None,
    ) -> None:
        """``alarm`` is told ``local_token_unreadable`` when the file goes bad. Raises `ValueError` and `OSError` where
        there is no token."""
        if token_file is not None and token_env is not None:
            raise ValueError("token_file must not stand beside token_env: the token comes from one place")
        self._path = None if token_file is None else Path(token_file)
        self._stamp: private_files.Stamp | None = None
        self._secret: Secret
        """The token: a `Secret`, so that no log shows it."""
        self._alarm = alarm
        self._told: str | None = None
        """What the log says is wrong with it: each cause once."""
        if self._path is not None:
            self._read(self._path)
            return
        name = TOKEN_VARIABLE if token_env is None else token_env
        token = os.environ.get(name, "").strip()
        if not token:
            raise ValueError(f"{name} is not set: put the caller's token there, or name a file with token_file=")
        self._secret = Secret(token.encode("utf-8", "surrogateescape"))

    def token(self) -> str:
        """The token as it stands now. Raises `Unauthenticated` where its file is gone or is another's to read."""
        if self._path is not None:
            try:
                if private_files.stamp_of(self._path) != self._stamp:
                    self._read(self._path)
            except (OSError, ValueError) as error:
                if self._is_news(str(error)):
                    self._alarm("local_token_unreadable")
                    _log.warning("the local token cannot be read: %s", error)
                raise refusal("missing_credentials", "the file with the local token cannot be read") from None
        return self._secret.value.decode("utf-8", "surrogateescape")

    def judged(self, refused: Refused | None) -> None:
        """How it was judged: where the token is not good, the log says why, since clients may show nothing of it."""
        if refused is None or isinstance(refused, Forbidden | Limited):
            self._told = None  # it is good: these are refused for what it may do
        elif not isinstance(refused, Unauthenticated) or refused.code == "missing_credentials":
            return  # nothing is known against it, or it was told where it was read
        elif self._is_news(str(refused)):
            _log.warning("the local token is refused: %s (%s)", refused.description, refused)

    def _is_news(self, cause: str) -> bool:
        is_news, self._told = cause != self._told, cause
        return is_news

    def _read(self, path: Path) -> None:
        try:
            data, stamp = private_files.read(path, max_bytes=_MAX_BYTES)
            if private_files.is_shared(stamp):
                raise ValueError("can be read by others, who could call as you: chmod 600 it")
            token = data.decode("ascii").strip()
        except ValueError as error:
            problem = "holds no token" if isinstance(error, UnicodeDecodeError) else str(error)
            raise ValueError(f"{path} {problem}") from None
        if not token:
            raise ValueError(f"{path} is empty: put the caller's token there")
        self._secret, self._stamp = Secret(token.encode()), stamp

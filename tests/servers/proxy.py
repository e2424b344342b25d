"""A network between client and server that can be slow, swallow everything, or break."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

CHUNK: Final = 65_536
TICK: Final = 0.005
"""Seconds between two looks at whether what is withheld may go on."""


class Proxy:
    """Listens on a port of its own and passes bytes on, both ways, as long as it is told to.

    What a black hole swallows is delivered when it ends, as by a network that repeats lost packets: so a server may
    be told to do what its client gave up long ago.
    """

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._delay = 0.0
        self._swallowing = False
        self._refusing = False
        self._closed = False
        self._pairs: list[socket.socket] = []
        self.accepted = 0
        """Connections so far."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Of the Redis behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def pass_on(self) -> None:
        """Be a good network again."""
        self._delay, self._swallowing, self._refusing = 0.0, False, False

    def delay(self, seconds: float) -> None:
        """Each way."""
        self._delay = seconds

    def swallow(self) -> None:
        """Accept connections and bytes, and let nothing through."""
        self._swallowing = True

    def reset(self) -> None:
        """Break every connection, and each new one, with RST."""
        self._refusing = True
        self.drop()

    def drop(self) -> None:
        """Break every connection with RST; new ones are welcome."""
        pairs, self._pairs = self._pairs, []
        for end in pairs:
            _break(end)

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._refusing:
                _break(client)
                continue
            try:
                server = socket.create_connection(self._upstream)
            except OSError:
                _break(client)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                if self._delay:
                    time.sleep(self._delay)
                while self._swallowing and not self._closed:
                    time.sleep(TICK)
                target.sendall(chunk)
        if target in self._pairs:  # else it is to break, not to end
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)


@contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """A proxy in front of the server on that port, while the block runs."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


def _break(end: socket.socket) -> None:
    with suppress(OSError):
        # Lingering for zero seconds is how one asks for RST instead of FIN, and reading no more wakes whoever reads.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RD)
    end.close()

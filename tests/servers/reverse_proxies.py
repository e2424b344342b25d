"""The reverse proxies that people put before a server: nginx, HAProxy and Caddy, each with the few lines it needs.

They have no certificate here, and say that the client's connection is https.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from programs import program
from servers.lifetimes import Process

START_SECONDS: Final = 20
"""Of which a hundredth is usual."""

_NGINX: Final = """
daemon off; {user} error_log {folder}/error.log; pid {folder}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 20m;
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version {version};
            proxy_request_buffering {buffering};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
}}
"""

_HAPROXY: Final = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend all
    bind 127.0.0.1:{port}
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    default_backend gate
backend gate
    server one 127.0.0.1:{upstream}
"""

_CADDY: Final = """
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    reverse_proxy 127.0.0.1:{upstream} {{
        header_up X-Forwarded-Proto https
    }}
}}
"""


class Kind(NamedTuple):
    """One reverse proxy as it is configured here."""

    program: str
    configuration: str
    words: Callable[[Path], list[str]]
    """Its arguments, from the path of its configuration."""
    options: dict[str, str] = {}  # noqa: RUF012 - never changed


def _nginx(version: str, buffering: str) -> Kind:
    def words(file: Path) -> list[str]:
        return ["-c", str(file), "-p", str(file.parent)]

    return Kind("nginx", _NGINX, words, {"version": version, "buffering": buffering})


KINDS: Final = {
    "nginx": _nginx("1.0", "on"),
    "nginx-streaming": _nginx("1.1", "off"),
    "haproxy": Kind("haproxy", _HAPROXY, lambda file: ["-f", str(file), "-db"]),
    "caddy": Kind("caddy", _CADDY, lambda file: ["run", "--adapter", "caddyfile", "--config", str(file)]),
}


@contextmanager
def reverse_proxy(kind: str, *, port: int, upstream: int, folder: Path) -> Iterator[None]:
    """The proxy listens on the port and passes requests to the port ``upstream`` while the block runs. Skips the test
    where the program cannot be installed."""
    wanted = KINDS[kind]
    found = program(wanted.program)
    file = folder / "configuration"
    # Its workers write request bodies into the folder, which belongs to this user.
    user = "user root;" if os.geteuid() == 0 else ""
    text = wanted.configuration.format(folder=folder, port=port, upstream=upstream, user=user, **wanted.options)
    file.write_text(text)
    process = Process([wanted.program, *wanted.words(file)], executable=found, log=folder / "log")
    try:
        _wait_for(port, process)
        yield
    finally:
        process.terminate()


def _wait_for(port: int, process: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if not process.alive or time.monotonic() > deadline:
                raise RuntimeError(f"the proxy did not start: {process.complaint}") from None
            time.sleep(0.05)
        else:
            return

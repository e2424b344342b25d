"""Which tokens ``doorward init`` and ``doorward rules`` send over HTTP, and where."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cli.commanding import Done, here

TOKEN = "a-secret-token.of~some+length/=="


class Listener:
    """A server on loopback that remembers what it was sent, and answers 404 or with a redirect."""

    def __init__(self, location: str | None = None) -> None:
        self.tokens: list[str | None] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                listener.tokens.append(self.headers.get("authorization"))
                self.send_response(404 if location is None else 307)
                self.send_header("content-length", "0")
                if location is not None:
                    self.send_header("location", location)
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the name that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/mcp"


@contextmanager
def listening(location: str | None = None) -> Iterator[Listener]:
    listener = Listener(location)
    thread = threading.Thread(target=listener.http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield listener
    finally:
        listener.http.shutdown()
        thread.join()
        listener.http.server_close()


@pytest.fixture(params=["init", "rules"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "doorward.toml").write_text("")
    return str(request.param)


def run(command: str, *arguments: str, at: Path, **environment: str) -> Done:
    more = ("--force",) if command == "init" else ()
    done = here(command, *arguments, *more, at=at, **environment)
    assert TOKEN not in done.out + done.err
    return done


def test_no_token_is_sent_that_was_not_asked_for(command: str, tmp_path: Path) -> None:
    with listening() as server:
        done = run(command, "--url", server.url, at=tmp_path, DOORWARD_TOKEN=TOKEN)
    assert server.tokens
    assert set(server.tokens) == {None}
    assert "no token was sent: --token-env NAME" in done.err


def test_the_token_that_was_asked_for_is_sent_to_this_machine(command: str, tmp_path: Path) -> None:
    with listening() as server:
        done = run(command, "--url", server.url, "--token-env", "SHOP", at=tmp_path, SHOP=f"{TOKEN}\n")
    assert set(server.tokens) == {f"Bearer {TOKEN}"}
    assert "the token in SHOP was sent" in done.err


def test_a_redirect_carries_no_token_to_another_origin(command: str, tmp_path: Path) -> None:
    with listening() as other, listening(other.url) as server:
        run(command, "--url", server.url, "--token-env", "SHOP", at=tmp_path, SHOP=TOKEN)
    assert f"Bearer {TOKEN}" in server.tokens
    assert set(other.tokens) <= {None}


@pytest.mark.anyio
async def test_a_client_that_follows_redirects_carries_none_either() -> None:
    from doorward.cli.servers.over_http import client

    with listening() as other, listening(other.url) as server:
        async with client(server.url, TOKEN) as http:
            await http.get(server.url, follow_redirects=True)
    assert (server.tokens, other.tokens) == ([f"Bearer {TOKEN}"], [None])


def test_no_proxy_sees_what_is_for_this_machine(command: str, tmp_path: Path) -> None:
    with listening() as proxy, listening() as server:
        environment = {"HTTP_PROXY": proxy.url, "http_proxy": proxy.url, "ALL_PROXY": proxy.url, "NO_PROXY": ""}
        run(command, "--url", server.url, "--token-env", "SHOP", at=tmp_path, SHOP=TOKEN, **environment)
    assert server.tokens
    assert not proxy.tokens


MISTAKES = {
    "in the clear": (["--url", "http://mcp.example.com/mcp", "--token-env", "SHOP"], "over https alone"),
    "a host that looks local": (["--url", "http://127.0.0.1.example.com/", "--token-env", "SHOP"], "over https alone"),
    "a host behind a user": (["--url", "http://127.0.0.1@mcp.example.com/", "--token-env", "SHOP"], "has a user"),
    "a password": (["--url", "https://user:a-secret@mcp.example.com/"], "has a user or password in it"),
    "a password that ends the host": (["--url", f"https://user:{TOKEN}@mcp.example.com/"], "is not like https://"),
    "no HTTP": (["--url", "ftp://mcp.example.com/mcp"], "is not like https://"),
    "no host": (["--url", "https:///mcp", "--token-env", "SHOP"], "is not like https://"),
    "a port that is none": (["--url", "http://127.0.0.1:x/mcp", "--token-env", "SHOP"], "is not like https://"),
    "a token for no URL": (["shop:shop", "--token-env", "SHOP"], "goes with --url alone"),
    "a variable that is not set": (["--url", "https://mcp.example.com/", "--token-env", "UNSET"], "is not set"),
    "a variable that is empty": (["--url", "https://mcp.example.com/", "--token-env", "EMPTY"], "is not set"),
    "no name": (["--url", "https://mcp.example.com/", "--token-env", TOKEN], "not the token"),
    "no token": (["--url", "https://mcp.example.com/", "--token-env", "LINES"], "holds no bearer token"),
}


@pytest.mark.parametrize(("arguments", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_before_anything_is_sent(
    command: str, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = run(command, *arguments, at=tmp_path, SHOP=TOKEN, EMPTY=" ", LINES=f"{TOKEN}\r\nx: y")
    assert (done.code, told in done.err) == (2, True), done.err
    assert "Traceback" not in done.err

#!/usr/bin/env bash
# granian 2.8.9: a request that is answered before its body has come is disconnected before the response has ended.
#
# Expected: an app that has sent a whole body by Content-Length, with more_body=True, still receives the rest of the request,
# as ASGI reports a disconnect only when the client has gone or the response has ended ("disconnect - receive event" of the HTTP
# specification). The client sends its 3 MB and then reads the 401. uvicorn 0.54.0 (h11) does this.
# Seen (2026-12-01, granian 2.8.9, uvicorn 0.54.0, h11 0.16.0, Python 3.11): with granian receive() gives http.disconnect after a
# small part of the request, and the client cannot send the rest, since the connection is closed. A reverse proxy that is still
# sending then reports 502. Without Content-Length (chunked) granian passes the whole request on.
#
# Needs python3 with venv.
set -euo pipefail

folder=$(mktemp -d)
server=
end() { [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true; server=; }
trap 'end; rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check granian==2.8.9 uvicorn==0.54.0 h11==0.16.0

cat >"$folder/app.py" <<'PY'
import os


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [(b"content-length", b"7")] if scope["path"] == "/sized" else []
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": b"refused", "more_body": True})
    received = 0
    while (message := await receive())["type"] == "http.request":
        received += len(message["body"])
        if not message["more_body"]:
            break
    with open(os.environ["SEEN"], "w") as seen:
        seen.write(f"{message['type']}, {'all' if received == 3_000_000 else 'a part'} of the body")
    await send({"type": "http.response.body", "body": b"", "more_body": False})
PY

cat >"$folder/client.py" <<'PY'
"""Sends 3 MB in 0.5 seconds, and reads afterwards."""
import os
import socket
import sys
import time

name, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for _ in range(200):
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        break
    except OSError:
        time.sleep(0.1)
connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n".encode())
sent = "sent all"
try:
    for _ in range(50):
        connection.sendall(b"a" * 60_000)
        time.sleep(0.01)
except OSError:
    sent = "could not send all"
for _ in range(100):
    if os.path.exists(os.environ["SEEN"]):
        break
    time.sleep(0.1)
print(f"{name} {path}: the app received {open(os.environ['SEEN']).read()}; the client {sent}")
os.unlink(os.environ["SEEN"])
PY

export SEEN="$folder/received"
cd "$folder"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

start() {
    "$@" >"$folder/log" 2>&1 &
    server=$!
}

ask() {
    python3 "$folder/client.py" "$1" "$port" /sized
    python3 "$folder/client.py" "$1" "$port" /chunked
    end
}

{
    start "$folder/venv/bin/granian" --interface asgi --host 127.0.0.1 --port "$port" app:app
    ask "granian 2.8.9"
    start "$folder/venv/bin/uvicorn" --http h11 --port "$port" app:app
    ask "uvicorn 0.54.0"
} >"$folder/seen"

cat "$folder/seen"
diff - "$folder/seen" <<'SEEN'
granian 2.8.9 /sized: the app received http.disconnect, a part of the body; the client could not send all
granian 2.8.9 /chunked: the app received http.request, all of the body; the client sent all
uvicorn 0.54.0 /sized: the app received http.request, all of the body; the client sent all
uvicorn 0.54.0 /chunked: the app received http.request, all of the body; the client sent all
SEEN
echo "as described"

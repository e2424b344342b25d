#!/usr/bin/env bash
# redis-py 8.0.0: the synchronous client cannot connect over a Unix domain socket.
#
# Expected: Redis(unix_socket_path=...).ping() works, as it does with 7.x and with the asynchronous client.
# Seen (2026-12-01, redis-py 8.0.0, hiredis 3.5.0, Redis of Debian 12): ValueError "Cannot enable maintenance notifications for
# connection object that doesn't have a host attribute." The feature for maintenance notifications is on by default and
# asks the connection for a host, which a Unix socket has not. redis-py 8.0.1 works. So `redis>=8` is one release too low.
#
# Needs python3 with venv, and a Redis server: redis-server, or redis-check-rdb of Debian's redis-tools, which is the same program.
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

program=$(command -v redis-server || command -v redis-check-rdb) || { echo "no Redis server: install redis-server" >&2; exit 2; }
(exec -a redis-server "$program" --port 0 --unixsocket "$folder/socket" --save '' >"$folder/log") &
server=$!
for _ in $(seq 50); do [ -S "$folder/socket" ] && break; sleep 0.1; done

python3 -m venv "$folder/venv"
cat >"$folder/ping.py" <<'PY'
import asyncio
import sys

import redis
import redis.asyncio

path = sys.argv[1]


async def asynchronous() -> object:
    async with redis.asyncio.Redis(unix_socket_path=path) as client:
        return await client.ping()


def answer(ask) -> str:
    try:
        return str(ask())
    except ValueError as error:
        return f"ValueError: {error}"


print(redis.__version__, "asynchronous", answer(lambda: asyncio.run(asynchronous())))
print(redis.__version__, "synchronous", answer(lambda: redis.Redis(unix_socket_path=path).ping()))
PY

for version in 8.0.0 8.0.1; do
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "redis==$version" hiredis==3.5.0
    "$folder/venv/bin/python" "$folder/ping.py" "$folder/socket"
done | tee "$folder/seen"

diff - "$folder/seen" <<'SEEN'
8.0.0 asynchronous True
8.0.0 synchronous ValueError: Cannot enable maintenance notifications for connection object that doesn't have a host attribute.
8.0.1 asynchronous True
8.0.1 synchronous True
SEEN
echo "as described"

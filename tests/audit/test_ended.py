"""A server that is told to end: everything is in its trail, and signed to the last line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from signing import KEY, PUBLIC_PEM

from doorward.audit.reading.verify import load_public_keys, verify

TESTS = str(Path(__file__).parents[1])

# As a server program ends: it tells the app, and then sends the signal that it got to itself.
SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import uvicorn
from guarded import Guarded
from doorward.settings import Audit, Checkpoint, Secret
from doorward.testing import Issuer

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.startup":
                print("up", flush=True)
            else:
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})

directory, durability = Path(sys.argv[2]), sys.argv[3]
checkpoint = Checkpoint(Secret((directory / "key").read_bytes()), every=1000, seconds=3600)
trail = directory / "audit.jsonl"
audit = Audit(str(trail), durability=durability, checkpoint=checkpoint)
it = Guarded(trail, Issuer("https://as.example.com"), audit=audit)

async def served(scope, receive, send):
    if scope["type"] == "lifespan":
        for number in range(20):
            await it.gate.decide(authorization="Bearer a.b.c")
    await it.gate.protect(app)(scope, receive, send)

uvicorn.run(served, port=0, log_level="critical")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
@pytest.mark.parametrize("durability", ["buffered", "written", "durable"])
def test_a_server_that_was_told_to_end_signs_its_last_line(tmp_path: Path, durability: str) -> None:
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key.pub").write_bytes(PUBLIC_PEM)
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, TESTS, str(tmp_path), durability], stdout=subprocess.PIPE, env=dict(os.environ)
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"up\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) in (0, -signal.SIGTERM)
    found = verify([tmp_path / "audit.jsonl"], public_keys=load_public_keys([tmp_path / "key.pub"]))
    (chain,) = found.chains
    assert found.intact
    assert (chain.lines, chain.behind_last_checkpoint, chain.lost) == (23, 0, 0)

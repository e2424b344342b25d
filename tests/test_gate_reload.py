"""Another configuration while calls are decided: all of it or nothing, and nothing spent or revoked is forgotten."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agents import AgentsFile
from guarded import RESOURCE, Guarded, message

import doorward
from doorward.testing import Issuer

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

SECOND = 1_000_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def change(it: Guarded, **settings: Any) -> None:
    """Reload the gate with some settings changed."""
    it.gate.reload(replace(it.gate.configuration, **settings))


def rule(limit: str, **settings: Any) -> doorward.ToolRule:
    return doorward.ToolRule("read_*", **({"scopes": ["read"], "limit": [limit]} | settings))


async def allowed(it: Guarded, calls: int = 20) -> int:
    return sum([(await it.call("read_order", "read")).allowed for _ in range(calls)])


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        pytest.param("6/minute", "6/minute", 2, id="the same"),
        pytest.param("6/minute", "10/minute", 6, id="raised: the difference"),
        pytest.param("6/minute", "4/minute", 0, id="lowered below what was spent"),
        pytest.param("6/minute", "6/minute burst 5", 1, id="a smaller burst"),
    ],
)
async def test_what_was_consumed_stays_consumed(guarded: Make, before: str, after: str, left: int) -> None:
    it = guarded(tools=[rule(before)])
    assert await allowed(it, 4) == 4
    change(it, tools=[rule(after)])
    assert await allowed(it) == left


async def test_a_rule_holds_from_the_next_call_on(guarded: Make) -> None:
    it = guarded(tools=[rule("9/minute")])
    token = it.token("read")
    assert (await it.gate.decide(authorization=f"Bearer {token}", body=message())).allowed
    change(it, tools=[rule("9/minute", scopes=["write"])])
    refused = await it.gate.decide(authorization=f"Bearer {token}", body=message())
    assert refused.refusal is not None
    assert refused.refusal.code == "insufficient_scope", "for a token that was remembered, too"


async def test_a_decision_ends_under_the_configuration_it_began_with(guarded: Make) -> None:
    it = guarded(tools=[rule("9/minute", concurrency=1)])
    begun = await it.gate.begin(
        doorward.Request(
            scheme="https",
            host="mcp.example.com",
            path="/mcp",
            headers=(("authorization", f"Bearer {it.token('read')}"),),
        )
    )
    change(it, tools=[])
    await it.gate.judge(begun, message())
    assert begun.allowed
    change(it, tools=[rule("9/minute", concurrency=1)])
    assert await allowed(it) == 0, "and holds its slot beyond it"
    begun.close()
    assert await allowed(it, 1) == 1


async def test_who_was_revoked_stays_revoked(guarded: Make) -> None:
    it = guarded()
    it.gate.revoke(client="agent-1")
    change(it, allowed_origins=["https://app.example.com"])
    assert (await it.call("read_order", "read", client_id="agent-1")).refusal.code == "token_revoked"


@pytest.mark.parametrize("what", ["key", "issuer", "audience"])
async def test_whom_nobody_vouches_for_any_more_is_not_held(guarded: Make, what: str) -> None:
    it = guarded(tools=[rule("9/minute")], audiences=["https://old.example.com"])
    running = await it.call("read_order", "read")
    change(it, tools=[rule("8/minute")])
    it.gate.ensure_held(running)
    other = Issuer(it.issuer.url if what == "key" else "https://other.example.com")
    if what == "audience":
        change(it, audiences=[])
    else:
        change(it, issuers=[doorward.Issuer(other.url, ["ES256"], other.jwks())])
    with pytest.raises(doorward.Unauthenticated) as ended:
        it.gate.ensure_held(running)
    assert ended.value.code == "token_revoked"


@pytest.mark.parametrize(
    ("withdrawn", "held"), [("key-1", True), ("key-2", False)], ids=["another key", "the key of its token"]
)
async def test_a_call_is_held_as_long_as_the_key_of_its_token_is_given(
    guarded: Make, withdrawn: str, held: bool
) -> None:
    issuer = Issuer("https://as.example.com")
    issuer.rotate()

    def given(*, without: str | None = None) -> doorward.Issuer:
        keys = [key for key in issuer.jwks()["keys"] if key["kid"] != without]
        return doorward.Issuer(issuer.url, ["ES256"], {"keys": keys})

    it = guarded(issuers=[given()], tools=[rule("9/minute")])
    token = issuer.token(audience=RESOURCE, scopes=["read"], now=it.now, kid="key-2")
    running = await it.gate.decide(authorization=f"Bearer {token}", body=message())
    assert running.allowed
    issuer.rotate()
    change(it, issuers=[given(without=withdrawn)])
    if held:
        it.gate.ensure_held(running)
    else:
        with pytest.raises(doorward.Unauthenticated, match="token_revoked"):
            it.gate.ensure_held(running)
    again = await it.gate.decide(authorization=f"Bearer {token}", body=message())
    assert again.allowed is held


async def test_an_agent_is_held_as_long_as_its_file_counts(guarded: Make, tmp_path: Path) -> None:
    file = AgentsFile(tmp_path / "agents.toml")
    token = file.create()
    it = guarded(tools=[rule("9/minute", scopes=[])], agents=doorward.Agents(str(file.path)))
    running = await it.gate.decide(authorization=f"Bearer {token}", body=message())
    assert running.allowed
    change(it, tools=[rule("8/minute", scopes=[])])
    it.gate.ensure_held(running)
    change(it, agents=None)
    with pytest.raises(doorward.Unauthenticated):
        it.gate.ensure_held(running)


async def test_who_failed_too_often_still_has(guarded: Make) -> None:
    it = guarded(limits=doorward.Limits(failed_auth="1/minute"))
    for _ in range(2):
        await it.gate.decide(authorization="Bearer bad", body=message(), peer="192.0.2.1")
    change(it, limits=doorward.Limits(failed_auth="1/minute", client=["5/minute"]))
    decision = await it.gate.decide(authorization="Bearer bad", body=message(), peer="192.0.2.1")
    assert decision.refusal is not None
    assert decision.refusal.code == "too_many_failures"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"resource": "https://other.example.com/mcp"}, "resource"),
        ({"audit": doorward.Audit("stdout")}, "audit"),
        ({"limits": doorward.Limits(max_keys=5)}, "limits.max_keys"),
        ({"limits": doorward.Limits(instances=5)}, "limits.instances"),
        ({"limits": doorward.Limits(store="redis://127.0.0.1")}, "limits.store"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_needs_a_restart_says_so_and_changes_nothing(
    guarded: Make, settings: dict[str, Any], name: str
) -> None:
    it = guarded()
    before = it.gate.configuration
    with pytest.raises(ValueError, match=rf"^{name} has changed: that needs a restart"):
        change(it, tools=[], **settings)
    assert it.gate.configuration is before
    assert await allowed(it, 1) == 1


# --- the file ---------------------------------------------------------------------------------------------------------


class File:
    """A ``doorward.toml`` and its gate."""

    def __init__(self, directory: Path, issuer: Issuer, **options: Any) -> None:
        self.path = directory / "doorward.toml"
        self.issuer = issuer
        self.trail = directory / "audit.jsonl"
        (directory / "jwks.json").write_text(json.dumps(issuer.jwks()))
        self.write('limit = ["3/minute"]')
        self.gate = doorward.Gate.from_file(self.path, **options)

    def write(self, rest: str) -> None:
        """One tool, with ``rest`` beside its match and scopes; replaced as a whole, as editors do."""
        text = f"""
resource = "{RESOURCE}"
[[issuer]]
url = "{self.issuer.url}"
algorithms = ["ES256"]
jwks_file = "jwks.json"
[audit]
path = "audit.jsonl"
[[tool]]
match = "read_*"
scopes = []
{rest}
"""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.path)

    async def allowed(self, calls: int = 20) -> int:
        token = self.issuer.token(audience=RESOURCE)
        decisions = [await self.gate.decide(authorization=f"Bearer {token}", body=message()) for _ in range(calls)]
        return sum(decision.allowed for decision in decisions)


@pytest.fixture
def file(tmp_path: Path, issuer: Issuer) -> File:
    return File(tmp_path, issuer)


async def test_the_file_is_read_again(file: File) -> None:
    assert await file.allowed() == 3
    file.write('limit = ["5/minute"]')
    assert await file.allowed() == 0, "not before somebody says so"
    file.gate.reload()
    assert await file.allowed() == 2


@pytest.mark.parametrize("rest", ['limt = ["5/minute"]', "limit = 5", "\n[[", '[limits]\nstore = "redis://127.0.0.1"'])
async def test_a_file_that_is_wrong_changes_nothing_and_says_where(file: File, rest: str) -> None:
    file.write(rest)
    with pytest.raises(ValueError, match=r"doorward\.toml"):
        file.gate.reload()
    assert await file.allowed() == 3


async def test_a_watched_file_is_read_when_it_changes(tmp_path: Path, issuer: Issuer) -> None:
    file = File(tmp_path, issuer, watch=True)

    def a_second_passes() -> None:
        assert file.gate._source is not None
        file.gate._source.looked_at -= SECOND

    assert await file.allowed() == 3
    file.write('limit = ["5/minute"]')
    a_second_passes()
    assert await file.allowed() == 2
    file.write("limit = 5")
    a_second_passes()
    assert await file.allowed() == 0
    assert file.gate.alarms["configuration_unreadable"] == 1
    a_second_passes()
    await file.allowed()
    assert file.gate.alarms["configuration_unreadable"] == 1, "told once"


async def test_whoever_is_recognised_at_once_does_not_keep_a_change_from_being_seen(
    tmp_path: Path, issuer: Issuer
) -> None:
    file = File(tmp_path, issuer, watch=True)
    bearer = f"Bearer {issuer.token(audience=RESOURCE)}"
    headers = [(b"host", b"mcp.example.com"), (b"authorization", bearer.encode())]
    assert (await file.gate.decide(authorization=bearer, body=message())).allowed
    assert file.gate.recognise(headers, scheme="https", peer=None) is not None
    file.write('limit = ["5/minute"]')
    assert file.gate._source is not None
    file.gate._source.looked_at -= SECOND
    assert file.gate.recognise(headers, scheme="https", peer=None) is None, "before the file was looked at"
    assert await file.allowed() == 4


async def test_a_gate_made_from_no_file_needs_to_be_told_what_to_do(guarded: Make) -> None:
    with pytest.raises(ValueError, match="configuration is missing: this gate was not made from a file"):
        guarded().gate.reload()

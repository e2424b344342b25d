"""``doorward.toml``: what it means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from configured import HEAD, JWKS, KEY, Configured, asked

from doorward.gate import Gate
from doorward.settings import (
    Agents,
    Audit,
    AuditSink,
    Budget,
    Confirmation,
    Introspection,
    Issuer,
    Limits,
    MethodRule,
    PromptRule,
    ResourceRule,
    Revocation,
    Secret,
    ToolRule,
)


def test_the_smallest_file(configured: Configured) -> None:
    assert configured.load(HEAD) == {
        "resource": "https://mcp.example.com/mcp",
        "issuers": [Issuer("https://as.example.com", ["ES256"], json.dumps(JWKS).encode())],
    }


def test_the_tables_are_the_settings(configured: Configured) -> None:
    key = JWKS["keys"][0]
    text = f"""
resource = "https://mcp.example.com/mcp"
audiences = ["api://mcp"]
organization_claim = "org_id"
challenge_scopes = ["read"]
allowed_hosts = ["mcp.example.com", "inner:8443"]
allowed_origins = ["https://app.example.com"]
trusted_proxies = ["10.0.0.0/8", "unix"]
client_certificate = "Client-Cert"
max_body_bytes = 1000
filter_lists = false
scopes.admin = ["write"]
scopes."write" = ["read"]

[[issuer]]
url = "https://as.example.com"
algorithms = ["ES256", "RS256"]
jwks = {{ keys = [{{ kty = "EC", crv = "P-256", x = "{key["x"]}", y = "{key["y"]}" }}] }}
leeway = 10
types = ["at+jwt"]
max_token_lifetime = "24h"
subject = "username"

[[tool]]
match = "delete_*"
scopes = ["write"]
limit = ["60/minute burst 5", {{ rate = "2000/day", strict = true, mode = "observe" }}]
total_limit = ["600/minute"]
cost = 2
concurrency = 4
on_error = "deny"
confirm = true
mode = "observe"

[[tool]]
match = "*"
scopes = []

[[resource_rule]]
match = "file:///public/*"
scopes = []

[[prompt]]
match = "greet"
scopes = ["read"]

[[method]]
match = "tools/list"
scopes = ["read"]

[limits]
client = ["600/minute", "20000/day"]
organization = ["60000/minute"]
failed_auth = {{ rate = "20/minute", mode = "observe" }}
concurrency = 8
streams = 3
max_keys = 50
store = "redis://127.0.0.1:6379/0"
mode = "leased"
on_error = "allow"
instances = 3
prefix = "mine"

[confirmation]
lifetime = "5m"
asks = ["5/minute", {{ rate = "50/day", strict = true }}]
key = {{ file = "key" }}
webhook = "https://approve.example.com/confirm"
webhook_key = {{ file = "key" }}

[audit]
path = "trails/audit.jsonl"
durability = "written"
on_failure = "allow"
key = {{ file = "key", id = "2026-11" }}
"""
    found = configured.load(text)
    [issuer] = found.pop("issuers")
    assert (issuer.leeway, issuer.types, issuer.max_token_lifetime) == (10.0, ("at+jwt",), 86_400.0)
    assert issuer.subject == "username"
    assert found == {
        "resource": "https://mcp.example.com/mcp",
        "audiences": ["api://mcp"],
        "organization_claim": "org_id",
        "challenge_scopes": ("read",),
        "allowed_hosts": ["mcp.example.com", "inner:8443"],
        "allowed_origins": ["https://app.example.com"],
        "trusted_proxies": ["10.0.0.0/8", "unix"],
        "client_certificate": "Client-Cert",
        "max_body_bytes": 1000,
        "filter_lists": False,
        "scopes": {"admin": ("write",), "write": ("read",)},
        "tools": [
            ToolRule(
                "delete_*",
                ["write"],
                limit=["60/minute burst 5", Budget("2000/day", strict=True, mode="observe")],
                total_limit=["600/minute"],
                cost=2,
                concurrency=4,
                on_error="deny",
                confirm=True,
                mode="observe",
            ),
            ToolRule("*", []),
        ],
        "resources": [ResourceRule("file:///public/*", [])],
        "prompts": [PromptRule("greet", ["read"])],
        "methods": [MethodRule("tools/list", ["read"])],
        "limits": Limits(
            ["600/minute", "20000/day"],
            ["60000/minute"],
            Budget("20/minute", mode="observe"),
            concurrency=8,
            streams=3,
            max_keys=50,
            store="redis://127.0.0.1:6379/0",
            mode="leased",
            on_error="allow",
            instances=3,
            prefix="mine",
        ),
        "confirmation": Confirmation(
            lifetime=300.0,
            asks=["5/minute", Budget("50/day", strict=True)],
            key=Secret(KEY.encode()),
            webhook="https://approve.example.com/confirm",
            webhook_key=Secret(KEY.encode()),
        ),
        "audit": Audit(
            str(configured.directory / "trails" / "audit.jsonl"),
            on_failure="allow",
            key=Secret(KEY.encode(), "2026-11"),
        ),
    }
    (configured.directory / "trails").mkdir()
    Gate.from_file(configured.path).close()


def test_a_store_with_a_password_comes_from_elsewhere(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "rediss://:hunter2@redis.example.com/0")
    limits = configured.load(f"{HEAD}[limits]\nstore = {{ env = 'REDIS_URL' }}")["limits"]
    assert limits.url == "rediss://:hunter2@redis.example.com/0"
    assert "hunter2" not in repr(limits)


def test_a_snapshot_stands_beside_the_configuration(configured: Configured) -> None:
    limits = configured.load(f"{HEAD}[limits]\nsnapshot = 'budgets.snapshot'")["limits"]
    assert limits.snapshot == str(configured.directory / "budgets.snapshot")


def test_an_issuer_that_is_asked(configured: Configured) -> None:
    asked_for = configured.load(asked(max_revocation_delay="'2m'", opaque="false", jwts="true"))
    [issuer] = asked_for["issuers"]
    assert issuer.introspection == Introspection(
        "https://as.example.com/ask",
        "mcp",
        secret=Secret(b"hunter2"),  # as short as it is: it goes to the issuer, and no hash hangs on it
        max_revocation_delay=120.0,
        opaque=False,
        jwts=True,
    )
    assert "hunter2" not in repr(issuer)
    [issuer] = configured.load(asked(secret=None, private_key="{ file = 'key', id = '2026-11' }"))["issuers"]
    assert issuer.introspection.private_key == Secret(KEY.encode(), "2026-11")
    assert (issuer.introspection.opaque, issuer.introspection.jwts) == (True, False)


def test_two_issuers_that_are_asked(configured: Configured) -> None:
    second = asked(opaque="false", jwts="true").partition("\n")[2].replace("https://as", "https://as2")
    assert len(configured.load(f"{asked()}\n{second}")["issuers"]) == 2


def test_keys_that_are_fetched(configured: Configured) -> None:
    [issuer] = configured.load(HEAD.partition("jwks_file")[0])["issuers"]
    assert issuer == Issuer("https://as.example.com", ["ES256"])
    text = HEAD.replace('jwks_file = "jwks.json"', 'jwks_url = "https://keys.example.com/as"\nmax_stale = "2h"')
    [issuer] = configured.load(text)["issuers"]
    assert issuer == Issuer(
        "https://as.example.com", ["ES256"], jwks_url="https://keys.example.com/as", max_stale=7200.0
    )


def test_the_files_of_agents_and_of_what_was_revoked(configured: Configured) -> None:
    found = configured.load(f'{HEAD}[agents]\nfile = "agents.toml"\n[revocation]\nfile = "/etc/revoked.toml"')
    assert found["agents"] == Agents(str(configured.directory / "agents.toml"))
    assert found["revocation"] == Revocation("/etc/revoked.toml")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90.0), ("1.5", 1.5), ('"90s"', 90.0), ('"2m"', 120.0), ('"24h"', 86_400.0), ('"7d"', 604_800.0)],
)
def test_durations(configured: Configured, written: str, seconds: float) -> None:
    [issuer] = configured.load(f"{HEAD}max_token_lifetime = {written}")["issuers"]
    assert issuer.max_token_lifetime == seconds


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_record_goes_to_a_standard_stream_by_name_alone(configured: Configured, stream: str) -> None:
    assert configured.load(f'{HEAD}[audit]\npath = "{stream}"')["audit"] == Audit(stream)
    assert configured.load(f'{HEAD}[audit]\npath = "./{stream}"')["audit"] == Audit(str(configured.directory / stream))
    assert not configured.load(f'{HEAD}[[audit.sink]]\npath = "{stream}"')["audit"].places[0].is_file


def test_where_nobody_says_where_the_record_goes_nobody_has_said_it(configured: Configured) -> None:
    assert configured.load(f"{HEAD}[audit]\ndurability = 'buffered'")["audit"].is_unsaid
    assert not configured.load(f'{HEAD}[audit]\npath = "stdout"')["audit"].is_unsaid
    assert not configured.load(f'{HEAD}[[audit.sink]]\npath = "stdout"')["audit"].is_unsaid


def test_a_path_is_one(configured: Configured) -> None:
    assert configured.load(f'{HEAD}[audit]\npath = "/var/log/audit"')["audit"] == Audit("/var/log/audit")


def test_secrets_come_from_the_environment(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_KEY", KEY)
    audit = configured.load(f'{HEAD}[audit]\nkey = {{ env = "AUDIT_KEY", id = "1" }}')["audit"]
    assert audit.key == Secret(KEY.encode(), "1")


def test_a_secret_knows_its_file_to_read_it_again(configured: Configured) -> None:
    [issuer] = configured.load(asked(secret=None, private_key="{ file = 'key' }"))["issuers"]
    found = issuer.introspection.private_key
    assert Path(found.file).read_bytes().strip() == found.value


def test_checkpoints_take_a_key_how_often_and_how_long(configured: Configured) -> None:
    text = f'{HEAD}[audit]\ncheckpoint = {{ key = {{ file = "key", id = "1" }}, every = 500, seconds = "2m" }}'
    checkpoint = configured.load(text)["audit"].checkpoint
    assert (checkpoint.key.id, checkpoint.every, checkpoint.seconds) == ("1", 500, 120.0)


def test_several_places_at_once(configured: Configured) -> None:
    audit = configured.load(f"""{HEAD}
[audit]
durability = "durable"

[[audit.sink]]
path = "audit.jsonl"
max_bytes = 100000000
daily = true

[[audit.sink]]
path = "stdout"

[[audit.sink]]
syslog = "udp://log.example.com:514"
on_failure = "allow"

[[audit.sink]]
syslog = "/dev/log"

[[audit.sink]]
otel = true
""")["audit"]
    assert audit == Audit(
        durability="durable",
        sinks=[
            AuditSink(str(configured.directory / "audit.jsonl"), max_bytes=100_000_000, daily=True),
            AuditSink("stdout"),
            AuditSink(syslog="udp://log.example.com:514", on_failure="allow"),
            AuditSink(syslog="/dev/log"),
            AuditSink(otel=True),
        ],
    )


def test_a_key_remembers_its_file_so_that_it_can_be_read_again(configured: Configured) -> None:
    audit = configured.load(f'{HEAD}[audit]\nkey = {{ file = "key" }}')["audit"]
    assert audit.key.file == str(configured.directory / "key")

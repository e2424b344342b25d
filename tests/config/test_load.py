"""``toolgate.toml``: what it means."""

from __future__ import annotations

import json

import pytest
from configured import HEAD, JWKS, KEY, Configured

from toolgate.gate import Gate
from toolgate.settings import Audit, Budget, Issuer, Limits, MethodRule, PromptRule, ResourceRule, Secret, ToolRule


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
max_body_bytes = 1000
scopes.admin = ["write"]
scopes."write" = ["read"]

[[issuer]]
url = "https://as.example.com"
algorithms = ["ES256", "RS256"]
jwks = {{ keys = [{{ kty = "EC", crv = "P-256", x = "{key["x"]}", y = "{key["y"]}" }}] }}
leeway = 10
types = ["at+jwt"]
max_token_lifetime = "24h"

[[tool]]
match = "delete_*"
scopes = ["write"]
limit = ["60/minute burst 5", {{ rate = "2000/day", strict = true, mode = "observe" }}]
total_limit = ["600/minute"]
cost = 2
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
max_keys = 50

[audit]
path = "trails/audit.jsonl"
durability = "written"
on_failure = "allow"
key = {{ file = "key", id = "2026-11" }}
"""
    found = configured.load(text)
    [issuer] = found.pop("issuers")
    assert (issuer.leeway, issuer.types, issuer.max_token_lifetime) == (10.0, ("at+jwt",), 86_400.0)
    assert found == {
        "resource": "https://mcp.example.com/mcp",
        "audiences": ["api://mcp"],
        "organization_claim": "org_id",
        "challenge_scopes": ("read",),
        "allowed_hosts": ["mcp.example.com", "inner:8443"],
        "allowed_origins": ["https://app.example.com"],
        "trusted_proxies": ["10.0.0.0/8", "unix"],
        "max_body_bytes": 1000,
        "scopes": {"admin": ("write",), "write": ("read",)},
        "tools": [
            ToolRule(
                "delete_*",
                ["write"],
                limit=["60/minute burst 5", Budget("2000/day", strict=True, mode="observe")],
                total_limit=["600/minute"],
                cost=2,
                confirm=True,
                mode="observe",
            ),
            ToolRule("*", []),
        ],
        "resources": [ResourceRule("file:///public/*", [])],
        "prompts": [PromptRule("greet", ["read"])],
        "methods": [MethodRule("tools/list", ["read"])],
        "limits": Limits(
            ["600/minute", "20000/day"], ["60000/minute"], Budget("20/minute", mode="observe"), max_keys=50
        ),
        "audit": Audit(
            str(configured.directory / "trails" / "audit.jsonl"),
            on_failure="allow",
            key=Secret(KEY.encode(), "2026-11"),
        ),
    }
    (configured.directory / "trails").mkdir()
    Gate.from_file(configured.path).close()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90.0), ("1.5", 1.5), ('"90s"', 90.0), ('"2m"', 120.0), ('"24h"', 86_400.0), ('"7d"', 604_800.0)],
)
def test_durations(configured: Configured, written: str, seconds: float) -> None:
    [issuer] = configured.load(f"{HEAD}max_token_lifetime = {written}")["issuers"]
    assert issuer.max_token_lifetime == seconds


def test_the_record_goes_to_the_standard_output_by_name_alone(configured: Configured) -> None:
    assert configured.load(f'{HEAD}[audit]\npath = "stdout"')["audit"] == Audit("stdout")
    assert configured.load(f'{HEAD}[audit]\npath = "./stdout"')["audit"] == Audit(str(configured.directory / "stdout"))
    assert configured.load(f'{HEAD}[audit]\npath = "/var/log/audit"')["audit"] == Audit("/var/log/audit")


def test_secrets_come_from_the_environment(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_KEY", KEY)
    audit = configured.load(f'{HEAD}[audit]\nkey = {{ env = "AUDIT_KEY", id = "1" }}')["audit"]
    assert audit.key == Secret(KEY.encode(), "1")

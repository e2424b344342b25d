"""The gate over every kind of credential: what it remembers of one, and what it looks at again on every request."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import AgentsFile
from guarded import NOW, Guarded, message
from tokens.misbehaving import Misbehaving, listening

import doorward
from doorward.testing import Issuer
from doorward.tokens import agents_changes, agents_file
from doorward.tokens.jwks import COOL_DOWN

pytestmark = pytest.mark.anyio

Make = Callable[..., Guarded]

CERTIFICATE = b"a certificate"
THUMBPRINT = hashlib.sha256(CERTIFICATE).digest()
BOUND = {"x5t#S256": base64.urlsafe_b64encode(THUMBPRINT).decode().rstrip("=")}
ANOTHER = hashlib.sha256(b"another").digest()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def code(it: Guarded, token: str, **request: Any) -> str | None:
    """Why the gate refuses a call with the token; None if it does not."""
    headers = (("authorization", f"Bearer {token}"), *request.pop("headers", ()))
    given = {"host": "mcp.example.com", "path": "/mcp", "body": message(), "headers": headers} | request
    decision = await it.gate.decide(doorward.Request(**given))
    if decision.refusal is None:
        decision.close()
        return None
    return decision.refusal.code


REVOKED = {
    "by its id": {"token_id": "t-1"},
    "by its subject": {"subject": "user-1"},
    "by its client": {"client": "agent-1"},
}


@pytest.mark.parametrize("revoked", REVOKED.values(), ids=REVOKED)
async def test_a_revocation_wins_over_what_was_remembered(guarded: Make, revoked: dict[str, Any]) -> None:
    it = guarded()
    token, other = it.token("read", jti="t-1"), it.token("read", jti="t-2", subject="user-2", client_id="agent-2")
    assert await code(it, token) is None
    it.gate.revoke(**revoked)
    assert await code(it, token) == "token_revoked"
    assert await code(it, other) is None
    assert it.records()[1]["result"] == "denied_auth"


async def test_a_clock_that_steps_back_finds_the_token_not_valid_yet(guarded: Make) -> None:
    it = guarded()
    token = it.token("read", nbf=NOW)
    assert await code(it, token) is None
    it.now -= 120
    assert await code(it, token) == "token_not_yet_valid"


async def test_a_bound_token_is_for_its_certificate_alone_also_when_it_is_remembered(guarded: Make) -> None:
    it = guarded()
    token = it.token("read", cnf=BOUND)
    for certificate, expected in (
        (None, "proof_required"),
        (THUMBPRINT, None),
        (ANOTHER, "proof_required"),
        (None, "proof_required"),
        (THUMBPRINT, None),
    ):
        assert await code(it, token, certificate_sha256=certificate) == expected


HEADER = ("client-cert", f":{base64.b64encode(CERTIFICATE).decode()}:")
FROM_ENVOY = ("x-forwarded-client-cert", f'Hash={THUMBPRINT.hex()};Subject="CN=a,O=Example\\, Inc."')


@pytest.mark.parametrize(
    ("configured", "headers", "peer", "expected"),
    [
        pytest.param(None, [HEADER], "10.0.0.1", "proof_required", id="no header is configured"),
        pytest.param("Client-Cert", [], "10.0.0.1", "proof_required", id="the proxy sends none"),
        pytest.param("Client-Cert", [HEADER], "10.0.0.1", None, id="the proxy sends it"),
        pytest.param("Client-Cert", [HEADER], "192.0.2.1", "proof_required", id="somebody else sends it"),
        pytest.param("Client-Cert", [FROM_ENVOY], "10.0.0.1", "multiple_credentials", id="the proxy sends another"),
        pytest.param("Client-Cert", [HEADER, HEADER], "10.0.0.1", "multiple_credentials", id="it sends two"),
        pytest.param("Client-Cert", [("client-cert", "x")], "10.0.0.1", "proof_required", id="it sends something else"),
        pytest.param("X-Forwarded-Client-Cert", [FROM_ENVOY], "10.0.0.1", None, id="as Envoy writes it"),
        pytest.param(
            "X-Forwarded-Client-Cert",
            [FROM_ENVOY, HEADER],
            "10.0.0.1",
            "multiple_credentials",
            id="beside one that the client typed",
        ),
    ],
)
async def test_a_bound_token_needs_the_certificate_in_the_configured_header(
    guarded: Make, configured: str | None, headers: list[tuple[str, str]], peer: str, expected: str | None
) -> None:
    it = guarded(trusted_proxies=["10.0.0.0/8"], client_certificate=configured)
    token = it.token("read", cnf=BOUND)
    for _ in range(2):
        assert await code(it, token, headers=headers, peer=peer) == expected, "at first, and when it is cached"


async def test_a_tls_extension_of_the_server_program_is_not_read(guarded: Make) -> None:
    it = guarded()
    answered: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": message()}

    async def send(frame: Any) -> None:
        answered.extend([frame["status"]] if "status" in frame else [])

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "scheme": "https",
        "headers": [(b"host", b"mcp.example.com"), (b"authorization", f"Bearer {it.token(cnf=BOUND)}".encode())],
        "extensions": {"tls": {"client_cert_chain": [ssl.DER_cert_to_PEM_cert(CERTIFICATE)]}},
    }
    await it.gate.protect(lambda *_: None)(scope, receive, send)
    assert answered == [401]


async def test_an_agent_token_is_a_credential_like_any_other(guarded: Make, tmp_path: Path) -> None:
    file = tmp_path / "agents.toml"
    made = agents_changes.create([], "nightly", scopes=["read"], organization=None, lifetime=600, now=NOW)
    agents_file.change(file, lambda _: made.agents)
    token = made.token
    it = guarded(agents=doorward.Agents(str(file)))
    assert await code(it, token) is None
    assert await code(it, token[:-1] + ("A" if token[-1] != "A" else "B")) == "malformed_token"
    it.gate.revoke(agent="nightly")
    assert await code(it, token) == "token_revoked"
    [record, *_] = it.records()
    assert (record["issuer"], record["client_id"]) == ("urn:doorward:agents", "nightly")
    assert token not in it.trail.read_text()


async def test_what_goes_on_for_long_ends_with_its_agent(guarded: Make, tmp_path: Path) -> None:
    agents = AgentsFile(tmp_path / "agents.toml")
    token = agents.create("nightly", scopes=["read"], now=NOW)
    agents.create("daily", now=NOW)
    it = guarded(agents=doorward.Agents(str(agents.path)))
    decision = await it.gate.decide(authorization=f"Bearer {token}", body=message())
    it.now += 60
    it.gate.ensure_held(decision)
    agents.create("weekly", now=it.now)
    agents.revoke("daily", now=it.now)
    agents.rotate("nightly", now=it.now, overlap=1000)
    it.now += 60
    it.gate.ensure_held(decision)
    agents.revoke("nightly", now=it.now)
    it.now += 60
    with pytest.raises(doorward.Unauthenticated, match="token_revoked"):
        it.gate.ensure_held(decision)
    decision.close()


async def test_what_goes_on_for_long_expires_when_the_overlap_of_a_rotation_ends(guarded: Make, tmp_path: Path) -> None:
    agents = AgentsFile(tmp_path / "agents.toml")
    token = agents.create("nightly", scopes=["read"], now=NOW)
    it = guarded(agents=doorward.Agents(str(agents.path)))
    decision = await it.gate.decide(authorization=f"Bearer {token}", body=message())
    agents.rotate("nightly", now=it.now, overlap=100)
    it.now += 99
    it.gate.ensure_held(decision)
    assert await code(it, token) is None
    it.now += 1
    with pytest.raises(doorward.Unauthenticated, match="token_expired"):
        it.gate.ensure_held(decision)
    assert await code(it, token) == "token_expired"
    decision.close()


async def test_an_issuer_that_cannot_be_reached_is_no_bad_token(
    guarded: Make, caplog: pytest.LogCaptureFixture
) -> None:
    # Nothing listens on the discard port.
    it = guarded(issuers=[doorward.Issuer("http://127.0.0.1:9", ["ES256"])])
    decision = await it.gate.decide(
        authorization=f"Bearer {it.token('read', iss='http://127.0.0.1:9')}", body=message()
    )
    assert isinstance(decision.refusal, doorward.Unavailable)
    assert decision.refusal.code == "issuer_unavailable"
    assert dict(it.gate.render(decision).headers)["retry-after"]
    assert it.gate.alarms["keys_unreachable"] == 1
    assert "the keys of http://127.0.0.1:9 cannot be had: no metadata of the issuer can be fetched: no address" in (
        caplog.text
    )
    assert [record["result"] for record in it.records()] == ["unavailable"]


@pytest.fixture
def rotating() -> Iterator[tuple[Misbehaving, Issuer]]:
    """An issuer that serves its keys, and is asked for them."""
    with listening() as server:
        issuer = Issuer(server.url)
        server.jwks = issuer.jwks()
        yield server, issuer


@pytest.mark.parametrize("still_published", [True, False], ids=["its key stays", "its key is withdrawn"])
async def test_a_rotation_ends_what_goes_on_under_a_withdrawn_key_alone(
    guarded: Make, rotating: tuple[Misbehaving, Issuer], still_published: bool
) -> None:
    server, issuer = rotating
    issuer.rotate()
    server.jwks = issuer.jwks()
    it = guarded(issuers=[doorward.Issuer(server.url, ["ES256"], jwks_url=f"{server.url}/jwks")])

    def token(kid: str) -> str:
        return issuer.token(audience=it.gate.resource, scopes=["read"], now=it.now, kid=kid)

    running = await it.gate.decide(authorization=f"Bearer {token('key-2')}", body=message())
    issuer.rotate()
    server.jwks = {"keys": issuer.jwks()["keys"][1 if still_published else 2 :]}
    it.now += COOL_DOWN
    # The head of the first request with the new key makes the gate fetch; its body comes later.
    headers = (("authorization", f"Bearer {token('key-3')}"),)
    first = await it.gate.begin(doorward.Request(host="mcp.example.com", path="/mcp", headers=headers))
    await it.gate.judge(first, message())
    assert (first.refusal, server.counts["jwks"]) == (None, 2)
    it.gate.ensure_held(first)
    if still_published:
        it.gate.ensure_held(running)
    else:
        with pytest.raises(doorward.Unauthenticated, match="token_revoked"):
            it.gate.ensure_held(running)
    first.close()
    running.close()


async def test_a_forgery_that_makes_the_gate_fetch_is_one_failure(
    guarded: Make, rotating: tuple[Misbehaving, Issuer]
) -> None:
    server, issuer = rotating
    limits = doorward.Limits(failed_auth="2/minute")
    it = guarded(issuers=[doorward.Issuer(server.url, ["ES256"], jwks_url=f"{server.url}/jwks")], limits=limits)

    def token(of: Issuer) -> str:
        return of.token(audience=it.gate.resource, scopes=["read"], now=it.now)

    assert await code(it, token(issuer)) is None
    it.now += COOL_DOWN
    forged = [await code(it, token(Issuer(server.url)), peer="192.0.2.1") for _ in range(3)]
    assert forged == ["bad_signature", "bad_signature", "too_many_failures"]
    it.now += COOL_DOWN
    assert await code(it, token(Issuer(server.url)), peer="192.0.2.1") == "too_many_failures"
    assert server.counts["jwks"] == 2, "nothing is fetched for an address over its budget"
    replaced = Issuer(server.url)
    server.jwks = replaced.jwks()
    assert await code(it, token(replaced), peer="192.0.2.2") is None


async def test_nobody_is_asked_for_an_address_that_failed_too_often(guarded: Make) -> None:
    secret = doorward.Secret(b"s" * 32)
    asked = doorward.Introspection("http://127.0.0.1:9/introspect", "mcp", secret=secret)
    given = doorward.Issuer(
        "http://127.0.0.1:9", ["ES256"], {"keys": []} | guarded().issuer.jwks(), introspection=asked
    )
    it = guarded(issuers=[given], limits=doorward.Limits(failed_auth="1/minute"))
    assert await code(it, "opaque-1", peer="192.0.2.1") == "issuer_unavailable"
    assert await code(it, "e30.e30.e30", peer="192.0.2.1") is not None
    assert await code(it, "opaque-2", peer="192.0.2.1") == "too_many_failures"
    assert await code(it, "opaque-2", peer="192.0.2.2") == "issuer_unavailable"

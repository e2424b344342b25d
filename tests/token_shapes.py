"""What authorization servers write into their tokens: from servers that ran, from documentation, and from source.

A shape is a header's `typ` and the claims without `iss`, `exp` and `iat`, which a test adds. The values are made up:
only which claims are there counts. ``CLIENT`` is the client's id, ``API`` an API that is named otherwise than by a URL.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minting import ABSENT, AUDIENCE

__all__ = ["ACCESS_TOKENS", "OTHER_TOKENS", "Shape"]

CLIENT = "client-1"
API = "11112222-bbbb-3333-cccc-4444dddd5555"


class Shape(NamedTuple):
    """The header's `typ`, ``ABSENT`` where there is none, and the claims."""

    typ: Any
    claims: dict[str, Any]

    @property
    def audiences(self) -> list[str]:
        """Those that the token names."""
        audience = self.claims["aud"]
        return audience if isinstance(audience, list) else [audience]


def at_jwt(**claims: Any) -> Shape:
    return Shape("at+jwt", {"sub": "user-1", **claims})


def jwt(**claims: Any) -> Shape:
    return Shape("JWT", {"sub": "user-1", **claims})


def untyped(**claims: Any) -> Shape:
    return Shape(ABSENT, {"sub": "user-1", **claims})


AZURE = {"tid": "t-1", "oid": "o-1", "rh": "0.A", "uti": "u-1", "ver": "2.0"}
PERSON = {"email": "a@example.com", "name": "Ann", "given_name": "Ann", "picture": "https://example.com/a.png"}

ACCESS_TOKENS = {
    "auth0": jwt(aud=[AUDIENCE, "https://t.auth0.com/userinfo"], azp=CLIENT, scope="openid read"),
    "auth0, RFC 9068 profile": at_jwt(aud=AUDIENCE, client_id=CLIENT, jti="j-1", scope="read"),
    "auth0, a machine": jwt(sub=f"{CLIENT}@clients", aud=AUDIENCE, azp=CLIENT, gty="client-credentials"),
    "auth0, an API without a URL": jwt(sub=f"{CLIENT}@clients", aud="mcp", azp=CLIENT, gty="client-credentials"),
    "auth0, permissions alone": jwt(aud=AUDIENCE, azp=CLIENT, scope="", permissions=["read"]),
    "authentik": jwt(aud=CLIENT, azp=CLIENT, uid="u", auth_time=1, acr="goauthentik", scope="openid read", sid="s"),
    "authentik, with the request's nonce": jwt(aud=CLIENT, azp=CLIENT, nonce="n", auth_time=1, scope="openid read"),
    "authlib, rfc9068": at_jwt(aud=CLIENT, client_id=CLIENT, jti="j-1", auth_time=1, scope=""),
    "better-auth": at_jwt(aud=AUDIENCE, azp=CLIENT, client_id=CLIENT, scope="openid read", sid="s"),
    "cognito": untyped(aud=AUDIENCE, client_id=CLIENT, token_use="access", auth_time=1, jti="j-1", scope="mcp/read"),
    "descope": jwt(aud=["project"], client_id=CLIENT, drn="DS", scope="read", amr=["email"]),
    "duende": at_jwt(aud=AUDIENCE, client_id=CLIENT, auth_time=1, idp="local", amr=["pwd"], scope=["read"]),
    "entra v1": jwt(aud="api://x", appid=CLIENT, appidacr="0", amr=["pwd"], scp="mcp.read", **AZURE),
    "entra v2": jwt(aud=API, azp=CLIENT, azpacr="0", name="Ann", preferred_username="ann", scp="mcp.read", **AZURE),
    "entra v2, an app": jwt(aud=API, azp=CLIENT, azpacr="1", roles=["mcp.read"], **AZURE),
    "entra v2, an app that calls itself": jwt(aud=API, azp=API, azpacr="1", roles=["mcp.read"], **AZURE),
    "forgerock": jwt(aud=CLIENT, tokenName="access_token", token_type="Bearer", auth_time=1, scope=["read"]),
    "fusionauth": jwt(aud="app", applicationId="app", auth_time=1, scope="openid read", email="a@example.com"),
    "github actions": jwt(aud=AUDIENCE, jti="j-1", repository="a/b", ref="refs/heads/main", actor="a"),
    "glewlwyd": at_jwt(aud=AUDIENCE, client_id=CLIENT, jti="j-1", scope="read"),
    "google, a service account": jwt(aud=AUDIENCE, azp="1234", email="a@b.example", email_verified=True),
    "hydra": jwt(aud=[AUDIENCE], client_id=CLIENT, ext={}, jti="j-1", scp=["read"]),
    "keycloak": jwt(aud=["account", AUDIENCE], azp=CLIENT, typ="Bearer", auth_time=1, sid="s", scope="email profile"),
    "keycloak, with nonce": jwt(aud=CLIENT, azp=CLIENT, typ="Bearer", auth_time=1, nonce="n", scope=""),
    "kubernetes": untyped(aud=[AUDIENCE], jti="j-1", **{"kubernetes.io": {"namespace": "default"}}),
    "lemonldap": jwt(aud=[CLIENT], client_id=CLIENT, jti="j-1", scope="openid read"),
    "logto": at_jwt(aud=AUDIENCE, client_id=CLIENT, jti="j-1", scope="read"),
    "oauth2-mock-server": jwt(aud=AUDIENCE, scope="read", amr=["pwd"]),
    "okta": untyped(aud=AUDIENCE, cid=CLIENT, uid="u", auth_time=1, ver=1, jti="j-1", scp=["openid", "read"]),
    "openauth": jwt(aud="pub", mode="access", type="user", properties={"id": "1"}),
    "pingone": jwt(aud=[AUDIENCE], client_id=CLIENT, acr="Single", sid="s", env="e", org="o", scope="read"),
    "spring": untyped(aud=CLIENT, jti="j-1", scope=["read"]),
    "stytch": jwt(aud=["project"], client_id=CLIENT, jti="j-1", scope="openid read"),
    "supabase": jwt(aud="authenticated", client_id=CLIENT, amr=[], email="a@example.com", session_id="s"),
    "uaa": jwt(aud=["mcp", CLIENT], client_id=CLIENT, cid=CLIENT, azp=CLIENT, auth_time=1, scope=["openid", "mcp.r"]),
    "workos": jwt(aud=AUDIENCE, client_id=CLIENT, org_id="o", sid="s", jti="j-1", scope="openid read"),
    "workos, a machine": jwt(sub=CLIENT, aud="client_environment", client_id=CLIENT, org_id="o", jti="j-1"),
    "zitadel": jwt(aud=[CLIENT, "project"], client_id=CLIENT, jti="j-1"),
    "zitadel, as its documentation has it": jwt(aud=[CLIENT, "project"], azp=CLIENT, jti="j-1"),
    "an exchanged token (RFC 8693)": jwt(aud=AUDIENCE, client_id=CLIENT, act={"sub": "agent-7"}, scope="read"),
}

OTHER_TOKENS = {
    # ID tokens. Whether one has a nonce is up to the client.
    "auth0, ID token": jwt(aud=CLIENT, sid="s", **PERSON),
    "auth0, ID token without profile": jwt(aud=CLIENT, sid="s"),
    "authentik, ID token": jwt(aud=CLIENT, auth_time=1, acr="goauthentik", amr=["pwd"], sid="s", **PERSON),
    "better-auth, ID token": jwt(aud=CLIENT, auth_time=1, acr="x", sid="s", **PERSON),
    "canaille, ID token": jwt(aud=[CLIENT], auth_time=1),
    "cognito, ID token": untyped(aud=CLIENT, token_use="id", auth_time=1, **{"cognito:username": "ann"}),
    "duende, ID token": jwt(aud=CLIENT, at_hash="h", auth_time=1, idp="local", amr=["pwd"], sid="s"),
    "entra v1, ID token": jwt(aud=API, amr=["pwd"], unique_name="ann", **(AZURE | {"ver": "1.0"})),
    "entra v2, ID token": jwt(aud=API, name="Ann", preferred_username="ann", **AZURE),
    "entra v2, ID token with roles": jwt(aud=API, roles=["mcp.read"], **AZURE),
    "forgerock, ID token": jwt(aud=CLIENT, azp=CLIENT, tokenName="id_token", tokenType="JWTToken", auth_time=1),
    "fusionauth, ID token": jwt(aud="app", applicationId="app", at_hash="h", auth_time=1, **PERSON),
    "fusionauth, ID token of the implicit grant": jwt(aud="app", applicationId="app", auth_time=1, **PERSON),
    "google, ID token": jwt(aud=CLIENT, azp=CLIENT, at_hash="h", **PERSON),
    "google, ID token of One Tap": jwt(aud=CLIENT, azp=CLIENT, jti="j-1", **PERSON),
    "google, ID token for a server": jwt(aud=CLIENT, azp="the-app", **PERSON),
    "hydra, ID token": jwt(aud=[CLIENT], at_hash="h", auth_time=1, rat=1, sid="s", jti="j-1"),
    "keycloak, ID token": jwt(aud=CLIENT, azp=CLIENT, typ="ID", at_hash="h", auth_time=1, sid="s"),
    "keycloak, ID token that says so alone": jwt(aud=CLIENT, azp=CLIENT, typ="ID", auth_time=1),
    "lemonldap, ID token": jwt(aud=[CLIENT], azp=CLIENT, acr="loa-2", auth_time=1),
    "oauth2-mock-server, ID token": jwt(aud=CLIENT, amr=["pwd"]),
    "okta, ID token": untyped(aud=CLIENT, at_hash="h", auth_time=1, idp="i", ver=1, jti="ID.1", amr=["pwd"]),
    "okta, ID token of the implicit grant": untyped(aud=CLIENT, auth_time=1, idp="i", ver=1, jti="ID.1"),
    "pingone, ID token": jwt(aud=CLIENT, at_hash="h", acr="Single", auth_time=1, sid="s"),
    "spring, ID token": untyped(aud=CLIENT, azp=CLIENT, auth_time=1, sid="s", jti="j-1"),
    "uaa, ID token": jwt(aud=[CLIENT], azp=CLIENT, client_id=CLIENT, cid=CLIENT, auth_time=1, scope=["openid"]),
    "workos, ID token": jwt(aud=CLIENT, auth_time=1, sid="s", **PERSON),
    "zitadel, ID token": jwt(aud=[CLIENT, "project"], azp=CLIENT, client_id=CLIENT, at_hash="h", auth_time=1, sid="s"),
    "zitadel, ID token of the implicit grant": jwt(aud=[CLIENT, "project"], azp=CLIENT, client_id=CLIENT, auth_time=1),
    "an ID token of the hybrid flow": jwt(aud=CLIENT, c_hash="h", s_hash="h", scope="read"),
    "an ID token of CIBA": jwt(aud=CLIENT, scope="read", **{"urn:openid:params:jwt:claim:auth_req_id": "r"}),
    "an ID token that names its client twice": jwt(aud=CLIENT, azp=CLIENT),
    "an ID token that names its client twice, in a list": jwt(aud=[CLIENT], azp=CLIENT, jti="j-1", sid="s"),
    "an ID token for an audience that is a URL": jwt(aud=AUDIENCE, azp=AUDIENCE, auth_time=1),
    # Refresh tokens that are JWTs, of the same key.
    "casdoor, refresh token": jwt(aud=[CLIENT], azp=CLIENT, tokenType="refresh-token", scope="read"),
    "curity, refresh token": jwt(aud=AUDIENCE, purpose="refresh_token", scope="read"),
    "descope, refresh token": jwt(aud=["project"], drn="DSR", scope="read"),
    "django simplejwt, refresh token": jwt(aud=AUDIENCE, token_type="refresh", jti="j-1"),
    "flask-jwt-extended, refresh token": jwt(aud=AUDIENCE, type="refresh", jti="j-1"),
    "forgerock, refresh token": jwt(aud=CLIENT, tokenName="refresh_token", scope=["read"]),
    "keycloak, refresh token": jwt(aud=AUDIENCE, azp=CLIENT, typ="Refresh", scope="read"),
    "keycloak, offline token": jwt(aud=AUDIENCE, azp=CLIENT, typ="Offline", scope="read"),
    "uaa, refresh token": jwt(aud=[CLIENT], client_id=CLIENT, cid=CLIENT, jti="j-1-r", granted_scopes=["read"]),
    # The rest.
    "keycloak, logout token": jwt(aud=CLIENT, typ="Logout", sid="s", events={}),
    "a logout token": jwt(aud=CLIENT, jti="j-1", events={"http://schemas.openid.net/event/backchannel-logout": {}}),
    "keycloak, action token": jwt(aud=AUDIENCE, azp=CLIENT, typ="reset-credentials", scope="read"),
    "a kind that is no string": jwt(aud=AUDIENCE, client_id=CLIENT, token_use=7),
    "a userinfo response": jwt(aud=CLIENT, **PERSON),
    "an introspection response": jwt(aud=AUDIENCE, token_introspection={"active": True}),
    "supabase, a session without a client": jwt(aud="authenticated", role="authenticated", session_id="s", **PERSON),
}

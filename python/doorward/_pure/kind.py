"""Which kind of token a set of claims belongs to, where the header's `typ` does not say so (RFC 8725 section 3.12).

Most issuers write `typ: JWT` on access tokens and ID tokens alike. An ID token's audience is the client that it was
issued to (OpenID Connect Core section 2), so one reaches this rule wherever a client id is an accepted audience. It
must not count: every client and every log of that client holds ID tokens. So it is not enough that no sign of another
kind is found; something has to show an access token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Literal

__all__ = ["ASCII_LOWER", "Kind", "kind"]

Kind = Literal["access", "unknown", "other"]
"""An access token; neither an access token nor another kind; another kind, like an ID token."""

# Claims that only another kind has: ID tokens (OpenID Connect Core sections 3.1.3.6 and 3.3.2.11, FAPI 1.0 part 2,
# CIBA section 10.3.1), security event and logout tokens (RFC 8417), introspection responses (RFC 9701), refresh tokens
# of Cloud Foundry UAA.
_FOREIGN_CLAIMS: Final = (
    "at_hash",
    "c_hash",
    "s_hash",
    "urn:openid:params:jwt:claim:rt_hash",
    "urn:openid:params:jwt:claim:auth_req_id",
    "events",
    "token_introspection",
    "granted_scopes",
)

# Claims that only access tokens have: Entra ID (how the client authenticated, versions 2 and 1), Auth0 (the grant).
_ACCESS_CLAIMS: Final = ("azpacr", "appidacr", "gty")

# Claims that exist to name the kind: Keycloak, Cognito and Hydra, RFC 7662 and several frameworks, ForgeRock. A value
# that is not known is another kind.
_KIND_CLAIMS: Final = ("typ", "token_use", "token_type", "tokenName")

# Claims that name the kind at some issuers and something else at others: Casdoor, Curity, OpenAuth, Descope, several
# frameworks. A value that is not known says nothing.
_LOOSE_KIND_CLAIMS: Final = ("tokenType", "purpose", "mode", "drn", "type")

# In lower case, as all names of kinds are compared.
_ACCESS_KINDS: Final = frozenset(
    {"bearer", "dpop", "at+jwt", "access", "access_token", "access-token", "accesstoken", "ds"}
)
_OTHER_KINDS: Final = frozenset(
    {
        "id",
        "id_token",
        "id-token",
        "idtoken",
        "refresh",
        "refresh_token",
        "refresh-token",
        "refreshtoken",
        "offline",
        "logout",
        "dsr",
    }
)

# A kind that both have.
_NEUTRAL_KIND: Final = "jwt"

# Claims that name the client and that OpenID Connect does not define for ID tokens: RFC 9068, Okta, Entra ID.
_CLIENT_CLAIMS: Final = ("client_id", "cid", "appid")

# Claims about the person (OpenID Connect Core section 5.1), which Google puts into ID tokens that have no nonce.
_PROFILE_CLAIMS: Final = ("email", "name", "given_name", "family_name", "preferred_username", "picture")

ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def kind(claims: Mapping[str, Any]) -> Kind:
    """What a set of claims shows."""
    named = _named_kind(claims)
    if named == "other" or _has_any(claims, _FOREIGN_CLAIMS):
        return "other"
    if (
        named == "access"
        or _has_any(claims, _ACCESS_CLAIMS)
        or _grants_a_scope(claims)
        or _names_a_client(claims)
        or _is_for_a_resource(claims)
    ):
        return "access"
    return "unknown"


def _named_kind(claims: Mapping[str, Any]) -> Kind:
    """The kind that the claims name."""
    found = {_kind_of_name(claims[name], "other") for name in _KIND_CLAIMS if _has_any(claims, (name,))}
    found |= {_kind_of_name(claims[name], "unknown") for name in _LOOSE_KIND_CLAIMS if _has_any(claims, (name,))}
    if "other" in found:
        return "other"
    return "access" if "access" in found else "unknown"


def _kind_of_name(value: Any, unknown: Kind) -> Kind:
    if not isinstance(value, str):
        return unknown
    name = value.translate(ASCII_LOWER)
    if name in _ACCESS_KINDS:
        return "access"
    if name in _OTHER_KINDS:
        return "other"
    return "unknown" if name == _NEUTRAL_KIND else unknown


def _grants_a_scope(claims: Mapping[str, Any]) -> bool:
    """Whether a scope is granted. UAA writes the scope `openid`, and no other, into its ID tokens."""
    sent = [text for name in ("scope", "scp") for text in _texts(claims, name)]
    return any(scope not in ("", "openid") for text in sent for scope in text.split(" "))


def _names_a_client(claims: Mapping[str, Any]) -> bool:
    """Whether a client is named as access tokens name it. An ID token names its client in `aud`, and Spring, UAA and
    Zitadel write it into `azp` or `client_id` as well: their ID tokens have `auth_time`, and their access tokens do
    not. An `azp` that is the only audience shows nothing, since ID tokens have it too (OpenID Connect Core section
    2)."""
    client = next((claims[name] for name in _CLIENT_CLAIMS if isinstance(claims.get(name), str)), None)
    is_named = client is not None
    if not is_named and not _has_any(claims, _PROFILE_CLAIMS):
        client = claims.get("azp")
    if not isinstance(client, str):
        return False
    audiences = [*_texts(claims, "aud")]
    if not is_named and all(audience == client for audience in audiences):
        return False
    return not (_has_any(claims, ("nonce",)) or (client in audiences and _has_any(claims, ("auth_time",))))


def _is_for_a_resource(claims: Mapping[str, Any]) -> bool:
    """Whether the audience is a URL and not a client: tokens of workloads (Kubernetes, GitHub Actions), which name no
    client and no scope, are issued for the audience that was asked for."""
    if _has_any(claims, ("nonce", "auth_time")):
        return False
    client = claims.get("azp")
    return all("://" in audience and audience != client for audience in _texts(claims, "aud"))


def _has_any(claims: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether one of these is there; null is absent, as for every claim."""
    return any(claims.get(name) is not None for name in names)


def _texts(claims: Mapping[str, Any], name: str) -> Iterator[str]:
    """The strings in a claim that is a string or an array of them; of any other, none."""
    value = claims.get(name)
    items = value if isinstance(value, list) else [value]
    return (item for item in items if isinstance(item, str))

//! Which kind of token a set of claims belongs to, where the header's `typ` does not say so (RFC 8725 section 3.12).
//!
//! Most issuers write `typ: JWT` on access tokens and ID tokens alike. An ID token's audience is the client that it
//! was issued to (OpenID Connect Core section 2), so one reaches this rule wherever a client id is an accepted
//! audience. It must not count: every client and every log of that client holds ID tokens. So it is not enough that no
//! sign of another kind is found; something has to show an access token.

use crate::json::Value;

/// What the claims show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An access token.
    Access,
    /// Neither an access token nor another kind.
    Unknown,
    /// Another kind: an ID token, a refresh token, a logout token.
    Other,
}

impl Kind {
    /// The name under which Python knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Unknown => "unknown",
            Self::Other => "other",
        }
    }
}

/// Claims that only another kind has: ID tokens (OpenID Connect Core sections 3.1.3.6 and 3.3.2.11, FAPI 1.0 part 2,
/// CIBA section 10.3.1), security event and logout tokens (RFC 8417), introspection responses (RFC 9701), refresh
/// tokens of Cloud Foundry UAA.
const FOREIGN_CLAIMS: [&str; 8] = [
    "at_hash",
    "c_hash",
    "s_hash",
    "urn:openid:params:jwt:claim:rt_hash",
    "urn:openid:params:jwt:claim:auth_req_id",
    "events",
    "token_introspection",
    "granted_scopes",
];

/// Claims that only access tokens have: Entra ID (how the client authenticated, versions 2 and 1), Auth0 (the grant).
const ACCESS_CLAIMS: [&str; 3] = ["azpacr", "appidacr", "gty"];

/// Claims that exist to name the kind: Keycloak, Cognito and Hydra, RFC 7662 and several frameworks, ForgeRock. A value
/// that is not known is another kind.
const KIND_CLAIMS: [&str; 4] = ["typ", "token_use", "token_type", "tokenName"];

/// Claims that name the kind at some issuers and something else at others: Casdoor, Curity, OpenAuth, Descope, several
/// frameworks. A value that is not known says nothing.
const LOOSE_KIND_CLAIMS: [&str; 5] = ["tokenType", "purpose", "mode", "drn", "type"];

/// In lower case, as all names of kinds are compared.
const ACCESS_KINDS: [&str; 8] = [
    "bearer",
    "dpop",
    "at+jwt",
    "access",
    "access_token",
    "access-token",
    "accesstoken",
    "ds",
];

const OTHER_KINDS: [&str; 11] = [
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
];

/// A kind that both have.
const NEUTRAL_KIND: &str = "jwt";

/// Claims that name the client and that OpenID Connect does not define for ID tokens: RFC 9068, Okta, Entra ID.
const CLIENT_CLAIMS: [&str; 3] = ["client_id", "cid", "appid"];

/// Claims about the person (OpenID Connect Core section 5.1), which Google puts into ID tokens that have no nonce.
const PROFILE_CLAIMS: [&str; 6] = [
    "email",
    "name",
    "given_name",
    "family_name",
    "preferred_username",
    "picture",
];

/// What a set of claims shows.
#[must_use]
pub fn kind(claims: &Value<'_>) -> Kind {
    let named = named_kind(claims);
    if named == Kind::Other || has_any(claims, &FOREIGN_CLAIMS) {
        Kind::Other
    } else if named == Kind::Access
        || has_any(claims, &ACCESS_CLAIMS)
        || grants_a_scope(claims)
        || names_a_client(claims)
        || is_for_a_resource(claims)
    {
        Kind::Access
    } else {
        Kind::Unknown
    }
}

/// The kind that the claims name.
fn named_kind(claims: &Value<'_>) -> Kind {
    let mut found = Kind::Unknown;
    for (names, unknown) in [
        (&KIND_CLAIMS[..], Kind::Other),
        (&LOOSE_KIND_CLAIMS[..], Kind::Unknown),
    ] {
        for value in names.iter().filter_map(|name| claim(claims, name)) {
            match kind_of_name(value, unknown) {
                Kind::Other => return Kind::Other,
                Kind::Access => found = Kind::Access,
                Kind::Unknown => {}
            }
        }
    }
    found
}

fn kind_of_name(value: &Value<'_>, unknown: Kind) -> Kind {
    let Some(name) = value.as_str().map(str::to_ascii_lowercase) else {
        return unknown;
    };
    if ACCESS_KINDS.contains(&name.as_str()) {
        Kind::Access
    } else if OTHER_KINDS.contains(&name.as_str()) {
        Kind::Other
    } else if name == NEUTRAL_KIND {
        Kind::Unknown
    } else {
        unknown
    }
}

/// Whether a scope is granted. UAA writes the scope `openid`, and no other, into its ID tokens.
fn grants_a_scope(claims: &Value<'_>) -> bool {
    ["scope", "scp"]
        .iter()
        .flat_map(|name| texts(claims, name))
        .flat_map(|text| text.split(' '))
        .any(|scope| !scope.is_empty() && scope != "openid")
}

/// Whether a client is named as access tokens name it. An ID token names its client in `aud`, and Spring, UAA and
/// Zitadel write it into `azp` or `client_id` as well: their ID tokens have `auth_time`, and their access tokens do not.
/// An `azp` that is the only audience shows nothing, since ID tokens have it too (OpenID Connect Core section 2).
fn names_a_client(claims: &Value<'_>) -> bool {
    let named = CLIENT_CLAIMS
        .iter()
        .find_map(|name| claims.get(name).and_then(Value::as_str));
    let client = match (named, claims.get("azp").and_then(Value::as_str)) {
        (Some(client), _) => client,
        (None, Some(client)) if !has_any(claims, &PROFILE_CLAIMS) => client,
        _ => return false,
    };
    let is_audience = texts(claims, "aud").any(|audience| audience == client);
    if named.is_none() && texts(claims, "aud").all(|audience| audience == client) {
        return false;
    }
    claim(claims, "nonce").is_none() && !(is_audience && claim(claims, "auth_time").is_some())
}

/// Whether the audience is a URL and not a client: tokens of workloads (Kubernetes, GitHub Actions), which name no
/// client and no scope, are issued for the audience that was asked for.
fn is_for_a_resource(claims: &Value<'_>) -> bool {
    let client = claims.get("azp").and_then(Value::as_str);
    !has_any(claims, &["nonce", "auth_time"])
        && texts(claims, "aud").all(|audience| audience.contains("://") && Some(audience) != client)
}

/// A claim, where it is there: several issuers write null for one that they leave out.
pub(crate) fn claim<'c, 'v>(value: &'c Value<'v>, name: &str) -> Option<&'c Value<'v>> {
    value.get(name).filter(|claim| !claim.is_null())
}

fn has_any(claims: &Value<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| claim(claims, name).is_some())
}

/// The strings in a claim that is a string or an array of them; of any other, none.
fn texts<'v>(claims: &'v Value<'_>, name: &str) -> impl Iterator<Item = &'v str> {
    let value = claims.get(name);
    let items = value.and_then(Value::as_array).unwrap_or_default();
    value
        .and_then(Value::as_str)
        .into_iter()
        .chain(items.iter().filter_map(Value::as_str))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn claims_show_their_kind() {
        for (claims, expected) in [
            (r#"{"aud":"app","scope":"read"}"#, Kind::Access),
            (r#"{"aud":"app","scope":"openid"}"#, Kind::Unknown),
            (r#"{"aud":"app","auth_time":1}"#, Kind::Unknown),
            (r#"{"aud":"app","scope":"read","at_hash":"x"}"#, Kind::Other),
            (r#"{"aud":"app","typ":"Bearer"}"#, Kind::Access),
            (r#"{"aud":"app","typ":"Refresh"}"#, Kind::Other),
            (r#"{"aud":"app","typ":"unheard"}"#, Kind::Other),
            (r#"{"aud":"app","type":"unheard"}"#, Kind::Unknown),
            (r#"{"aud":"https://mcp"}"#, Kind::Access),
        ] {
            assert_eq!(
                kind(&parse(claims.as_bytes()).unwrap()),
                expected,
                "{claims}"
            );
        }
    }
}

//! What an access token says (RFC 7519, RFC 9068), read once into types: whoever holds a `Claims` need
//! not ask again whether `exp` is a number.

use crate::json::{self, Value};
use crate::jwk;
use crate::jws::{DEFAULT_MAX_TOKEN_BYTES, Header, malformed, too_large};
use crate::refusal::{Refusal, Refused};

/// The last second of the year 9999: no honest time lies beyond, and every one before is exact in a double.
pub const MAX_TIME: f64 = 253_402_300_799.0;

/// The claims of an access token whose signature was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `client_id`, else `azp`.
    pub client_id: Option<String>,
    /// `aud`.
    pub audience: Vec<String>,
    /// From `scope` or `scp`, in the token's order, without repetition.
    pub scopes: Vec<String>,
    /// `iat`, in seconds since the epoch.
    pub issued_at: Option<f64>,
    /// The earliest time at which the token counts, by `nbf` and `iat` and with the verifier's leeway.
    pub not_before: f64,
    /// `exp`.
    pub expires_at: f64,
    /// `jti`.
    pub token_id: Option<String>,
    /// The SHA-256 of the certificate the token is bound to (RFC 8705 section 3.1).
    pub certificate: Option<[u8; 32]>,
    /// The claims as they were sent: one strict JSON object.
    pub payload: Vec<u8>,
}

impl Claims {
    /// Read the claims out of a payload, all but its bytes. `declared` says that the header's `typ` already names an access token;
    /// otherwise the claims themselves must not be those of another kind. `leeway` is the verifier's, in seconds.
    ///
    /// # Errors
    /// `invalid_type`, `missing_claim`, `invalid_claim`, and `proof_required` for a binding other than to a
    /// certificate.
    pub fn read(value: &Value<'_>, declared: bool, leeway: f64) -> Result<Self, Refused> {
        if !declared {
            refuse_other_kinds(value)?;
        }
        Ok(Self {
            issuer: required(text(value, "iss")?)?.to_owned(),
            audience: required(texts(value, "aud")?)?,
            expires_at: required(time(value, "exp")?)?,
            not_before: time(value, "nbf")?
                .into_iter()
                .chain(time(value, "iat")?)
                .fold(f64::NEG_INFINITY, f64::max)
                - leeway,
            issued_at: time(value, "iat")?,
            subject: required(text(value, "sub")?)?.to_owned(),
            client_id: client_id(value)?,
            token_id: text(value, "jti")?.map(str::to_owned),
            scopes: scopes(value)?,
            certificate: confirmation(value)?,
            payload: Vec::new(),
        })
    }
}

/// The payload as one JSON object (RFC 7519 section 7.2 step 10).
///
/// # Errors
/// `malformed_token`.
pub fn parse(payload: &[u8]) -> Result<Value<'_>, Refused> {
    let value = json::parse(payload).map_err(|error| malformed(error.0))?;
    if value.as_object().is_some() {
        Ok(value)
    } else {
        Err(malformed("the payload is not an object"))
    }
}

/// The `iss` that chooses among several issuers.
///
/// # Errors
/// `missing_claim` and `invalid_claim`.
pub fn issuer<'v>(value: &'v Value<'_>) -> Result<&'v str, Refused> {
    required(text(value, "iss")?)
}

/// The `iss` that a JWT claims, nothing of it verified; empty where it names none, and None for what is not a JWT by
/// its form. What has the form and cannot be read is refused, so that it never passes for an opaque token.
///
/// # Errors
/// `token_too_large`, `malformed_token`, `unsupported_critical` and `invalid_claim`.
pub fn token_issuer(token: &[u8]) -> Result<Option<String>, Refused> {
    if token.len() > DEFAULT_MAX_TOKEN_BYTES {
        return Err(too_large());
    }
    let mut parts = token.split(|&byte| byte == b'.');
    let (Some(header), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Ok(None);
    };
    let Some(header) = jwk::base64url(header).filter(|bytes| opens_an_object(bytes)) else {
        return Ok(None);
    };
    Header::parse(&header)?;
    let payload = jwk::base64url(payload).ok_or(malformed("a part is not strict base64url"))?;
    let issuer = text(&parse(&payload)?, "iss")?
        .unwrap_or_default()
        .to_owned();
    Ok(Some(issuer))
}

/// By its first byte alone: a broken object is a broken JWT, not something else.
fn opens_an_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

/// Claims that only another kind of token has: ID tokens (OpenID Connect Core sections 2 and 3.3.2.11), logout
/// and security event tokens (RFC 8417), introspection responses (RFC 9701).
const FOREIGN_CLAIMS: [&str; 5] = [
    "at_hash",
    "c_hash",
    "s_hash",
    "events",
    "token_introspection",
];

/// How issuers name other kinds in a claim, for want of a `typ` header: Keycloak (`typ`), Cognito (`token_use`).
const FOREIGN_KINDS: [(&str, &[&str]); 2] = [
    ("typ", &["ID", "Refresh", "Offline", "Logout"]),
    ("token_use", &["id"]),
];

/// RFC 8725 section 3.12: one kind of token must not pass for another.
fn refuse_other_kinds(value: &Value<'_>) -> Result<(), Refused> {
    let claim = |name| value.get(name).and_then(Value::as_str);
    let foreign = FOREIGN_CLAIMS.iter().any(|name| value.get(name).is_some())
        || FOREIGN_KINDS
            .iter()
            .any(|(name, kinds)| claim(name).is_some_and(|kind| kinds.contains(&kind)));
    // Older Keycloak copies the nonce into access tokens, which say `"typ": "Bearer"` in the claims.
    let nonce = value.get("nonce").is_some() && claim("typ") != Some("Bearer");
    if foreign || nonce {
        return Err(Refused::new(
            Refusal::InvalidType,
            "the claims are those of another kind of token",
        ));
    }
    Ok(())
}

fn required<T>(claim: Option<T>) -> Result<T, Refused> {
    claim.ok_or(Refused::new(
        Refusal::MissingClaim,
        "iss, aud, exp and sub are required (RFC 9068 section 2.2)",
    ))
}

const fn invalid(detail: &'static str) -> Refused {
    Refused::new(Refusal::InvalidClaim, detail)
}

/// A claim that must be a string, and not an empty one, where it is there.
fn text<'v>(value: &'v Value<'_>, name: &str) -> Result<Option<&'v str>, Refused> {
    match value.get(name) {
        None => Ok(None),
        Some(claim) => claim
            .as_str()
            .filter(|text| !text.is_empty())
            .map(Some)
            .ok_or(invalid("a claim is not a string, or empty")),
    }
}

/// RFC 7519 section 4.1.3: a string or an array of strings.
fn texts(value: &Value<'_>, name: &str) -> Result<Option<Vec<String>>, Refused> {
    let Some(claim) = value.get(name) else {
        return Ok(None);
    };
    if let Some(text) = claim.as_str() {
        return Ok(Some(vec![text.to_owned()]));
    }
    claim
        .as_array()
        .and_then(|items| {
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
        .map(Some)
        .ok_or(invalid("a claim is not a string or an array of strings"))
}

/// RFC 7519 section 2: a NumericDate is a number, not necessarily an integer.
fn time(value: &Value<'_>, name: &str) -> Result<Option<f64>, Refused> {
    match value.get(name) {
        None => Ok(None),
        Some(claim) => claim
            .as_number()
            // Adding zero makes -0 the 0 it is: the twin reads the literal as an integer, which has no sign there.
            .map(|number| number.as_f64() + 0.0)
            .filter(|seconds| (-MAX_TIME..=MAX_TIME).contains(seconds))
            .map(Some)
            .ok_or(invalid(
                "a time is not a number of seconds before the year 10000",
            )),
    }
}

fn client_id(value: &Value<'_>) -> Result<Option<String>, Refused> {
    let authorized_party = text(value, "azp")?;
    Ok(text(value, "client_id")?
        .or(authorized_party)
        .map(str::to_owned))
}

/// `scope` is a string (RFC 8693 section 4.2); `scp`, which some issuers send instead, a string or an array.
fn scopes(value: &Value<'_>) -> Result<Vec<String>, Refused> {
    let sent = match value.get("scope") {
        Some(scope) => vec![
            scope
                .as_str()
                .ok_or(invalid("scope is not a string"))?
                .to_owned(),
        ],
        None => texts(value, "scp")?.unwrap_or_default(),
    };
    let mut scopes = Vec::new();
    for scope in sent.iter().flat_map(|text| text.split(' ')) {
        if !scope.is_empty() && !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    Ok(scopes)
}

/// RFC 7800 section 3.1, RFC 8705 section 3.1: the one binding we can check. Any other one makes the token
/// worthless without a proof we cannot ask for, so it is no bearer token.
fn confirmation(value: &Value<'_>) -> Result<Option<[u8; 32]>, Refused> {
    let Some(confirmation) = value.get("cnf") else {
        return Ok(None);
    };
    match confirmation.as_object() {
        Some([(name, thumbprint)]) if name == "x5t#S256" => thumbprint
            .as_str()
            .and_then(thumbprint_bytes)
            .map(Some)
            .ok_or(invalid("x5t#S256 is not a SHA-256")),
        Some([_, ..]) => Err(Refused::new(
            Refusal::ProofRequired,
            "bound to a proof other than a certificate",
        )),
        _ => Err(invalid("cnf is not an object with a member")),
    }
}

/// The 32 bytes of an `x5t#S256`.
#[must_use]
pub fn thumbprint_bytes(text: &str) -> Option<[u8; 32]> {
    jwk::base64url(text.as_bytes())?.try_into().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(more: &str) -> Result<Claims, Refused> {
        let payload = format!(r#"{{"iss":"i","aud":"a","sub":"s","exp":10{more}}}"#);
        Claims::read(&parse(payload.as_bytes())?, false, 0.0)
    }

    #[test]
    fn reads_what_python_is_not_shown() {
        let thumbprint = "A".repeat(43);
        let claims = read(&format!(
            r#","nbf":1.5,"cnf":{{"x5t#S256":"{thumbprint}"}}"#
        ))
        .unwrap();
        assert_eq!(claims.not_before, 1.5);
        assert_eq!(claims.certificate, Some([0; 32]));
        assert!(
            claims.payload.is_empty(),
            "whoever holds the bytes adds them"
        );
    }

    #[test]
    fn a_declared_access_token_may_look_like_another_kind() {
        let id_token = r#"{"iss":"i","aud":"a","sub":"s","exp":10,"at_hash":"h"}"#;
        let value = parse(id_token.as_bytes()).unwrap();
        assert!(Claims::read(&value, true, 0.0).is_ok());
        let refused = Claims::read(&value, false, 0.0).unwrap_err();
        assert_eq!(refused.refusal, Refusal::InvalidType);
    }

    #[test]
    fn a_thumbprint_has_32_bytes_and_one_text() {
        assert!(thumbprint_bytes(&"A".repeat(43)).is_some());
        for text in ["", "AAAA", &"A".repeat(44), &format!("{}B", "A".repeat(42))] {
            assert_eq!(thumbprint_bytes(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_read_is_finite_and_exact(time in any::<f64>()) {
            match read(&format!(r#","iat":{time:e}"#)) {
                Ok(claims) => prop_assert_eq!(claims.issued_at, Some(time)),
                Err(_) => prop_assert!(time.abs() > MAX_TIME),
            }
        }

        #[test]
        fn never_panics(more in "(,\"(scope|scp|cnf|azp|aud2|typ)\":[\\[\\]{}a\", 1:]{0,8}){0,3}") {
            let _ = read(&more);
        }
    }
}

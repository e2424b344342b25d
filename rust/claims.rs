//! What an access token says (RFC 7519, RFC 9068), read once into types: whoever holds a `Claims` need
//! not ask again whether `exp` is a number.

use crate::json::{self, Value};
use crate::jwk;
use crate::jws::{DEFAULT_MAX_TOKEN_BYTES, Header, malformed, too_large};
use crate::kind::{Kind, claim, kind};
use crate::refusal::{Refusal, Refused};
use crate::subject::SubjectRule;

/// The last second of the year 9999: no honest time lies beyond, and every one before is exact in a double.
pub const MAX_TIME: f64 = 253_402_300_799.0;

/// The claims of an access token whose signature was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `sub`, or what the verifier's rule takes instead.
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
    /// Which key verified the signature (`PreparedKey::fingerprint`).
    pub key_fingerprint: [u8; 32],
    /// The claims as they were sent: one strict JSON object.
    pub payload: Vec<u8>,
}

impl Claims {
    /// Read the claims out of a payload, all but its bytes and the key. `declared` says that the header's `typ` already names an access token;
    /// otherwise the claims have to show it. `leeway` is the verifier's, in seconds; `rule` says what the subject is.
    ///
    /// # Errors
    /// `invalid_type`, `missing_claim`, `invalid_claim`, and `proof_required` for a binding other than to a
    /// certificate.
    pub fn read(
        value: &Value<'_>,
        declared: bool,
        leeway: f64,
        rule: SubjectRule,
    ) -> Result<Self, Refused> {
        if !declared {
            check_kind(value)?;
        }
        let issuer = required("iss", text(value, "iss")?)?.to_owned();
        let audience = required("aud", texts(value, "aud")?)?;
        let expires_at = required("exp", time(value, "exp")?)?;
        let (starts_at, issued_at) = (time(value, "nbf")?, time(value, "iat")?);
        let (subject, client_id) = (text(value, "sub")?, client_id(value)?);
        Ok(Self {
            issuer,
            audience,
            expires_at,
            not_before: starts_at
                .into_iter()
                .chain(issued_at)
                .fold(f64::NEG_INFINITY, f64::max)
                - leeway,
            issued_at,
            subject: rule
                .subject(subject, username(value), client_id)?
                .to_owned(),
            client_id: client_id.map(str::to_owned),
            token_id: text(value, "jti")?.map(str::to_owned),
            scopes: scopes(value)?,
            certificate: confirmation(value)?,
            key_fingerprint: [0; 32],
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
    required("iss", text(value, "iss")?)
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

/// One kind of token must not pass for another (see [`kind`]).
fn check_kind(value: &Value<'_>) -> Result<(), Refused> {
    match kind(value) {
        Kind::Access => Ok(()),
        Kind::Unknown => Err(Refused::new(
            Refusal::InvalidType,
            "nothing shows an access token: have the issuer set typ to at+jwt, or write scope and client_id into it",
        )),
        Kind::Other => Err(Refused::new(
            Refusal::InvalidType,
            "the claims are those of another kind of token",
        )),
    }
}

fn required<T>(name: &'static str, claim: Option<T>) -> Result<T, Refused> {
    claim.ok_or(Refused::of(
        Refusal::MissingClaim,
        name,
        "is missing (RFC 9068 section 2.2)",
    ))
}

const fn invalid(name: &'static str, detail: &'static str) -> Refused {
    Refused::of(Refusal::InvalidClaim, name, detail)
}

/// A claim that must be a string, and not an empty one, where it is there.
fn text<'v>(value: &'v Value<'_>, name: &'static str) -> Result<Option<&'v str>, Refused> {
    match claim(value, name) {
        None => Ok(None),
        Some(claim) => claim
            .as_str()
            .filter(|text| !text.is_empty())
            .map(Some)
            .ok_or(invalid(name, "is not a string, or empty")),
    }
}

/// RFC 7519 section 4.1.3: a string or an array of strings.
fn texts(value: &Value<'_>, name: &'static str) -> Result<Option<Vec<String>>, Refused> {
    let Some(claim) = claim(value, name) else {
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
        .ok_or(invalid(name, "is not a string or an array of strings"))
}

/// RFC 7519 section 2: a NumericDate is a number, not necessarily an integer.
fn time(value: &Value<'_>, name: &'static str) -> Result<Option<f64>, Refused> {
    match claim(value, name) {
        None => Ok(None),
        Some(claim) => claim
            .as_number()
            // Adding zero makes -0 the 0 it is: the twin reads the literal as an integer, which has no sign there.
            .map(|number| number.as_f64() + 0.0)
            .filter(|seconds| (-MAX_TIME..=MAX_TIME).contains(seconds))
            .map(Some)
            .ok_or(invalid(
                name,
                "is not a number of seconds before the year 10000",
            )),
    }
}

fn client_id<'v>(value: &'v Value<'_>) -> Result<Option<&'v str>, Refused> {
    let authorized_party = text(value, "azp")?;
    Ok(text(value, "client_id")?.or(authorized_party))
}

/// The `username`, which only some issuers fill: what is no name is none.
fn username<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    let claim = value.get("username").and_then(Value::as_str);
    claim.filter(|name| !name.is_empty())
}

/// `scope` is a string (RFC 8693 section 4.2); `scp`, which some issuers send instead, a string or an array.
fn scopes(value: &Value<'_>) -> Result<Vec<String>, Refused> {
    let sent = match claim(value, "scope") {
        Some(scope) => vec![
            scope
                .as_str()
                .ok_or(invalid("scope", "is not a string"))?
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
    let Some(confirmation) = claim(value, "cnf") else {
        return Ok(None);
    };
    match confirmation.as_object() {
        Some([(name, thumbprint)]) if name == "x5t#S256" => thumbprint
            .as_str()
            .and_then(thumbprint_bytes)
            .map(Some)
            .ok_or(invalid("x5t#S256", "is not a SHA-256")),
        Some([_, ..]) => Err(Refused::new(
            Refusal::ProofRequired,
            "cnf binds the token to a proof other than a certificate",
        )),
        _ => Err(invalid("cnf", "is not an object with a member")),
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
        Claims::read(&parse(payload.as_bytes())?, true, 0.0, SubjectRule::Sub)
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
        assert!(Claims::read(&value, true, 0.0, SubjectRule::Sub).is_ok());
        let refused = Claims::read(&value, false, 0.0, SubjectRule::Sub).unwrap_err();
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

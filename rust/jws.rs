//! Compact JWS (RFC 7515): three parts, a header, one key, one signature. What the payload says is not
//! looked at here.

use std::sync::Arc;

use crate::crypto::{self, Algorithm, VerificationKey};
use crate::json::{self, Value};
use crate::jwk::{self, KeySet, MAX_KEY_ID_BYTES, PreparedKey};
use crate::refusal::{Refusal, Refused};

/// What fits into the headers of every common server; a token is sent with every request.
pub const DEFAULT_MAX_TOKEN_BYTES: usize = 16_384;

/// The payload of a compact JWS after its signature verifies: the signature layer alone, for test vectors.
///
/// # Errors
/// Whatever is wrong with the token; `keys` and `algorithms` are taken as they are.
pub fn verify_jws(
    token: &[u8],
    keys: &KeySet,
    algorithms: &[Algorithm],
) -> Result<Vec<u8>, Refused> {
    let parts = Parts::split(token, DEFAULT_MAX_TOKEN_BYTES)?;
    let header = parts.decode_header()?;
    parts.verify(&Header::parse(&header)?.key(keys, algorithms)?.key)?;
    Ok(parts.payload)
}

/// The three parts of a token, all but the header decoded.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The header as it was sent.
    pub header: &'a [u8],
    /// The bytes of the payload.
    pub payload: Vec<u8>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// RFC 7515 section 5.2 step 1: exactly three parts, each strict base64url.
    ///
    /// # Errors
    /// `token_too_large` and `malformed_token`.
    pub fn split(token: &'a [u8], max_bytes: usize) -> Result<Self, Refused> {
        if token.len() > max_bytes {
            return Err(too_large());
        }
        let not_three = malformed("not three parts");
        let (header, rest) = before_dot(token).ok_or(not_three)?;
        // A fourth part would keep its dot, which is no base64url.
        let (payload, signature) = before_dot(rest).ok_or(not_three)?;
        Ok(Self {
            header,
            payload: decode(payload)?,
            signed: token
                .get(..header.len() + 1 + payload.len())
                .unwrap_or_default(),
            signature: decode(signature)?,
        })
    }

    /// The bytes of the header.
    ///
    /// # Errors
    /// `malformed_token`.
    pub fn decode_header(&self) -> Result<Vec<u8>, Refused> {
        decode(self.header)
    }

    /// One key, one signature.
    ///
    /// # Errors
    /// `bad_signature`.
    pub fn verify(&self, key: &VerificationKey) -> Result<(), Refused> {
        if key.verifies(self.signed, &self.signature) {
            Ok(())
        } else {
            Err(Refused::new(
                Refusal::BadSignature,
                "the signature does not verify",
            ))
        }
    }
}

/// A JOSE header: an object that asks for no extension.
#[derive(Debug)]
pub struct Header<'a>(Value<'a>);

impl<'a> Header<'a> {
    /// Parse a header.
    ///
    /// # Errors
    /// `malformed_token` and `unsupported_critical`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refused> {
        let header = json::parse(bytes).map_err(|error| malformed(error.0))?;
        if header.as_object().is_none() {
            return Err(malformed("the header is not an object"));
        }
        // RFC 7515 section 4.1.11, RFC 7797 section 7: we understand no extension, not even `b64`.
        if header.get("crit").is_some() || header.get("b64").is_some() {
            return Err(Refused::new(
                Refusal::UnsupportedCritical,
                "no extension is understood",
            ));
        }
        Ok(Self(header))
    }

    /// Whether the header has a parameter.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// A parameter that must be a string where it is there.
    ///
    /// # Errors
    /// `malformed_token`.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, Refused> {
        self.0
            .get(name)
            .map(|value| value.as_str().ok_or(wrong_type(name, "is not a string")))
            .transpose()
    }

    /// Every registered parameter that is there must have its JSON type, also where it is not used: two readers of
    /// one header could otherwise differ about what it says.
    ///
    /// # Errors
    /// `malformed_token`, with the name of the parameter.
    pub fn check_types(&self) -> Result<(), Refused> {
        for name in STRINGS {
            self.text(name)?;
        }
        for name in OBJECTS {
            if self
                .0
                .get(name)
                .is_some_and(|one| one.as_object().is_none())
            {
                return Err(wrong_type(name, "is not an object"));
            }
        }
        for name in LISTS {
            if self.0.get(name).is_some_and(|one| !is_list_of_strings(one)) {
                return Err(wrong_type(name, "is not an array of strings"));
            }
        }
        Ok(())
    }

    /// One allowed algorithm, and the one key for it.
    ///
    /// # Errors
    /// `unsupported_algorithm`, `malformed_token` and `unknown_key`.
    pub fn key<'k>(
        &self,
        keys: &'k KeySet,
        allowed: &[Algorithm],
    ) -> Result<&'k Arc<PreparedKey>, Refused> {
        let algorithm = self.algorithm(allowed)?;
        keys.select(self.key_id()?, algorithm)
    }

    /// RFC 8725 section 3.1: the allow list decides, the token only chooses from it.
    fn algorithm(&self, allowed: &[Algorithm]) -> Result<Algorithm, Refused> {
        self.text("alg")?
            .and_then(crypto::algorithm)
            .filter(|algorithm| allowed.contains(algorithm))
            .ok_or(Refused::new(
                Refusal::UnsupportedAlgorithm,
                "alg is not on the allow list",
            ))
    }

    fn key_id(&self) -> Result<Option<&str>, Refused> {
        let id = self.text("kid")?;
        if id.is_some_and(|id| id.len() > MAX_KEY_ID_BYTES) {
            return Err(malformed("kid is too long"));
        }
        Ok(id)
    }
}

fn decode(part: &[u8]) -> Result<Vec<u8>, Refused> {
    jwk::base64url(part).ok_or(malformed("a part is not strict base64url"))
}

/// Header parameters that are strings: RFC 7515 section 4.1, RFC 7516 section 4.1.2, RFC 7518 sections 4.6.1, 4.7.1 and
/// 4.8.1, RFC 7519 section 5.3, RFC 8555 section 6.
const STRINGS: [&str; 18] = [
    "alg", "typ", "cty", "kid", "jku", "x5u", "x5t", "x5t#S256", "enc", "zip", "apu", "apv", "iv",
    "tag", "p2s", "iss", "nonce", "url",
];

/// Header parameters that are objects: RFC 7515 section 4.1.3, RFC 7518 section 4.6.1.1.
const OBJECTS: [&str; 2] = ["jwk", "epk"];

/// Header parameters that are arrays of strings: RFC 7515 section 4.1.6, OpenID Federation 1.0 section 4.3.
const LISTS: [&str; 2] = ["x5c", "trust_chain"];

fn is_list_of_strings(value: &Value<'_>) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(|item| item.as_str().is_some()))
}

const fn wrong_type(name: &'static str, detail: &'static str) -> Refused {
    Refused::of(Refusal::MalformedToken, name, detail)
}

/// What stands before the first dot, and behind it.
fn before_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, rest) = text.split_at_checked(memchr::memchr(b'.', text)?)?;
    Some((before, rest.get(1..)?))
}

/// Refused before anything of it is read.
pub(crate) const fn too_large() -> Refused {
    Refused::new(Refusal::TokenTooLarge, "longer than the configured bound")
}

/// Not a token at all.
pub(crate) const fn malformed(detail: &'static str) -> Refused {
    Refused::new(Refusal::MalformedToken, detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bound_is_the_longest_token() {
        let refused = |bound| {
            Parts::split(b"YQ.Yg.Yw", bound)
                .err()
                .map(|refused| refused.refusal)
        };
        assert_eq!(refused(8), None);
        assert_eq!(refused(7), Some(Refusal::TokenTooLarge));
    }

    #[test]
    fn what_is_signed_is_the_text_and_not_what_it_decodes_to() {
        let parts = Parts::split(b"YQ.Yg.Yw", 8).unwrap();
        assert_eq!(parts.signed, b"YQ.Yg");
        assert_eq!(parts.decode_header().unwrap(), b"a");
        assert_eq!(parts.payload, b"b");
        assert_eq!(parts.signature, b"c");
    }

    #[test]
    fn the_allow_list_decides_before_any_key_is_sought() {
        let keys = KeySet::from_secret(&[7; 32], "HS256").unwrap();
        let refused = |header: &str, allowed: &[Algorithm]| {
            let header = Header::parse(header.as_bytes()).unwrap();
            header
                .key(&keys, allowed)
                .err()
                .map(|refused| refused.refusal)
        };
        let header = r#"{"alg":"HS256","kid":5}"#;
        assert_eq!(refused(header, &[]), Some(Refusal::UnsupportedAlgorithm));
        assert_eq!(
            refused(header, &[Algorithm::HS256]),
            Some(Refusal::MalformedToken)
        );
        let header = r#"{"alg":"HS256"}"#;
        assert_eq!(refused(header, &[Algorithm::HS256]), None);
        assert_eq!(
            refused(header, &[Algorithm::ES256]),
            Some(Refusal::UnsupportedAlgorithm)
        );
    }

    proptest! {
        #[test]
        fn never_panics(token in "[A-Za-z0-9_=. -]{0,40}", header in ".{0,40}") {
            if let Ok(parts) = Parts::split(token.as_bytes(), 64) {
                prop_assert!(token.as_bytes().starts_with(parts.signed));
            }
            let _ = Header::parse(header.as_bytes());
        }
    }
}

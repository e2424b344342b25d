//! JWK Sets (RFC 7517): bytes in, keys ready to verify out, parsed once.
//!
//! A set is what an issuer publishes to all its clients, so it may hold keys we cannot use; those are
//! skipped with a reason and never spoil the set. A key that has no business in a published set (a shared
//! or a private one) is as unusable as one we do not understand. Shared secrets come from
//! [`KeySet::from_secret`] alone.

use std::sync::Arc;

use base64::{Engine, engine};

use crate::crypto::{self, Algorithm, VerificationKey};
use crate::json::{self, Value};
use crate::refusal::{Refusal, Refused};

use key::{Key, Reason};
pub use key::{MAX_KEY_ID_BYTES, PreparedKey};

mod key;

/// The largest published sets are below 50 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 512 * 1024;

/// Issuers publish two to ten keys; each costs a parsed key.
pub const MAX_KEYS: usize = 256;

/// The keys of one issuer, or one shared secret.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<String>,
    secret: Option<Algorithm>,
}

impl KeySet {
    /// Parse a JWK Set.
    ///
    /// # Errors
    /// `malformed_key_set` for anything that is not a JWK Set at all.
    pub fn from_json(document: &[u8]) -> Result<Self, Refused> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(malformed("the document is larger than 512 KiB"));
        }
        let document = json::parse(document).map_err(|error| malformed(error.0))?;
        let members = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(malformed("there is no array named keys"))?;
        if members.len() > MAX_KEYS {
            return Err(malformed("there are more than 256 keys"));
        }
        let mut read: Vec<_> = members.iter().map(Key::read).collect();
        refuse_ambiguous(&mut read);
        let mut set = Self {
            keys: Vec::new(),
            skipped: Vec::new(),
            secret: None,
        };
        for (position, outcome) in read.into_iter().enumerate() {
            match outcome {
                Ok(key) => set.keys.push(key),
                Err(reason) => set.skipped.push(format!("keys[{position}]: {reason}")),
            }
        }
        Ok(set)
    }

    /// A shared secret: the only way to HMAC.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn from_secret(secret: &[u8], algorithm: &str) -> Result<Self, &'static str> {
        let algorithm = crypto::algorithm(algorithm).ok_or("an unknown algorithm")?;
        let key = VerificationKey::secret(algorithm, secret)?;
        Ok(Self {
            keys: vec![Key {
                id: None,
                material: Vec::new(),
                prepared: vec![Arc::new(PreparedKey::new(None, &[], key))],
            }],
            skipped: Vec::new(),
            secret: Some(algorithm),
        })
    }

    /// The algorithm of the shared secret, where this is one.
    #[must_use]
    pub const fn secret_algorithm(&self) -> Option<Algorithm> {
        self.secret
    }

    /// The `kid` of every usable key that has one.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.id.as_deref())
    }

    /// The fingerprint of every usable key for each of its algorithms, in the order of the document.
    pub fn fingerprints(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.keys
            .iter()
            .flat_map(|key| &key.prepared)
            .map(|prepared| &prepared.fingerprint)
    }

    /// Why each unusable key was skipped, in the order of the document.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// How many usable keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The one key for a header. A `kid` names it or nothing does; without one the key must be the only one
    /// that fits, because trying several would let the token choose. A shared secret has no name.
    ///
    /// # Errors
    /// `unknown_key`.
    pub fn select(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&Arc<PreparedKey>, Refused> {
        let is_meant =
            |key: &&Key| id.is_none() || self.secret.is_some() || key.id.as_deref() == id;
        let mut fitting = self
            .keys
            .iter()
            .filter(is_meant)
            .flat_map(|key| &key.prepared)
            .filter(|prepared| prepared.key.algorithm() == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) if id.is_none() => Err(unknown_key("no kid, and no key is for its alg")),
            (None, _) if self.keys.iter().any(|key| is_meant(&key)) => {
                Err(unknown_key("the key that kid names is not for its alg"))
            }
            (None, _) => Err(unknown_key("kid names no key that can be used")),
            _ => Err(unknown_key("no kid, and several keys fit")),
        }
    }
}

/// Strict base64url (RFC 7515 section 2): no padding, no space, and one text only for the same bytes.
#[must_use]
pub fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    BASE64URL.decode(text).ok()
}

/// As many characters at a time as the processor can.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static BASE64URL: std::sync::LazyLock<engine::Simd> =
    std::sync::LazyLock::new(|| engine::Simd::url_safe(engine::general_purpose::NO_PAD));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static BASE64URL: engine::GeneralPurpose = engine::general_purpose::URL_SAFE_NO_PAD;

const fn unknown_key(detail: &'static str) -> Refused {
    Refused::new(Refusal::UnknownKey, detail)
}

fn malformed(detail: &'static str) -> Refused {
    Refused::new(Refusal::MalformedKeySet, detail)
}

/// One `kid`, two keys, one algorithm: which of them signed cannot be told, so neither is used. Repeating
/// one and the same key is harmless.
fn refuse_ambiguous(read: &mut [Result<Key, Reason>]) {
    let verdicts: Vec<_> = (0..read.len())
        .map(|position| ambiguity(read, position))
        .collect();
    for (outcome, verdict) in read.iter_mut().zip(verdicts) {
        if let Some(reason) = verdict {
            *outcome = Err(reason.into());
        }
    }
}

fn ambiguity(read: &[Result<Key, Reason>], position: usize) -> Option<&'static str> {
    let key = read.get(position)?.as_ref().ok()?;
    let mut repeats = false;
    for (other_position, other) in read.iter().enumerate() {
        let Ok(other) = other else { continue };
        if other_position == position || !key.fits_as(other) {
            continue;
        }
        if key.material != other.material {
            return Some("another key has the same kid");
        }
        repeats |= other_position < position;
    }
    repeats.then_some("repeats an earlier key")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    // The curve's own base point, and its negative.
    const X: &str = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY";
    const Y: &str = "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";
    const NEGATIVE_Y: &str = "sBy9HAHlgGVxGBS1g_Bh6dQxzKmUzqExNEm_l8hArgo";

    fn set(keys: &[(&str, &str)]) -> KeySet {
        let member = |(id, y): &(&str, &str)| {
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{y}"{id}}}"#)
        };
        let members: Vec<_> = keys.iter().map(member).collect();
        KeySet::from_json(format!(r#"{{"keys":[{}]}}"#, members.join(",")).as_bytes()).unwrap()
    }

    #[test]
    fn a_token_without_kid_chooses_nothing() {
        let one = set(&[(r#","kid":"a""#, Y)]);
        assert!(one.select(None, Algorithm::ES256).is_ok());
        assert!(one.select(Some("b"), Algorithm::ES256).is_err());
        assert!(one.select(None, Algorithm::ES384).is_err());
        let two = set(&[(r#","kid":"a""#, Y), (r#","kid":"b""#, NEGATIVE_Y)]);
        let refused = two.select(None, Algorithm::ES256).unwrap_err();
        assert_eq!(refused.detail, "no kid, and several keys fit");
        assert!(two.select(Some("b"), Algorithm::ES256).is_ok());
    }

    #[test]
    fn a_shared_secret_has_no_name() {
        let secret = KeySet::from_secret(&[7; 32], "HS256").unwrap();
        assert!(secret.select(Some("any"), Algorithm::HS256).is_ok());
        assert!(secret.select(None, Algorithm::HS384).is_err());
    }

    #[test]
    fn the_same_key_twice_is_one_and_two_of_a_name_are_none() {
        let same = r#","kid":"a""#;
        let repeated = set(&[(same, Y), (same, Y)]);
        assert_eq!(repeated.len(), 1);
        assert_eq!(repeated.skipped(), ["keys[1]: repeats an earlier key"]);
        assert!(set(&[(same, Y), (same, NEGATIVE_Y)]).is_empty());
    }

    #[test]
    fn a_fingerprint_is_that_of_one_name_and_one_key() {
        let fingerprints = |keys: &[(&str, &str)]| -> Vec<[u8; 32]> {
            set(keys).fingerprints().copied().collect()
        };
        let (a, b) = (r#","kid":"a""#, r#","kid":"b""#);
        let different = fingerprints(&[(a, Y), (b, Y), (r#","kid":"c""#, NEGATIVE_Y), ("", Y)]);
        for (position, one) in different.iter().enumerate() {
            assert!(
                !different
                    .iter()
                    .skip(position + 1)
                    .any(|other| other == one)
            );
        }
        assert_eq!(
            fingerprints(&[(b, NEGATIVE_Y), (a, Y)]).get(1),
            different.first()
        );
        assert_eq!(
            fingerprints(&[(a, Y), (a, NEGATIVE_Y)]),
            Vec::<[u8; 32]>::new()
        );
    }

    proptest! {
        #[test]
        fn one_text_for_the_same_bytes(text in "[A-Za-z0-9_=+-]{0,12}") {
            if let Some(bytes) = base64url(text.as_bytes()) {
                prop_assert_eq!(URL_SAFE_NO_PAD.encode(bytes), text);
            }
        }

        #[test]
        fn many_characters_at_a_time_are_as_strict_as_one(
            mut text in "[A-Za-z0-9_-]{0,200}",
            wrong: u8,
            place: usize,
        ) {
            let strict = |text: &[u8]| URL_SAFE_NO_PAD.decode(text).ok();
            prop_assert_eq!(base64url(text.as_bytes()), strict(text.as_bytes()));
            text.insert(place % (text.len() + 1), char::from(wrong));
            prop_assert_eq!(base64url(text.as_bytes()), strict(text.as_bytes()));
        }
    }
}

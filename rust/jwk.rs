//! JWK Sets (RFC 7517): bytes in, keys ready to verify out, parsed once.
//!
//! A set is what an issuer publishes to all its clients, so it may hold keys we cannot use; those are
//! skipped with a reason and never spoil the set. A key that has no business in a published set (a shared
//! or a private one) is as unusable as one we do not understand. Shared secrets come from
//! [`KeySet::from_secret`] alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::{self, Algorithm, VerificationKey};
use crate::json::{self, Value};
use crate::refusal::{Refusal, Refused};

/// The largest published sets are below 50 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 512 * 1024;

/// Issuers publish two to ten keys; each costs a parsed key.
pub const MAX_KEYS: usize = 256;

/// A `kid` is a thumbprint, a date or a short name; what is longer only fills logs.
pub const MAX_KEY_ID_BYTES: usize = 1024;

/// The keys of one issuer, or one shared secret.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<String>,
    secret: Option<Algorithm>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// What the key is made of: equal for two members that repeat one key.
    material: Vec<u8>,
    /// One for each algorithm the key may be used with, prepared.
    prepared: Vec<VerificationKey>,
}

impl KeySet {
    /// Parse a JWK Set.
    ///
    /// # Errors
    /// `malformed_key_set` for anything that is not a JWK Set at all.
    pub fn from_json(document: &[u8]) -> Result<Self, Refused> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(malformed("the document is too large"));
        }
        let document = json::parse(document).map_err(|error| malformed(error.0))?;
        let members = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(malformed("there is no array named keys"))?;
        if members.len() > MAX_KEYS {
            return Err(malformed("there are too many keys"));
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
        Ok(Self {
            keys: vec![Key {
                id: None,
                material: Vec::new(),
                prepared: vec![VerificationKey::secret(algorithm, secret)?],
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
    ) -> Result<&VerificationKey, Refused> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| id.is_none() || self.secret.is_some() || key.id.as_deref() == id)
            .flat_map(|key| &key.prepared)
            .filter(|prepared| prepared.algorithm() == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(Refused::new(
                Refusal::UnknownKey,
                "no key of the set fits the header",
            )),
            _ => Err(Refused::new(
                Refusal::UnknownKey,
                "no kid, and several keys fit",
            )),
        }
    }
}

/// Strict base64url (RFC 7515 section 2): no padding, no space, and one text only for the same bytes.
#[must_use]
pub fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl Key {
    fn read(member: &Value<'_>) -> Result<Self, &'static str> {
        if member.as_object().is_none() {
            return Err("not an object");
        }
        // RFC 7517 section 4.1.
        let kind = text(member, "kty")?.ok_or("kty is missing")?;
        if kind == "oct" {
            return Err("a shared secret in a published set");
        }
        if PRIVATE_MEMBERS
            .iter()
            .any(|name| member.get(name).is_some())
        {
            return Err("a private key in a published set");
        }
        check_purpose(member)?;
        let id = text(member, "kid")?;
        if id.is_some_and(|id| id.len() > MAX_KEY_ID_BYTES) {
            return Err("kid is too long");
        }
        let (material, prepared) = match kind {
            "RSA" => read_rsa(member)?,
            "EC" => read_elliptic(member)?,
            "OKP" => read_edwards(member)?,
            _ => return Err("an unsupported kty"),
        };
        Ok(Self {
            id: id.map(str::to_owned),
            material,
            prepared,
        })
    }

    fn fits_as(&self, other: &Self) -> bool {
        let named = |key: &VerificationKey| {
            other
                .prepared
                .iter()
                .any(|one| one.algorithm() == key.algorithm())
        };
        self.id.is_some() && self.id == other.id && self.prepared.iter().any(named)
    }
}

/// RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, RFC 8037 section 2.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

type Material = (Vec<u8>, Vec<VerificationKey>);

fn malformed(detail: &'static str) -> Refused {
    Refused::new(Refusal::MalformedKeySet, detail)
}

/// One `kid`, two keys, one algorithm: which of them signed cannot be told, so neither is used. Repeating
/// one and the same key is harmless.
fn refuse_ambiguous(read: &mut [Result<Key, &'static str>]) {
    let verdicts: Vec<_> = (0..read.len())
        .map(|position| ambiguity(read, position))
        .collect();
    for (outcome, verdict) in read.iter_mut().zip(verdicts) {
        if let Some(reason) = verdict {
            *outcome = Err(reason);
        }
    }
}

fn ambiguity(read: &[Result<Key, &'static str>], position: usize) -> Option<&'static str> {
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

/// RFC 7517 sections 4.2 and 4.3.
fn check_purpose(member: &Value<'_>) -> Result<(), &'static str> {
    if text(member, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err("use is not sig");
    }
    let Some(operations) = member.get("key_ops") else {
        return Ok(());
    };
    let operations = operations.as_array().ok_or("key_ops is not an array")?;
    if operations
        .iter()
        .any(|operation| operation.as_str() == Some("verify"))
    {
        Ok(())
    } else {
        Err("key_ops lacks verify")
    }
}

fn read_rsa(member: &Value<'_>) -> Result<Material, &'static str> {
    let (modulus, exponent) = (octets(member, "n")?, octets(member, "e")?);
    let algorithms = match declared_algorithm(member)? {
        Some(algorithm) => vec![algorithm],
        None => crypto::RSA.to_vec(),
    };
    let prepared = algorithms
        .into_iter()
        .map(|algorithm| VerificationKey::rsa(algorithm, &modulus, &exponent))
        .collect::<Result<_, _>>()?;
    Ok(([modulus, exponent].concat(), prepared))
}

fn read_elliptic(member: &Value<'_>) -> Result<Material, &'static str> {
    // RFC 7518 section 3.4: the algorithm is bound to its curve.
    let algorithm = match text(member, "crv")?.ok_or("crv is missing")? {
        "P-256" => Algorithm::ES256,
        "P-384" => Algorithm::ES384,
        _ => return Err("an unsupported crv"),
    };
    require_algorithm(member, algorithm)?;
    let (x, y) = (octets(member, "x")?, octets(member, "y")?);
    let key = VerificationKey::elliptic(algorithm, &x, &y)?;
    Ok(([x, y].concat(), vec![key]))
}

fn read_edwards(member: &Value<'_>) -> Result<Material, &'static str> {
    if text(member, "crv")?.ok_or("crv is missing")? != "Ed25519" {
        return Err("an unsupported crv");
    }
    require_algorithm(member, Algorithm::EdDSA)?;
    let x = octets(member, "x")?;
    let key = VerificationKey::edwards(&x)?;
    Ok((x, vec![key]))
}

fn declared_algorithm(member: &Value<'_>) -> Result<Option<Algorithm>, &'static str> {
    text(member, "alg")?
        .map(|name| crypto::algorithm(name).ok_or("an unsupported alg"))
        .transpose()
}

fn require_algorithm(member: &Value<'_>, algorithm: Algorithm) -> Result<(), &'static str> {
    match declared_algorithm(member)? {
        Some(declared) if declared != algorithm => Err("alg does not fit crv"),
        _ => Ok(()),
    }
}

fn text<'v>(member: &'v Value<'_>, name: &str) -> Result<Option<&'v str>, &'static str> {
    member
        .get(name)
        .map(|value| value.as_str().ok_or("a member is not a string"))
        .transpose()
}

fn octets(member: &Value<'_>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = text(member, name)?.ok_or("a part of the key is missing")?;
    base64url(text.as_bytes()).ok_or("a part of the key is not base64url")
}

//! One JWK (RFC 7517 section 4, RFC 7518 section 6, RFC 8037): members in, a key for its algorithms out.

use std::borrow::Cow;
use std::sync::Arc;

use ring::digest::{Context, SHA256};

use super::base64url;
use crate::crypto::{self, Algorithm, VerificationKey};
use crate::json::Value;

/// A `kid` is a thumbprint, a date or a short name; what is longer only fills logs.
pub const MAX_KEY_ID_BYTES: usize = 1024;

/// Why a key cannot be used: fixed words, with the name of a member at most.
pub(super) type Reason = Cow<'static, str>;

/// A key ready to verify.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// What the key is made of: equal for two members that repeat one key.
    pub(super) material: Vec<u8>,
    /// One for each algorithm the key may be used with.
    pub(super) prepared: Vec<Arc<PreparedKey>>,
}

/// A key of a set, prepared for one algorithm.
#[derive(Debug)]
pub struct PreparedKey {
    /// SHA-256 of the `kid`, the algorithm and the public key: equal in two sets as long as the issuer publishes the
    /// same key under the same name. For a shared secret it does not depend on the secret.
    pub fingerprint: [u8; 32],
    /// What verifies.
    pub key: VerificationKey,
}

impl PreparedKey {
    /// A key with its fingerprint.
    pub(super) fn new(id: Option<&str>, material: &[u8], key: VerificationKey) -> Self {
        let mut context = Context::new(&SHA256);
        let algorithm = format!("{:?}", key.algorithm());
        let parts = [
            Some(algorithm.as_bytes()),
            Some(material),
            id.map(str::as_bytes),
        ];
        for part in parts.into_iter().flatten() {
            // The length first, so that no two lists of parts are the same bytes.
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.finish().as_ref());
        Self { fingerprint, key }
    }
}

impl Key {
    /// A member of a set, or why it is unusable.
    pub(super) fn read(member: &Value<'_>) -> Result<Self, Reason> {
        if member.as_object().is_none() {
            return Err("not an object".into());
        }
        // RFC 7517 section 4.1.
        let kind = text(member, "kty")?.ok_or("kty is missing")?;
        if kind == "oct" {
            return Err("a shared secret in a published set".into());
        }
        if PRIVATE_MEMBERS
            .iter()
            .any(|name| member.get(name).is_some())
        {
            return Err("a private key in a published set".into());
        }
        check_purpose(member)?;
        let id = text(member, "kid")?;
        if id.is_some_and(|id| id.len() > MAX_KEY_ID_BYTES) {
            return Err("kid is too long".into());
        }
        let (material, prepared) = match kind {
            "RSA" => read_rsa(member)?,
            "EC" => read_elliptic(member)?,
            "OKP" => read_edwards(member)?,
            _ => return Err("an unsupported kty".into()),
        };
        Ok(Self {
            id: id.map(str::to_owned),
            prepared: prepared
                .into_iter()
                .map(|key| Arc::new(PreparedKey::new(id, &material, key)))
                .collect(),
            material,
        })
    }

    /// Whether a header that names this key and an algorithm could mean the other as well.
    pub(super) fn fits_as(&self, other: &Self) -> bool {
        let named = |prepared: &Arc<PreparedKey>| {
            other
                .prepared
                .iter()
                .any(|one| one.key.algorithm() == prepared.key.algorithm())
        };
        self.id.is_some() && self.id == other.id && self.prepared.iter().any(named)
    }
}

/// RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, RFC 8037 section 2.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

type Material = (Vec<u8>, Vec<VerificationKey>);

/// RFC 7517 sections 4.2 and 4.3.
fn check_purpose(member: &Value<'_>) -> Result<(), Reason> {
    if text(member, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err("use is not sig".into());
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
        Err("key_ops lacks verify".into())
    }
}

fn read_rsa(member: &Value<'_>) -> Result<Material, Reason> {
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

fn read_elliptic(member: &Value<'_>) -> Result<Material, Reason> {
    // RFC 7518 section 3.4: the algorithm is bound to its curve.
    let algorithm = match text(member, "crv")?.ok_or("crv is missing")? {
        "P-256" => Algorithm::ES256,
        "P-384" => Algorithm::ES384,
        _ => return Err("an unsupported crv".into()),
    };
    require_algorithm(member, algorithm)?;
    let (x, y) = (octets(member, "x")?, octets(member, "y")?);
    let key = VerificationKey::elliptic(algorithm, &x, &y)?;
    Ok(([x, y].concat(), vec![key]))
}

fn read_edwards(member: &Value<'_>) -> Result<Material, Reason> {
    if text(member, "crv")?.ok_or("crv is missing")? != "Ed25519" {
        return Err("an unsupported crv".into());
    }
    require_algorithm(member, Algorithm::EdDSA)?;
    let x = octets(member, "x")?;
    let key = VerificationKey::edwards(&x)?;
    Ok((x, vec![key]))
}

fn declared_algorithm(member: &Value<'_>) -> Result<Option<Algorithm>, Reason> {
    text(member, "alg")?
        .map(|name| crypto::algorithm(name).ok_or("an unsupported alg".into()))
        .transpose()
}

fn require_algorithm(member: &Value<'_>, algorithm: Algorithm) -> Result<(), Reason> {
    match declared_algorithm(member)? {
        Some(declared) if declared != algorithm => Err("alg does not fit crv".into()),
        _ => Ok(()),
    }
}

fn text<'v>(member: &'v Value<'_>, name: &'static str) -> Result<Option<&'v str>, Reason> {
    member
        .get(name)
        .map(|value| {
            value
                .as_str()
                .ok_or_else(|| format!("{name} is not a string").into())
        })
        .transpose()
}

fn octets(member: &Value<'_>, name: &'static str) -> Result<Vec<u8>, Reason> {
    let text = text(member, name)?.ok_or_else(|| format!("{name} is missing"))?;
    base64url(text.as_bytes()).ok_or_else(|| format!("{name} is not base64url").into())
}

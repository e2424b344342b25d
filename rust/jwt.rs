//! Access tokens (RFC 8725, RFC 9068 section 4): token, keys and a time in, claims out.
//!
//! Order matters: what costs little is refused before what costs a signature, and nothing an unverified
//! payload says decides anything, but for the `iss` that chooses whose keys to try.

use std::collections::HashMap;
use std::sync::Arc;

use crate::claims::{self, Claims};
use crate::crypto::{self, Algorithm};
use crate::json::Value;
use crate::jwk::KeySet;
use crate::jws::{DEFAULT_MAX_TOKEN_BYTES, Header, Parts, malformed};
use crate::refusal::{Refusal, Refused};

/// A longer leeway would hide a clock that is wrong, and lengthens the life of every stolen token.
pub const MAX_LEEWAY: f64 = 300.0;

/// What to demand of a token. See `Verifier` in `_rust.pyi` for each member.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Settings {
    pub issuer: String,
    pub audience: Vec<String>,
    pub algorithms: Vec<String>,
    pub leeway: f64,
    pub types: Option<Vec<String>>,
    pub max_token_bytes: usize,
    pub max_token_lifetime: Option<f64>,
}

impl Settings {
    /// The defaults, and what has none.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, algorithms: &[&str]) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: vec![audience.to_owned()],
            algorithms: algorithms.iter().map(|&name| name.to_owned()).collect(),
            leeway: 30.0,
            types: None,
            max_token_bytes: DEFAULT_MAX_TOKEN_BYTES,
            max_token_lifetime: None,
        }
    }
}

/// Verifies the access tokens of one issuer for one resource.
#[derive(Debug)]
pub struct Verifier {
    keys: Arc<KeySet>,
    algorithms: Vec<Algorithm>,
    types: Option<Vec<String>>,
    settings: Settings,
}

impl Verifier {
    /// A verifier.
    ///
    /// # Errors
    /// What in the configuration cannot be right.
    pub fn new(keys: Arc<KeySet>, settings: Settings) -> Result<Self, &'static str> {
        check(&settings)?;
        let algorithms = read_algorithms(&settings.algorithms)?;
        match keys.secret_algorithm() {
            None if algorithms
                .iter()
                .any(|&one| crypto::hmac_bytes(one).is_some()) =>
            {
                return Err("HMAC with published keys: anybody could sign; use KeySet.from_secret");
            }
            Some(only) if algorithms.iter().any(|&one| one != only) => {
                return Err("a shared secret is for its own algorithm alone");
            }
            _ => {}
        }
        let types = settings
            .types
            .as_ref()
            .map(|types| types.iter().map(|name| media_type(name)).collect());
        Ok(Self {
            keys,
            algorithms,
            types,
            settings,
        })
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The token's claims. `certificate` is the SHA-256 of the client's certificate.
    ///
    /// # Errors
    /// Whatever is wrong with the token.
    pub fn verify(
        &self,
        token: &[u8],
        now: f64,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Claims, Refused> {
        let parts = Parts::split(token, self.settings.max_token_bytes)?;
        let header = Header::parse(&parts.header)?;
        let mut claims = self.judge(&parts, &header, None, now, certificate)?;
        claims.payload = parts.payload;
        Ok(claims)
    }

    /// `peeked` is the payload where choosing the issuer has parsed it already.
    fn judge(
        &self,
        parts: &Parts<'_>,
        header: &Header<'_>,
        peeked: Option<Value<'_>>,
        now: f64,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Claims, Refused> {
        let declared = self.check_header(header)?;
        parts.verify(header, &self.keys, &self.algorithms)?;
        let payload = match peeked {
            Some(payload) => payload,
            None => claims::parse(&parts.payload)?,
        };
        let claims = Claims::read(&payload, declared, self.settings.leeway)?;
        self.check_parties(&claims)?;
        self.check_times(&claims, now)?;
        check_proof(&claims, certificate)?;
        Ok(claims)
    }

    /// Whether `typ` says that this is an access token, where it may say nothing.
    fn check_header(&self, header: &Header<'_>) -> Result<bool, Refused> {
        for name in ["cty", "jku", "x5u", "x5t", "x5t#S256"] {
            header.text(name)?;
        }
        if header.has("zip")
            || header
                .text("cty")?
                .is_some_and(|kind| media_type(kind) == "jwt")
        {
            return Err(malformed("a compressed or nested token"));
        }
        let kind = header.text("typ")?.map(media_type);
        let accepted = match (&self.types, &kind) {
            (Some(types), Some(kind)) => types.contains(kind),
            (Some(_), None) => false,
            (None, Some(kind)) => kind == ACCESS_TOKEN || kind == "jwt",
            (None, None) => true,
        };
        if accepted {
            Ok(kind.as_deref() == Some(ACCESS_TOKEN))
        } else {
            Err(Refused::new(
                Refusal::InvalidType,
                "typ is not that of an access token",
            ))
        }
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), Refused> {
        if claims.issuer != self.settings.issuer {
            return Err(foreign_issuer());
        }
        if !claims
            .audience
            .iter()
            .any(|one| self.settings.audience.contains(one))
        {
            return Err(Refused::new(
                Refusal::InvalidAudience,
                "aud does not name this resource",
            ));
        }
        Ok(())
    }

    /// Written so that a time that is no number refuses.
    #[allow(clippy::neg_cmp_op_on_partial_ord)]
    fn check_times(&self, claims: &Claims, now: f64) -> Result<(), Refused> {
        let Settings {
            leeway,
            max_token_lifetime,
            ..
        } = self.settings;
        // RFC 7519 section 4.1.4: on or after exp is too late.
        if !(claims.expires_at > now - leeway) {
            return Err(Refused::new(Refusal::TokenExpired, "exp has passed"));
        }
        if !(claims.not_before <= now) {
            return Err(Refused::new(
                Refusal::TokenNotYetValid,
                "nbf or iat lies in the future",
            ));
        }
        let Some(longest) = max_token_lifetime else {
            return Ok(());
        };
        let issued_at = claims.issued_at.ok_or(Refused::new(
            Refusal::MissingClaim,
            "without iat the lifetime cannot be told",
        ))?;
        if !(claims.expires_at - issued_at <= longest) {
            return Err(Refused::new(
                Refusal::TokenLifetimeTooLong,
                "exp lies too far behind iat",
            ));
        }
        Ok(())
    }
}

/// Several issuers: the token's exact `iss` chooses, keys are never mixed.
#[derive(Debug)]
pub struct Verifiers {
    by_issuer: HashMap<String, Arc<Verifier>>,
    max_token_bytes: usize,
}

impl Verifiers {
    /// Verifiers of different issuers.
    ///
    /// # Errors
    /// What in the configuration cannot be right.
    pub fn new(verifiers: impl IntoIterator<Item = Arc<Verifier>>) -> Result<Self, &'static str> {
        let mut by_issuer = HashMap::new();
        let mut max_token_bytes = 0;
        for verifier in verifiers {
            max_token_bytes = max_token_bytes.max(verifier.settings.max_token_bytes);
            if by_issuer
                .insert(verifier.issuer().to_owned(), verifier)
                .is_some()
            {
                return Err("two verifiers have the same issuer");
            }
        }
        if by_issuer.is_empty() {
            return Err("there is no verifier");
        }
        Ok(Self {
            by_issuer,
            max_token_bytes,
        })
    }

    /// See [`Verifier::verify`].
    ///
    /// # Errors
    /// Whatever is wrong with the token.
    pub fn verify(
        &self,
        token: &[u8],
        now: f64,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Claims, Refused> {
        let parts = Parts::split(token, self.max_token_bytes)?;
        let header = Header::parse(&parts.header)?;
        let payload = claims::parse(&parts.payload)?;
        let verifier = self
            .by_issuer
            .get(claims::issuer(&payload)?)
            .ok_or(foreign_issuer())?;
        if token.len() > verifier.settings.max_token_bytes {
            return Err(Refused::new(
                Refusal::TokenTooLarge,
                "longer than the bound of its issuer",
            ));
        }
        let mut claims = verifier.judge(&parts, &header, Some(payload), now, certificate)?;
        claims.payload = parts.payload;
        Ok(claims)
    }
}

/// RFC 9068 section 2.1.
const ACCESS_TOKEN: &str = "at+jwt";

/// RFC 7515 section 4.1.9: case does not matter, and `application/` may be left out.
fn media_type(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match lower.strip_prefix("application/") {
        Some(short) if !short.contains('/') => short.to_owned(),
        _ => lower,
    }
}

fn check(settings: &Settings) -> Result<(), &'static str> {
    if settings.issuer.is_empty() {
        return Err("issuer is empty");
    }
    if settings.audience.is_empty() || settings.audience.iter().any(String::is_empty) {
        return Err("audience is empty");
    }
    if settings.types.as_ref().is_some_and(Vec::is_empty) {
        return Err("types is empty: None accepts at+jwt, JWT and absent");
    }
    if !(0.0..=MAX_LEEWAY).contains(&settings.leeway) {
        return Err("leeway is not from 0 to 300 seconds");
    }
    if settings.max_token_bytes == 0 {
        return Err("max_token_bytes is 0");
    }
    if settings
        .max_token_lifetime
        .is_some_and(|longest| !(longest > 0.0 && longest.is_finite()))
    {
        return Err("max_token_lifetime is not a positive number of seconds");
    }
    Ok(())
}

/// The algorithms of their names.
///
/// # Errors
/// What in the configuration cannot be right.
pub fn read_algorithms(names: &[String]) -> Result<Vec<Algorithm>, &'static str> {
    if names.is_empty() {
        return Err("algorithms is empty");
    }
    names
        .iter()
        .map(|name| match name.as_str() {
            "ES512" => Err("ES512 is not offered: jsonwebtoken has no P-521"),
            name if name.eq_ignore_ascii_case("none") => Err("none is not an algorithm"),
            name => crypto::algorithm(name).ok_or("algorithms names one that is not offered"),
        })
        .collect()
}

const fn foreign_issuer() -> Refused {
    Refused::new(Refusal::InvalidIssuer, "iss is not a trusted issuer")
}

/// RFC 8705 section 3: a bound token is worth nothing without its certificate.
fn check_proof(claims: &Claims, certificate: Option<&[u8; 32]>) -> Result<(), Refused> {
    match (&claims.certificate, certificate) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Refused::new(
            Refusal::ProofRequired,
            "bound to a certificate, and none was shown",
        )),
        (Some(bound), Some(shown)) if bound == shown => Ok(()),
        (Some(_), Some(_)) => Err(Refused::new(
            Refusal::ProofRequired,
            "bound to another certificate",
        )),
    }
}

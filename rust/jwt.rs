//! Access tokens (RFC 8725, RFC 9068 section 4): token, keys and a time in, claims out.
//!
//! Order matters: what costs little is refused before what costs a signature, and nothing an unverified
//! payload says decides anything, but for the `iss` that chooses whose keys to try.

use std::sync::Arc;

use crate::claims::{self, Claims};
use crate::crypto::{self, Algorithm};
use crate::json::Value;
use crate::jwk::{KeySet, PreparedKey};
use crate::jws::{Header, Parts, malformed};
use crate::refusal::{Refusal, Refused};

use headers::Headers;
use settings::check;
pub use settings::{MAX_LEEWAY, Settings, read_algorithms};
pub use verifiers::Verifiers;

mod headers;
mod settings;
mod verifiers;

/// Verifies the access tokens of one issuer for one resource.
#[derive(Debug)]
pub struct Verifier {
    keys: Arc<KeySet>,
    algorithms: Vec<Algorithm>,
    types: Option<Vec<String>>,
    settings: Settings,
    headers: Headers,
}

/// What a header says that is right in every respect.
#[derive(Clone, Debug)]
struct Approved {
    /// Whether `typ` says that this is an access token, where it may say nothing.
    declared: bool,
    key: Arc<PreparedKey>,
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
            None if algorithms.iter().any(|&one| crypto::is_hmac(one)) => {
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
            headers: Headers::default(),
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
        if let Some(approved) = self.headers.get(parts.header) {
            return self.judge(parts, approved, now, certificate);
        }
        let encoded = parts.header;
        let approved = self.approve(&Header::parse(&parts.decode_header()?)?)?;
        let claims = self.judge(parts, &approved, now, certificate)?;
        self.headers.keep(encoded, &approved);
        Ok(claims)
    }

    /// What is left once the header is approved.
    fn judge(
        &self,
        parts: Parts<'_>,
        approved: &Approved,
        now: f64,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Claims, Refused> {
        parts.verify(&approved.key.key)?;
        let payload = claims::parse(&parts.payload)?;
        let mut claims = self.accept(&payload, approved, now, certificate)?;
        claims.payload = parts.payload;
        Ok(claims)
    }

    /// What is left once the signature has verified.
    fn accept(
        &self,
        payload: &Value<'_>,
        approved: &Approved,
        now: f64,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Claims, Refused> {
        let mut claims = Claims::read(
            payload,
            approved.declared,
            self.settings.leeway,
            self.settings.subject,
        )?;
        self.check_parties(&claims)?;
        self.check_times(&claims, now)?;
        check_proof(&claims, certificate)?;
        claims.key_fingerprint = approved.key.fingerprint;
        Ok(claims)
    }

    /// What comes before the signature.
    fn approve(&self, header: &Header<'_>) -> Result<Approved, Refused> {
        let declared = self.check_header(header)?;
        let key = header.key(&self.keys, &self.algorithms)?;
        Ok(Approved {
            declared,
            key: Arc::clone(key),
        })
    }

    /// Whether `typ` says that this is an access token, where it may say nothing.
    fn check_header(&self, header: &Header<'_>) -> Result<bool, Refused> {
        header.check_types()?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::hmac;

    const SECRET: [u8; 32] = [7; 32];

    fn token(payload: &str) -> String {
        let signed = [r#"{"alg":"HS256","typ":"at+jwt"}"#, payload]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn verifier(issuer: &str, change: impl FnOnce(&mut Settings)) -> Arc<Verifier> {
        let keys = KeySet::from_secret(&SECRET, "HS256").unwrap();
        let mut settings = Settings::new(issuer, "https://mcp", &["HS256"]);
        change(&mut settings);
        Arc::new(Verifier::new(Arc::new(keys), settings).unwrap())
    }

    fn payload(issuer: &str) -> String {
        format!(r#"{{"iss":"{issuer}","aud":"https://mcp","sub":"s","exp":1000,"iat":900}}"#)
    }

    #[test]
    fn the_claims_keep_their_bytes_whoever_chose_the_verifier() {
        let one = verifier("https://a", |_| ());
        let payload = payload("https://a");
        let token = token(&payload);
        let alone = one.verify(token.as_bytes(), 950.0, None).unwrap();
        let among = Verifiers::new([one, verifier("https://b", |_| ())]).unwrap();
        let chosen = among.verify(token.as_bytes(), 950.0, None).unwrap();
        assert_eq!(alone.payload, payload.as_bytes());
        assert_eq!(alone, chosen);
    }

    #[test]
    fn a_time_that_is_no_number_refuses() {
        let lifetimes = verifier("https://a", |settings| {
            settings.max_token_lifetime = Some(200.0)
        });
        let token = token(&payload("https://a"));
        assert!(lifetimes.verify(token.as_bytes(), 950.0, None).is_ok());
        let refused = lifetimes.verify(token.as_bytes(), f64::NAN, None);
        assert_eq!(refused.unwrap_err().refusal, Refusal::TokenExpired);
    }

    #[test]
    fn each_issuer_has_its_own_bound() {
        let short = verifier("https://a", |settings| settings.max_token_bytes = 100);
        let both = Verifiers::new([short, verifier("https://b", |_| ())]).unwrap();
        let refusal = |issuer| {
            let token = token(&payload(issuer));
            both.verify(token.as_bytes(), 950.0, None)
                .err()
                .map(|refused| refused.refusal)
        };
        assert_eq!(refusal("https://a"), Some(Refusal::TokenTooLarge));
        assert_eq!(refusal("https://b"), None);
        assert_eq!(refusal("https://c"), Some(Refusal::InvalidIssuer));
    }

    #[test]
    fn media_types_are_told_apart_as_rfc_7515_says() {
        for (name, short) in [
            ("AT+JWT", "at+jwt"),
            ("application/at+jwt", "at+jwt"),
            ("Application/JWT", "jwt"),
            ("application/a/b", "application/a/b"),
            ("text/jwt", "text/jwt"),
        ] {
            assert_eq!(media_type(name), short);
        }
    }
}

//! Several issuers, each with keys of its own.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Verifier, foreign_issuer};
use crate::claims::{self, Claims};
use crate::jws::{Header, Parts};
use crate::refusal::{Refusal, Refused};

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
        let encoded = parts.decode_header()?;
        let header = Header::parse(&encoded)?;
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
        let approved = verifier.approve(&header)?;
        parts.verify(&approved.key.key)?;
        let mut claims = verifier.accept(&payload, &approved, now, certificate)?;
        claims.payload = parts.payload;
        Ok(claims)
    }
}

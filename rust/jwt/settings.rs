//! What to demand of a token.

use crate::crypto::{self, Algorithm};
use crate::jws::DEFAULT_MAX_TOKEN_BYTES;
use crate::subject::SubjectRule;

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
    pub subject: SubjectRule,
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
            subject: SubjectRule::Sub,
        }
    }
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

/// Refuse what cannot be right.
pub(super) fn check(settings: &Settings) -> Result<(), &'static str> {
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

//! Why something is refused: one enum, one stable slug each.
//!
//! The slugs are the keys of `CODES` in `python/doorward/errors.py`, which says what each means to
//! the caller: its HTTP status and its words. A test compares the two lists.

use std::borrow::Cow;
use std::fmt;

/// A reason to refuse. The comment of each variant says what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The signature does not verify under the selected key.
    BadSignature,
    /// A claim is there, but of the wrong type or out of range.
    InvalidClaim,
    /// `aud` does not name this resource.
    InvalidAudience,
    /// `iss` is not the configured issuer.
    InvalidIssuer,
    /// The bytes are not one strict JSON value.
    InvalidJson,
    /// Strict JSON, but not one JSON-RPC message.
    InvalidRequest,
    /// `typ` is not that of an access token.
    InvalidType,
    /// The key set document as a whole is malformed.
    MalformedKeySet,
    /// The token is not three base64url parts of strict JSON.
    MalformedToken,
    /// A claim every access token must carry is absent.
    MissingClaim,
    /// The token is bound to a proof that was not given.
    ProofRequired,
    /// `exp` has passed.
    TokenExpired,
    /// The token lives longer than its issuer is allowed to grant.
    TokenLifetimeTooLong,
    /// `nbf` or `iat` lies in the future.
    TokenNotYetValid,
    /// The token is longer than the configured bound.
    TokenTooLarge,
    /// No key of the set fits the header.
    UnknownKey,
    /// `alg` is not on the allow list.
    UnsupportedAlgorithm,
    /// `crit` names an extension; we implement none.
    UnsupportedCritical,
}

impl Refusal {
    /// Every refusal of the core.
    pub const ALL: [Self; 18] = [
        Self::BadSignature,
        Self::InvalidClaim,
        Self::InvalidAudience,
        Self::InvalidIssuer,
        Self::InvalidJson,
        Self::InvalidRequest,
        Self::InvalidType,
        Self::MalformedKeySet,
        Self::MalformedToken,
        Self::MissingClaim,
        Self::ProofRequired,
        Self::TokenExpired,
        Self::TokenLifetimeTooLong,
        Self::TokenNotYetValid,
        Self::TokenTooLarge,
        Self::UnknownKey,
        Self::UnsupportedAlgorithm,
        Self::UnsupportedCritical,
    ];

    /// The stable name of the reason.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::InvalidClaim => "invalid_claim",
            Self::InvalidAudience => "invalid_audience",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidJson => "invalid_json",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidType => "invalid_type",
            Self::MalformedKeySet => "malformed_key_set",
            Self::MalformedToken => "malformed_token",
            Self::MissingClaim => "missing_claim",
            Self::ProofRequired => "proof_required",
            Self::TokenExpired => "token_expired",
            Self::TokenLifetimeTooLong => "token_lifetime_too_long",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenTooLarge => "token_too_large",
            Self::UnknownKey => "unknown_key",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnsupportedCritical => "unsupported_critical",
        }
    }
}

/// A refusal and the private detail that only the operator's records see: static text, never input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// The claim or header parameter it is about; empty where it is about none.
    pub member: &'static str,
    /// What in particular was wrong, in words fixed at compile time.
    pub detail: &'static str,
}

impl Refused {
    /// A refusal with its detail.
    #[must_use]
    pub const fn new(refusal: Refusal, detail: &'static str) -> Self {
        Self {
            refusal,
            member: "",
            detail,
        }
    }

    /// A refusal that names a claim or header parameter: `aud` and `is missing`.
    #[must_use]
    pub const fn of(refusal: Refusal, member: &'static str, detail: &'static str) -> Self {
        Self {
            refusal,
            member,
            detail,
        }
    }

    /// The name of the member, if any, and what was wrong.
    #[must_use]
    pub fn text(&self) -> Cow<'static, str> {
        if self.member.is_empty() {
            Cow::Borrowed(self.detail)
        } else {
            Cow::Owned(format!("{} {}", self.member, self.detail))
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.refusal.slug(), self.text())
    }
}

impl std::error::Error for Refused {}

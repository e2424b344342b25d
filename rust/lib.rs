//! The deciding core of toolgate: sans-I/O, without clock, network, file, log or callback.
#![doc = "Every time is an argument, every refusal a value."]

pub mod canonical;
pub mod envelope;
pub mod cache;
pub mod claims;
pub mod crypto;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod jwt;
pub mod refusal;

#[cfg(feature = "python")]
mod python;

//! The deciding core of doorward: sans-I/O, without clock, network, file, log or callback.
#![doc = "Every time is an argument, every refusal a value."]

pub mod bucket;
pub mod cache;
pub mod canonical;
pub mod chain;
pub mod charge;
pub mod claims;
pub mod crypto;
pub mod envelope;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod jwt;
pub mod kind;
pub mod leases;
pub mod limiter;
pub mod recogniser;
pub mod record;
pub mod refusal;
pub mod scrubber;
pub mod subject;

mod table;

#[cfg(feature = "python")]
mod python;

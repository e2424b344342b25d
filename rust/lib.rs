//! The deciding core of toolgate: sans-I/O, without clock, network, file, log or callback.
#![doc = "Every time is an argument, every refusal a value."]

pub mod canonical;
pub mod envelope;
pub mod json;
pub mod refusal;

#[cfg(feature = "python")]
mod python;

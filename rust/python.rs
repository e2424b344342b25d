//! The only place that names PyO3: native values in, frozen Python objects out.

use pyo3::prelude::*;

use crate::refusal::Refused;

mod body;
mod limits;
mod tokens;

impl From<Refused> for PyErr {
    fn from(refused: Refused) -> Self {
        Python::attach(|py| {
            let made = py
                .import("toolgate.errors")
                .and_then(|errors| errors.getattr("refusal"))
                .and_then(|refusal| refusal.call1((refused.refusal.slug(), refused.detail)));
            match made {
                Ok(exception) => Self::from_value(exception),
                Err(error) => error,
            }
        })
    }
}

/// What `toolgate._core` chooses when it is installed; `_rust.pyi` is its contract.
#[pymodule(gil_used = false)]
mod _rust {
    use super::*;

    #[pymodule_export]
    use super::body::{Envelope, hash_arguments, read_envelope};
    #[pymodule_export]
    use super::limits::{Charge, Grant, Limiter};
    #[pymodule_export]
    use super::tokens::{
        Claims, KeySet, TokenCache, Verifier, Verifiers, token_issuer, verify_jws,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add(
            "REFUSALS",
            crate::refusal::Refusal::ALL
                .map(crate::refusal::Refusal::slug)
                .to_vec(),
        )
    }
}

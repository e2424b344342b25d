//! The only place that names PyO3: native values in, frozen Python objects out.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PySequence;

use crate::refusal::Refused;

mod body;
mod cache;
mod chain;
mod keys;
mod leases;
mod limits;
mod pieces;
mod recogniser;
mod record;
mod scrubber;
mod tokens;
mod values;

impl From<Refused> for PyErr {
    fn from(refused: Refused) -> Self {
        // Kept: the import is a third of what a refusal takes.
        static REFUSAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        Python::attach(|py| {
            REFUSAL
                .import(py, "doorward.errors", "refusal")
                .and_then(|refusal| refusal.call1((refused.refusal.slug(), refused.text())))
                .map_or_else(|error| error, Self::from_value)
        })
    }
}

/// What `doorward._core` chooses when it is installed; `_rust.pyi` is its contract.
#[pymodule(gil_used = false)]
mod _rust {
    use super::*;

    #[pymodule_export]
    use super::body::{Envelope, hash_arguments, read_envelope};
    #[pymodule_export]
    use super::cache::TokenCache;
    #[pymodule_export]
    use super::chain::Chain;
    #[pymodule_export]
    use super::keys::KeySet;
    #[pymodule_export]
    use super::leases::{Holding, Holdings, RemoteGrant};
    #[pymodule_export]
    use super::limits::{Charge, Charges, Grant, Limiter};
    #[pymodule_export]
    use super::recogniser::{Recognised, Recogniser};
    #[pymodule_export]
    use super::record::{call_record, spelt};
    #[pymodule_export]
    use super::scrubber::Scrubber;
    #[pymodule_export]
    use super::tokens::{
        Claims, Verifier, Verifiers, subject_by, token_issuer, token_kind, verify_jws,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        PySequence::register::<Charges>(module.py())?;
        module.add(
            "REFUSALS",
            crate::refusal::Refusal::ALL
                .map(crate::refusal::Refusal::slug)
                .to_vec(),
        )
    }
}

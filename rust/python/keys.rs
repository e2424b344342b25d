//! Key sets.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping, PyTuple};

use super::values::bytes_of;
use crate::jwk;
use crate::refusal::{Refusal, Refused};

/// Public keys of one issuer (RFC 7517), or one shared secret.
#[pyclass(frozen, module = "doorward._rust")]
pub(super) struct KeySet(pub(super) Arc<jwk::KeySet>);

#[pymethods]
impl KeySet {
    /// Parse a JWK Set; unusable keys are skipped and named in `skipped`.
    #[staticmethod]
    fn from_json(document: &Bound<'_, PyAny>) -> PyResult<Self> {
        let dumped;
        let document = if document.cast::<PyMapping>().is_ok() {
            dumped = dump(document)?;
            &dumped
        } else {
            document
        };
        let bytes = bytes_of(document)?.ok_or(Refused::new(
            Refusal::MalformedKeySet,
            "the text has lone surrogates",
        ))?;
        Ok(Self(Arc::new(jwk::KeySet::from_json(bytes)?)))
    }

    /// A shared secret for HS256, HS384 or HS512: the only way to HMAC.
    #[staticmethod]
    #[pyo3(signature = (secret, *, algorithm))]
    fn from_secret(secret: &[u8], algorithm: &str) -> PyResult<Self> {
        jwk::KeySet::from_secret(secret, algorithm)
            .map(|keys| Self(Arc::new(keys)))
            .map_err(PyValueError::new_err)
    }

    #[getter]
    fn key_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.key_ids().collect::<Vec<_>>())
    }

    #[getter]
    fn fingerprints<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let fingerprints = self.0.fingerprints();
        let fingerprints: Vec<_> = fingerprints.map(|one| PyBytes::new(py, one)).collect();
        PyTuple::new(py, fingerprints)
    }

    #[getter]
    fn skipped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.skipped())
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// A mapping came out of a configuration; what JSON has no word for makes it malformed.
fn dump<'py>(mapping: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = mapping.py();
    let options = PyDict::new(py);
    options.set_item("allow_nan", false)?;
    py.import("json")?
        .getattr("dumps")?
        .call(
            (PyDict::from_sequence(&mapping.call_method0("items")?)?,),
            Some(&options),
        )
        .map_err(|_| Refused::new(Refusal::MalformedKeySet, "the mapping is not JSON").into())
}

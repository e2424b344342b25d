//! The cache of verified tokens.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::values::token_bytes;
use crate::cache;

/// What verified tokens were found to mean: bounded, and expiry checked on every hit.
#[pyclass(frozen, generic, module = "doorward._rust")]
pub(super) struct TokenCache(cache::TokenCache<Py<PyAny>>);

#[pymethods]
impl TokenCache {
    #[new]
    #[pyo3(signature = (*, max_entries = 10_000))]
    fn new(max_entries: i64) -> PyResult<Self> {
        cache::TokenCache::new(usize::try_from(max_entries).unwrap_or_default())
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    /// What was kept for exactly this token, unless it has expired.
    #[pyo3(signature = (token, *, now))]
    fn get(&self, token: &Bound<'_, PyAny>, now: f64) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.of(token.py(), token_bytes(token)?, now))
    }

    /// Keep what a token was found to mean, until it expires.
    #[pyo3(signature = (token, value, *, expires_at, weight = 0))]
    fn put(
        &self,
        token: &Bound<'_, PyAny>,
        value: Py<PyAny>,
        expires_at: f64,
        weight: i64,
    ) -> PyResult<()> {
        let bytes =
            usize::try_from(weight).map_err(|_| PyValueError::new_err("weight is less than 0"))?;
        drop(self.0.put(token_bytes(token)?, value, bytes, expires_at));
        Ok(())
    }

    /// Forget everything.
    fn clear(&self) {
        drop(self.0.clear());
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

impl TokenCache {
    /// What `get` finds.
    pub(super) fn of(&self, py: Python<'_>, token: &[u8], now: f64) -> Option<Py<PyAny>> {
        self.0.get(token, now, |value| value.clone_ref(py))
    }
}

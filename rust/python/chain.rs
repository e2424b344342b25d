//! The hash chain of an audit trail.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::chain;

/// The running end of one instance's chain of lines.
#[pyclass(frozen, module = "doorward._rust")]
pub(super) struct Chain(Mutex<chain::Chain>);

#[pymethods]
impl Chain {
    #[new]
    #[pyo3(signature = (instance, *, sequence = 0, previous = None))]
    fn new(instance: &str, sequence: u64, previous: Option<&str>) -> PyResult<Self> {
        chain::Chain::new(instance, sequence, previous)
            .map(|chain| Self(Mutex::new(chain)))
            .map_err(PyValueError::new_err)
    }

    /// The record's line.
    fn seal<'py>(&self, py: Python<'py>, record: &str) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.locked(|chain| chain.seal(record)))
    }

    /// The record's line without its closing brace.
    fn begin<'py>(&self, py: Python<'py>, record: &str) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.locked(|chain| chain.begin(record)))
    }

    /// The next line carries the hash of this one.
    fn end(&self, line: &[u8]) {
        self.locked(|chain| chain.end(line));
    }

    /// Leave out the number of a record that is lost.
    fn skip(&self) {
        self.locked(chain::Chain::skip);
    }
}

impl Chain {
    fn locked<T>(&self, run: impl FnOnce(&mut chain::Chain) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

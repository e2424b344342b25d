//! Text without credentials.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::values::text_bytes;
use crate::scrubber::{self, Words};

/// Takes credentials out of text.
#[pyclass(frozen, module = "doorward._rust")]
pub(super) struct Scrubber(scrubber::Scrubber);

#[pymethods]
impl Scrubber {
    #[new]
    #[pyo3(signature = (*, headers, names, assigned, parameters, schemes, prefixes, forms, encoded))]
    #[expect(
        clippy::too_many_arguments,
        reason = "each list is a kind of its own, and they are given by name"
    )]
    fn new(
        headers: Vec<String>,
        names: Vec<String>,
        assigned: Vec<String>,
        parameters: Vec<String>,
        schemes: Vec<String>,
        prefixes: Vec<String>,
        forms: Vec<Vec<u8>>,
        encoded: Vec<Vec<u8>>,
    ) -> PyResult<Self> {
        let words = Words {
            headers,
            names,
            assigned,
            parameters,
            schemes,
            prefixes,
        };
        scrubber::Scrubber::new(words, forms, encoded)
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    /// The text with ``[redacted]`` for each credential.
    #[pyo3(signature = (text, /))]
    fn scrub<'py>(&self, text: Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
        let Some(clean) = self.0.scrub(&text_bytes(&text)?) else {
            return Ok(text);
        };
        match std::str::from_utf8(&clean) {
            Ok(clean) => Ok(PyString::new(text.py(), clean)),
            Err(_) => Ok(PyBytes::new(text.py(), &clean)
                .call_method1("decode", ("utf-8", "surrogatepass"))?
                .cast_into()?),
        }
    }

    /// How many bytes scanning the text reads.
    #[pyo3(signature = (text, /))]
    fn steps(&self, text: Bound<'_, PyString>) -> PyResult<usize> {
        Ok(self.0.steps(&text_bytes(&text)?))
    }
}

//! The fast path of a request, from the headers of an ASGI scope.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use super::cache::TokenCache;
use crate::recogniser;

/// Headers of a usual request.
const FEW: usize = 16;

/// Finds the cached caller of a request whose head is plain.
#[pyclass(frozen, generic, module = "doorward._rust")]
pub(super) struct Recogniser {
    callers: Py<TokenCache>,
    heads: recogniser::Recogniser,
}

/// A request with a cached caller.
#[pyclass(frozen, get_all, generic, module = "doorward._rust")]
pub(super) struct Recognised {
    caller: Py<PyAny>,
    protocol: Option<Py<PyString>>,
    traceparent: Option<Py<PyString>>,
    content_length: Option<u64>,
    others: Py<PyList>,
}

#[pymethods]
impl Recogniser {
    #[new]
    #[pyo3(signature = (callers, *, hosts, max_body_bytes))]
    fn new(callers: Py<TokenCache>, hosts: Vec<String>, max_body_bytes: u64) -> Self {
        Self {
            callers,
            heads: recogniser::Recogniser::new(hosts, max_body_bytes),
        }
    }

    /// The cached caller of a request, if each of its headers is one that the fast path knows. None means "take the
    /// slow path", not "refuse".
    #[pyo3(signature = (headers, *, scheme, peer, now))]
    fn recognise(
        &self,
        headers: &Bound<'_, PyAny>,
        scheme: &str,
        peer: Option<Bound<'_, PyString>>,
        now: f64,
    ) -> PyResult<Option<Recognised>> {
        let py = headers.py();
        let Ok(headers) = headers.cast::<PyList>() else {
            return Ok(None);
        };
        // A name that has no UTF-8 is no address.
        let peer = peer.as_ref().and_then(|peer| peer.to_str().ok());
        if !recogniser::is_safe(scheme, peer) {
            return Ok(None);
        }
        let mut pairs = Vec::with_capacity(FEW);
        for pair in headers {
            let Some(pair) = bytes_of(&pair) else {
                return Ok(None);
            };
            pairs.push(pair);
        }
        let read = self.heads.read_head(
            pairs
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        );
        let Some(head) = read else {
            return Ok(None);
        };
        let Some(caller) = self.callers.get().of(py, head.token, now) else {
            return Ok(None);
        };
        let others = headers.get_slice(0, pairs.len());
        others.del_item(head.credentials_at)?;
        Ok(Some(Recognised {
            caller,
            protocol: head.protocol.map(|text| PyString::new(py, text).unbind()),
            traceparent: head
                .traceparent
                .map(|text| PyString::new(py, text).unbind()),
            content_length: head.content_length,
            others: others.unbind(),
        }))
    }
}

fn bytes_of<'py>(pair: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let pair = pair.cast::<PyTuple>().ok()?;
    let name = pair.get_item(0).ok()?.cast_into().ok()?;
    let value = pair.get_item(1).ok()?.cast_into().ok()?;
    (pair.len() == 2).then_some((name, value))
}

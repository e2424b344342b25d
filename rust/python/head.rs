//! The head of a request, from the headers of an ASGI scope.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::head;

/// What a plain head says.
#[pyclass(frozen, get_all, module = "toolgate._rust")]
pub(super) struct Head {
    host: Py<PyString>,
    token: Py<PyString>,
    protocol: Option<Py<PyString>>,
    content_length: Option<u64>,
    others: Py<PyList>,
}

/// What a head says that has one Host, one bearer token and nothing else that is judged; None for every other.
#[pyfunction]
pub(super) fn read_head(headers: &Bound<'_, PyAny>) -> PyResult<Option<Head>> {
    let py = headers.py();
    let Ok(headers) = headers.cast::<PyList>() else {
        return Ok(None);
    };
    let mut pairs = Vec::with_capacity(headers.len());
    for pair in headers {
        let Some((name, value)) = bytes_of(&pair) else {
            return Ok(None);
        };
        pairs.push((pair, name, value));
    }
    let read = head::read_head(
        pairs
            .iter()
            .map(|(_, name, value)| (name.as_bytes(), value.as_bytes())),
    );
    let Some(head) = read else {
        return Ok(None);
    };
    let others = pairs
        .iter()
        .filter(|(_, name, _)| !head::is_withheld(name.as_bytes()))
        .map(|(pair, _, _)| pair);
    Ok(Some(Head {
        others: PyList::new(py, others.collect::<Vec<_>>())?.unbind(),
        host: PyString::new(py, head.host).unbind(),
        token: PyString::new(py, head.token).unbind(),
        protocol: head.protocol.map(|text| PyString::new(py, text).unbind()),
        content_length: head.content_length,
    }))
}

fn bytes_of<'py>(pair: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let pair = pair.cast::<PyTuple>().ok()?;
    let name = pair.get_item(0).ok()?.cast_into().ok()?;
    let value = pair.get_item(1).ok()?.cast_into().ok()?;
    (pair.len() == 2).then_some((name, value))
}

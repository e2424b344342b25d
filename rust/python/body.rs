//! Bodies and arguments: `Envelope`, `read_envelope`, `hash_arguments`.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};

use crate::canonical::{self, Canonical};
use crate::envelope::{self, Id};
use crate::json::MAX_DEPTH;
use crate::refusal::{Refusal, Refused};

use super::values::to_python;

/// One JSON-RPC message, read strictly.
#[pyclass(frozen, module = "doorward._rust")]
pub(super) struct Envelope {
    read: envelope::Envelope,
    body: Py<PyBytes>,
}

#[pymethods]
impl Envelope {
    #[getter]
    fn kind(&self) -> &'static str {
        self.read.kind.name()
    }

    #[getter]
    fn method(&self) -> Option<&str> {
        self.read.method.as_deref()
    }

    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(match &self.read.id {
            None => None,
            Some(Id::Integer(integer)) => Some(integer.into_pyobject(py)?.into_any()),
            Some(Id::Text(text)) => Some(PyString::new(py, text).into_any()),
        })
    }

    #[getter]
    fn name(&self) -> Option<&str> {
        self.read.name.as_deref()
    }

    #[getter]
    fn uri(&self) -> Option<&str> {
        self.read.uri.as_deref()
    }

    #[getter]
    fn reference(&self) -> Option<(&str, &str)> {
        self.read
            .reference
            .as_ref()
            .map(|(kind, target)| (kind.as_str(), target.as_str()))
    }

    #[getter]
    fn traceparent(&self) -> Option<&str> {
        self.read.traceparent.as_deref()
    }

    #[getter]
    fn arguments_size(&self) -> usize {
        self.read.place(ARGUMENTS).unwrap_or_default().len()
    }

    #[pyo3(signature = (*, key=None))]
    fn hash_arguments(&self, key: Option<&[u8]>) -> PyResult<String> {
        Ok(self.read.hash_arguments(usable(key)?))
    }

    #[pyo3(signature = (*, key=None))]
    fn digest_arguments(&self, py: Python<'_>, key: Option<&[u8]>) -> PyResult<String> {
        let place = self.read.place(ARGUMENTS).unwrap_or_default();
        let written = self.body.as_bytes(py).get(place).unwrap_or_default();
        Ok(canonical::fingerprint(written, usable(key)?))
    }

    #[pyo3(signature = (name, *, max_bytes))]
    fn param<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        max_bytes: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !envelope::is_noted(name) {
            return Err(PyValueError::new_err(
                "the place of this member is not noted",
            ));
        }
        let found = self.read.param(self.body.as_bytes(py), name, max_bytes)?;
        found.map(|value| to_python(py, &value)).transpose()
    }
}

const ARGUMENTS: &str = "arguments";

/// The one message of a request body, read once.
#[pyfunction]
#[pyo3(signature = (body))]
pub(super) fn read_envelope(body: Bound<'_, PyBytes>) -> PyResult<Envelope> {
    Ok(Envelope {
        read: envelope::read_envelope(body.as_bytes())?,
        body: body.unbind(),
    })
}

/// The fingerprint of a mapping, or of the bytes of any JSON value, in canonical form.
#[pyfunction]
#[pyo3(signature = (arguments, *, key=None))]
pub(super) fn hash_arguments(arguments: &Bound<'_, PyAny>, key: Option<&[u8]>) -> PyResult<String> {
    let key = usable(key)?;
    if let Ok(bytes) = arguments.cast::<PyBytes>() {
        return Ok(canonical::hash_arguments(bytes.as_bytes(), key)?);
    }
    if !arguments.is_instance_of::<PyDict>() && !arguments.is_instance_of::<PyMapping>() {
        return Err(PyTypeError::new_err("arguments must be a mapping or bytes"));
    }
    let mut form = Canonical::default();
    write(&mut form, arguments, 0)?;
    Ok(form.fingerprint(key))
}

/// How long the canonical form of Python objects may become: objects that share their parts unfold
/// exponentially. Text cannot, and a body is bounded far below.
const MAX_FORM_BYTES: usize = 64 << 20;

/// An empty key would make a fingerprint look keyed that anybody can compute.
fn usable(key: Option<&[u8]>) -> PyResult<Option<&[u8]>> {
    match key {
        Some([]) => Err(PyValueError::new_err("the key is empty")),
        key => Ok(key),
    }
}

fn invalid(detail: &'static str) -> PyErr {
    Refused::new(Refusal::InvalidJson, detail).into()
}

/// Python objects as the JSON text of them would be written. The recursion is bounded by `MAX_DEPTH`.
fn write(form: &mut Canonical, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
    if let Ok(text) = value.cast::<PyString>() {
        form.string(utf8(text)?);
    } else if let Ok(truth) = value.cast::<PyBool>() {
        form.raw(if truth.is_true() { "true" } else { "false" });
    } else if let Ok(integer) = value.cast::<PyInt>() {
        write_integer(form, integer)?;
    } else if let Ok(float) = value.cast::<PyFloat>() {
        if !float.value().is_finite() {
            return Err(invalid("a number is not finite"));
        }
        form.double(float.value());
    } else if value.is_none() {
        form.raw("null");
    } else if depth >= MAX_DEPTH {
        return Err(invalid("nested too deeply, or not JSON"));
    } else if form.as_bytes().len() > MAX_FORM_BYTES {
        return Err(invalid("too large"));
    } else if let Ok(members) = value.cast::<PyDict>() {
        write_object(form, members, depth + 1)?;
    } else if let Ok(items) = value.cast::<PyList>() {
        write_array(form, items.iter(), depth + 1)?;
    } else if let Ok(items) = value.cast::<PyTuple>() {
        write_array(form, items.iter(), depth + 1)?;
    } else if let Ok(mapping) = value.cast::<PyMapping>() {
        let members = PyDict::new(value.py());
        members.update(mapping)?;
        write_object(form, &members, depth + 1)?;
    } else {
        return Err(invalid("not JSON"));
    }
    Ok(())
}

fn write_integer(form: &mut Canonical, integer: &Bound<'_, PyInt>) -> PyResult<()> {
    if let Ok(small) = integer.extract::<i64>() {
        form.integer(small);
        return Ok(());
    }
    // As in text: what overflows a double is no number. It also bounds the digits.
    if integer.extract::<f64>().is_err() {
        return Err(invalid("a number is too large"));
    }
    let exact = integer.py().get_type::<PyInt>();
    form.raw(
        exact
            .call_method1("__repr__", (integer,))?
            .cast::<PyString>()?
            .to_str()?,
    );
    Ok(())
}

fn write_array<'py>(
    form: &mut Canonical,
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    depth: usize,
) -> PyResult<()> {
    form.raw("[");
    for (index, item) in items.enumerate() {
        if index > 0 {
            form.raw(",");
        }
        write(form, &item, depth)?;
    }
    form.raw("]");
    Ok(())
}

fn write_object(form: &mut Canonical, members: &Bound<'_, PyDict>, depth: usize) -> PyResult<()> {
    let pairs = members
        .iter()
        .map(|(name, value)| {
            Ok((
                name.cast_into::<PyString>()
                    .map_err(|_| invalid("a name is not a string"))?,
                value,
            ))
        })
        .collect::<PyResult<Vec<_>>>()?;
    let mut sorted = pairs
        .iter()
        .map(|(name, value)| Ok((utf8(name)?, value)))
        .collect::<PyResult<Vec<_>>>()?;
    if !sorted.is_sorted_by(|(a, _), (b, _)| canonical::order(a, b).is_lt()) {
        sorted.sort_unstable_by(|(a, _), (b, _)| canonical::order(a, b));
    }
    form.raw("{");
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            form.raw(",");
        }
        form.string(name);
        form.raw(":");
        write(form, value, depth)?;
    }
    form.raw("}");
    Ok(())
}

fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    text.to_str()
        .map_err(|_| invalid("a lone surrogate in a string"))
}

//! Texts of Python in, without a copy; JSON values out.

use std::borrow::Cow;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString};

use crate::json::{Number, Value};
use crate::jws;

/// The bytes of a `bytes`, or of a `str` in UTF-8, without a copy; None for a text that has none.
pub(super) fn bytes_of<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Option<&'a [u8]>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_str().ok().map(str::as_bytes));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Some(bytes.as_bytes()));
    }
    Err(PyTypeError::new_err("expected str or bytes"))
}

/// The bytes of a token.
pub(super) fn token_bytes<'a>(token: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    Ok(bytes_of(token)?.ok_or(jws::malformed("the text has lone surrogates"))?)
}

/// A JSON value as the objects that `json.loads` makes of it.
pub(super) fn to_python<'py>(py: Python<'py>, value: &Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => truth.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => number_to_python(py, *number)?,
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (name, member) in members {
                dict.set_item(name.as_ref(), to_python(py, member)?)?;
            }
            dict.into_any()
        }
    })
}

fn number_to_python<'py>(py: Python<'py>, number: Number<'_>) -> PyResult<Bound<'py, PyAny>> {
    if !number.is_integer() {
        return Ok(number.as_f64().into_pyobject(py)?.into_any());
    }
    match number.as_i64() {
        Some(integer) => Ok(integer.into_pyobject(py)?.into_any()),
        None => py.get_type::<PyInt>().call1((number.literal(),)),
    }
}

/// The bytes of a text; one with lone surrogates has none in UTF-8 proper.
pub(super) fn text_bytes<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(proper) = text.to_str() {
        return Ok(Cow::Borrowed(proper.as_bytes()));
    }
    let encoded = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
    Ok(Cow::Owned(encoded.cast::<PyBytes>()?.as_bytes().to_vec()))
}

//! Tokens: key sets, verifiers, claims and the cache of verified tokens.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PyString, PyTuple};

use crate::json::{Number, Value};
use crate::refusal::{Refusal, Refused};
use crate::{cache, claims, jwk, jws, jwt};

/// Public keys of one issuer (RFC 7517), or one shared secret.
#[pyclass(frozen, module = "toolgate._rust")]
pub(super) struct KeySet(Arc<jwk::KeySet>);

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
    fn skipped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.skipped())
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// What a verified access token says (RFC 9068).
#[pyclass(frozen, module = "toolgate._rust")]
pub(super) struct Claims(claims::Claims);

#[pymethods]
impl Claims {
    #[getter]
    fn issuer(&self) -> &str {
        &self.0.issuer
    }

    #[getter]
    fn subject(&self) -> &str {
        &self.0.subject
    }

    #[getter]
    fn client_id(&self) -> Option<&str> {
        self.0.client_id.as_deref()
    }

    #[getter]
    fn audience<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.audience)
    }

    #[getter]
    fn scopes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.scopes)
    }

    #[getter]
    fn issued_at(&self) -> Option<f64> {
        self.0.issued_at
    }

    #[getter]
    fn expires_at(&self) -> f64 {
        self.0.expires_at
    }

    #[getter]
    fn not_before(&self) -> f64 {
        self.0.not_before
    }

    #[getter]
    fn certificate_sha256<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let certificate = self.0.certificate?;
        Some(PyBytes::new(py, &certificate))
    }

    #[getter]
    fn token_id(&self) -> Option<&str> {
        self.0.token_id.as_deref()
    }

    /// Parsed again each time: few callers want it, and every token would pay.
    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &claims::parse(&self.0.payload)?)
    }
}

/// Verifies the access tokens of one issuer for one resource (RFC 8725, RFC 9068 section 4).
#[pyclass(frozen, module = "toolgate._rust")]
pub(super) struct Verifier(Arc<jwt::Verifier>);

#[pymethods]
impl Verifier {
    #[new]
    #[pyo3(signature = (
        keys, *, issuer, audience, algorithms, leeway = 30.0, types = None,
        max_token_bytes = 16_384, max_token_lifetime = None,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        keys: &KeySet,
        issuer: String,
        audience: &Bound<'_, PyAny>,
        algorithms: Vec<String>,
        leeway: f64,
        types: Option<Vec<String>>,
        max_token_bytes: i64,
        max_token_lifetime: Option<f64>,
    ) -> PyResult<Self> {
        let audience = match audience.cast::<PyString>() {
            Ok(one) => vec![one.to_str()?.to_owned()],
            Err(_) => audience.extract()?,
        };
        let settings = jwt::Settings {
            issuer,
            audience,
            algorithms,
            leeway,
            types,
            max_token_bytes: usize::try_from(max_token_bytes).unwrap_or_default(),
            max_token_lifetime,
        };
        jwt::Verifier::new(Arc::clone(&keys.0), settings)
            .map(|verifier| Self(Arc::new(verifier)))
            .map_err(PyValueError::new_err)
    }

    #[getter]
    fn issuer(&self) -> &str {
        self.0.issuer()
    }

    /// The claims of a token that is right in every respect, or the reason why it is not. Never caches.
    #[pyo3(signature = (token, *, now, certificate_sha256 = None))]
    fn verify(
        &self,
        token: &Bound<'_, PyAny>,
        now: f64,
        certificate_sha256: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Claims> {
        let certificate = certificate_sha256.map(thumbprint).transpose()?;
        let claims = self
            .0
            .verify(token_bytes(token)?, finite(now)?, certificate.as_ref())?;
        Ok(Claims(claims))
    }
}

/// Several issuers: the token's exact `iss` chooses, keys are never mixed.
#[pyclass(frozen, module = "toolgate._rust")]
pub(super) struct Verifiers(jwt::Verifiers);

#[pymethods]
impl Verifiers {
    #[new]
    fn new(verifiers: Vec<Py<Verifier>>) -> PyResult<Self> {
        jwt::Verifiers::new(verifiers.iter().map(|one| Arc::clone(&one.get().0)))
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    /// What the verifier of the token's own issuer says.
    #[pyo3(signature = (token, *, now, certificate_sha256 = None))]
    fn verify(
        &self,
        token: &Bound<'_, PyAny>,
        now: f64,
        certificate_sha256: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Claims> {
        let certificate = certificate_sha256.map(thumbprint).transpose()?;
        let claims = self
            .0
            .verify(token_bytes(token)?, finite(now)?, certificate.as_ref())?;
        Ok(Claims(claims))
    }
}

/// What verified tokens were found to mean: bounded, and expiry checked on every hit.
#[pyclass(frozen, generic, module = "toolgate._rust")]
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
        let py = token.py();
        Ok(self
            .0
            .get(token_bytes(token)?, now, |value| value.clone_ref(py)))
    }

    /// Keep what a token was found to mean, until it expires.
    #[pyo3(signature = (token, value, *, expires_at))]
    fn put(&self, token: &Bound<'_, PyAny>, value: Py<PyAny>, expires_at: f64) -> PyResult<()> {
        drop(self.0.put(token_bytes(token)?, value, expires_at));
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

/// The `iss` that a JWT claims, nothing of it verified: only to choose whose keys are asked.
#[pyfunction]
pub(super) fn token_issuer(token: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    Ok(claims::token_issuer(token_bytes(token)?)?)
}

/// The payload of a compact JWS after its signature verifies.
#[pyfunction]
pub(super) fn verify_jws<'py>(
    token: &Bound<'py, PyAny>,
    keys: &KeySet,
    algorithms: Vec<String>,
) -> PyResult<Bound<'py, PyBytes>> {
    let algorithms = jwt::read_algorithms(&algorithms).map_err(PyValueError::new_err)?;
    let payload = jws::verify_jws(token_bytes(token)?, &keys.0, &algorithms)?;
    Ok(PyBytes::new(token.py(), &payload))
}

/// The bytes of a `bytes`, or of a `str` in UTF-8, without a copy; None for a text that has none.
fn bytes_of<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Option<&'a [u8]>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_str().ok().map(str::as_bytes));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Some(bytes.as_bytes()));
    }
    Err(PyTypeError::new_err("expected str or bytes"))
}

fn token_bytes<'a>(token: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    Ok(bytes_of(token)?.ok_or(jws::malformed("the text has lone surrogates"))?)
}

fn finite(now: f64) -> PyResult<f64> {
    if now.is_finite() {
        Ok(now)
    } else {
        Err(PyValueError::new_err("now is not a finite number"))
    }
}

fn thumbprint(certificate: &Bound<'_, PyAny>) -> PyResult<[u8; 32]> {
    let bytes = match certificate.cast::<PyString>() {
        Ok(text) => text.to_str().ok().and_then(claims::thumbprint_bytes),
        Err(_) => certificate.extract::<&[u8]>()?.try_into().ok(),
    };
    bytes.ok_or_else(|| PyValueError::new_err("certificate_sha256 is not a SHA-256"))
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

fn to_python<'py>(py: Python<'py>, value: &Value<'_>) -> PyResult<Bound<'py, PyAny>> {
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
        None => py
            .get_type::<pyo3::types::PyInt>()
            .call1((number.literal(),)),
    }
}

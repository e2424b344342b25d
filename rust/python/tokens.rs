//! Tokens: verifiers and claims.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use super::keys::KeySet;
use super::values::{to_python, token_bytes};
use crate::subject::SubjectRule;
use crate::{claims, jws, jwt, kind};

/// What a verified access token says (RFC 9068).
#[pyclass(frozen, module = "doorward._rust")]
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

    #[getter]
    fn key_fingerprint<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.key_fingerprint)
    }

    /// Parsed again each time: few callers want it, and every token would pay.
    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &claims::parse(&self.0.payload)?)
    }
}

/// Verifies the access tokens of one issuer for one resource (RFC 8725, RFC 9068 section 4).
#[pyclass(frozen, module = "doorward._rust")]
pub(super) struct Verifier(Arc<jwt::Verifier>);

#[pymethods]
impl Verifier {
    #[new]
    #[pyo3(signature = (
        keys, *, issuer, audience, algorithms, leeway = 30.0, types = None,
        max_token_bytes = 16_384, max_token_lifetime = None, subject = "sub",
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
        subject: &str,
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
            subject: SubjectRule::named(subject).map_err(PyValueError::new_err)?,
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
#[pyclass(frozen, module = "doorward._rust")]
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

/// The `iss` that a JWT claims, nothing of it verified: only to choose whose keys are asked.
#[pyfunction]
pub(super) fn token_issuer(token: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    Ok(claims::token_issuer(token_bytes(token)?)?)
}

/// What a set of claims shows of the kind of its token.
#[pyfunction]
pub(super) fn token_kind(claims: &[u8]) -> PyResult<&'static str> {
    Ok(kind::kind(&claims::parse(claims)?).name())
}

/// The subject of a token or an introspection answer.
#[pyfunction]
pub(super) fn subject_by(
    rule: &str,
    sub: Option<&str>,
    username: Option<&str>,
    client_id: Option<&str>,
) -> PyResult<String> {
    let rule = SubjectRule::named(rule).map_err(PyValueError::new_err)?;
    Ok(rule.subject(sub, username, client_id)?.to_owned())
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

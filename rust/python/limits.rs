//! Charges, the limiter and its grants.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PySequence, PyTuple, PyType};

use crate::bucket::Invalid;
use crate::{charge, limiter};

/// What one call spends of one bucket.
#[pyclass(frozen, module = "toolgate._rust")]
pub(crate) struct Charge(charge::Charge);

#[pymethods]
impl Charge {
    #[new]
    #[pyo3(
        signature = (key, limit, *, cost = Whole(1), observe = false, shared = false, instances = Whole(1)),
        text_signature = "(key, limit, *, cost=1, observe=False, shared=False, instances=1)"
    )]
    fn new(
        key: &str,
        limit: &str,
        cost: Whole,
        observe: bool,
        shared: bool,
        instances: Whole,
    ) -> PyResult<Self> {
        let terms = charge::Terms {
            cost: cost.0,
            observe,
            shared,
            instances: instances.0,
        };
        Ok(Self(charge::Charge::new(key, limit, terms)?))
    }

    #[getter]
    fn key(&self) -> &str {
        &self.0.key
    }

    #[getter]
    fn limit(&self) -> &str {
        &self.0.text
    }

    #[getter]
    fn cost(&self) -> u64 {
        self.0.cost
    }

    #[getter]
    fn observe(&self) -> bool {
        self.0.observe
    }

    #[getter]
    fn shared(&self) -> bool {
        self.0.shared
    }

    #[getter]
    fn instances(&self) -> u64 {
        self.0.instances
    }
}

/// An admission.
#[pyclass(frozen, module = "toolgate._rust")]
pub(crate) struct Grant(limiter::Grant);

#[pymethods]
impl Grant {
    /// Whole tokens left, in the order of the charges.
    #[getter]
    fn remaining<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.remaining())
    }

    /// Keys of the observed charges that would have refused.
    #[getter]
    fn would_deny<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.would_deny.iter().map(|key| &**key))
    }
}

/// Token buckets (the GCRA form) in sharded domains, in integer nanoseconds.
#[pyclass(frozen, module = "toolgate._rust")]
pub(crate) struct Limiter(limiter::Limiter);

#[pymethods]
impl Limiter {
    #[new]
    #[pyo3(
        signature = (*, max_keys = Whole(100_000), overflow = true, initial = None),
        text_signature = "(*, max_keys=100000, overflow=True, initial=None)"
    )]
    fn new(max_keys: Whole, overflow: bool, initial: Option<Whole>) -> PyResult<Self> {
        Ok(Self(limiter::Limiter::new(limiter::Settings {
            max_keys: usize::try_from(max_keys.0).unwrap_or(usize::MAX),
            overflow,
            initial: initial.map(|tokens| tokens.0),
        })?))
    }

    /// Spend all charges or none.
    #[pyo3(signature = (*, domain, charges, tick))]
    fn admit(&self, domain: &str, charges: &Bound<'_, PyAny>, tick: Whole) -> PyResult<Grant> {
        // A tuple cannot change under us, so that its charges are read where they are.
        let charges = match charges.cast::<PyTuple>() {
            Ok(charges) => charges.clone(),
            Err(_) => charges.cast::<PySequence>()?.to_tuple()?,
        };
        let mut spent = Vec::with_capacity(charges.len());
        for charge in charges.iter_borrowed() {
            match charge.cast::<Charge>() {
                Ok(charge) => spent.push(&charge.get().0),
                Err(_) => return Err(PyTypeError::new_err("charges is a sequence of Charge")),
            }
        }
        match self.0.admit(domain, &spent, tick.0)? {
            Ok(grant) => Ok(Grant(grant)),
            Err(denied) => Err(denied.into()),
        }
    }

    /// Give back what a call spent that never started; a second time does nothing.
    fn refund(&self, grant: &Bound<'_, Grant>) -> PyResult<()> {
        Ok(self.0.refund(&grant.get().0)?)
    }

    /// Each charge of the grant that cost something costs this much instead; again does nothing.
    #[pyo3(signature = (grant, actual, *, tick))]
    fn settle(&self, grant: &Bound<'_, Grant>, actual: Whole, tick: Whole) -> PyResult<()> {
        Ok(self.0.settle(&grant.get().0, actual.0, tick.0)?)
    }

    /// All buckets that are not full, as bytes that hold a secret.
    #[pyo3(signature = (*, tick))]
    fn snapshot<'py>(&self, py: Python<'py>, tick: Whole) -> PyResult<Bound<'py, PyBytes>> {
        // A million buckets take a while, and the other threads decide meanwhile.
        let bytes = py.detach(|| self.0.snapshot(tick.0))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Take up a snapshot of an earlier process.
    #[pyo3(signature = (data, *, tick, elapsed))]
    fn restore(&self, py: Python<'_>, data: &[u8], tick: Whole, elapsed: Elapsed) -> PyResult<()> {
        Ok(py.detach(|| self.0.restore(data, tick.0, elapsed.0))?)
    }

    /// Charges of newcomers for which there was no room.
    #[getter]
    fn overflowed(&self) -> u64 {
        self.0.overflowed()
    }

    /// Buckets held.
    fn __len__(&self) -> usize {
        self.0.len()
    }
}

impl From<limiter::Denied> for PyErr {
    fn from(denied: limiter::Denied) -> Self {
        Python::attach(|py| limited(py, &denied).map_or_else(|error| error, Self::from_value))
    }
}

impl From<Invalid> for PyErr {
    fn from(invalid: Invalid) -> Self {
        PyValueError::new_err(invalid.0)
    }
}

/// A whole number; one that is negative or beyond 64 bits is a wrong value like any other out of bounds.
struct Whole(u64);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // CPython reads a signed number several times faster, and all but the wildest are one.
        if let Ok(number) = object.extract::<i64>() {
            return u64::try_from(number).map(Self).map_err(|_| out_of_bounds());
        }
        object.extract().map(Self).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(object.py()) {
                return out_of_bounds();
            }
            error
        })
    }
}

fn out_of_bounds() -> PyErr {
    PyValueError::new_err("a number is negative or too large")
}

/// Nanoseconds by a clock that may have been set: back is none, and more than a bucket takes is all.
struct Elapsed(u64);

impl<'py> FromPyObject<'_, 'py> for Elapsed {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.extract().map(Self).or_else(|error: PyErr| {
            if !error.is_instance_of::<PyOverflowError>(object.py()) {
                return Err(error);
            }
            Ok(Self(if object.lt(0)? { 0 } else { u64::MAX }))
        })
    }
}

fn limited<'py>(py: Python<'py>, denied: &limiter::Denied) -> PyResult<Bound<'py, PyAny>> {
    static LIMITED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let seconds = denied.retry_after_seconds();
    let code = if seconds.is_some() {
        "rate_limited"
    } else {
        "cost_exceeds_limit"
    };
    let facts = PyDict::new(py);
    facts.set_item("retry_after", seconds)?;
    facts.set_item("budget", &*denied.budget)?;
    facts.set_item("remaining", denied.remaining)?;
    facts.set_item(
        "violated",
        PyTuple::new(py, denied.violated.iter().map(|key| &**key))?,
    )?;
    LIMITED
        .import(py, "toolgate.errors", "Limited")?
        .call((code,), Some(&facts))
}

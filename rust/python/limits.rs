//! Charges, the limiter and its grants.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PySequence, PyTuple, PyType};

use super::pieces::Pieces;
use crate::bucket::Invalid;
use crate::{charge, limiter};

/// As many charges as a usual call has.
const FEW: usize = 8;

/// What one call spends of one bucket.
#[pyclass(frozen, module = "doorward._rust")]
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
        &self.0.words.key
    }

    #[getter]
    fn limit(&self) -> &str {
        &self.0.words.limit
    }

    #[getter]
    fn cost(&self) -> u64 {
        self.0.cost()
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
        self.0.words.instances
    }
}

/// All charges of a call, kept together: of the objects they were made of, a decision reads none.
#[pyclass(frozen, sequence, module = "doorward._rust")]
pub(crate) struct Charges {
    all: limiter::Charges,
    objects: Py<PyTuple>,
}

#[pymethods]
impl Charges {
    #[new]
    #[pyo3(signature = (charges, /))]
    fn new(charges: &Bound<'_, PyAny>) -> PyResult<Self> {
        let objects = tuple_of(charges)?;
        Ok(Self {
            all: with_charges(&objects, limiter::Charges::new)?,
            objects: objects.unbind(),
        })
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.objects.bind(py).len()
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.objects.bind(index.py()).as_any().get_item(index)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.objects.bind(py).try_iter()
    }

    /// The position of a charge.
    #[pyo3(signature = (*arguments))]
    fn index<'py>(&self, arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let objects = self.objects.bind(arguments.py());
        objects.call_method1("index", arguments)
    }

    /// How often a charge is among them.
    #[pyo3(signature = (value, /))]
    fn count<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.objects
            .bind(value.py())
            .call_method1("count", (value,))
    }
}

/// An admission.
#[pyclass(frozen, module = "doorward._rust")]
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
#[pyclass(frozen, module = "doorward._rust")]
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
        let verdict = if charges.is_exact_instance_of::<Charges>() {
            let charges = charges.cast::<Charges>()?;
            self.0.admit_all(domain, &charges.get().all, tick.0)?
        } else {
            let charges = tuple_of(charges)?;
            with_charges(&charges, |spent| self.0.admit(domain, spent, tick.0))?
        };
        match verdict {
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

    /// The same in pieces: to make one object of a million buckets would hold up the other threads.
    #[pyo3(signature = (*, tick))]
    fn snapshot_pieces(&self, py: Python<'_>, tick: Whole) -> PyResult<Pieces> {
        let bytes = py.detach(|| self.0.snapshot(tick.0))?;
        Ok(Pieces::of(bytes))
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

/// A tuple cannot change under us, so that its charges are read where they are.
fn tuple_of<'py>(charges: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    if charges.is_instance_of::<PyTuple>() {
        return Ok(charges.cast::<PyTuple>()?.clone());
    }
    if charges.is_instance_of::<PyList>() {
        return Ok(charges.cast::<PyList>()?.to_tuple());
    }
    charges.cast::<PySequence>()?.to_tuple()
}

/// Hand on what the objects of a tuple hold.
#[inline]
fn with_charges<T>(
    charges: &Bound<'_, PyTuple>,
    then: impl FnOnce(&[&charge::Charge]) -> Result<T, Invalid>,
) -> PyResult<T> {
    let mut objects = charges.iter_borrowed();
    let Some(first) = objects.next() else {
        return Ok(then(&[])?);
    };
    // To ask for memory takes longer than to decide about a charge.
    let mut few = [charge_of(first)?; FEW];
    if charges.len() > FEW {
        let many = charges.iter_borrowed().map(charge_of);
        return Ok(then(&many.collect::<PyResult<Vec<_>>>()?)?);
    }
    for (place, object) in few.iter_mut().skip(1).zip(objects) {
        *place = charge_of(object)?;
    }
    Ok(then(few.get(..charges.len()).unwrap_or(&few))?)
}

fn charge_of<'a>(object: Borrowed<'a, '_, PyAny>) -> PyResult<&'a charge::Charge> {
    match object.cast::<Charge>() {
        Ok(charge) => Ok(&charge.get().0),
        Err(_) => Err(PyTypeError::new_err("charges is a sequence of Charge")),
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
        .import(py, "doorward.errors", "Limited")?
        .call((code,), Some(&facts))
}

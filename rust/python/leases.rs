//! What is held of buckets in Redis, and the admissions that come of it.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::leases;

/// Callers and rules whose holdings are found at once; beyond, all are looked up anew.
const MAX_KEPT: usize = 10_000;

/// What one process holds of one bucket.
#[pyclass(frozen, subclass, module = "doorward._rust")]
pub(super) struct Holding(leases::Holding<Py<PyAny>>);

#[pymethods]
impl Holding {
    #[new]
    fn new() -> Self {
        Self(leases::Holding::default())
    }

    #[getter]
    fn tokens(&self) -> i64 {
        self.0.tokens()
    }

    #[setter]
    fn set_tokens(&self, tokens: i64) {
        self.0.set_tokens(tokens);
    }

    #[getter]
    fn until(&self) -> f64 {
        self.0.until()
    }

    #[setter]
    fn set_until(&self, until: f64) {
        self.0.set_until(until);
    }

    #[getter]
    fn left(&self) -> i64 {
        self.0.left()
    }

    #[setter]
    fn set_left(&self, left: i64) {
        self.0.set_left(left);
    }

    #[getter]
    fn lease(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.0.lease(|lease| lease.clone_ref(py))
    }

    #[setter]
    fn set_lease(&self, lease: Option<Py<PyAny>>) {
        drop(self.0.set_lease(lease));
    }

    /// Whether so many tokens can be spent here.
    fn has(&self, cost: i64, now: f64) -> bool {
        self.0.has(cost, now)
    }
}

/// Which holdings a call spends from.
struct Kept {
    domain: Py<PyString>,
    /// Held, so that no other charges can take their identity.
    _charges: Py<PyAny>,
    plan: Py<PyAny>,
    held: Vec<(Py<Holding>, i64)>,
    order: Arc<[usize]>,
}

/// By the identity of the charges, and the hash that the domain has anyway.
type Key = (usize, isize);

/// The holdings of one limiter, for the one thread that spends from them.
#[pyclass(frozen, module = "doorward._rust")]
pub(super) struct Holdings {
    kept: Mutex<HashMap<Key, Kept>>,
    /// Nobody's, while 0.
    thread: AtomicUsize,
}

#[pymethods]
impl Holdings {
    #[new]
    fn new() -> Self {
        Self {
            kept: Mutex::default(),
            thread: AtomicUsize::new(0),
        }
    }

    /// The grant, where everything that a call spends is held here, and this is the thread that spends.
    fn take(
        &self,
        domain: &Bound<'_, PyAny>,
        charges: &Bound<'_, PyAny>,
        now: f64,
    ) -> PyResult<Option<RemoteGrant>> {
        // Not what only calls itself text: comparing that could run anything.
        let (py, Ok(domain)) = (domain.py(), domain.cast_exact::<PyString>()) else {
            return Ok(None);
        };
        if self.thread.load(Ordering::Relaxed) != here() {
            return Ok(None);
        }
        let kept = self.kept();
        let Some(found) = kept.get(&key(domain, charges)?) else {
            return Ok(None);
        };
        let held = found.held.iter().map(|(one, cost)| (&one.get().0, *cost));
        if !(found.domain.is(domain) || domain.as_any().eq(&found.domain)?)
            || !leases::spend(held.clone(), now)
        {
            return Ok(None);
        }
        let taken = held.map(|(one, _)| Taken {
            left: one.tokens() + one.left(),
            lease: one.lease(|lease| lease.clone_ref(py)),
        });
        Ok(Some(RemoteGrant {
            plan: found.plan.clone_ref(py),
            told: Told::Held(taken.collect(), found.order.clone()),
            source: Mutex::new(Source::Leases),
        }))
    }

    /// Find these holdings from now on: pairs of each and what the call costs there, and the position among them of
    /// each charge.
    fn keep(
        &self,
        domain: &Bound<'_, PyString>,
        charges: &Bound<'_, PyAny>,
        plan: Py<PyAny>,
        held: Vec<(Py<Holding>, i64)>,
        order: Vec<usize>,
    ) -> PyResult<()> {
        if !domain.is_exact_instance_of::<PyString>() {
            return Ok(());
        }
        let kept = Kept {
            domain: domain.clone().unbind(),
            _charges: charges.clone().unbind(),
            plan,
            held,
            order: order.into(),
        };
        let key = key(domain, charges)?;
        if self.kept().len() >= MAX_KEPT {
            self.forget();
        }
        // What is dropped may run whatever Python code it likes, so not under the lock.
        let before = self.kept().insert(key, kept);
        drop(before);
        Ok(())
    }

    /// Whether this thread spends, or nobody does yet.
    fn serves(&self) -> bool {
        [0, here()].contains(&self.thread.load(Ordering::Relaxed))
    }

    /// This thread spends.
    fn claim(&self) {
        self.thread.store(here(), Ordering::Relaxed);
    }

    /// Find none, for nobody.
    fn clear(&self) {
        self.thread.store(0, Ordering::Relaxed);
        self.forget();
    }
}

impl Holdings {
    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        let kept = mem::take(&mut *self.kept());
        drop(kept);
    }
}

/// What a call took of one holding.
struct Taken {
    left: i64,
    lease: Option<Py<PyAny>>,
}

/// What a grant tells.
enum Told {
    Given(Py<PyTuple>, Py<PyTuple>),
    Held(Vec<Taken>, Arc<[usize]>),
}

/// Who is told when it is undone.
enum Source {
    Given(Py<PyAny>),
    Leases,
    Nobody,
}

/// An admission that Redis, a lease or a fallback gave.
#[pyclass(frozen, module = "doorward._rust")]
pub(super) struct RemoteGrant {
    plan: Py<PyAny>,
    told: Told,
    source: Mutex<Source>,
}

#[pymethods]
impl RemoteGrant {
    #[new]
    #[pyo3(
        signature = (plan, remaining, would_deny = None, source = None),
        text_signature = "(plan, remaining, would_deny=(), source=None)"
    )]
    fn new(
        plan: Py<PyAny>,
        remaining: Py<PyTuple>,
        would_deny: Option<Py<PyTuple>>,
        source: Option<Py<PyAny>>,
        py: Python<'_>,
    ) -> Self {
        Self {
            plan,
            told: Told::Given(
                remaining,
                would_deny.unwrap_or_else(|| PyTuple::empty(py).unbind()),
            ),
            source: Mutex::new(source.map_or(Source::Nobody, Source::Given)),
        }
    }

    /// What the call spends.
    #[getter]
    fn plan(&self, py: Python<'_>) -> Py<PyAny> {
        self.plan.clone_ref(py)
    }

    /// Whole tokens left, in the order of the charges.
    #[getter]
    fn remaining<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match &self.told {
            Told::Given(remaining, _) => Ok(remaining.bind(py).clone()),
            Told::Held(taken, order) => PyTuple::new(
                py,
                order
                    .iter()
                    .map(|position| taken.get(*position).map_or(0, |taken| taken.left)),
            ),
        }
    }

    /// Keys of the observed charges that would have refused.
    #[getter]
    fn would_deny<'py>(&self, py: Python<'py>) -> Bound<'py, PyTuple> {
        match &self.told {
            Told::Given(_, would_deny) => would_deny.bind(py).clone(),
            Told::Held(..) => PyTuple::empty(py),
        }
    }

    /// Who is told when it is undone; the second time nobody.
    fn close(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let mut held = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let source = mem::replace(&mut *held, Source::Nobody);
        drop(held);
        match (source, &self.told) {
            (Source::Given(source), _) => Ok(Some(source)),
            (Source::Leases, Told::Held(taken, _)) => {
                let leases = taken.iter().map(|taken| &taken.lease);
                Ok(Some(PyTuple::new(py, leases)?.into_any().unbind()))
            }
            _ => Ok(None),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (remaining, would_deny) = (self.remaining(py)?, self.would_deny(py));
        Ok(format!(
            "RemoteGrant(remaining={}, would_deny={})",
            remaining.repr()?,
            would_deny.repr()?
        ))
    }
}

fn key(domain: &Bound<'_, PyString>, charges: &Bound<'_, PyAny>) -> PyResult<Key> {
    Ok((charges.as_ptr().addr(), domain.hash()?))
}

/// An address that no other living thread has.
fn here() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

//! Many bytes, a few at a time.

use std::mem;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Some microseconds to copy.
const PIECE: usize = 64 << 10;

/// Bytes, and how many of them were handed out.
#[pyclass(frozen, module = "doorward._rust")]
pub(super) struct Pieces(Mutex<(Vec<u8>, usize)>);

impl Pieces {
    pub(super) const fn of(bytes: Vec<u8>) -> Self {
        Self(Mutex::new((bytes, 0)))
    }
}

#[pymethods]
impl Pieces {
    const fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, done) = &mut *inside;
        if let Some(piece) = bytes
            .get(*done..)
            .and_then(|left| left.chunks(PIECE).next())
        {
            *done += piece.len();
            return Some(PyBytes::new(py, piece));
        }
        // To give back so much memory takes a while, too.
        let all = mem::take(bytes);
        drop(inside);
        py.detach(move || drop(all));
        None
    }
}

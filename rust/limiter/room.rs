//! How many buckets there may be.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A count that never exceeds its bound.
#[derive(Debug)]
pub(super) struct Room {
    held: AtomicUsize,
    max_keys: usize,
}

impl Room {
    pub(super) const fn new(max_keys: usize) -> Self {
        Self {
            held: AtomicUsize::new(0),
            max_keys,
        }
    }

    /// How many there are.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.held() >= self.max_keys
    }

    /// Make room for one bucket, if there is any.
    pub(super) fn reserve(&self) -> bool {
        let one_more = |held| (held < self.max_keys).then_some(held + 1);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    pub(super) fn release(&self, count: usize) {
        self.held.fetch_sub(count, Ordering::Relaxed);
    }
}

//! An admission that can be undone, or settled.

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::decision::Verdict;
use super::item::{Item, violated};
use super::shelf::Shelf;
use crate::charge::{Charge, Name};

/// An admission, and what it takes to undo it.
#[derive(Debug)]
pub struct Grant {
    pub(super) limiter: u64,
    pub(super) domain: Name,
    pub(super) tick: u64,
    charges: usize,
    items: Vec<Item>,
    closed: AtomicBool,
    /// Keys of the observed charges that would have refused.
    pub would_deny: Vec<Arc<str>>,
}

impl Grant {
    /// Whole tokens left after this admission, in the order of the charges.
    pub fn remaining(&self) -> impl ExactSizeIterator<Item = u64> {
        (0..self.charges).map(|position| {
            let of = |item: &&Item| item.charges & (1 << position) != 0;
            self.items
                .iter()
                .find(of)
                .map_or(0, |item| item.bucket.remaining(self.tick))
        })
    }

    pub(super) fn new<C: Borrow<Charge>>(
        limiter: u64,
        domain: Name,
        charges: &[C],
        verdict: Verdict,
        tick: u64,
    ) -> Self {
        let would_deny = if verdict.short {
            violated(charges, &verdict.items)
        } else {
            Vec::new()
        };
        Self {
            limiter,
            domain,
            tick,
            charges: charges.len(),
            would_deny,
            items: verdict.items,
            closed: AtomicBool::new(false),
        }
    }

    /// Whether this is the first time.
    pub(super) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::Relaxed)
    }

    pub(super) fn reaches(&self, shelf: Shelf) -> bool {
        self.spent(shelf).next().is_some()
    }

    pub(super) fn spent(&self, shelf: Shelf) -> impl Iterator<Item = &Item> {
        self.items
            .iter()
            .filter(move |item| item.shelf == shelf && item.cost > 0)
    }
}

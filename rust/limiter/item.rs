//! One bucket of a call, and what came of it.

use std::borrow::Borrow;
use std::sync::Arc;

use super::shelf::Shelf;
use crate::bucket::{Bucket, Shortage};
use crate::charge::{Charge, Name};

/// One bucket of a call: the charges that spend from it, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The bucket the charges name, or the overflow bucket that stands in for it.
    pub(super) spot: Name,
    pub(super) shelf: Shelf,
    pub(super) slot: Option<usize>,
    pub(super) bucket: Bucket,
    /// A bit for the position of each charge.
    pub(super) charges: u64,
    /// What is spent together; nothing if that is too much.
    pub(super) cost: u64,
    /// Charges that cost something.
    pub(super) paying: u64,
    pub(super) observe: bool,
    pub(super) shortage: Option<Shortage>,
}

impl Item {
    /// A bucket nobody has used, of the charge at this position.
    #[inline]
    pub(super) fn new(charge: &Charge, position: u32, domain: Name) -> Self {
        let (shelf, spot) = if charge.shared {
            (Shelf::Shared, charge.name)
        } else {
            (Shelf::Domain, charge.name.within(domain))
        };
        Self {
            spot,
            shelf,
            slot: None,
            bucket: Bucket::full(charge.rate),
            charges: 1 << position,
            cost: charge.cost(),
            paying: u64::from(charge.cost() > 0),
            observe: charge.observe,
            shortage: None,
        }
    }

    /// Another charge of the same bucket.
    pub(super) const fn join(&mut self, other: &Self) {
        self.charges |= other.charges;
        self.cost += other.cost;
        self.paying += other.paying;
    }

    /// Whole tokens left; none where there was no room for a bucket.
    pub(super) fn remaining(&self, now: u64) -> u64 {
        if self.shelf == Shelf::Nowhere {
            return 0;
        }
        self.bucket.remaining(now)
    }

    /// Take what the call spends, which finds nothing where there was no room for a bucket.
    pub(super) fn spend(&mut self, now: u64) -> Result<(), Shortage> {
        if self.shelf == Shelf::Nowhere && 0 < self.cost && self.cost <= self.bucket.rate().burst {
            return Err(Shortage::Wait(self.bucket.rate().period));
        }
        self.bucket.spend(self.cost, now)
    }
}

/// Keys of the charges in whose buckets something was short, each once.
pub(super) fn violated<C: Borrow<Charge>>(charges: &[C], items: &[Item]) -> Vec<Arc<str>> {
    let short = items
        .iter()
        .filter(|item| item.shortage.is_some())
        .fold(0, |bits, item| bits | item.charges);
    let mut keys: Vec<Arc<str>> = Vec::new();
    for (charge, _) in charges
        .iter()
        .zip(0..)
        .filter(|(_, position)| short & (1_u64 << position) != 0)
    {
        let key = &charge.borrow().words.key;
        if !keys.contains(key) {
            keys.push(Arc::clone(key));
        }
    }
    keys
}

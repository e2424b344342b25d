//! One bucket of a call, and what came of it.

use std::sync::Arc;

use super::shelf::{Shelf, Spot};
use crate::bucket::{Bucket, Shortage};
use crate::charge::{Charge, Name};

/// One bucket of a call: the charges that spend from it, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The bucket the charges name,
    pub(super) name: Name,
    /// and where it is, or the overflow bucket that stands in for it.
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
    pub(super) fn new(charge: &Charge, spot: Spot, fresh: Bucket) -> Self {
        Self {
            name: charge.name,
            spot: spot.name,
            shelf: spot.shelf,
            slot: spot.found.map(|(slot, _)| slot),
            bucket: spot.found.map_or(fresh, |(_, bucket)| bucket),
            charges: 0,
            cost: 0,
            paying: 0,
            observe: charge.observe,
            shortage: None,
        }
    }

    /// Whole tokens left; none where there was no room for a bucket.
    pub(super) fn remaining(&self, now: u64) -> u64 {
        if self.shelf == Shelf::Nowhere {
            return 0;
        }
        self.bucket.remaining(now)
    }

    /// The bucket after the call, which finds nothing where there was no room for a bucket.
    pub(super) fn spend(&self, now: u64) -> Result<Bucket, Shortage> {
        match self.bucket.spend(self.cost, now) {
            Ok(_) if self.shelf == Shelf::Nowhere && self.cost > 0 => {
                Err(Shortage::Wait(self.bucket.period()))
            }
            verdict => verdict,
        }
    }
}

/// Keys of the charges in whose buckets something was short, each once.
pub(super) fn violated(charges: &[&Charge], items: &[Item]) -> Vec<Arc<str>> {
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
        if !keys.contains(&charge.key) {
            keys.push(Arc::clone(&charge.key));
        }
    }
    keys
}

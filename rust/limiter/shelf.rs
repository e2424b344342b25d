//! Where a bucket lies, and what lies outside the domains.

use crate::bucket::Bucket;
use crate::charge::{Charge, Name};
use crate::table::Table;

/// Enough that the flood of one domain rarely meets another's newcomers.
const STRIPES: u64 = 64;
/// All stripes of 64 different limits; whoever configures more and overflows is refused.
const MAX_OVERFLOW: usize = 4_096;

/// Where a bucket of a call lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    Domain,
    /// The overflow is full too.
    Nowhere,
    Overflow,
    Shared,
}

/// One place on a shelf, and the bucket there with its slot.
pub(super) struct Spot {
    pub(super) shelf: Shelf,
    pub(super) name: Name,
    pub(super) found: Option<(usize, Bucket)>,
}

/// What the domains have in common.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) overflow: Table,
    pub(super) shared: Table,
}

impl Common {
    /// What a newcomer gets for which there is no room.
    pub(super) fn overflow(&mut self, charge: &Charge, domain: Name, tick: u64) -> Spot {
        let stripe = if charge.shared {
            STRIPES
        } else {
            domain.stripe(STRIPES)
        };
        let name = charge.overflow.in_stripe(stripe);
        let found = self.overflow.find(name, charge.limit.rate, tick);
        let room = found.is_some() || self.overflow.len() < MAX_OVERFLOW;
        let shelf = if room {
            Shelf::Overflow
        } else {
            Shelf::Nowhere
        };
        Spot { shelf, name, found }
    }
}

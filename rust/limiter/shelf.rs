//! Where a bucket lies, and what lies outside the domains.

use crate::charge::Name;
use crate::table::Table;

/// Enough that the flood of one domain rarely meets another's newcomers.
const STRIPES: u64 = 64;
/// All stripes of 64 different limits; whoever configures more and overflows is refused.
pub(super) const MAX_OVERFLOW: usize = 4_096;

/// Where a bucket of a call lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shelf {
    Domain,
    /// The overflow is full too.
    Nowhere,
    Overflow,
    Shared,
    /// There is no overflow: full, and never stored.
    Uncounted,
}

/// What the domains have in common.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) overflow: Table,
    pub(super) shared: Table,
}

/// The stripe of the overflow in which the newcomers of a domain meet.
pub(super) const fn stripe(domain: Name, shared: bool) -> u64 {
    if shared {
        STRIPES
    } else {
        domain.stripe(STRIPES)
    }
}

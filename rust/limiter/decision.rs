//! One decision: every bucket of a call is found, then computed, and only then stored.

use std::sync::MutexGuard;

use super::item::Item;
use super::shelf::{Common, MAX_OVERFLOW, Shelf, stripe};
use super::sweep::SWEEP;
use super::{Limiter, lock};
use crate::charge::{Charge, Name};
use crate::table::Table;

/// One decision, while the guard of its domain is held.
pub(super) struct Deciding<'a> {
    limiter: &'a Limiter,
    /// The domain as the caller calls it, for its names under earlier secrets,
    text: &'a str,
    /// and its name under this one.
    domain: Name,
    table: &'a mut Table,
    common: Option<MutexGuard<'a, Common>>,
    tick: u64,
    grew: bool,
    /// The slot after that of the last bucket: those of a call were mostly added by a call like it.
    likely: usize,
}

/// What came of it.
pub(super) struct Verdict {
    pub(super) items: Vec<Item>,
    pub(super) refused: bool,
    /// Whether any bucket gave nothing, be it only observed.
    pub(super) short: bool,
    /// Whether any bucket was added.
    pub(super) grew: bool,
}

impl<'a> Deciding<'a> {
    pub(super) fn new(
        limiter: &'a Limiter,
        (text, domain): (&'a str, Name),
        table: &'a mut Table,
        tick: u64,
    ) -> Self {
        if limiter.room.is_full() {
            limiter.room.release(table.sweep(SWEEP, tick));
        }
        Self {
            limiter,
            text,
            domain,
            table,
            common: None,
            tick,
            grew: false,
            likely: 0,
        }
    }

    pub(super) fn decide(mut self, charges: &[&Charge], distinct: bool) -> Verdict {
        self.table.touch(charges.iter().map(|charge| charge.name));
        let mut items = self.gather(charges, distinct);
        let (mut refused, mut short) = (false, false);
        for item in &mut items {
            if let Err(shortage) = item.spend(self.tick) {
                item.shortage = Some(shortage);
                item.cost = 0;
                short = true;
                refused |= !item.observe;
            }
        }
        self.store(&items, refused);
        Verdict {
            items,
            refused,
            short,
            grew: self.grew,
        }
    }

    /// The buckets of these charges; charges of one bucket are one item.
    fn gather(&mut self, charges: &[&Charge], distinct: bool) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::with_capacity(charges.len());
        for (charge, position) in charges.iter().zip(0..) {
            let met = if distinct {
                None
            } else {
                namesake(&items, charges, charge)
            };
            let at = met.unwrap_or_else(|| self.place(charge, &mut items));
            let item = items.get_mut(at);
            if let Some(item) = item {
                item.cost += charge.cost;
                item.paying += u64::from(charge.cost > 0);
                item.charges |= 1 << position;
            }
        }
        items
    }

    /// Add the bucket of a charge, a new one if there is room for it, or what a newcomer gets. Says where
    /// among the items.
    fn place(&mut self, charge: &Charge, items: &mut Vec<Item>) -> usize {
        let shelf = if charge.shared {
            Shelf::Shared
        } else {
            Shelf::Domain
        };
        let at = items.len();
        items.push(Item::new(charge, shelf));
        let Some(item) = items.get_mut(at) else {
            return at;
        };
        if self.find(charge, item) {
            return at;
        }
        if self.limiter.room.reserve() {
            self.limiter.begin(item, self.tick);
            return at;
        }
        self.overflow(charge, item);
        // Newcomers of one limit meet in one overflow bucket, within a call too.
        let (spot, shelf) = (item.spot, item.shelf);
        let met = items
            .iter()
            .position(|other| other.spot == spot && other.shelf == shelf)
            .unwrap_or(at);
        items.truncate(at.max(met + 1));
        met
    }

    /// What a newcomer gets for which there is no room.
    #[cold]
    fn overflow(&mut self, charge: &Charge, item: &mut Item) {
        self.limiter.count_overflowed();
        if !self.limiter.settings.overflow {
            item.shelf = Shelf::Uncounted;
            return;
        }
        let stripe = stripe(self.domain, charge.shared);
        item.spot = charge.overflow.in_stripe(stripe);
        item.shelf = Shelf::Overflow;
        if self.find(charge, item) {
            return;
        }
        if self.common().overflow.len() < MAX_OVERFLOW {
            self.limiter.begin(item, self.tick);
        } else {
            item.shelf = Shelf::Nowhere;
        }
    }

    /// Fetch the item's bucket, which may still lie where a restart put it. Says whether there is one.
    #[inline]
    fn find(&mut self, charge: &Charge, item: &mut Item) -> bool {
        self.fetch(charge, item) || self.limiter.has_restored() && self.bring_back(charge, item)
    }

    #[cold]
    fn bring_back(&mut self, charge: &Charge, item: &mut Item) -> bool {
        let restored = self.limiter.take_restored(item.shelf, charge, self.text);
        let (Some(restored), Some(table)) = (restored, self.shelf(item.shelf)) else {
            return false;
        };
        table.insert(item.spot, restored);
        self.grew = true;
        self.fetch(charge, item)
    }

    #[inline]
    fn fetch(&mut self, charge: &Charge, item: &mut Item) -> bool {
        let (rate, tick, likely) = (charge.limit.rate, self.tick, self.likely);
        let Some(table) = self.shelf(item.shelf) else {
            return false;
        };
        let Some((slot, bucket)) = table.find(item.spot, likely, rate, tick) else {
            return false;
        };
        item.slot = Some(slot);
        if rate.burst > 0 {
            item.bucket.clone_from(bucket);
        }
        self.likely = slot + 1;
        true
    }

    /// Store what was spent, and give back the room nobody needs.
    fn store(&mut self, items: &[Item], refused: bool) {
        for item in items {
            let spent = !refused && item.cost > 0;
            match item.slot {
                Some(slot) if spent => {
                    if let Some(table) = self.shelf(item.shelf) {
                        table.set(slot, &item.bucket);
                    }
                }
                Some(_) => {}
                None => self.store_new(item, spent),
            }
        }
        let grew = self.grew;
        if let Some(common) = self.common.as_mut().filter(|_| grew) {
            self.limiter
                .room
                .release(common.shared.sweep(SWEEP, self.tick));
            common.overflow.sweep(SWEEP, self.tick);
        }
    }

    /// Store a new bucket. One that gives nothing is stored if it began with less than it holds: or it would
    /// begin again with each call, and never hold what is asked of it.
    fn store_new(&mut self, item: &Item, spent: bool) {
        let asked = item.cost > 0 || item.shortage.is_some();
        let untouched = self.limiter.fresh(item.bucket.rate(), self.tick);
        let bucket = if spent { item.bucket } else { untouched };
        if !spent && (!asked || untouched.is_full(self.tick)) {
            let reserved = matches!(item.shelf, Shelf::Domain | Shelf::Shared);
            self.limiter.room.release(usize::from(reserved));
        } else if let Some(table) = self.shelf(item.shelf) {
            table.insert(item.spot, bucket);
            self.grew = true;
        }
    }

    fn shelf(&mut self, shelf: Shelf) -> Option<&mut Table> {
        match shelf {
            Shelf::Domain => Some(&mut *self.table),
            Shelf::Nowhere | Shelf::Uncounted => None,
            Shelf::Overflow => Some(&mut self.common().overflow),
            Shelf::Shared => Some(&mut self.common().shared),
        }
    }

    fn common(&mut self) -> &mut Common {
        self.common
            .get_or_insert_with(|| lock(&self.limiter.common))
    }
}

/// The item of an earlier charge of the same bucket.
fn namesake(items: &[Item], charges: &[&Charge], charge: &Charge) -> Option<usize> {
    let first = charges.iter().position(|other| other.name == charge.name)?;
    items
        .iter()
        .position(|item| item.charges & (1 << first) != 0)
}

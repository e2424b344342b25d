//! One decision: every bucket of a call is found, then computed, and only then stored.

use std::borrow::Borrow;
use std::sync::MutexGuard;

use super::item::Item;
use super::shelf::{Common, MAX_OVERFLOW, Shelf, stripe};
use super::sweep::SWEEP;
use super::{Limiter, lock};
use crate::charge::{Charge, Name, Seen};
use crate::table::Table;

/// One decision, while the guard of its domain is held.
pub(super) struct Deciding<'a, C> {
    limiter: &'a Limiter,
    /// The domain as the caller calls it, for its names under earlier secrets,
    text: &'a str,
    /// and its name under this one.
    domain: Name,
    charges: &'a [C],
    table: &'a mut Table,
    common: Option<MutexGuard<'a, Common>>,
    tick: u64,
    grew: bool,
    /// Whether a newcomer found no room.
    overflowed: bool,
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

impl<'a, C: Borrow<Charge>> Deciding<'a, C> {
    pub(super) fn new(
        limiter: &'a Limiter,
        (text, domain): (&'a str, Name),
        charges: &'a [C],
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
            charges,
            table,
            common: None,
            tick,
            grew: false,
            overflowed: false,
            likely: 0,
        }
    }

    pub(super) fn decide(mut self, distinct: bool, seen: Option<&Seen>) -> Verdict {
        let mut items = self.gather(distinct, seen);
        let (mut refused, mut short) = (false, false);
        for item in &mut items {
            if let Err(shortage) = item.spend(self.tick) {
                item.shortage = Some(shortage);
                item.cost = 0;
                short = true;
                refused |= !item.observe;
            }
        }
        self.store(&mut items, refused);
        if let (Some(seen), Some(slot)) = (seen, items.first().and_then(|item| item.slot)) {
            seen.set(narrow(slot));
        }
        Verdict {
            items,
            refused,
            short,
            grew: self.grew,
        }
    }

    /// The buckets of these charges; charges of one bucket are one item.
    fn gather(&mut self, distinct: bool, seen: Option<&Seen>) -> Vec<Item> {
        self.likely = seen.map_or(0, |seen| widen(seen.get()));
        let domain = self.domain;
        let names = self.charges.iter().map(|charge| charge.borrow().name);
        self.table
            .touch(names.map(|name| name.within(domain)), self.likely);
        let charges = self.charges.iter().map(Borrow::borrow).zip(0..);
        let mut items: Vec<Item> = charges
            .map(|(charge, position)| Item::new(charge, position, domain))
            .collect();
        if !distinct {
            merge(&mut items);
        }
        for item in &mut items {
            self.place(item);
        }
        if self.overflowed {
            // Newcomers of one limit meet in one overflow bucket, within a call too.
            merge(&mut items);
        }
        items
    }

    /// Fetch the item's bucket, a new one if there is room for it, or what a newcomer gets.
    fn place(&mut self, item: &mut Item) {
        if self.find(item) {
            return;
        }
        if self.limiter.room.reserve() {
            self.limiter.begin(item, self.tick);
        } else {
            self.overflow(item);
        }
    }

    /// What a newcomer gets for which there is no room.
    #[cold]
    fn overflow(&mut self, item: &mut Item) {
        self.limiter.count_overflowed();
        self.overflowed = true;
        if !self.limiter.settings.overflow {
            item.shelf = Shelf::Uncounted;
            return;
        }
        let Some(charge) = self.charge(item) else {
            return;
        };
        item.spot = charge
            .words
            .overflow
            .in_stripe(stripe(self.domain, charge.shared));
        item.shelf = Shelf::Overflow;
        if self.find(item) {
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
    fn find(&mut self, item: &mut Item) -> bool {
        self.fetch(item) || self.limiter.has_restored() && self.bring_back(item)
    }

    #[cold]
    fn bring_back(&mut self, item: &mut Item) -> bool {
        let restored = self
            .charge(item)
            .and_then(|charge| self.limiter.take_restored(item.shelf, charge, self.text));
        let (Some(restored), Some(table)) = (restored, self.shelf(item.shelf)) else {
            return false;
        };
        table.insert(item.spot, restored);
        self.grew = true;
        self.fetch(item)
    }

    #[inline]
    fn fetch(&mut self, item: &mut Item) -> bool {
        let (tick, likely) = (self.tick, self.likely);
        let Some(table) = self.shelf(item.shelf) else {
            return false;
        };
        let Some(slot) = table.fetch(item.spot, likely, &mut item.bucket, tick) else {
            return false;
        };
        item.slot = Some(slot);
        self.likely = slot + 1;
        true
    }

    /// The first charge of an item.
    fn charge(&self, item: &Item) -> Option<&'a Charge> {
        let first = usize::try_from(item.charges.trailing_zeros()).ok()?;
        self.charges.get(first).map(Borrow::borrow)
    }

    /// Store what was spent, and give back the room nobody needs.
    fn store(&mut self, items: &mut [Item], refused: bool) {
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
        if self.grew {
            self.clean();
        }
    }

    /// A few slots of whatever has grown.
    fn clean(&mut self) {
        let room = &self.limiter.room;
        room.release(self.table.sweep(SWEEP, self.tick));
        if let Some(common) = self.common.as_mut() {
            room.release(common.shared.sweep(SWEEP, self.tick));
            common.overflow.sweep(SWEEP, self.tick);
        }
    }

    /// Store a new bucket. One that gives nothing is stored if it began with less than it holds: or it would
    /// begin again with each call, and never hold what is asked of it.
    fn store_new(&mut self, item: &mut Item, spent: bool) {
        let asked = item.cost > 0 || item.shortage.is_some();
        let untouched = self.limiter.fresh(item.bucket.rate(), self.tick);
        let bucket = if spent { item.bucket } else { untouched };
        if !spent && (!asked || untouched.is_full(self.tick)) {
            let reserved = matches!(item.shelf, Shelf::Domain | Shelf::Shared);
            self.limiter.room.release(usize::from(reserved));
        } else if let Some(table) = self.shelf(item.shelf) {
            // For the second call, which would have to seek it.
            item.slot = Some(table.insert(item.spot, bucket));
            self.grew = true;
        }
    }

    #[inline]
    fn shelf(&mut self, shelf: Shelf) -> Option<&mut Table> {
        if shelf == Shelf::Domain {
            return Some(&mut *self.table);
        }
        self.outside(shelf)
    }

    /// What lies in no domain.
    #[cold]
    fn outside(&mut self, shelf: Shelf) -> Option<&mut Table> {
        match shelf {
            Shelf::Domain | Shelf::Nowhere | Shelf::Uncounted => None,
            Shelf::Overflow => Some(&mut self.common().overflow),
            Shelf::Shared => Some(&mut self.common().shared),
        }
    }

    fn common(&mut self) -> &mut Common {
        self.common
            .get_or_insert_with(|| lock(&self.limiter.common))
    }
}

/// Charges of one bucket are one item.
#[cold]
fn merge(items: &mut Vec<Item>) {
    let mut merged: Vec<Item> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let same = |other: &&mut Item| (other.spot, other.shelf) == (item.spot, item.shelf);
        match merged.iter_mut().find(same) {
            Some(other) => other.join(&item),
            None => merged.push(item),
        }
    }
    *items = merged;
}

fn widen(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

fn narrow(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

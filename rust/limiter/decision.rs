//! One decision: every bucket of a call is found, then computed, and only then stored.

use std::sync::MutexGuard;

use super::item::Item;
use super::shelf::{Common, Shelf, Spot};
use super::sweep::SWEEP;
use super::{Limiter, lock};
use crate::charge::{Charge, Name};
use crate::table::Table;

/// One decision, while the guard of its domain is held.
pub(super) struct Deciding<'a> {
    limiter: &'a Limiter,
    domain: Name,
    table: &'a mut Table,
    common: Option<MutexGuard<'a, Common>>,
    tick: u64,
}

/// What came of it.
pub(super) struct Verdict {
    pub(super) items: Vec<Item>,
    pub(super) refused: bool,
    /// Whether any bucket was added.
    pub(super) grew: bool,
}

impl<'a> Deciding<'a> {
    pub(super) fn new(limiter: &'a Limiter, domain: Name, table: &'a mut Table, tick: u64) -> Self {
        if limiter.room.is_full() {
            limiter.room.release(table.sweep(SWEEP, tick));
        }
        Self {
            limiter,
            domain,
            table,
            common: None,
            tick,
        }
    }

    pub(super) fn decide(mut self, charges: &[&Charge]) -> Verdict {
        let mut items = self.gather(charges);
        let mut refused = false;
        for item in &mut items {
            match item.spend(self.tick) {
                Ok(after) => item.bucket = after,
                Err(shortage) => {
                    item.shortage = Some(shortage);
                    item.cost = 0;
                    refused |= !item.observe;
                }
            }
        }
        let grew = self.store(&items, refused);
        Verdict {
            items,
            refused,
            grew,
        }
    }

    /// The buckets of these charges; charges of one bucket are one item.
    fn gather(&mut self, charges: &[&Charge]) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::with_capacity(charges.len());
        for (charge, position) in charges.iter().zip(0..) {
            let known = items.iter().position(|item| item.name == charge.name);
            let at = known.unwrap_or_else(|| {
                let item = self.place(charge);
                // Newcomers of one limit meet in one overflow bucket, within a call too.
                let met = items
                    .iter()
                    .position(|other| other.spot == item.spot && other.shelf == item.shelf);
                met.unwrap_or_else(|| {
                    items.push(item);
                    items.len() - 1
                })
            });
            if let Some(item) = items.get_mut(at) {
                item.cost += charge.cost;
                item.charges |= 1 << position;
            }
        }
        items
    }

    /// The bucket of a charge, a new one if there is room for it, or its share of the overflow.
    fn place(&mut self, charge: &Charge) -> Item {
        let (name, tick) = (charge.name, self.tick);
        let shelf = if charge.shared {
            Shelf::Shared
        } else {
            Shelf::Domain
        };
        let found = self
            .shelf(shelf)
            .and_then(|table| table.find(name, charge.limit.rate, tick));
        let spot = if found.is_some() || self.limiter.room.reserve() {
            Spot { shelf, name, found }
        } else {
            let domain = self.domain;
            self.common().overflow(charge, domain, tick)
        };
        Item::new(charge, spot)
    }

    /// Store what was spent, and give back the room nobody needs. Says whether anything was added.
    fn store(&mut self, items: &[Item], refused: bool) -> bool {
        let mut grew = false;
        for item in items {
            let reserved =
                item.slot.is_none() && matches!(item.shelf, Shelf::Domain | Shelf::Shared);
            if refused || item.cost == 0 {
                self.limiter.room.release(usize::from(reserved));
                continue;
            }
            let Some(table) = self.shelf(item.shelf) else {
                continue;
            };
            match item.slot {
                Some(slot) => table.set(slot, item.bucket),
                None => table.insert(item.spot, item.bucket),
            }
            grew |= item.slot.is_none();
        }
        if let Some(common) = self.common.as_mut().filter(|_| grew) {
            self.limiter
                .room
                .release(common.shared.sweep(SWEEP, self.tick));
            common.overflow.sweep(SWEEP, self.tick);
        }
        grew
    }

    fn shelf(&mut self, shelf: Shelf) -> Option<&mut Table> {
        match shelf {
            Shelf::Domain => Some(&mut *self.table),
            Shelf::Nowhere => None,
            Shelf::Overflow => Some(&mut self.common().overflow),
            Shelf::Shared => Some(&mut self.common().shared),
        }
    }

    fn common(&mut self) -> &mut Common {
        self.common
            .get_or_insert_with(|| lock(&self.limiter.common))
    }
}

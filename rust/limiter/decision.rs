//! One decision: every bucket of a call is found, then computed, and only then stored.

use std::sync::MutexGuard;

use super::item::Item;
use super::shelf::{Common, MAX_OVERFLOW, Shelf, Spot, stripe};
use super::sweep::SWEEP;
use super::{Limiter, lock};
use crate::bucket::Bucket;
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
}

/// What came of it.
pub(super) struct Verdict {
    pub(super) items: Vec<Item>,
    pub(super) refused: bool,
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
        self.store(&items, refused);
        Verdict {
            items,
            refused,
            grew: self.grew,
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
                item.paying += u64::from(charge.cost > 0);
                item.charges |= 1 << position;
            }
        }
        items
    }

    /// The bucket of a charge, a new one if there is room for it, or what a newcomer gets.
    fn place(&mut self, charge: &Charge) -> Item {
        let shelf = if charge.shared {
            Shelf::Shared
        } else {
            Shelf::Domain
        };
        let found = self.find(shelf, charge, charge.name);
        let spot = if found.is_some() || self.limiter.room.reserve() {
            let name = charge.name;
            Spot { shelf, name, found }
        } else {
            self.overflow(charge)
        };
        let fresh = match spot.shelf {
            Shelf::Nowhere | Shelf::Uncounted => Bucket::full(charge.limit.rate),
            _ => self.limiter.fresh(charge.limit.rate, self.tick),
        };
        Item::new(charge, spot, fresh)
    }

    /// What a newcomer gets for which there is no room.
    fn overflow(&mut self, charge: &Charge) -> Spot {
        self.limiter.count_overflowed();
        if !self.limiter.settings.overflow {
            let (shelf, name) = (Shelf::Uncounted, charge.name);
            return Spot {
                shelf,
                name,
                found: None,
            };
        }
        let name = charge
            .overflow
            .in_stripe(stripe(self.domain, charge.shared));
        let found = self.find(Shelf::Overflow, charge, name);
        let room = found.is_some() || self.common().overflow.len() < MAX_OVERFLOW;
        let shelf = if room {
            Shelf::Overflow
        } else {
            Shelf::Nowhere
        };
        Spot { shelf, name, found }
    }

    /// The bucket of this name, which may still lie where a restart put it.
    fn find(&mut self, shelf: Shelf, charge: &Charge, name: Name) -> Option<(usize, Bucket)> {
        let (rate, tick) = (charge.limit.rate, self.tick);
        let found = self.shelf(shelf)?.find(name, rate, tick);
        if found.is_some() || !self.limiter.has_restored() {
            return found;
        }
        let restored = self.limiter.take_restored(shelf, charge, self.text)?;
        self.grew = true;
        let table = self.shelf(shelf)?;
        table.insert(name, restored);
        table.find(name, rate, tick)
    }

    /// Store what was spent, and give back the room nobody needs.
    fn store(&mut self, items: &[Item], refused: bool) {
        for item in items {
            let after = if refused || item.cost == 0 {
                self.untouched(item)
            } else {
                Some(item.bucket)
            };
            let reserved =
                item.slot.is_none() && matches!(item.shelf, Shelf::Domain | Shelf::Shared);
            let Some(after) = after else {
                self.limiter.room.release(usize::from(reserved));
                continue;
            };
            let Some(table) = self.shelf(item.shelf) else {
                continue;
            };
            match item.slot {
                Some(slot) => table.set(slot, after),
                None => {
                    table.insert(item.spot, after);
                    self.grew = true;
                }
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

    /// What is stored of a bucket that gives nothing: one that began with less than it holds, or it would
    /// begin again with each call, and never hold what is asked of it.
    fn untouched(&self, item: &Item) -> Option<Bucket> {
        let asked = item.cost > 0 || item.shortage.is_some();
        if item.slot.is_some() || !asked {
            return None;
        }
        let fresh = self.limiter.fresh(item.bucket.rate(), self.tick);
        (!fresh.is_full(self.tick)).then_some(fresh)
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

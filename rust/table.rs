//! Buckets by hashed name, cleaned a few slots at a time.
//!
//! The names are keyed hashes already (`charge::Name`): fixed in size however long a key is, and of no
//! use to whoever would like them to collide.

use std::hint::black_box;

use crate::bucket::Bucket;
use crate::charge::Name;
use chunks::Chunks;
use index::Index;

mod chunks;
mod index;

/// More than these do not stay in the nearer caches.
const MANY: usize = 4_096;

/// A bucket and its name: one line of the processor's cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Slot {
    pub(crate) name: Name,
    pub(crate) bucket: Bucket,
}

/// Buckets, and where the cleaning stopped.
#[derive(Debug, Default)]
pub(crate) struct Table {
    // Beside the index, because only a list can be swept from where the last sweep stopped.
    slots: Chunks<Slot>,
    index: Index,
    cursor: usize,
}

impl Table {
    /// Make `bucket` the one of this name, under the rate it had, from now on. A limit that admits nothing
    /// converts nothing: it would forget what was consumed. `likely` is the slot to look at first. Says where.
    #[inline]
    pub(crate) fn fetch(
        &mut self,
        name: Name,
        likely: usize,
        bucket: &mut Bucket,
        now: u64,
    ) -> Option<usize> {
        let (at, slot) = match self.slots.get(likely) {
            Some(slot) if slot.name == name => (likely, slot),
            _ => {
                let at = self.slot(name)?;
                (at, self.slots.get(at)?)
            }
        };
        let rate = bucket.rate();
        if slot.bucket.rate() == rate {
            bucket.clone_from(&slot.bucket);
        } else if rate.burst > 0 {
            *bucket = slot.bucket.convert(rate, now);
            self.set(at, bucket);
        }
        Some(at)
    }

    /// Store what `fetch` found.
    #[inline]
    pub(crate) fn set(&mut self, at: usize, bucket: &Bucket) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.bucket.clone_from(bucket);
        }
    }

    /// Store what `fetch` did not find. Says where.
    pub(crate) fn insert(&mut self, name: Name, bucket: Bucket) -> usize {
        let at = self.slots.len();
        self.index.insert(name, at);
        self.slots.push(Slot { name, bucket });
        at
    }

    /// The bucket of this name as it is.
    pub(crate) fn get_mut(&mut self, name: Name) -> Option<&mut Bucket> {
        let at = self.slot(name)?;
        self.slots.get_mut(at).map(|slot| &mut slot.bucket)
    }

    /// At most `count` of the buckets before the slot `end`, and the slot of the first of them. Whoever
    /// goes through all of them from the last to the first misses none: a removal moves only the last.
    pub(crate) fn before(&self, end: usize, count: usize) -> (usize, Vec<Slot>) {
        self.slots.before(end, count)
    }

    /// Look at the next `count` slots and drop those whose buckets are full: nobody can tell them from
    /// new ones. Returns how many were dropped.
    pub(crate) fn sweep(&mut self, count: usize, now: u64) -> usize {
        let before = self.slots.len();
        for _ in 0..count.min(before) {
            if self.cursor >= self.slots.len() {
                self.cursor = 0;
            }
            match self.slots.get(self.cursor) {
                Some(slot) if slot.bucket.is_full(now) => self.remove(self.cursor),
                Some(_) => self.cursor += 1,
                None => break,
            }
        }
        before - self.slots.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bring what these names lead to into the processor's cache, all at once: one after the other they would
    /// be waited for one after the other. Small tables are there anyway.
    pub(crate) fn touch(&self, names: impl Iterator<Item = Name> + Clone, likely: usize) {
        if self.len() <= MANY {
            return;
        }
        let touch = |at: usize| {
            self.slots
                .get(at)
                .is_some_and(|slot| slot.bucket.is_full(0))
        };
        let following = names.clone().zip(likely..);
        black_box(following.fold(false, |any, (_, at)| any ^ touch(at)));
        if names
            .clone()
            .next()
            .is_none_or(|name| self.is_at(likely, name))
        {
            return;
        }
        let bins = names
            .clone()
            .fold(0, |sum, name| sum ^ self.index.touch(name));
        black_box(bins);
        let slots = names
            .filter_map(|name| self.index.candidates(name).next())
            .fold(false, |any, at| any ^ touch(at));
        black_box(slots);
    }

    fn is_at(&self, at: usize, name: Name) -> bool {
        self.slots.get(at).is_some_and(|slot| slot.name == name)
    }

    fn slot(&self, name: Name) -> Option<usize> {
        self.index.candidates(name).find(|at| self.is_at(*at, name))
    }

    fn remove(&mut self, at: usize) {
        let Some(removed) = self.slots.swap_remove(at) else {
            return;
        };
        self.index.remove(removed.name, at);
        if let Some(moved) = self.slots.get(at) {
            self.index.relocate(moved.name, self.slots.len(), at);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bucket::Limit;
    use crate::charge::name;

    #[test]
    fn a_sweep_drops_what_is_full_and_nothing_else() {
        let rate = Limit::parse("60/minute").unwrap().rate;
        let mut table = Table::default();
        let names: Vec<_> = (0..3_000_u64)
            .map(|i| name(&i.to_be_bytes()).unwrap())
            .collect();
        for (i, name) in (1..).zip(&names) {
            let mut bucket = Bucket::full(rate);
            bucket.spend(i % 3 + 1, 0).unwrap();
            table.insert(*name, bucket);
        }
        let mut dropped = 0;
        for _ in 0..1_200 {
            dropped += table.sweep(8, 2_000_000_000);
        }
        assert_eq!(
            (dropped, table.len()),
            (2_000, 1_000),
            "those that spent one or two tokens two seconds ago"
        );
        for (i, name) in (1..).zip(&names) {
            assert_eq!(table.get_mut(*name).is_some(), i % 3 == 2, "bucket {i}");
        }
    }
}

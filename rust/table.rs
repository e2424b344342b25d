//! Buckets by hashed name, cleaned a few slots at a time.
//!
//! The names are keyed hashes already (`charge::Name`): fixed in size however long a key is, and of no
//! use to whoever would like them to collide.

use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;

use crate::bucket::{Bucket, Rate};
use crate::charge::Name;

pub(crate) use chunks::Chunks;
use index::Index;

mod chunks;
mod index;

/// Up to this many slots are searched one by one, which then is quicker than an index.
const FEW: usize = 8;

/// More than these do not stay in the nearer caches.
const MANY: usize = 4_096;

/// Buckets, and where the cleaning stopped.
#[derive(Debug, Default)]
pub(crate) struct Table {
    // Beside the index, because only a list can be swept from where the last sweep stopped.
    slots: Chunks<(Name, Bucket)>,
    index: Option<Box<Index>>,
    cursor: usize,
}

impl Table {
    /// The slot and the bucket of this name, under `rate` from now on. A limit that admits nothing
    /// converts nothing: it would forget what was consumed. `likely` is the slot to look at first.
    #[inline]
    pub(crate) fn find(
        &mut self,
        name: Name,
        likely: usize,
        rate: Rate,
        now: u64,
    ) -> Option<(usize, &Bucket)> {
        let is_here = |(known, _): &(Name, Bucket)| *known == name;
        let at = match self.slots.first().get(likely) {
            Some(slot) if is_here(slot) => likely,
            _ => self.slot(name)?,
        };
        let (_, bucket) = self.slots.get_mut(at)?;
        if bucket.rate() != rate && rate.burst > 0 {
            *bucket = bucket.convert(rate, now);
        }
        Some((at, bucket))
    }

    /// Store what `find` found.
    pub(crate) fn set(&mut self, at: usize, bucket: &Bucket) {
        if let Some((_, known)) = self.slots.get_mut(at) {
            known.clone_from(bucket);
        }
    }

    /// Store what `find` did not find.
    pub(crate) fn insert(&mut self, name: Name, bucket: Bucket) {
        let at = self.slots.len();
        self.slots.push((name, bucket));
        if let Some(index) = &mut self.index {
            index.insert(name, at);
        } else if at == FEW {
            let mut index = Box::<Index>::default();
            for (at, (name, _)) in self.slots.iter().enumerate() {
                index.insert(*name, at);
            }
            self.index = Some(index);
        }
    }

    /// The bucket of this name as it is.
    pub(crate) fn get_mut(&mut self, name: Name) -> Option<&mut Bucket> {
        let at = self.slot(name)?;
        self.slots.get_mut(at).map(|(_, bucket)| bucket)
    }

    /// At most `count` of the buckets before the slot `end`, and the slot of the first of them. Whoever
    /// goes through all of them from the last to the first misses none: a removal moves only the last.
    pub(crate) fn before(&self, end: usize, count: usize) -> (usize, Vec<(Name, Bucket)>) {
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
                Some((_, bucket)) if bucket.is_full(now) => self.remove(self.cursor),
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
    pub(crate) fn touch(&self, names: impl Iterator<Item = Name> + Clone) {
        let Some(index) = self.index.as_ref().filter(|_| self.len() > MANY) else {
            return;
        };
        let bins = names.clone().fold(0, |sum, name| sum ^ index.touch(name));
        black_box(bins);
        let slots = names
            .filter_map(|name| self.slots.get(index.candidates(name).next()?))
            .fold(false, |any, (_, bucket)| any ^ bucket.is_full(0));
        black_box(slots);
    }

    fn slot(&self, name: Name) -> Option<usize> {
        let is_here = |at: &usize| self.slots.get(*at).is_some_and(|(known, _)| *known == name);
        match &self.index {
            Some(index) => index.candidates(name).find(is_here),
            None => self
                .slots
                .first()
                .iter()
                .position(|(known, _)| *known == name),
        }
    }

    fn remove(&mut self, at: usize) {
        let Some((removed, _)) = self.slots.swap_remove(at) else {
            return;
        };
        let Some(index) = &mut self.index else { return };
        index.remove(removed, at);
        if let Some((moved, _)) = self.slots.get(at) {
            index.relocate(*moved, self.slots.len(), at);
        }
    }
}

pub(crate) type Hashed = BuildHasherDefault<Prehashed>;

/// Takes a part of what is a keyed hash already.
#[derive(Debug, Default)]
pub(crate) struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes
            .iter()
            .fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
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
            assert_eq!(
                table.find(*name, 0, rate, 0).is_some(),
                i % 3 == 2,
                "bucket {i}"
            );
        }
    }
}

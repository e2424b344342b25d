//! The slots of names, in bins that split one at a time (linear hashing).
//!
//! A hash map doubles, and whoever brings the millionth name would wait for 24 ms
//! (docs/performance.md). Here an insertion splits one bin at most, in turn, and all together keep up
//! with the names.

use super::chunks::Chunks;
use crate::charge::Name;

/// Entries a bin holds on average: with some to spare they fit a line of the processor's cache.
const FILL: usize = 6;

/// Slots by name. A slot comes in doubt with a few others; whoever asks compares the names.
#[derive(Debug, Default)]
pub(super) struct Index {
    bins: Chunks<Vec<Entry>>,
    len: usize,
}

/// Half as large as a `usize` each: there are at most `limiter::MAX_KEYS`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    slot: u32,
}

impl Index {
    /// The slots where the name may be.
    pub(super) fn candidates(&self, name: Name) -> impl Iterator<Item = usize> {
        let hash = name.hash32();
        let bin = self.bins.get(self.bin(hash)).into_iter().flatten();
        bin.filter(move |entry| entry.hash == hash)
            .map(|entry| usize::try_from(entry.slot).unwrap_or(usize::MAX))
    }

    pub(super) fn insert(&mut self, name: Name, slot: usize) {
        if self.len >= self.bins.len() * FILL {
            self.split();
        }
        self.len += 1;
        let hash = name.hash32();
        let entry = Entry {
            hash,
            slot: narrow(slot),
        };
        let at = self.bin(hash);
        if let Some(bin) = self.bins.get_mut(at) {
            bin.push(entry);
        }
    }

    /// Forget a name that was in this slot.
    pub(super) fn remove(&mut self, name: Name, slot: usize) {
        let at = self.bin(name.hash32());
        let Some(bin) = self.bins.get_mut(at) else {
            return;
        };
        if let Some(entry) = bin.iter().position(|entry| entry.slot == narrow(slot)) {
            bin.swap_remove(entry);
            self.len -= 1;
        }
    }

    /// A name has moved from one slot to another.
    pub(super) fn relocate(&mut self, name: Name, from: usize, to: usize) {
        let at = self.bin(name.hash32());
        let bin = self.bins.get_mut(at).into_iter().flatten();
        for entry in bin.filter(|entry| entry.slot == narrow(from)) {
            entry.slot = narrow(to);
        }
    }

    /// One bin more: its entries are those of one earlier bin whose hashes have one more bit set.
    fn split(&mut self) {
        let new = self.bins.len();
        self.bins.push(Vec::new());
        let mask = self.mask();
        let Some(bin) = self.bins.get_mut(new & (mask >> 1)) else {
            return;
        };
        let (moved, kept) = bin
            .iter()
            .partition(|entry| masked(entry.hash, mask) == new);
        *bin = kept;
        if let Some(bin) = self.bins.get_mut(new) {
            *bin = moved;
        }
    }

    fn bin(&self, hash: u32) -> usize {
        let at = masked(hash, self.mask());
        if at < self.bins.len() {
            at
        } else {
            at & (self.mask() >> 1)
        }
    }

    /// The bits that tell the bins apart, those not split yet by one less.
    fn mask(&self) -> usize {
        self.bins.len().next_power_of_two() - 1
    }
}

fn masked(hash: u32, mask: usize) -> usize {
    usize::try_from(hash).unwrap_or_default() & mask
}

fn narrow(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

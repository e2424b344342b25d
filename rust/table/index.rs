//! The slots of names, in bins that split one at a time (linear hashing).
//!
//! A hash map doubles, and whoever brings the millionth name would wait for 24 ms
//! (docs/performance.md). Here an insertion splits one bin at most, in turn, and all together keep up
//! with the names. A bin is one line of the processor's cache, and what does not fit is beside it.

use super::chunks::Chunks;
use crate::charge::Name;

/// Entries a bin holds on average: those not split yet hold up to twice as many, and most of them fit.
const FILL: usize = 3;
/// With what is beside them 64 bytes.
const FIT: usize = 7;

/// Slots by name. A slot comes in doubt with a few others; whoever asks compares the names.
#[derive(Debug, Default)]
pub(super) struct Index {
    bins: Chunks<Bin>,
    len: usize,
}

/// Half as large as a `usize` each: there are at most `limiter::MAX_KEYS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    hash: u32,
    slot: u32,
}

const NOBODY: Entry = Entry {
    hash: 0,
    slot: u32::MAX,
};

/// The entries come first, then nobody.
#[derive(Debug)]
#[repr(align(64))]
struct Bin {
    entries: [Entry; FIT],
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More(Vec<Entry>);

impl Default for Bin {
    fn default() -> Self {
        Self {
            entries: [NOBODY; FIT],
            more: None,
        }
    }
}

impl Bin {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let more = self.more.iter().flat_map(|more| &more.0);
        self.entries
            .iter()
            .take_while(|entry| **entry != NOBODY)
            .chain(more)
    }

    fn get_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        let more = self.more.iter_mut().flat_map(|more| &mut more.0);
        let mut entries = self.entries.iter_mut().chain(more);
        entries.find(|entry| entry.slot == slot)
    }

    fn push(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|known| **known == NOBODY) {
            Some(free) => *free = entry,
            None => self.more.get_or_insert_default().0.push(entry),
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        if let Some(more) = &mut self.more {
            let last = more.0.pop();
            if more.0.is_empty() {
                self.more = None;
            }
            return last;
        }
        let last = self
            .entries
            .iter_mut()
            .rev()
            .find(|entry| **entry != NOBODY)?;
        Some(std::mem::replace(last, NOBODY))
    }
}

impl Index {
    /// The slots where the name may be.
    pub(super) fn candidates(&self, name: Name) -> impl Iterator<Item = usize> {
        let hash = name.hash32();
        let bin = self.bins.get(self.bin(hash)).into_iter();
        bin.flat_map(Bin::entries)
            .filter(move |entry| entry.hash == hash)
            .map(|entry| usize::try_from(entry.slot).unwrap_or(usize::MAX))
    }

    /// Any part of the name's bin, so that the processor has it when the name is sought.
    pub(super) fn touch(&self, name: Name) -> u32 {
        self.bins
            .get(self.bin(name.hash32()))
            .map_or(0, |bin| bin.entries[0].slot)
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
        let Some(last) = bin.pop() else { return };
        match bin.get_mut(narrow(slot)) {
            Some(entry) => *entry = last,
            None if last.slot == narrow(slot) => {}
            None => {
                bin.push(last);
                return;
            }
        }
        self.len -= 1;
    }

    /// A name has moved from one slot to another.
    pub(super) fn relocate(&mut self, name: Name, from: usize, to: usize) {
        let at = self.bin(name.hash32());
        let bin = self.bins.get_mut(at);
        if let Some(entry) = bin.and_then(|bin| bin.get_mut(narrow(from))) {
            entry.slot = narrow(to);
        }
    }

    /// One bin more: its entries are those of one earlier bin whose hashes have one more bit set.
    fn split(&mut self) {
        let new = self.bins.len();
        self.bins.push(Bin::default());
        let mask = self.mask();
        let Some(bin) = self.bins.get_mut(new & (mask >> 1)) else {
            return;
        };
        let (mut moved, mut kept) = (Bin::default(), Bin::default());
        for entry in bin.entries() {
            let there = masked(entry.hash, mask) == new;
            if there { &mut moved } else { &mut kept }.push(*entry);
        }
        *bin = kept;
        if let Some(bin) = self.bins.get_mut(new) {
            *bin = moved;
        }
    }

    fn bin(&self, hash: u32) -> usize {
        let mask = self.mask();
        let at = masked(hash, mask);
        if at < self.bins.len() {
            at
        } else {
            at & (mask >> 1)
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

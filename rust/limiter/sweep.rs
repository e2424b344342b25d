//! Cleaning, a few slots after each decision that added some, so that no decision waits for much of it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use dashmap::try_result::TryResult;

use super::Limiter;
use crate::charge::Name;

/// Slots looked at after a decision that added some: more than a usual decision adds.
pub(super) const SWEEP: usize = 8;

impl Limiter {
    /// Clean a few slots of the tables whose turn it is. Whoever finds another at one leaves it to them, and
    /// that of the domain at hand is cleaned by the decision itself.
    pub(super) fn sweep(&self, tick: u64, domain: Name) {
        if self.has_restored() {
            self.expire_restored(tick);
        }
        let mut slots = SWEEP;
        for _ in 0..SWEEP {
            let Some(turn) = self.rounds.next(domain.shard()) else {
                return;
            };
            let TryResult::Present(mut table) = self.tables.try_get_mut(&turn) else {
                continue;
            };
            let looked = slots.min(table.len());
            slots -= looked;
            self.room.release(table.sweep(looked, tick));
            if table.len() == 0 {
                self.rounds.leave(turn);
            }
            if slots == 0 {
                return;
            }
        }
    }
}

/// The tables that hold anything, a bit each, and the next one to be cleaned.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    held: AtomicU64,
    turn: AtomicU32,
}

impl Rounds {
    /// Said of a table after something was added to it, so that none is forgotten.
    pub(super) fn enter(&self, shard: u32) {
        let bit = 1 << shard;
        if self.held.load(Ordering::Relaxed) & bit == 0 {
            self.held.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Said of an empty table while its guard is held.
    fn leave(&self, shard: u32) {
        self.held.fetch_and(!(1 << shard), Ordering::Relaxed);
    }

    fn next(&self, but: u32) -> Option<u32> {
        let held = self.held.load(Ordering::Relaxed) & !(1 << but);
        if held == 0 {
            return None;
        }
        let turn = self.turn.load(Ordering::Relaxed) % u64::BITS;
        let next = (turn + held.rotate_right(turn).trailing_zeros()) % u64::BITS;
        self.turn.store(next + 1, Ordering::Relaxed);
        Some(next)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::charge::{Charge, Terms};

    #[test]
    fn memory_does_not_grow_with_the_domains_ever_seen() {
        let limiter = Limiter::new(Settings::default()).unwrap();
        let key = Charge::new("k", "1/second", Terms::default()).unwrap();
        for domain in 0..2_000_u64 {
            let tick = domain * 1_000_000_000;
            assert!(
                limiter
                    .admit(&format!("domain {domain}"), &[&key], tick)
                    .unwrap()
                    .is_ok()
            );
        }
        assert!(limiter.len() < 150, "{}", limiter.len());
    }
}

//! Cleaning, a few slots after each decision that added some, so that no decision waits for much of it.

use super::Limiter;
use crate::charge::Name;
use crate::table::{Chunks, Table};

/// Slots looked at after a decision that added some: more than a usual decision adds.
pub(super) const SWEEP: usize = 8;

impl Limiter {
    /// Clean a few slots of the next domains. Whoever finds another at it leaves it to them. The rounds
    /// are locked before a guard is taken, never while one is held.
    pub(super) fn sweep(&self, tick: u64) {
        if self.has_restored() {
            self.expire_restored(tick);
        }
        let Ok(mut rounds) = self.rounds.try_lock() else {
            return;
        };
        let mut slots = SWEEP;
        for _ in 0..SWEEP {
            let Some(domain) = rounds.next() else { return };
            let Some(left) = self.domains.get_mut(&domain).map(|mut table| {
                let looked = slots.min(table.len());
                slots -= looked;
                self.room.release(table.sweep(looked, tick));
                table.len()
            }) else {
                return;
            };
            let is_empty = |_: &Name, table: &Table| table.len() == 0;
            if left == 0 && self.domains.remove_if(&domain, is_empty).is_some() {
                rounds.forget();
            }
            if slots == 0 {
                return;
            }
        }
    }
}

/// The domains in the order in which they are cleaned.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    pub(super) domains: Chunks<Name>,
    cursor: usize,
}

impl Rounds {
    fn next(&mut self) -> Option<Name> {
        self.cursor = if self.cursor + 1 < self.domains.len() {
            self.cursor + 1
        } else {
            0
        };
        self.domains.get(self.cursor).copied()
    }

    /// Forget the one that `next` gave.
    fn forget(&mut self) {
        self.domains.swap_remove(self.cursor);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Settings, lock};
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
        assert!(limiter.domains.len() < 20);
        assert_eq!(lock(&limiter.rounds).domains.len(), limiter.domains.len());
    }
}

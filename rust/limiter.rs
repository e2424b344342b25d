//! Sharded domains of buckets: admit all or nothing, refund.
//!
//! A decision holds the one guard of its domain, computes every bucket, and only then stores every
//! bucket: nothing is reserved that could be rolled back, so nobody ever sees a half-made decision.
//! What domains have in common - shared buckets, and the overflow - lies behind one lock of its own,
//! always taken after the guard and never before: without a cycle there is no deadlock, and still no
//! rollback. Nothing else is called while a guard is held.
//!
//! Memory is bounded by `max_keys`, and a bucket that is not full is never dropped: whoever could make
//! us forget it would get it back full. Newcomers that find no room spend, together with others, from
//! an overflow bucket of the same limit, striped by their domain.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::bucket::Invalid;
use crate::charge::{Charge, Name, check_length, name};
use crate::table::{Hashed, Table};

use decision::Deciding;
pub use denied::Denied;
pub use grant::Grant;
use room::Room;
use shelf::{Common, Shelf};
use sweep::Rounds;

mod decision;
mod denied;
mod grant;
mod item;
mod room;
mod shelf;
mod sweep;

/// More than any policy charges one call for, and as many as fit the bits of an `Item`.
pub const MAX_CHARGES: usize = 64;
/// Some ten gigabytes of buckets.
pub const MAX_KEYS: usize = 100_000_000;
/// The last tick that is one: half of what 64 bits hold, 292 years, so that no sum overflows.
pub const MAX_TICK: u64 = u64::MAX / 2;

/// Locks: many more than threads, so that two rarely meet. Each guards a table that is copied when it
/// grows: with a million domains, a thousand of them.
const SHARDS: usize = 1_024;

/// Token buckets by domain and key.
#[derive(Debug)]
pub struct Limiter {
    domains: DashMap<Name, Table, Hashed>,
    rounds: Mutex<Rounds>,
    common: Mutex<Common>,
    room: Room,
    number: u64,
}

impl Limiter {
    /// A limiter that holds at most `max_keys` buckets.
    pub fn new(max_keys: usize) -> Result<Self, Invalid> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if !(1..=MAX_KEYS).contains(&max_keys) {
            return Err(Invalid(format!("max_keys is between 1 and {MAX_KEYS}")));
        }
        Ok(Self {
            domains: DashMap::with_hasher_and_shard_amount(Hashed::default(), SHARDS),
            rounds: Mutex::default(),
            common: Mutex::default(),
            room: Room::new(max_keys),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Spend all charges or none. The outer error is a call that cannot be right.
    pub fn admit(
        &self,
        domain: &str,
        charges: &[&Charge],
        tick: u64,
    ) -> Result<Result<Grant, Denied>, Invalid> {
        check(domain, charges, tick)?;
        let domain = name(domain.as_bytes())?;
        if self.room.is_full() {
            self.sweep(tick);
        }
        let mut founded = false;
        let verdict = match self.domains.entry(domain) {
            Entry::Occupied(mut entry) => {
                Deciding::new(self, domain, entry.get_mut(), tick).decide(charges)
            }
            Entry::Vacant(entry) => {
                let mut table = Table::default();
                let verdict = Deciding::new(self, domain, &mut table, tick).decide(charges);
                if table.len() > 0 {
                    entry.insert(table);
                    founded = true;
                }
                verdict
            }
        };
        if founded {
            lock(&self.rounds).domains.push(domain);
        }
        if verdict.grew {
            self.sweep(tick);
        }
        if verdict.refused {
            return Ok(Err(Denied::new(charges, &verdict.items)));
        }
        let items = verdict.items;
        Ok(Ok(Grant::new(self.number, domain, charges, items, tick)))
    }

    /// Give back what a call spent that never started; a second time does nothing.
    pub fn refund(&self, grant: &Grant) -> Result<(), Invalid> {
        if grant.limiter != self.number {
            return Err(Invalid("the grant is another limiter's".to_owned()));
        }
        if !grant.begin_refund() {
            return Ok(());
        }
        if let Some(mut table) = self.domains.get_mut(&grant.domain) {
            grant
                .spent(Shelf::Domain)
                .for_each(|item| table.refund(item.spot, item.cost));
        }
        if grant.reaches_beyond_its_domain() {
            let mut common = lock(&self.common);
            grant
                .spent(Shelf::Shared)
                .for_each(|item| common.shared.refund(item.spot, item.cost));
            grant
                .spent(Shelf::Overflow)
                .for_each(|item| common.overflow.refund(item.spot, item.cost));
        }
        Ok(())
    }

    /// Buckets held; the overflow is not counted.
    pub fn len(&self) -> usize {
        self.room.held()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Refuse what cannot be decided.
fn check(domain: &str, charges: &[&Charge], tick: u64) -> Result<(), Invalid> {
    check_length("a domain", domain)?;
    if charges.len() > MAX_CHARGES {
        return Err(Invalid(format!(
            "one call has at most {MAX_CHARGES} charges"
        )));
    }
    if tick > MAX_TICK {
        return Err(Invalid(format!("a tick is between 0 and {MAX_TICK}")));
    }
    for (position, charge) in charges.iter().enumerate() {
        let namesake = charges
            .iter()
            .take(position)
            .find(|other| other.name == charge.name);
        if let Some(other) = namesake.filter(|other| other.limit.rate != charge.limit.rate) {
            return Err(Invalid(format!(
                "one bucket cannot have two limits in one call: {} and {}",
                other.text, charge.text
            )));
        }
    }
    Ok(())
}

/// A panic while a lock was held is no reason to let nobody in any more.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::as_conversions)]
mod tests {
    use super::*;

    fn charge(key: &str, limit: &str) -> Charge {
        Charge::new(key, limit, 1, false, false).unwrap()
    }

    #[test]
    fn a_hot_key_gives_all_threads_together_exactly_its_burst() {
        let limiter = Limiter::new(100).unwrap();
        let own = charge("k", "1000/day");
        let all = Charge::new("all", "1000/day", 1, false, true).unwrap();
        let admitted: usize = std::thread::scope(|scope| {
            let call = |domain: &'static str| {
                let (limiter, charges) = (&limiter, [&own, &all]);
                move || {
                    (0..1_000)
                        .filter(|_| limiter.admit(domain, &charges, 7).unwrap().is_ok())
                        .count()
                }
            };
            let threads: Vec<_> = ["a", "b"]
                .into_iter()
                .cycle()
                .take(8)
                .map(|domain| scope.spawn(call(domain)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(
            admitted, 1_000,
            "a bucket of 1,000 for both domains together"
        );
    }

    #[test]
    fn threads_that_come_and_go_keep_the_count() {
        let limiter = Limiter::new(64).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let limiter = &limiter;
                scope.spawn(move || {
                    for step in 0..2_000_u64 {
                        let key = charge(&format!("{thread}-{step}"), "100/second");
                        let domain = format!("domain {}", step % 50);
                        if let Ok(grant) =
                            limiter.admit(&domain, &[&key], step * 20_000_000).unwrap()
                        {
                            limiter.refund(&grant).unwrap();
                        }
                        assert!(limiter.len() <= 64);
                    }
                });
            }
        });
        let tables: usize = limiter.domains.iter().map(|table| table.len()).sum();
        assert_eq!(limiter.len(), tables);
        assert_eq!(
            lock(&limiter.rounds).domains.len(),
            limiter.domains.len(),
            "a domain for each round, and no other"
        );
    }
}

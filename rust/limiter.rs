//! Buckets by domain and key: admit all or nothing, refund, settle.
//!
//! All buckets of a domain lie in one of a few tables, each in a shard of a `DashMap`, and so behind a guard. A decision holds the one guard of
//! its domain, computes every bucket, and only then stores every bucket: nothing is reserved that could be
//! rolled back, so nobody ever sees a half-made decision. What domains have in common - shared buckets, and
//! the overflow - lies behind one lock of its own, always taken after the guard and never before, and what a restart left behind a last one: without a
//! cycle there is no deadlock, and still no rollback. Nothing else is called while a guard is held.
//!
//! Memory is bounded by `max_keys`, and a bucket that is not full is never dropped: whoever could make
//! us forget it would get it back full. Newcomers that find no room spend, together with others, from
//! an overflow bucket of the same limit, striped by their domain; or are not counted, where refusing one
//! stranger for another would be worse.

use std::borrow::Borrow;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::one::RefMut;

use crate::bucket::{Bucket, Invalid, Rate};
use crate::charge::{Charge, MAX_COST, Seen, check_length, name};
use crate::table::Table;

pub use charges::Charges;
use decision::Deciding;
pub use denied::Denied;
pub use grant::Grant;
use item::Item;
use restored::Restored;
use room::Room;
use shelf::Common;
use sweep::Rounds;

mod charges;
mod decision;
mod denied;
mod grant;
mod item;
mod restored;
mod room;
mod settling;
mod shelf;
mod snapshot;
mod sweep;

/// More than any policy charges one call for, and as many as fit the bits of an `Item`.
pub const MAX_CHARGES: usize = 64;
/// Some ten gigabytes of buckets.
pub const MAX_KEYS: usize = 100_000_000;
/// The last tick that is one: half of what 64 bits hold, 292 years, so that no sum overflows.
pub const MAX_TICK: u64 = u64::MAX / 2;

/// Tables, each of many domains: many more than threads, so that two rarely meet. A bit of 64 for each.
const SHARDS: u32 = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 6;

/// What a limiter does besides counting.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Buckets it holds at most.
    pub max_keys: usize,
    /// Whether newcomers without room share a bucket; else nobody counts them.
    pub overflow: bool,
    /// Tokens with which a new bucket begins at most; None begins full.
    pub initial: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_keys: 100_000,
            overflow: true,
            initial: None,
        }
    }
}

/// Puts each table into a shard of its own, by the bits that `DashMap` chooses the shard by.
#[derive(Clone, Copy, Debug, Default)]
struct Apart(u64);

impl Hasher for Apart {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << u8::BITS ^ u64::from(*byte);
        }
    }

    fn write_u32(&mut self, table: u32) {
        // The seven bits above are those by which a shard finds its entries.
        self.0 = u64::from(table).rotate_right(SHARD_BITS + 7);
    }
}

/// Token buckets by domain and key.
#[derive(Debug)]
pub struct Limiter {
    tables: DashMap<u32, Table, BuildHasherDefault<Apart>>,
    rounds: Rounds,
    common: Mutex<Common>,
    restored: Mutex<Restored>,
    /// Of them, so that without any nobody takes their lock.
    restored_left: AtomicUsize,
    room: Room,
    overflowed: AtomicU64,
    settings: Settings,
    number: u64,
}

impl Limiter {
    /// A limiter that holds nothing yet.
    pub fn new(settings: Settings) -> Result<Self, Invalid> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if !(1..=MAX_KEYS).contains(&settings.max_keys) {
            return Err(Invalid(format!("max_keys is between 1 and {MAX_KEYS}")));
        }
        if settings.initial > Some(MAX_COST) {
            return Err(Invalid(format!("initial is between 0 and {MAX_COST}")));
        }
        Ok(Self {
            tables: DashMap::with_hasher_and_shard_amount(
                BuildHasherDefault::default(),
                1 << SHARD_BITS,
            ),
            rounds: Rounds::default(),
            common: Mutex::default(),
            restored: Mutex::default(),
            restored_left: AtomicUsize::new(0),
            room: Room::new(settings.max_keys),
            overflowed: AtomicU64::new(0),
            settings,
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
        let distinct = charges::check(charges)?;
        let seen = charges.first().map(|first| &first.seen);
        self.decide(domain, charges, distinct, seen, tick)
    }

    /// The same of charges that were checked when they came together.
    pub fn admit_all(
        &self,
        domain: &str,
        charges: &Charges,
        tick: u64,
    ) -> Result<Result<Grant, Denied>, Invalid> {
        let Charges {
            all,
            distinct,
            seen,
        } = charges;
        self.decide(domain, all, *distinct, Some(seen), tick)
    }

    fn decide<C: Borrow<Charge>>(
        &self,
        text: &str,
        charges: &[C],
        distinct: bool,
        seen: Option<&Seen>,
        tick: u64,
    ) -> Result<Result<Grant, Denied>, Invalid> {
        check_length("a domain", text)?;
        check_tick(tick)?;
        let domain = name(text.as_bytes())?;
        if self.room.is_full() {
            self.sweep(tick, domain);
        }
        let verdict = {
            let mut table = self.table(domain.shard());
            Deciding::new(self, (text, domain), charges, &mut table, tick).decide(distinct, seen)
        };
        if verdict.grew {
            self.rounds.enter(domain.shard());
            self.sweep(tick, domain);
        }
        if verdict.refused {
            return Ok(Err(Denied::new(charges, &verdict.items, tick)));
        }
        Ok(Ok(Grant::new(self.number, domain, charges, verdict, tick)))
    }

    /// The table and its guard.
    fn table(&self, at: u32) -> RefMut<'_, u32, Table> {
        self.tables.entry(at).or_default()
    }

    /// The item's bucket is new.
    fn begin(&self, item: &mut Item, tick: u64) {
        if self.settings.initial.is_some() {
            item.bucket = self.fresh(item.bucket.rate(), tick);
        }
    }

    /// A bucket nobody has used.
    fn fresh(&self, rate: Rate, tick: u64) -> Bucket {
        self.settings.initial.map_or_else(
            || Bucket::full(rate),
            |tokens| Bucket::holding(rate, tokens, tick),
        )
    }

    fn count_overflowed(&self) {
        self.overflowed.fetch_add(1, Ordering::Relaxed);
    }

    /// Charges of newcomers for which there was no room.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
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

fn check_tick(tick: u64) -> Result<(), Invalid> {
    if tick > MAX_TICK {
        return Err(Invalid(format!("a tick is between 0 and {MAX_TICK}")));
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
    use crate::charge::Terms;

    fn charge(key: &str, limit: &str) -> Charge {
        Charge::new(key, limit, Terms::default()).unwrap()
    }

    fn limiter(max_keys: usize) -> Limiter {
        Limiter::new(Settings {
            max_keys,
            ..Settings::default()
        })
        .unwrap()
    }

    #[test]
    fn a_hot_key_gives_all_threads_together_exactly_its_burst() {
        let limiter = limiter(100);
        let own = charge("k", "1000/day");
        let terms = Terms {
            shared: true,
            ..Terms::default()
        };
        let all = Charge::new("all", "1000/day", terms).unwrap();
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
    fn each_table_has_a_guard_of_its_own() {
        let limiter = limiter(1);
        let held: Vec<_> = (0..SHARDS).map(|at| limiter.tables.try_entry(at)).collect();
        assert!(held.iter().all(Option::is_some));
    }

    #[test]
    fn threads_that_come_and_go_keep_the_count() {
        let limiter = limiter(64);
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
        let tables: usize = limiter.tables.iter().map(|table| table.len()).sum();
        assert_eq!(limiter.len(), tables);
    }
}

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

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::bucket::{Bucket, Invalid, Shortage};
use crate::charge::{Charge, Name, check_length, name};
use crate::table::{Hashed, Table};

/// More than any policy charges one call for, and as many as fit the bits of an `Item`.
pub const MAX_CHARGES: usize = 64;
/// Some ten gigabytes of buckets.
pub const MAX_KEYS: usize = 100_000_000;
/// The last tick that is one: half of what 64 bits hold, 292 years, so that no sum overflows.
pub const MAX_TICK: u64 = u64::MAX / 2;

/// Enough that the flood of one domain rarely meets another's newcomers.
const STRIPES: u64 = 64;
/// All stripes of 64 different limits; whoever configures more and overflows is refused.
const MAX_OVERFLOW: usize = 4_096;
/// Slots looked at after a decision that added some: more than a usual decision adds.
const SWEEP: usize = 8;
/// Locks: many more than threads, so that two rarely meet.
const SHARDS: usize = 64;

/// Token buckets by domain and key.
#[derive(Debug)]
pub struct Limiter {
    domains: DashMap<Name, Table, Hashed>,
    rounds: Mutex<Rounds>,
    common: Mutex<Common>,
    held: AtomicUsize,
    max_keys: usize,
    number: u64,
}

/// An admission, and what it takes to undo it.
#[derive(Debug)]
pub struct Grant {
    limiter: u64,
    domain: Name,
    tick: u64,
    charges: usize,
    items: Vec<Item>,
    refunded: AtomicBool,
    /// Keys of the observed charges that would have refused.
    pub would_deny: Vec<Arc<str>>,
}

/// Why a call is not admitted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Nanoseconds until the same call would be admitted; None when it never fits.
    pub retry_after: Option<u64>,
    /// The key that has to wait longest.
    pub budget: Arc<str>,
    /// Every key over its limit, in the order of the charges.
    pub violated: Vec<Arc<str>>,
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
            held: AtomicUsize::new(0),
            max_keys,
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
        if self.is_full() {
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
        Ok(Ok(Grant {
            limiter: self.number,
            domain,
            tick,
            charges: charges.len(),
            would_deny: violated(charges, &verdict.items),
            items: verdict.items,
            refunded: AtomicBool::new(false),
        }))
    }

    /// Give back what a call spent that never started; a second time does nothing.
    pub fn refund(&self, grant: &Grant) -> Result<(), Invalid> {
        if grant.limiter != self.number {
            return Err(Invalid("the grant is another limiter's".to_owned()));
        }
        if grant.refunded.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(mut table) = self.domains.get_mut(&grant.domain) {
            grant
                .spent(Shelf::Domain)
                .for_each(|item| table.refund(item.spot, item.cost));
        }
        if grant.items.iter().any(|item| item.shelf != Shelf::Domain) {
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
        self.held.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_full(&self) -> bool {
        self.len() >= self.max_keys
    }

    /// Make room for one bucket, if there is any.
    fn reserve(&self) -> bool {
        let one_more = |held| (held < self.max_keys).then_some(held + 1);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    fn release(&self, count: usize) {
        self.held.fetch_sub(count, Ordering::Relaxed);
    }

    /// Clean a few slots of the next domains. Whoever finds another at it leaves it to them. The rounds
    /// are locked before a guard is taken, never while one is held.
    fn sweep(&self, tick: u64) {
        let Ok(mut rounds) = self.rounds.try_lock() else {
            return;
        };
        let mut slots = SWEEP;
        for _ in 0..SWEEP {
            let Some(domain) = rounds.next() else { return };
            let Some(left) = self.domains.get_mut(&domain).map(|mut table| {
                let looked = slots.min(table.len());
                slots -= looked;
                self.release(table.sweep(looked, tick));
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

impl Grant {
    /// Whole tokens left after this admission, in the order of the charges.
    pub fn remaining(&self) -> impl ExactSizeIterator<Item = u64> {
        (0..self.charges).map(|position| {
            let of = |item: &&Item| item.charges & (1 << position) != 0;
            self.items
                .iter()
                .find(of)
                .map_or(0, |item| item.bucket.remaining(self.tick))
        })
    }

    fn spent(&self, shelf: Shelf) -> impl Iterator<Item = &Item> {
        self.items
            .iter()
            .filter(move |item| item.shelf == shelf && item.cost > 0)
    }
}

impl Denied {
    /// Seconds until the same call would be admitted, never earlier than the exact time.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<f64> {
        const BILLION: f64 = 1e9;
        let wait = self.retry_after?;
        // Exact: a wait is a few days at most, and 2^53 nanoseconds are a hundred.
        let whole = f64::from(u32::try_from(wait / 1_000_000_000).unwrap_or(u32::MAX));
        let rest = f64::from(u32::try_from(wait % 1_000_000_000).unwrap_or(0));
        let nanoseconds = whole * BILLION + rest;
        let seconds = nanoseconds / BILLION;
        // The fused product rounds once, so that its sign tells which way the division was rounded.
        Some(if seconds.mul_add(BILLION, -nanoseconds) < 0.0 {
            seconds.next_up()
        } else {
            seconds
        })
    }

    fn new(charges: &[&Charge], items: &[Item]) -> Self {
        let enforced = |item: &&Item| !item.observe && item.shortage.is_some();
        let worst = items
            .iter()
            .filter(enforced)
            .rev()
            .max_by_key(|item| item.shortage);
        let budget = worst.and_then(|item| {
            charges
                .iter()
                .zip(0..)
                .find(|(_, at)| item.charges & (1 << at) != 0)
        });
        let enforced: Vec<_> = items.iter().filter(enforced).cloned().collect();
        Self {
            retry_after: worst.and_then(|item| match item.shortage? {
                Shortage::Never => None,
                Shortage::Wait(wait) => Some(wait),
            }),
            budget: budget.map_or_else(|| "".into(), |(charge, _)| Arc::clone(&charge.key)),
            violated: violated(charges, &enforced),
        }
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

/// Keys of the charges in whose buckets something was short, each once.
fn violated(charges: &[&Charge], items: &[Item]) -> Vec<Arc<str>> {
    let short = items
        .iter()
        .filter(|item| item.shortage.is_some())
        .fold(0, |bits, item| bits | item.charges);
    let mut keys: Vec<Arc<str>> = Vec::new();
    for (charge, _) in charges
        .iter()
        .zip(0..)
        .filter(|(_, position)| short & (1_u64 << position) != 0)
    {
        if !keys.contains(&charge.key) {
            keys.push(Arc::clone(&charge.key));
        }
    }
    keys
}

/// One bucket of a call: the charges that spend from it, and what came of it.
#[derive(Clone, Debug)]
struct Item {
    /// The bucket the charges name,
    name: Name,
    /// and where it is, or the overflow bucket that stands in for it.
    spot: Name,
    shelf: Shelf,
    slot: Option<usize>,
    bucket: Bucket,
    /// A bit for the position of each charge.
    charges: u64,
    /// What is spent together; nothing if that is too much.
    cost: u64,
    observe: bool,
    shortage: Option<Shortage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shelf {
    Domain,
    /// The overflow is full too.
    Nowhere,
    Overflow,
    Shared,
}

/// What the domains have in common.
#[derive(Debug, Default)]
struct Common {
    overflow: Table,
    shared: Table,
}

/// The domains in the order in which they are cleaned.
#[derive(Debug, Default)]
struct Rounds {
    domains: Vec<Name>,
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

/// One decision, while the guard of its domain is held.
struct Deciding<'a> {
    limiter: &'a Limiter,
    domain: Name,
    table: &'a mut Table,
    common: Option<MutexGuard<'a, Common>>,
    tick: u64,
}

struct Verdict {
    items: Vec<Item>,
    refused: bool,
    grew: bool,
}

impl<'a> Deciding<'a> {
    fn new(limiter: &'a Limiter, domain: Name, table: &'a mut Table, tick: u64) -> Self {
        if limiter.is_full() {
            limiter.release(table.sweep(SWEEP, tick));
        }
        Self {
            limiter,
            domain,
            table,
            common: None,
            tick,
        }
    }

    fn decide(mut self, charges: &[&Charge]) -> Verdict {
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

    fn place(&mut self, charge: &Charge) -> Item {
        let (rate, tick) = (charge.limit.rate, self.tick);
        let home = if charge.shared {
            Shelf::Shared
        } else {
            Shelf::Domain
        };
        let item = |shelf, spot, found: Option<(usize, Bucket)>| Item {
            name: charge.name,
            spot,
            shelf,
            slot: found.map(|(slot, _)| slot),
            bucket: found.map_or_else(|| Bucket::full(rate), |(_, bucket)| bucket),
            charges: 0,
            cost: 0,
            observe: charge.observe,
            shortage: None,
        };
        let found = self
            .shelf(home)
            .and_then(|table| table.find(charge.name, rate, tick));
        if found.is_some() || self.limiter.reserve() {
            return item(home, charge.name, found);
        }
        let stripe = if charge.shared {
            STRIPES
        } else {
            self.domain.stripe(STRIPES)
        };
        let spot = charge.overflow.in_stripe(stripe);
        let overflow = &mut self.common().overflow;
        let found = overflow.find(spot, rate, tick);
        let room = found.is_some() || overflow.len() < MAX_OVERFLOW;
        item(
            if room {
                Shelf::Overflow
            } else {
                Shelf::Nowhere
            },
            spot,
            found,
        )
    }

    /// Store what was spent, and give back the room nobody needs. Says whether anything was added.
    fn store(&mut self, items: &[Item], refused: bool) -> bool {
        let mut grew = false;
        for item in items {
            let reserved =
                item.slot.is_none() && matches!(item.shelf, Shelf::Domain | Shelf::Shared);
            if refused || item.cost == 0 {
                self.limiter.release(usize::from(reserved));
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
            self.limiter.release(common.shared.sweep(SWEEP, self.tick));
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

impl Item {
    fn spend(&self, now: u64) -> Result<Bucket, Shortage> {
        match self.bucket.spend(self.cost, now) {
            Ok(_) if self.shelf == Shelf::Nowhere && self.cost > 0 => {
                Err(Shortage::Wait(self.bucket.period()))
            }
            verdict => verdict,
        }
    }
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

    #[test]
    fn memory_does_not_grow_with_the_domains_ever_seen() {
        let limiter = Limiter::new(1_000).unwrap();
        let key = charge("k", "1/second");
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

    #[test]
    fn a_wait_in_seconds_is_never_early_and_exact_where_it_can_be() {
        let seconds = |wait| {
            let denied = Denied {
                retry_after: Some(wait),
                budget: "".into(),
                violated: Vec::new(),
            };
            denied.retry_after_seconds().unwrap()
        };
        assert_eq!((seconds(500_000_000), seconds(60_000_000_000)), (0.5, 60.0));
        for wait in (1..100_000_000_000).step_by(99_999_989) {
            assert!(seconds(wait).mul_add(1e9, -(wait as f64)) >= 0.0, "{wait}");
            assert_eq!((seconds(wait) * 1e9).round() as u64, wait);
        }
    }
}

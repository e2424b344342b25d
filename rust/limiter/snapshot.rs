//! What a limiter knows as bytes, so that a day's budget outlives a restart.
//!
//! The names are keyed hashes, so the bytes carry the key: whoever can read them can aim at buckets, and
//! whoever can write them can empty or fill any. They belong in a file that only its owner reads (0600).
//!
//! A first line; the number of generations; of each its secret, the number of its buckets, and those; the
//! SHA-256 of all that. Numbers are big-endian. The twin hashes names another way and cannot read this.

use std::cmp::Reverse;
use std::collections::HashMap;

use ring::digest::{SHA256, digest};

use super::restored::{Generation, Key, MAX_GENERATIONS};
use super::shelf::{MAX_OVERFLOW, Shelf};
use super::{Limiter, SHARDS, check_tick, lock};
use crate::bucket::{Bucket, Invalid, MAX_DEBT, MAX_INSTANCES, MAX_LIMIT, Rate};
use crate::charge::{Name, Secret, secret};
use crate::table::Slot;

/// The version and the implementation: another one's first line differs.
const FIRST_LINE: &[u8] = b"doorward limiter 2 rust\n";
/// The longest period there is: one token in two days, of as many processes as there can be.
const MAX_PERIOD: u64 = 2 * 86_400 * 1_000_000_000 * MAX_INSTANCES;
/// Buckets copied while a lock is held: some microseconds.
const COPIED: usize = 512;

impl Limiter {
    /// All buckets that are not full. Each is as it was at some instant of the walk; decisions go on
    /// meanwhile, as no lock is held for longer than it takes to copy a few hundred.
    pub fn snapshot(&self, tick: u64) -> Result<Vec<u8>, Invalid> {
        check_tick(tick)?;
        // What was restored first: a bucket that is asked for meanwhile moves to the tables, not from them.
        let mut generations = self.restored_records(tick);
        generations.insert(0, (*secret()?, self.own_records(tick)));
        generations.truncate(MAX_GENERATIONS);
        let mut bytes = FIRST_LINE.to_vec();
        bytes.extend(
            u8::try_from(generations.len())
                .unwrap_or(u8::MAX)
                .to_be_bytes(),
        );
        for (secret, records) in generations {
            bytes.extend(secret.bytes());
            bytes.extend(count(records.len() / RECORD).to_be_bytes());
            bytes.extend(records);
        }
        let sum = digest(&SHA256, &bytes);
        bytes.extend(sum.as_ref());
        Ok(bytes)
    }

    /// Take up what an earlier process wrote, `elapsed` nanoseconds later. If there is not room for all,
    /// those that would be full first are left out. Bytes that are no snapshot change nothing.
    pub fn restore(&self, bytes: &[u8], tick: u64, elapsed: u64) -> Result<(), Invalid> {
        check_tick(tick)?;
        let mut read = read(bytes)?;
        let mut order: Vec<_> = Vec::new();
        for (at, (_, records)) in read.iter_mut().enumerate() {
            for (key, bucket) in records.drain(..) {
                let backlog = bucket.backlog(0).saturating_sub(elapsed);
                let wanted = key.shelf != Shelf::Overflow || self.settings.overflow;
                if wanted && backlog > 0 {
                    order.push((tick.saturating_add(backlog), at, key, bucket.rate()));
                }
            }
        }
        order.sort_unstable_by_key(|(full_at, ..)| Reverse(*full_at));
        let mut restored = lock(&self.restored);
        let known = restored.generations.len();
        if known + read.len() > MAX_GENERATIONS {
            return Err(Invalid(
                "too many snapshots were restored here already".to_owned(),
            ));
        }
        let generations = read.into_iter().map(|(secret, _)| Generation {
            secret,
            buckets: HashMap::new(),
        });
        restored.generations.extend(generations);
        let mut overflow = 0;
        for (full_at, at, key, rate) in order {
            let Some(generation) = restored.generations.get_mut(known + at) else {
                continue;
            };
            if generation.buckets.contains_key(&key) {
                continue;
            }
            let room = if key.shelf == Shelf::Overflow {
                overflow += 1;
                overflow <= MAX_OVERFLOW
            } else {
                self.room.reserve()
            };
            if !room {
                continue;
            }
            let bucket = Bucket::lacking(rate, full_at.saturating_sub(tick), tick);
            generation.buckets.insert(key, bucket);
            restored.order.push((full_at, known + at, key));
        }
        restored
            .order
            .sort_unstable_by_key(|(full_at, ..)| Reverse(*full_at));
        self.count_restored(&mut restored);
        Ok(())
    }

    fn own_records(&self, tick: u64) -> Vec<u8> {
        let mut records = Vec::new();
        for at in 0..SHARDS {
            walk(&mut records, tick, Shelf::Domain, |end| {
                self.table(at).before(end, COPIED)
            });
        }
        walk(&mut records, tick, Shelf::Shared, |end| {
            lock(&self.common).shared.before(end, COPIED)
        });
        walk(&mut records, tick, Shelf::Overflow, |end| {
            lock(&self.common).overflow.before(end, COPIED)
        });
        records
    }

    fn restored_records(&self, tick: u64) -> Vec<(Secret, Vec<u8>)> {
        let mut generations: Vec<(Secret, Vec<u8>)> = lock(&self.restored)
            .generations
            .iter()
            .map(|generation| (generation.secret, Vec::new()))
            .collect();
        // From the last to the first, as only the last are dropped.
        let mut end = usize::MAX;
        while end > 0 {
            let restored = lock(&self.restored);
            end = end.min(restored.order.len());
            let start = end.saturating_sub(COPIED);
            let found: Vec<_> = restored
                .order
                .get(start..end)
                .into_iter()
                .flatten()
                .filter_map(|(_, at, key)| {
                    let generation = restored.generations.get(*at)?;
                    Some((*at, *key, *generation.buckets.get(key)?))
                })
                .collect();
            drop(restored);
            end = start;
            for (at, key, bucket) in found {
                if let Some((_, records)) = generations.get_mut(at) {
                    write(records, key, bucket, tick);
                }
            }
        }
        generations.retain(|(_, records)| !records.is_empty());
        generations
    }
}

/// Write the buckets of a table that is copied piece by piece.
fn walk(
    records: &mut Vec<u8>,
    tick: u64,
    shelf: Shelf,
    copy: impl Fn(usize) -> (usize, Vec<Slot>),
) {
    let mut end = usize::MAX;
    while end > 0 {
        let (start, slots) = copy(end);
        end = start;
        for Slot { name, bucket } in slots {
            write(records, Key { shelf, name }, bucket, tick);
        }
    }
}

/// The bytes of one bucket.
const RECORD: usize = 1 + 16 + 3 * 8;

fn write(records: &mut Vec<u8>, key: Key, bucket: Bucket, tick: u64) {
    let backlog = bucket.backlog(tick);
    if backlog == 0 {
        return;
    }
    records.push(match key.shelf {
        Shelf::Domain => b'd',
        Shelf::Shared => b's',
        _ => b'o',
    });
    records.extend(key.name.to_bytes());
    for number in [backlog, bucket.rate().period, bucket.rate().burst] {
        records.extend(number.to_be_bytes());
    }
}

/// The buckets of one generation, with their backlogs at tick 0.
type Read = (Secret, Vec<(Key, Bucket)>);

/// The generations of a snapshot.
fn read(bytes: &[u8]) -> Result<Vec<Read>, Invalid> {
    let rest = bytes.strip_prefix(FIRST_LINE).ok_or_else(|| {
        Invalid("not a limiter's snapshot, or one of another version or implementation".to_owned())
    })?;
    let torn = || Invalid("the snapshot is torn or damaged".to_owned());
    let (_, sum) = bytes.split_last_chunk::<32>().ok_or_else(torn)?;
    let (rest, _) = rest.split_last_chunk::<32>().ok_or_else(torn)?;
    let summed = bytes.get(..bytes.len() - 32).ok_or_else(torn)?;
    if digest(&SHA256, summed).as_ref() != sum {
        return Err(torn());
    }
    let mut reader = Reader(rest);
    let [generations] = reader.take::<1>().ok_or_else(torn)?;
    if usize::from(generations) > MAX_GENERATIONS {
        return Err(torn());
    }
    let mut read = Vec::new();
    for _ in 0..generations {
        let secret = Secret::new(reader.take().ok_or_else(torn)?);
        let count = u32::from_be_bytes(reader.take().ok_or_else(torn)?);
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(reader.record().ok_or_else(torn)?);
        }
        read.push((secret, records));
    }
    if reader.0.is_empty() {
        Ok(read)
    } else {
        Err(torn())
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn record(&mut self) -> Option<(Key, Bucket)> {
        let shelf = match self.take::<1>()? {
            [b'd'] => Shelf::Domain,
            [b's'] => Shelf::Shared,
            [b'o'] => Shelf::Overflow,
            _ => return None,
        };
        let name = Name::from_bytes(self.take()?);
        let backlog = self.number()?;
        let (period, burst) = (self.number()?, self.number()?);
        let rate = Rate { period, burst };
        let is_a_rate = (1..=MAX_PERIOD).contains(&period) && (1..=MAX_LIMIT).contains(&burst);
        // No limit holds more than its time, rounded up, and a debt is bounded.
        let most = rate.capacity().checked_mul(1 + MAX_DEBT)?;
        let fits = is_a_rate && rate.capacity() <= MAX_PERIOD + MAX_LIMIT && backlog <= most;
        fits.then(|| {
            let key = Key { shelf, name };
            (key, Bucket::lacking(rate, backlog, 0))
        })
    }
}

fn count(records: usize) -> u32 {
    u32::try_from(records).unwrap_or(u32::MAX)
}

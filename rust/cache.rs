//! What verified tokens were found to mean: bounded in entries and bytes, expiry checked on every hit.
//!
//! A token is known by a keyed 128-bit hash of all its bytes, so the cache holds no token that could leak,
//! and nobody without the key can make two tokens collide. Eviction gives a second chance to what was
//! seen again, so a flood of new tokens passes through beside those in use.

use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;
use std::sync::{Mutex, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};
use siphasher::sip128::{Hasher128, SipHasher24};

/// Half of what a gate may grow by under any flood. Ten thousand typical callers weigh as much.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What an entry weighs beside its token and its value.
const OVERHEAD: usize = 256;

/// A bounded cache. Values that leave it are handed back, so that the caller can drop them when no lock is held.
#[derive(Debug)]
pub struct TokenCache<V> {
    hasher: SipHasher24,
    max_entries: usize,
    max_bytes: usize,
    shelf: Mutex<Shelf<V>>,
}

impl<V> TokenCache<V> {
    /// An empty cache with a random key of its own.
    ///
    /// # Errors
    /// Without room for one entry, or without randomness.
    pub fn new(max_entries: usize) -> Result<Self, &'static str> {
        Self::bounded(max_entries, MAX_BYTES)
    }

    /// An empty cache with a bound in bytes other than [`MAX_BYTES`].
    ///
    /// # Errors
    /// Without room for one entry, or without randomness.
    pub fn bounded(max_entries: usize, max_bytes: usize) -> Result<Self, &'static str> {
        if max_entries == 0 {
            return Err("max_entries is 0");
        }
        let mut key = [0; 16];
        SystemRandom::new()
            .fill(&mut key)
            .map_err(|_| "the system has no randomness")?;
        Ok(Self {
            hasher: SipHasher24::new_with_key(&key),
            max_entries,
            max_bytes,
            shelf: Mutex::new(Shelf::new()),
        })
    }

    /// What was kept for exactly this token, copied out by `copy`, unless it has expired.
    pub fn get<T>(&self, token: &[u8], now: f64, copy: impl FnOnce(&V) -> T) -> Option<T> {
        let digest = self.digest(token);
        let mut shelf = self.lock();
        // An expired entry waits for its eviction: dropping its value here would run foreign code under the lock.
        let entry = shelf
            .entries
            .get_mut(&digest)
            .filter(|entry| entry.expires_at > now)?;
        entry.seen_again = true;
        Some(copy(&entry.value))
    }

    /// Keep a value of so many bytes until `expires_at`; returns what had to go for it, itself where it is too large
    /// to keep.
    #[must_use = "drop what was evicted where no lock is held"]
    pub fn put(&self, token: &[u8], value: V, bytes: usize, expires_at: f64) -> Vec<V> {
        let weight = token.len().saturating_add(OVERHEAD).saturating_add(bytes);
        if weight > self.max_bytes {
            let mut gone = vec![value];
            // What was kept of the token before is no longer what it means.
            gone.extend(self.lock().remove(self.digest(token)));
            return gone;
        }
        let entry = Entry {
            weight,
            expires_at,
            seen_again: false,
            value,
        };
        let digest = self.digest(token);
        let mut shelf = self.lock();
        let mut evicted = Vec::new();
        if let Some(known) = shelf.entries.get_mut(&digest) {
            let before = std::mem::replace(known, entry);
            shelf.bytes = shelf.bytes - before.weight + weight;
            evicted.push(before.value);
            // It may have become heavier.
            evicted.extend(shelf.make_room(self.max_entries, self.max_bytes));
            return evicted;
        }
        evicted.extend(shelf.make_room(self.max_entries - 1, self.max_bytes - weight));
        shelf.bytes += weight;
        shelf.queue.push_back(digest);
        shelf.entries.insert(digest, entry);
        evicted
    }

    /// Empty the cache; returns what was in it.
    #[must_use = "drop what was evicted where no lock is held"]
    pub fn clear(&self) -> Vec<V> {
        let emptied = std::mem::replace(&mut *self.lock(), Shelf::new());
        emptied
            .entries
            .into_values()
            .map(|entry| entry.value)
            .collect()
    }

    /// How many entries there are, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn digest(&self, token: &[u8]) -> u128 {
        let mut hasher = self.hasher;
        hasher.write(token);
        hasher.finish128().as_u128()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shelf<V>> {
        // Nothing below can panic half way, so a poisoned shelf is still whole.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Shelf<V> {
    entries: HashMap<u128, Entry<V>>,
    /// Each entry once, the next to be judged first.
    queue: VecDeque<u128>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    weight: usize,
    expires_at: f64,
    seen_again: bool,
    value: V,
}

impl<V> Shelf<V> {
    fn new() -> Self {
        Self {
            entries: HashMap::new(),
            queue: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Evicts until no more than so many entries and bytes are left.
    fn make_room(&mut self, entries: usize, bytes: usize) -> Vec<V> {
        let mut evicted = Vec::new();
        while self.entries.len() > entries || self.bytes > bytes {
            let Some(value) = self.evict() else { break };
            evicted.push(value);
        }
        evicted
    }

    fn remove(&mut self, digest: u128) -> Option<V> {
        let removed = self.entries.remove(&digest)?;
        self.queue.retain(|&other| other != digest);
        self.bytes -= removed.weight;
        Some(removed.value)
    }

    /// Removes the first of the queue that was not seen again since its last judgement.
    fn evict(&mut self) -> Option<V> {
        loop {
            let digest = self.queue.pop_front()?;
            let entry = self.entries.get_mut(&digest)?;
            if entry.seen_again {
                entry.seen_again = false;
                self.queue.push_back(digest);
                continue;
            }
            let removed = self.entries.remove(&digest)?;
            self.bytes -= removed.weight;
            return Some(removed.value);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(cache: &TokenCache<u32>, token: &[u8], now: f64) -> Option<u32> {
        cache.get(token, now, |value| *value)
    }

    #[test]
    fn never_serves_at_or_past_expiry() {
        let cache = TokenCache::new(10).unwrap();
        assert!(cache.put(b"token", 1, 0, 100.0).is_empty());
        assert_eq!(kept(&cache, b"token", 99.999), Some(1));
        assert_eq!(kept(&cache, b"token", 100.0), None);
        assert_eq!(kept(&cache, b"token", f64::NAN), None);
        assert_eq!(kept(&cache, b"tokeN", 0.0), None);
    }

    #[test]
    fn a_flood_passes_through_beside_what_is_seen_again() {
        let cache = TokenCache::new(10).unwrap();
        for token in 0..5_u32 {
            let _ = cache.put(&token.to_le_bytes(), token, 0, 100.0);
        }
        for flood in 1_000..2_000_u32 {
            for token in 0..5_u32 {
                assert_eq!(kept(&cache, &token.to_le_bytes(), 0.0), Some(token));
            }
            let _ = cache.put(&flood.to_le_bytes(), flood, 0, 100.0);
        }
        assert_eq!(cache.len(), 10);
    }

    #[test]
    fn is_bounded_in_bytes() {
        let cache = TokenCache::bounded(1_000, 10 * (1_000 + OVERHEAD)).unwrap();
        for token in 0..100_u8 {
            let _ = cache.put(&[token; 500], 0, 500, 100.0);
        }
        assert_eq!(cache.len(), 10);
        assert_eq!(cache.put(&[0; 100_000], 7, 0, 100.0), [7]);
        assert_eq!(cache.put(b"", 7, usize::MAX, 100.0), [7]);
        assert_eq!(cache.clear().len(), 10);
        assert!(cache.is_empty());
    }

    #[test]
    fn a_value_that_became_heavier_takes_the_room_of_others() {
        let cache = TokenCache::bounded(10, 4 * (1 + OVERHEAD + 100)).unwrap();
        for (value, token) in [b"a", b"b", b"c", b"d"].into_iter().enumerate() {
            assert!(cache.put(token, value, 100, 9.0).is_empty());
        }
        assert_eq!(cache.put(b"d", 5, 200, 9.0), [3, 0]);
        // Too heavy to keep, and what it meant before must not come back.
        assert_eq!(cache.put(b"d", 6, 100_000, 9.0), [6, 5]);
        assert_eq!(cache.get(b"d", 0.0, |value| *value), None);
        assert!(cache.put(b"d", 7, 100, 9.0).is_empty());
        assert_eq!(
            (cache.len(), cache.get(b"d", 0.0, |value| *value)),
            (3, Some(7))
        );
    }

    proptest! {
        #[test]
        fn stays_bounded_and_true(steps in prop::collection::vec((any::<bool>(), 0..20_u8, 0..4_u8, 0..9_u8), 0..200)) {
            let cache = TokenCache::bounded(8, 8 * (OVERHEAD + 10)).unwrap();
            let mut alive = 0_usize;
            for (put, token, time, weight) in steps {
                let bytes = vec![token; usize::from(token)];
                if put {
                    alive += 1;
                    alive -= cache.put(&bytes, u32::from(token), usize::from(weight) * 64, f64::from(time)).len();
                } else if let Some(value) = kept(&cache, &bytes, f64::from(time)) {
                    prop_assert_eq!(value, u32::from(token));
                }
                prop_assert!(cache.len() <= 8);
                prop_assert_eq!(cache.len(), alive);
            }
        }
    }
}

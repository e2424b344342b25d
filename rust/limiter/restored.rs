//! Buckets of an earlier process: found under the name its secret gave them, once somebody asks.
//!
//! They take room like any other, so that whoever was at a limit stays there in a full table too, and are
//! dropped once full.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::shelf::{Shelf, stripe};
use super::sweep::SWEEP;
use super::{Limiter, lock};
use crate::bucket::Bucket;
use crate::charge::{Charge, Name, Secret};

/// Restarts through which a bucket is carried that nobody asks for: each costs a newcomer two hashes.
pub(super) const MAX_GENERATIONS: usize = 16;

/// What an earlier process called a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) shelf: Shelf,
    pub(super) name: Name,
}

/// What one earlier process knew.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) secret: Secret,
    pub(super) buckets: HashMap<Key, Bucket>,
}

/// What all earlier processes knew and nobody has asked for yet, the latest first.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) generations: Vec<Generation>,
    /// When each is full, with its generation: the first of them last.
    pub(super) order: Vec<(u64, usize, Key)>,
}

impl Restored {
    fn take(&mut self, shelf: Shelf, charge: &Charge, domain: &str) -> Option<Bucket> {
        let held = |generation: &&mut Generation| !generation.buckets.is_empty();
        self.generations
            .iter_mut()
            .filter(held)
            .find_map(|generation| {
                let secret = &generation.secret;
                let own = secret.name(&[domain.as_bytes()]);
                let name = match shelf {
                    Shelf::Domain => charge.name_by(secret).within(own),
                    Shelf::Overflow => charge
                        .overflow_by(secret)
                        .in_stripe(stripe(own, charge.shared)),
                    _ => charge.name_by(secret),
                };
                generation.buckets.remove(&Key { shelf, name })
            })
    }

    /// Drop some that are full by now. Returns how many of them had taken room.
    fn expire(&mut self, count: usize, tick: u64) -> usize {
        let mut released = 0;
        for _ in 0..count {
            let Some((_, generation, key)) = self.order.pop_if(|(full_at, ..)| *full_at <= tick)
            else {
                break;
            };
            let dropped = self
                .generations
                .get_mut(generation)
                .and_then(|generation| generation.buckets.remove(&key));
            released += usize::from(dropped.is_some() && key.shelf != Shelf::Overflow);
        }
        released
    }

    fn left(&self) -> usize {
        let held = |generation: &Generation| generation.buckets.len();
        self.generations.iter().map(held).sum()
    }
}

impl Limiter {
    pub(super) fn has_restored(&self) -> bool {
        self.restored_left.load(Ordering::Relaxed) > 0
    }

    /// The bucket a charge had in an earlier process. The room it takes goes with it.
    pub(super) fn take_restored(
        &self,
        shelf: Shelf,
        charge: &Charge,
        domain: &str,
    ) -> Option<Bucket> {
        let mut restored = lock(&self.restored);
        let taken = restored.take(shelf, charge, domain);
        self.count_restored(&mut restored);
        taken
    }

    pub(super) fn expire_restored(&self, tick: u64) {
        let mut restored = lock(&self.restored);
        self.room.release(restored.expire(SWEEP, tick));
        self.count_restored(&mut restored);
    }

    pub(super) fn count_restored(&self, restored: &mut Restored) {
        let left = restored.left();
        if left == 0 {
            *restored = Restored::default();
        }
        self.restored_left.store(left, Ordering::Relaxed);
    }
}

//! What one call spends of one bucket, and the name of that bucket.

use std::fmt;
use std::hash::Hasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use ring::rand::{SecureRandom, SystemRandom};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::bucket::{Invalid, Limit, MAX_INSTANCES, MAX_LIMIT, Rate, Unit};

/// No limit ever holds more tokens than this.
pub const MAX_COST: u64 = MAX_LIMIT;
/// As long as the longest token: no claim of which a key is made can be longer.
pub const MAX_KEY_BYTES: usize = 16_384;

/// What one call spends of one bucket; everything that can be computed beforehand is. It is small, as whoever
/// has many callers waits for each of theirs to come from memory.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The bucket. One that is observed is not the enforced one of the same key: it must not change it.
    pub(crate) name: Name,
    /// The limit's, or this process's share of it.
    pub(crate) rate: Rate,
    cost: u32,
    /// Whether it only tells what it would refuse.
    pub observe: bool,
    /// Whether all domains share the bucket.
    pub shared: bool,
    /// Where the bucket lay last.
    pub(crate) seen: Seen,
    /// What few decisions read.
    pub words: Arc<Words>,
}

/// What a refusal says of a charge, and a newcomer needs.
#[derive(Debug)]
pub struct Words {
    /// Whose budget.
    pub key: Arc<str>,
    /// The limit as it was written.
    pub limit: Box<str>,
    /// Processes that share the limit without a common store.
    pub instances: u64,
    unit: Unit,
    /// The bucket newcomers with this limit share when there is no room for their own.
    pub(crate) overflow: Name,
}

/// The slot to look at first. Whoever looks there compares the names, so that it may be wrong.
#[derive(Debug, Default)]
pub(crate) struct Seen(AtomicU32);

impl Seen {
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Written only where it changes: others may be reading it.
    pub(crate) fn set(&self, slot: u32) {
        if self.get() != slot {
            self.0.store(slot, Ordering::Relaxed);
        }
    }
}

impl Clone for Seen {
    fn clone(&self) -> Self {
        Self(AtomicU32::new(self.get()))
    }
}

/// What is usual of a charge: it costs one token, of a bucket of its domain, enforced, in one process.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Tokens; 0 only looks.
    pub cost: u64,
    /// Whether it only tells what it would refuse.
    pub observe: bool,
    /// Whether all domains share the bucket.
    pub shared: bool,
    /// Processes that share the limit without a common store: each takes its share.
    pub instances: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            cost: 1,
            observe: false,
            shared: false,
            instances: 1,
        }
    }
}

impl Charge {
    /// Read the limit and name the bucket.
    pub fn new(key: &str, limit: &str, terms: Terms) -> Result<Self, Invalid> {
        let Terms {
            cost,
            observe,
            shared,
            instances,
        } = terms;
        check_length("a key", key)?;
        if cost > MAX_COST {
            return Err(Invalid(format!("a cost is between 0 and {MAX_COST}")));
        }
        if !(1..=MAX_INSTANCES).contains(&instances) {
            return Err(Invalid(format!(
                "instances is between 1 and {MAX_INSTANCES}"
            )));
        }
        let parsed = Limit::parse(limit)?;
        let rate = parsed.rate.share(instances);
        let secret = secret()?;
        let words = Words {
            key: key.into(),
            limit: limit.into(),
            instances,
            unit: parsed.unit,
            overflow: overflow(secret, flags(observe, shared), rate),
        };
        let mut charge = Self {
            name: Name::NONE,
            rate,
            cost: u32::try_from(cost).unwrap_or(u32::MAX),
            observe,
            shared,
            seen: Seen::default(),
            words: Arc::new(words),
        };
        charge.name = charge.name_by(secret);
        Ok(charge)
    }

    /// Tokens; 0 only looks.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost.into()
    }

    /// The bucket's name under this secret. The limit and the instances are no part of it: a changed limit
    /// keeps what was spent.
    pub(crate) fn name_by(&self, secret: &Secret) -> Name {
        // The unit's name ends with a null byte and the flags have one length: no two buckets share a name.
        secret.name(&[
            self.words.unit.name().as_bytes(),
            &[0],
            &flags(self.observe, self.shared),
            self.words.key.as_bytes(),
        ])
    }

    /// The name of the bucket that newcomers share, under this secret.
    pub(crate) fn overflow_by(&self, secret: &Secret) -> Name {
        overflow(secret, flags(self.observe, self.shared), self.rate)
    }
}

fn flags(observe: bool, shared: bool) -> [u8; 2] {
    [u8::from(observe), u8::from(shared)]
}

fn overflow(secret: &Secret, flags: [u8; 2], rate: Rate) -> Name {
    secret.name(&[
        b"overflow\0",
        &flags,
        &rate.period.to_be_bytes(),
        &rate.burst.to_be_bytes(),
    ])
}

/// Refuse what is longer than any key can be.
pub(crate) fn check_length(what: &str, text: &str) -> Result<(), Invalid> {
    if text.len() > MAX_KEY_BYTES {
        return Err(Invalid(format!("{what} is at most {MAX_KEY_BYTES} bytes")));
    }
    Ok(())
}

/// A keyed 128-bit hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    high: u64,
    low: u64,
}

impl Name {
    /// Nobody's.
    pub(crate) const NONE: Self = Self { high: 0, low: 0 };

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let both = (u128::from(self.high) << 64) | u128::from(self.low);
        both.to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        let (high, low) = bytes.split_at(8);
        let half = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
        };
        Self {
            high: half(high),
            low: half(low),
        }
    }

    /// The part by which a table finds its slot.
    pub(crate) const fn hash32(self) -> u32 {
        let [a, b, c, d, ..] = self.low.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// One of `count` stripes, which nobody without the secret can aim at.
    pub(crate) const fn stripe(self, count: u64) -> u64 {
        self.high % count
    }

    /// Its namesake in a domain. The halves change places: a domain that is called what the bucket is called is
    /// no exception.
    pub(crate) const fn within(self, domain: Self) -> Self {
        Self {
            high: self.high.wrapping_add(domain.low),
            low: self.low.wrapping_add(domain.high),
        }
    }

    /// Of a domain: the table where its buckets lie.
    pub(crate) const fn shard(self) -> u32 {
        self.hash32() % u64::BITS
    }

    /// Its namesake in a stripe.
    pub(crate) const fn in_stripe(self, stripe: u64) -> Self {
        Self {
            high: self.high,
            low: self.low ^ stripe,
        }
    }
}

/// What names are hashed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Secret([u8; 16]);

impl Secret {
    pub(crate) const fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// Only for a snapshot.
    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The name of these bytes, one part after the other.
    pub(crate) fn name(&self, parts: &[&[u8]]) -> Name {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        parts.iter().for_each(|part| hasher.write(part));
        let hash = hasher.finish128();
        Name {
            high: hash.h1,
            low: hash.h2,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The name of these bytes in this process.
pub(crate) fn name(bytes: &[u8]) -> Result<Name, Invalid> {
    Ok(secret()?.name(&[bytes]))
}

/// One secret a process, so that a charge made once serves every limiter.
pub(crate) fn secret() -> Result<&'static Secret, Invalid> {
    static SECRET: OnceLock<Secret> = OnceLock::new();
    if let Some(secret) = SECRET.get() {
        return Ok(secret);
    }
    let mut key = [0; 16];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| Invalid("the system has no random numbers".to_owned()))?;
    Ok(SECRET.get_or_init(|| Secret(key)))
}

//! What one call spends of one bucket, and the name of that bucket.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use ring::rand::{SecureRandom, SystemRandom};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::bucket::{Invalid, Limit, MAX_INSTANCES, MAX_LIMIT};

/// No limit ever holds more tokens than this.
pub const MAX_COST: u64 = MAX_LIMIT;
/// As long as the longest token: no claim of which a key is made can be longer.
pub const MAX_KEY_BYTES: usize = 16_384;

/// What one call spends of one bucket; everything that can be computed beforehand is.
#[derive(Clone, Debug)]
#[repr(C)] // What every decision reads comes first, in one line of the processor's cache.
pub struct Charge {
    /// The bucket. One that is observed is not the enforced one of the same key: it must not change it.
    pub(crate) name: Name,
    /// The limit, or this process's share of it.
    pub limit: Limit,
    /// Tokens; 0 only looks.
    pub cost: u64,
    /// Whether it only tells what it would refuse.
    pub observe: bool,
    /// Whether all domains share the bucket.
    pub shared: bool,
    /// Whose budget.
    pub key: Arc<str>,
    /// The limit as it was written.
    pub text: Box<str>,
    /// Processes that share the limit without a common store.
    pub instances: u64,
    /// The bucket newcomers with this limit share when there is no room for their own.
    pub(crate) overflow: Name,
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
        let mut parsed = Limit::parse(limit)?;
        parsed.rate = parsed.rate.share(instances);
        let mut charge = Self {
            key: key.into(),
            limit: parsed,
            text: limit.into(),
            cost,
            observe,
            shared,
            instances,
            name: Name::NONE,
            overflow: Name::NONE,
        };
        let secret = secret()?;
        charge.name = charge.name_by(secret);
        charge.overflow = charge.overflow_by(secret);
        Ok(charge)
    }

    /// The bucket's name under this secret. The limit and the instances are no part of it: a changed limit
    /// keeps what was spent.
    pub(crate) fn name_by(&self, secret: &Secret) -> Name {
        // The unit's name ends with a null byte and the flags have one length: no two buckets share a name.
        secret.name(&[
            self.limit.unit.name().as_bytes(),
            &[0],
            &self.flags(),
            self.key.as_bytes(),
        ])
    }

    /// The name of the bucket that newcomers share, under this secret.
    pub(crate) fn overflow_by(&self, secret: &Secret) -> Name {
        let rate = self.limit.rate;
        secret.name(&[
            b"overflow\0",
            &self.flags(),
            &rate.period.to_be_bytes(),
            &rate.burst.to_be_bytes(),
        ])
    }

    fn flags(&self) -> [u8; 2] {
        [u8::from(self.observe), u8::from(self.shared)]
    }
}

/// Refuse what is longer than any key can be.
pub(crate) fn check_length(what: &str, text: &str) -> Result<(), Invalid> {
    if text.len() > MAX_KEY_BYTES {
        return Err(Invalid(format!("{what} is at most {MAX_KEY_BYTES} bytes")));
    }
    Ok(())
}

/// A keyed 128-bit hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Its namesake in a stripe.
    pub(crate) const fn in_stripe(self, stripe: u64) -> Self {
        Self {
            high: self.high,
            low: self.low ^ stripe,
        }
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
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

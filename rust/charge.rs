//! What one call spends of one bucket, and the name of that bucket.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use ring::rand::{SecureRandom, SystemRandom};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::bucket::{Invalid, Limit, MAX_LIMIT};

/// No limit ever holds more tokens than this.
pub const MAX_COST: u64 = MAX_LIMIT;
/// As long as the longest token: no claim of which a key is made can be longer.
pub const MAX_KEY_BYTES: usize = 16_384;

/// What one call spends of one bucket; everything that can be computed beforehand is.
#[derive(Clone, Debug)]
pub struct Charge {
    /// Whose budget.
    pub key: Arc<str>,
    /// The limit.
    pub limit: Limit,
    /// The limit as it was written.
    pub text: Box<str>,
    /// Tokens; 0 only looks.
    pub cost: u64,
    /// Whether it only tells what it would refuse.
    pub observe: bool,
    /// Whether all domains share the bucket.
    pub shared: bool,
    /// The bucket. One that is observed is not the enforced one of the same key: it must not change it.
    pub(crate) name: Name,
    /// The bucket newcomers with this limit share when there is no room for their own.
    pub(crate) overflow: Name,
}

impl Charge {
    /// Read the limit and name the bucket.
    pub fn new(
        key: &str,
        limit: &str,
        cost: u64,
        observe: bool,
        shared: bool,
    ) -> Result<Self, Invalid> {
        check_length("a key", key)?;
        if cost > MAX_COST {
            return Err(Invalid(format!("a cost is between 0 and {MAX_COST}")));
        }
        let parsed = Limit::parse(limit)?;
        let flags = [u8::from(observe), u8::from(shared)];
        let rate = [
            parsed.rate.period.to_be_bytes(),
            parsed.rate.burst.to_be_bytes(),
        ];
        // The unit's name ends with a null byte and the flags have one length: no two buckets share a name.
        let bucket = [parsed.unit.name().as_bytes(), &[0], &flags, key.as_bytes()].concat();
        let overflow = [&b"overflow\0"[..], &flags, &rate.concat()].concat();
        Ok(Self {
            key: key.into(),
            limit: parsed,
            text: limit.into(),
            cost,
            observe,
            shared,
            name: name(&bucket)?,
            overflow: name(&overflow)?,
        })
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

/// The name of these bytes in this process.
pub(crate) fn name(bytes: &[u8]) -> Result<Name, Invalid> {
    let mut hasher = *secret()?;
    hasher.write(bytes);
    let hash = hasher.finish128();
    Ok(Name {
        high: hash.h1,
        low: hash.h2,
    })
}

/// One secret a process, so that a charge made once serves every limiter.
fn secret() -> Result<&'static SipHasher24, Invalid> {
    static SECRET: OnceLock<SipHasher24> = OnceLock::new();
    if let Some(secret) = SECRET.get() {
        return Ok(secret);
    }
    let mut key = [0; 16];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| Invalid("the system has no random numbers".to_owned()))?;
    Ok(SECRET.get_or_init(|| SipHasher24::new_with_key(&key)))
}

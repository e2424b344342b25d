//! One token bucket: integer arithmetic, nothing else.
//!
//! The bucket is kept as the instant at which it would be full again (the "theoretical arrival time"
//! of the generic cell rate algorithm). A token takes `period` nanoseconds to come back, so with
//! `level = burst - (full_at - now) / period` this *is* the token bucket, without a division on the
//! way in and without rounding: the level rises by one a period up to `burst`, and spending n tokens
//! moves `full_at` by `n * period`. `period` is rounded up, so that rounding never admits too much.
//!
//! What a bucket promises: any window of length w admits at most `burst + w / period`. With a burst
//! equal to the limit that is nearly twice the limit in an unlucky window, as for any fixed window
//! across its edge; `strict` halves burst and refill so that no window ever holds more than the limit.
//!
//! Giving back. Without the spend, the bucket would have been full earlier, and then have wasted refill:
//! what a refund may return is what time has not returned yet, at the last spend that saw the bucket. To
//! know that exactly takes all spends since; two lower bounds take three numbers, and the larger counts:
//! no more than the time elapsed since the spend has come back of it; and first spent is first back, so
//! that whatever lay before `last` in the queue is back (refunds since may have moved the queue up). So a
//! bucket with refunds never is above one that was never asked for what was refunded, and what it promises
//! holds for all that was not given back. Tokens of an earlier busy period are back already.

pub use limit::{Invalid, Limit, MAX_INSTANCES, MAX_LIMIT, Rate, Unit};

mod limit;

/// Full bursts a bucket may be below empty when a call turns out to cost more than it was charged: one, so
/// that nobody is locked out for longer than two refills.
pub const MAX_DEBT: u64 = 1;

/// One bucket at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When it would be full again, in ticks.
    full_at: u64,
    /// The last tick at which it was spent from.
    last: u64,
    /// Since when it has not been full: tells the spends of this busy period from earlier ones.
    since: u64,
    /// Nanoseconds given back in this busy period; as many as there are means that nobody knows.
    given: u64,
    rate: Rate,
}

/// Why a bucket does not give the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    /// It will hold them after these nanoseconds, if nobody else comes.
    Wait(u64),
    /// It never holds that many.
    Never,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub const fn full(rate: Rate) -> Self {
        Self::lacking(rate, 0, 0)
    }

    /// A bucket that is full in so many nanoseconds.
    #[must_use]
    pub const fn lacking(rate: Rate, backlog: u64, now: u64) -> Self {
        Self {
            full_at: now.saturating_add(backlog),
            last: now,
            since: now,
            given: 0,
            rate,
        }
    }

    /// A bucket that begins with at most so many tokens.
    #[must_use]
    pub const fn holding(rate: Rate, tokens: u64, now: u64) -> Self {
        let missing = rate.burst.saturating_sub(tokens);
        Self::lacking(rate, rate.period.saturating_mul(missing), now)
    }

    /// Take `cost` tokens, or nothing. A cost of 0 only looks.
    pub fn spend(&mut self, cost: u64, now: u64) -> Result<(), Shortage> {
        if cost > self.rate.burst {
            return Err(Shortage::Never);
        }
        if cost == 0 {
            return Ok(());
        }
        let full_at = self
            .full_at
            .max(now)
            .saturating_add(self.rate.period.saturating_mul(cost));
        let latest = now.saturating_add(self.rate.capacity());
        if full_at > latest {
            return Err(Shortage::Wait(full_at - latest));
        }
        self.move_to(full_at, now);
        Ok(())
    }

    // Number by number: a bucket made anew would be copied, and the processor waits for such copies.
    fn move_to(&mut self, full_at: u64, now: u64) {
        if self.is_full(now) {
            self.since = now;
            self.given = 0;
        }
        self.full_at = full_at;
        self.last = self.last.max(now);
    }

    /// The bucket after `tokens` were taken that it may not have: it is in debt then, but never deeper than
    /// `MAX_DEBT` or than it is.
    #[must_use]
    pub fn force(mut self, tokens: u64, now: u64) -> Self {
        if tokens == 0 {
            return self;
        }
        let lowest = now.saturating_add(self.rate.capacity().saturating_mul(1 + MAX_DEBT));
        let full_at = self
            .full_at
            .max(now)
            .saturating_add(self.rate.period.saturating_mul(tokens))
            .min(lowest)
            .max(self.full_at);
        self.move_to(full_at, now);
        self
    }

    /// The bucket after `back` of the `cost` tokens were not needed that were spent at `tick` and left it as
    /// `then`.
    #[must_use]
    pub fn give(self, back: u64, cost: u64, tick: u64, then: &Self) -> Self {
        let period = self.rate.period;
        if (self.since, self.rate) != (then.since, then.rate) {
            return self;
        }
        let elapsed = self.last.saturating_sub(tick);
        let young = period.saturating_mul(cost).saturating_sub(elapsed);
        let queued = if self.given == u64::MAX {
            0
        } else {
            then.full_at
                .saturating_sub(self.given.saturating_sub(then.given))
                .saturating_sub(self.last)
        };
        let back = period.saturating_mul(back).min(young.max(queued));
        Self {
            full_at: self.full_at.saturating_sub(back),
            given: self.given.saturating_add(back),
            ..self
        }
    }

    /// Whole tokens left.
    #[must_use]
    pub fn remaining(self, now: u64) -> u64 {
        let backlog = self.full_at.saturating_sub(now);
        self.rate
            .capacity()
            .saturating_sub(backlog)
            .checked_div(self.rate.period)
            .unwrap_or(0)
    }

    /// The bucket under another rate. Consumed tokens stay consumed: neither does a new limit hand out
    /// a full bucket, nor can it lock anybody out for longer than one refill.
    #[must_use]
    pub fn convert(self, rate: Rate, now: u64) -> Self {
        if self.rate == rate {
            return self;
        }
        let backlog = u128::from(self.full_at.saturating_sub(now));
        let converted =
            (backlog * u128::from(rate.period)).div_ceil(u128::from(self.rate.period.max(1)));
        let backlog = u64::try_from(converted)
            .unwrap_or(u64::MAX)
            .min(rate.capacity());
        Self {
            // A period of its own: what was spent at another rate is not given back at this one.
            since: now.max(self.since.saturating_add(1)),
            last: now.max(self.last),
            ..Self::lacking(rate, backlog, now)
        }
    }

    /// Nanoseconds until it is full.
    pub(crate) const fn backlog(self, now: u64) -> u64 {
        self.full_at.saturating_sub(now)
    }

    /// How fast it fills and how much it holds.
    pub(crate) const fn rate(self) -> Rate {
        self.rate
    }

    /// Nanoseconds until a spent token is back.
    #[must_use]
    pub const fn period(self) -> u64 {
        self.rate.period
    }

    /// The bucket; if it is full, under this rate. Whether one was dropped since it was full is chance, and so must
    /// not matter: with it goes whatever limit it had last.
    #[must_use]
    pub const fn unless_full(self, rate: Rate, now: u64) -> Self {
        if self.is_full(now) {
            Self::full(rate)
        } else {
            self
        }
    }

    /// Whether it cannot be told from a bucket never used.
    #[must_use]
    pub const fn is_full(self, now: u64) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
#[allow(clippy::as_conversions, clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(text: &str) -> Rate {
        Limit::parse(text).unwrap().rate
    }

    #[test]
    fn a_retry_is_due_exactly_then() {
        let mut empty = Bucket::full(rate("2/second"));
        empty.spend(2, 100).unwrap();
        assert_eq!(empty.spend(1, 100), Err(Shortage::Wait(SECOND / 2)));
        assert_eq!(empty.spend(1, 99 + SECOND / 2), Err(Shortage::Wait(1)));
        assert_eq!(empty.spend(3, 100), Err(Shortage::Never));
        assert_eq!(empty.spend(1, 100 + SECOND / 2), Ok(()));
    }

    proptest! {
        #[test]
        fn no_number_panics(
            period in any::<u64>(), burst in any::<u64>(), cost in any::<u64>(), now in any::<u64>(), later in any::<u64>(),
        ) {
            let mut bucket = Bucket::full(Rate { period, burst });
            let _ = bucket.spend(cost, now);
            let bucket = bucket.convert(Rate { period: burst, burst: period }, later);
            let settled = bucket.force(burst, later).give(period, cost, now, &bucket);
            prop_assert!(settled.remaining(later) <= period);
        }

        #[test]
        fn any_window_holds_burst_and_refill(
            limit in 1..50_u64, strict in any::<bool>(), steps in prop::collection::vec(0..2_000_000_000_u64, 1..200),
        ) {
            let rate = rate(&format!("{limit}/second{}", if strict { " strict" } else { "" }));
            let (mut bucket, mut now, mut admitted) = (Bucket::full(rate), 0, Vec::new());
            for step in steps {
                now += step / (limit * 4);
                if bucket.spend(1, now).is_ok() {
                    admitted.push(now);
                }
            }
            for (first, start) in admitted.iter().enumerate() {
                let within = admitted[first..].iter().filter(|at| **at - start <= SECOND).count() as u64;
                let most = if strict { limit } else { rate.burst + SECOND / rate.period };
                prop_assert!(within <= most, "{} in a second", within);
            }
        }
    }
}

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

use std::fmt;

/// Above a billion a second a token would take less than one nanosecond, our unit.
pub const MAX_LIMIT: u64 = 1_000_000_000;
/// The longest text that can be a limit, with room to spare; longer ones are not echoed.
const MAX_LIMIT_TEXT: usize = 64;
const SECOND: u64 = 1_000_000_000;
/// More processes than anybody runs side by side; 10,000 times two days are still a number of ticks.
pub const MAX_INSTANCES: u64 = 10_000;
/// Full bursts a bucket may be below empty when a call turns out to cost more than it was charged: one, so
/// that nobody is locked out for longer than two refills.
pub const MAX_DEBT: u64 = 1;

/// A configuration that cannot be right, in words for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

/// The unit of a limit: part of what a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// 24 hours, not a calendar day.
    Day,
    /// 60 minutes.
    Hour,
    /// 60 seconds.
    Minute,
    /// One second.
    Second,
}

impl Unit {
    /// Its name, as written in a limit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
        }
    }

    /// Its length in nanoseconds.
    #[must_use]
    pub const fn nanoseconds(self) -> u64 {
        match self {
            Self::Day => 86_400 * SECOND,
            Self::Hour => 3_600 * SECOND,
            Self::Minute => 60 * SECOND,
            Self::Second => SECOND,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Day, Self::Hour, Self::Minute, Self::Second]
            .into_iter()
            .find(|unit| unit.name() == name)
    }
}

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds until a spent token is back.
    pub period: u64,
    /// Tokens of a full bucket; 0 admits nothing.
    pub burst: u64,
}

/// A parsed limit: `600/minute`, `600/minute burst 50` or `2000/day strict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The bucket's arithmetic.
    pub rate: Rate,
    /// What the limit is counted by.
    pub unit: Unit,
}

impl Limit {
    /// Parse what an operator wrote.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > MAX_LIMIT_TEXT {
            return Err(Invalid(format!(
                "a limit is at most {MAX_LIMIT_TEXT} characters; write {FORMS}"
            )));
        }
        let unreadable = || Invalid(format!("\"{text}\" is not a limit: write {FORMS}"));
        let (amount, rest) = text.split_once('/').ok_or_else(unreadable)?;
        let (unit, option) = rest
            .split_once(' ')
            .map_or((rest, None), |(unit, option)| (unit, Some(option)));
        let limit = whole(amount).ok_or_else(unreadable)?;
        let unit = Unit::parse(unit).ok_or_else(unreadable)?;
        if limit > MAX_LIMIT {
            return Err(Invalid(format!(
                "\"{text}\": a limit is at most {MAX_LIMIT}"
            )));
        }
        let rate = match option.map(|option| (option, option.strip_prefix("burst "))) {
            None => Rate::new(unit.nanoseconds(), limit, limit),
            // A limit of one keeps a burst of one: it then refills every second unit, which is still half.
            Some(("strict", _)) => {
                Rate::new(2 * unit.nanoseconds(), limit, (limit / 2).max(1).min(limit))
            }
            Some((_, Some(burst))) => {
                let burst = whole(burst).ok_or_else(unreadable)?;
                if !(1..=limit).contains(&burst) {
                    return Err(Invalid(format!(
                        "\"{text}\": a burst is between 1 and the limit, which is what it is without one"
                    )));
                }
                Rate::new(unit.nanoseconds(), limit, burst)
            }
            Some(_) => return Err(unreadable()),
        };
        Ok(Self { rate, unit })
    }
}

const FORMS: &str = "\"600/minute\", \"600/minute burst 50\" or \"2000/day strict\", with second, minute, hour or day";

/// Digits alone: no sign, no space, no underscore, no other alphabet's digits. What is beyond 64 bits is
/// beyond every bound as well.
fn whole(digits: &str) -> Option<u64> {
    let only_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

impl Rate {
    /// `limit` tokens a `time`; a limit of 0 admits nothing, so that its period does not matter.
    fn new(time: u64, limit: u64, burst: u64) -> Self {
        Self {
            period: time.div_ceil(limit.max(1)),
            burst,
        }
    }

    /// The share of one of so many processes that count apart. Where there are more of them than tokens
    /// each has one: together they may burst that much, but they never refill faster than the limit.
    #[must_use]
    pub const fn share(self, instances: u64) -> Self {
        let burst = self.burst / instances;
        Self {
            period: self.period.saturating_mul(instances),
            burst: if burst == 0 && self.burst > 0 {
                1
            } else {
                burst
            },
        }
    }

    /// Nanoseconds in which an empty bucket fills.
    pub(crate) const fn capacity(self) -> u64 {
        self.period.saturating_mul(self.burst)
    }
}

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

    /// Whether it cannot be told from a bucket never used.
    #[must_use]
    pub const fn is_full(self, now: u64) -> bool {
        self.full_at <= now
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
#[allow(clippy::as_conversions, clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str) -> Rate {
        Limit::parse(text).unwrap().rate
    }

    #[test]
    fn limits_are_read() {
        assert_eq!(
            rate("600/minute"),
            Rate {
                period: SECOND / 10,
                burst: 600
            }
        );
        assert_eq!(
            rate("600/minute burst 50"),
            Rate {
                period: SECOND / 10,
                burst: 50
            }
        );
        assert_eq!(
            rate("2000/day strict"),
            Rate {
                period: 86_400_000_000,
                burst: 1_000
            }
        );
        assert_eq!(rate("7/second").period, 142_857_143, "rounded up");
        assert_eq!(
            rate("1/hour strict"),
            Rate {
                period: 7_200 * SECOND,
                burst: 1
            }
        );
        assert_eq!(rate("0/minute strict").burst, 0);
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
        fn no_text_panics(text in ".{0,80}") {
            let _ = Limit::parse(&text);
        }

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

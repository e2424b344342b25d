//! What an operator writes, and the rate that comes of it.

use std::fmt;

/// Above a billion a second a token would take less than one nanosecond, our unit.
pub const MAX_LIMIT: u64 = 1_000_000_000;
/// The longest text that can be a limit, with room to spare; longer ones are not echoed.
const MAX_LIMIT_TEXT: usize = 64;
const SECOND: u64 = 1_000_000_000;
/// More processes than anybody runs side by side; 10,000 times two days are still a number of ticks.
pub const MAX_INSTANCES: u64 = 10_000;

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

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = Limit::parse(&text);
        }
    }
}

//! Why a call is not admitted, and when it would be.

use std::borrow::Borrow;
use std::sync::Arc;

use super::item::{Item, violated};
use crate::bucket::Shortage;
use crate::charge::Charge;

/// Why a call is not admitted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Nanoseconds until the same call would be admitted; None when it never fits.
    pub retry_after: Option<u64>,
    /// The key that has to wait longest.
    pub budget: Arc<str>,
    /// Every key over its limit, in the order of the charges.
    pub violated: Vec<Arc<str>>,
    /// Whole tokens left under the key that has to wait longest: too few for this call.
    pub remaining: u64,
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

    pub(super) fn new<C: Borrow<Charge>>(charges: &[C], items: &[Item], tick: u64) -> Self {
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
            budget: budget.map_or_else(
                || "".into(),
                |(charge, _)| Arc::clone(&charge.borrow().words.key),
            ),
            violated: violated(charges, &enforced),
            remaining: worst.map_or(0, |item| item.remaining(tick)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::as_conversions)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_seconds_is_never_early_and_exact_where_it_can_be() {
        let seconds = |wait| {
            let denied = Denied {
                retry_after: Some(wait),
                budget: "".into(),
                violated: Vec::new(),
                remaining: 0,
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

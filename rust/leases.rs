//! Tokens of buckets that are kept elsewhere: paid for there in advance, spent here until they end.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is held of one bucket. `L` is the lease that it was granted by.
///
/// One thread spends, and whoever holds several takes from all of them or from none: so that no number here depends
/// on another, and none needs a lock.
#[derive(Debug)]
pub struct Holding<L> {
    tokens: AtomicI64,
    until: AtomicU64,
    left: AtomicI64,
    lease: Mutex<Option<L>>,
}

impl<L> Default for Holding<L> {
    /// Nothing.
    fn default() -> Self {
        Self {
            tokens: AtomicI64::new(0),
            until: AtomicU64::new(0f64.to_bits()),
            left: AtomicI64::new(0),
            lease: Mutex::new(None),
        }
    }
}

impl<L> Holding<L> {
    /// Unspent tokens.
    pub fn tokens(&self) -> i64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// So many are unspent now.
    pub fn set_tokens(&self, tokens: i64) {
        self.tokens.store(tokens, Ordering::Relaxed);
    }

    /// When they end.
    pub fn until(&self) -> f64 {
        f64::from_bits(self.until.load(Ordering::Relaxed))
    }

    /// They end then.
    pub fn set_until(&self, until: f64) {
        self.until.store(until.to_bits(), Ordering::Relaxed);
    }

    /// What was left elsewhere when that was last asked.
    pub fn left(&self) -> i64 {
        self.left.load(Ordering::Relaxed)
    }

    /// So much is left elsewhere.
    pub fn set_left(&self, left: i64) {
        self.left.store(left, Ordering::Relaxed);
    }

    /// The lease that the tokens are of, through `copy`.
    pub fn lease<T>(&self, copy: impl FnOnce(&L) -> T) -> Option<T> {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        lease.as_ref().map(copy)
    }

    /// The tokens are of this lease. Returns the one before.
    pub fn set_lease(&self, lease: Option<L>) -> Option<L> {
        let mut held = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, lease)
    }

    /// Whether so many tokens can be spent here.
    pub fn has(&self, cost: i64, now: f64) -> bool {
        self.tokens() >= cost && self.until() > now
    }
}

/// Spend what a call costs from each holding, or nothing where one has too little. Says whether it was spent.
pub fn spend<'held, L: 'held>(
    held: impl Iterator<Item = (&'held Holding<L>, i64)> + Clone,
    now: f64,
) -> bool {
    let has_all = held.clone().all(|(one, cost)| one.has(cost, now));
    if has_all {
        held.for_each(|(one, cost)| one.set_tokens(one.tokens() - cost));
    }
    has_all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(tokens: i64, until: f64) -> Holding<&'static str> {
        let held = Holding::default();
        held.set_tokens(tokens);
        held.set_until(until);
        held
    }

    #[test]
    fn all_or_nothing() {
        let (many, few) = (holding(9, 5.0), holding(3, 5.0));
        let call = [(&many, 2), (&few, 2)];
        assert!(spend(call.into_iter(), 4.0));
        assert!(!spend(call.into_iter(), 4.0));
        assert_eq!((many.tokens(), few.tokens()), (7, 1));
    }

    #[test]
    fn tokens_end() {
        let held = holding(9, 5.0);
        assert!(!spend([(&held, 1)].into_iter(), 5.0));
        assert!(!spend([(&Holding::<()>::default(), 0)].into_iter(), 0.0));
        assert_eq!(held.tokens(), 9);
    }

    #[test]
    fn a_lease_is_replaced() {
        let held = holding(1, 1.0);
        assert_eq!(held.set_lease(Some("first")), None);
        assert_eq!(held.set_lease(Some("second")), Some("first"));
        assert_eq!(held.lease(|lease| lease.len()), Some(6));
        held.set_left(4);
        assert_eq!(held.left(), 4);
    }
}

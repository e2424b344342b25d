//! All charges of a call, checked once and kept together.

use std::borrow::Borrow;

use super::MAX_CHARGES;
use crate::bucket::Invalid;
use crate::charge::{Charge, Seen};

/// All charges of a call, one after the other in memory: whoever has many callers waits for one place of it to
/// come near instead of one for each charge.
#[derive(Debug)]
pub struct Charges {
    pub(super) all: Box<[Charge]>,
    /// Whether no two are of one bucket.
    pub(super) distinct: bool,
    /// Where the first bucket lay last, here so that it is fetched together with the charges.
    pub(super) seen: Seen,
}

impl Charges {
    /// Refuses what no call can spend.
    pub fn new(charges: &[&Charge]) -> Result<Self, Invalid> {
        Ok(Self {
            distinct: check(charges)?,
            all: charges.iter().map(|charge| (*charge).clone()).collect(),
            seen: Seen::default(),
        })
    }
}

/// Refuse what cannot be decided. Says whether no two charges are of one bucket.
pub(super) fn check<C: Borrow<Charge>>(charges: &[C]) -> Result<bool, Invalid> {
    if charges.len() > MAX_CHARGES {
        return Err(Invalid(format!(
            "one call has at most {MAX_CHARGES} charges"
        )));
    }
    // As many marks as charges: no two names are the same, and mostly that is all there is to find out.
    let mark = |charge: &C| 1_u64 << (charge.borrow().name.hash32() % u64::BITS);
    let marks = charges.iter().fold(0, |marks, charge| marks | mark(charge));
    if usize::try_from(marks.count_ones()) == Ok(charges.len()) {
        return Ok(true);
    }
    check_each(charges)
}

fn check_each<C: Borrow<Charge>>(charges: &[C]) -> Result<bool, Invalid> {
    let mut distinct = true;
    for (position, charge) in charges.iter().map(Borrow::borrow).enumerate() {
        let mut before = charges.iter().take(position).map(Borrow::borrow);
        let Some(other) = before.find(|other: &&Charge| other.name == charge.name) else {
            continue;
        };
        distinct = false;
        if other.rate != charge.rate {
            return Err(Invalid(format!(
                "one bucket cannot have two limits in one call: {} and {}",
                other.words.limit, charge.words.limit
            )));
        }
    }
    Ok(distinct)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Limiter, Settings};
    use super::*;
    use crate::charge::Terms;

    #[test]
    fn the_second_call_knows_where_the_first_put_its_buckets() {
        let limiter = Limiter::new(Settings::default()).unwrap();
        for (slot, key) in ["a", "b", "c"].iter().enumerate() {
            let charge = Charge::new(key, "9/day", Terms::default()).unwrap();
            let charges = Charges::new(&[&charge]).unwrap();
            assert!(limiter.admit_all("acme", &charges, 0).unwrap().is_ok());
            assert_eq!(usize::try_from(charges.seen.get()), Ok(slot));
        }
    }
}

//! What a call cost in the end: nothing, less, or more.

use super::grant::Grant;
use super::item::Item;
use super::shelf::{MAX_OVERFLOW, Shelf};
use super::{Limiter, check_tick, lock};
use crate::bucket::{Bucket, Invalid};
use crate::charge::MAX_COST;
use crate::table::Table;

impl Limiter {
    /// Give back what a call spent that never started, as far as the time since has not given it back. A
    /// grant is refunded or settled once in all; again does nothing.
    pub fn refund(&self, grant: &Grant) -> Result<(), Invalid> {
        self.close(grant, |bucket, item| {
            bucket.map(|bucket| bucket.give(item.cost, item.cost, grant.tick, &item.bucket))
        })
    }

    /// Each charge of the grant that cost something costs `actual` instead. What that is less is given back
    /// like a refund; what it is more is taken now, from a bucket that may be in debt then.
    pub fn settle(&self, grant: &Grant, actual: u64, tick: u64) -> Result<(), Invalid> {
        check_tick(tick)?;
        if actual > MAX_COST {
            return Err(Invalid(format!(
                "an actual cost is between 0 and {MAX_COST}"
            )));
        }
        self.close(grant, |bucket, item| {
            let actual = item.paying.saturating_mul(actual);
            let (more, less) = (
                actual.saturating_sub(item.cost),
                item.cost.saturating_sub(actual),
            );
            match bucket {
                Some(bucket) if more == 0 => {
                    Some(bucket.give(less, item.cost, grant.tick, &item.bucket))
                }
                None if more == 0 => None,
                known => {
                    let rate = item.bucket.rate();
                    let held = known.map_or_else(
                        || self.fresh(rate, tick),
                        |bucket| bucket.unless_full(rate, tick),
                    );
                    Some(held.force(more, tick))
                }
            }
        })
    }

    /// Store what `change` makes of each bucket of the grant that is held or gone; unless it was done before.
    fn close(
        &self,
        grant: &Grant,
        change: impl Fn(Option<Bucket>, &Item) -> Option<Bucket>,
    ) -> Result<(), Invalid> {
        if grant.limiter != self.number {
            return Err(Invalid("the grant is another limiter's".to_owned()));
        }
        if !grant.close() {
            return Ok(());
        }
        if grant.reaches(Shelf::Domain) {
            let shard = grant.domain.shard();
            let mut table = self.table(shard);
            self.change(Shelf::Domain, &mut table, grant, &change);
            self.rounds.enter(shard);
        }
        if grant.reaches(Shelf::Shared) || grant.reaches(Shelf::Overflow) {
            let mut common = lock(&self.common);
            self.change(Shelf::Shared, &mut common.shared, grant, &change);
            self.change(Shelf::Overflow, &mut common.overflow, grant, &change);
        }
        Ok(())
    }

    fn change(
        &self,
        shelf: Shelf,
        table: &mut Table,
        grant: &Grant,
        change: impl Fn(Option<Bucket>, &Item) -> Option<Bucket>,
    ) {
        for item in grant.spent(shelf) {
            let held = table.get_mut(item.spot);
            let Some(changed) = change(held.as_deref().copied(), item) else {
                continue;
            };
            if let Some(bucket) = held {
                *bucket = changed;
            } else if self.has_room(shelf, table) {
                table.insert(item.spot, changed);
            }
        }
    }

    fn has_room(&self, shelf: Shelf, table: &Table) -> bool {
        if shelf == Shelf::Overflow {
            table.len() < MAX_OVERFLOW
        } else {
            self.room.reserve()
        }
    }
}

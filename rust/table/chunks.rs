//! A list that grows without moving what it holds: adding the millionth item takes as long as the tenth.
//!
//! A `Vec` of a million buckets would be copied to grow, and whoever came just then would wait for it.

/// Items that are moved at most when one is added: some microseconds.
const CHUNK: usize = 1_024;

/// All chunks but the last are full, and only the first may be empty.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    // Apart, because most lists are short: those cost one allocation, and no more than they hold.
    first: Vec<T>,
    rest: Option<Box<Rest<T>>>,
}

#[derive(Debug)]
struct Rest<T>(Vec<Vec<T>>);

impl<T> Chunks<T> {
    pub(crate) fn len(&self) -> usize {
        self.rest.as_ref().map_or(self.first.len(), |rest| {
            rest.0.len() * CHUNK + rest.0.last().map_or(0, Vec::len)
        })
    }

    /// Those of the first chunk: all, if there are few.
    pub(crate) fn first(&self) -> &[T] {
        &self.first
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        match (at / CHUNK).checked_sub(1) {
            None => self.first.get(at),
            Some(chunk) => self.rest.as_ref()?.0.get(chunk)?.get(at % CHUNK),
        }
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match (at / CHUNK).checked_sub(1) {
            None => self.first.get_mut(at),
            Some(chunk) => self.rest.as_mut()?.0.get_mut(chunk)?.get_mut(at % CHUNK),
        }
    }

    /// Copies of at most `count` items before `end`, the last first, and where the first of them is.
    pub(crate) fn before(&self, end: usize, count: usize) -> (usize, Vec<T>)
    where
        T: Copy,
    {
        let end = end.min(self.len());
        let start = end.saturating_sub(count);
        let items = (start..end).rev().filter_map(|at| self.get(at).copied());
        (start, items.collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let rest = self.rest.iter().flat_map(|rest| rest.0.iter().flatten());
        self.first.iter().chain(rest)
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.first.len() < CHUNK {
            if self.first.len() == self.first.capacity() {
                self.first.reserve_exact(self.first.len().max(1));
            }
            self.first.push(item);
            return;
        }
        let rest = self.rest.get_or_insert_with(|| Box::new(Rest(Vec::new())));
        match rest.0.last_mut().filter(|last| last.len() < CHUNK) {
            Some(last) => last.push(item),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(item);
                rest.0.push(chunk);
            }
        }
    }

    /// Remove one; the last takes its place.
    pub(crate) fn swap_remove(&mut self, at: usize) -> Option<T> {
        let last = self.pop()?;
        match self.get_mut(at) {
            Some(item) => Some(std::mem::replace(item, last)),
            None => Some(last),
        }
    }

    fn pop(&mut self) -> Option<T> {
        let Some(rest) = &mut self.rest else {
            return self.first.pop();
        };
        let last = rest.0.last_mut()?;
        let item = last.pop();
        if last.is_empty() {
            rest.0.pop();
        }
        if rest.0.is_empty() {
            self.rest = None;
        }
        item
    }
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            rest: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_list(steps in prop::collection::vec((0..3_u8, 0..5_000_usize, 1..700_usize), 0..20)) {
            let (mut chunks, mut list) = (Chunks::default(), Vec::new());
            for (step, at, times) in steps {
                for time in 0..times {
                    if step < 2 {
                        chunks.push(at + time);
                        list.push(at + time);
                    } else if !list.is_empty() {
                        let at = at % list.len();
                        prop_assert_eq!(chunks.swap_remove(at), Some(list.swap_remove(at)));
                    }
                }
                prop_assert_eq!(chunks.len(), list.len());
                prop_assert_eq!(chunks.get(at), list.get(at));
            }
            prop_assert!(chunks.iter().eq(&list));
        }
    }
}

//! A list that grows without moving what it holds: adding the millionth item takes as long as the tenth.
//!
//! A `Vec` of a million buckets would be copied to grow, and whoever came just then would wait for it.

/// Items that are moved at most when one is added: some microseconds.
const CHUNK: usize = 1_024;

/// All chunks but the last are full, and none is empty.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Chunks<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    /// Copies of at most `count` items before `end`, the last first, and where the first of them is.
    pub(crate) fn before(&self, end: usize, count: usize) -> (usize, Vec<T>)
    where
        T: Copy,
    {
        let end = end.min(self.len);
        let start = end.saturating_sub(count);
        let items = (start..end).rev().filter_map(|at| self.get(at).copied());
        (start, items.collect())
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.len.is_multiple_of(CHUNK) {
            // Most lists are short: the first takes no more than it holds.
            let room = if self.len == 0 { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(item);
            self.len += 1;
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
        let last = self.chunks.last_mut()?;
        let item = last.pop();
        if last.is_empty() {
            self.chunks.pop();
        }
        self.len -= 1;
        item
    }
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
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
            let (_, reversed) = chunks.before(usize::MAX, usize::MAX);
            prop_assert!(reversed.iter().rev().eq(&list));
        }
    }
}

//! Copying what is read: a text that is canonical already is then copied in one piece.

use std::ops::Range;

use super::Reader;

/// What was passed over, without the white space between.
pub(super) struct Copy {
    text: Vec<u8>,
    /// From here on the text is passed over, but not in the copy yet.
    from: usize,
}

impl Reader<'_> {
    /// From here on what is passed over is copied.
    pub(crate) fn begin_copy(&mut self) {
        self.copy = Some(Copy {
            text: Vec::with_capacity(self.remaining() + SHORT),
            from: self.position,
        });
    }

    /// The copy, which ends here.
    pub(crate) fn end_copy(&mut self) -> Vec<u8> {
        self.rewrite(self.position, |_| ());
        self.copy.take().map(|copy| copy.text).unwrap_or_default()
    }

    /// How long the copy is.
    #[inline]
    pub(crate) fn copied(&self) -> usize {
        self.copy
            .as_ref()
            .map_or(0, |copy| copy.text.len() + self.position - copy.from)
    }

    /// Writes something else into the copy than what was read since `start`.
    pub(crate) fn rewrite(&mut self, start: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(copy) = &mut self.copy {
            append(&mut copy.text, self.text.as_bytes(), copy.from..start);
            write(&mut copy.text);
            copy.from = self.position;
        }
    }
}

/// What a piece of a text seldom is longer than: a name, a value.
pub(crate) const SHORT: usize = 32;

/// Copies a piece of a text. A short one is copied with what follows, which then is cut off: to copy as many bytes
/// always is a few instructions, and a call otherwise.
#[inline]
pub(crate) fn append(copy: &mut Vec<u8>, text: &[u8], piece: Range<usize>) {
    let Some(rest) = text.get(piece.start..) else {
        return;
    };
    let length = piece.end.wrapping_sub(piece.start);
    if length <= SHORT
        && let Some(more) = rest.first_chunk::<SHORT>()
    {
        let end = copy.len() + length;
        copy.extend_from_slice(more);
        copy.truncate(end);
    } else {
        copy.extend_from_slice(rest.get(..length).unwrap_or_default());
    }
}

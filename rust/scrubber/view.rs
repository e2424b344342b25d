//! Text as the scrubber reads it: as it was written, and with its escapes decoded.
//!
//! Every function here reads forward and counts the bytes that it reads (`View::steps`), so that a test can compare the
//! cost of scanning with the length of the text.

use std::borrow::Cow;
use std::cell::Cell;

use memchr::memchr3;
use memchr::memmem::{self, Finder};

use super::{Span, Text, length};

/// Nested encodings that are told apart. It bounds how often one byte is read by `urls::find_userinfo`.
pub(super) const MAX_LEVEL: u8 = 8;

/// Bytes of `\U0001F600`.
const LONGEST_ESCAPE: usize = 10;

pub(super) const fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

pub(super) const fn is_name(octet: u8) -> bool {
    is_word(octet) || octet == b'-'
}

pub(super) const fn is_token(octet: u8) -> bool {
    is_name(octet) || octet == b'.'
}

pub(super) const fn is_base64(octet: u8) -> bool {
    is_name(octet) || matches!(octet, b'+' | b'/')
}

/// RFC 9110 section 11.2, without the padding.
pub(super) const fn is_token68(octet: u8) -> bool {
    is_token(octet) || matches!(octet, b'~' | b'+' | b'/')
}

pub(super) const fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

pub(super) const fn is_quote(octet: u8) -> bool {
    matches!(octet, b'"' | b'\'')
}

/// The bytes of a text, and for each of them where it stands in the source and in how many encodings.
pub(super) struct View<'a> {
    pub(super) text: Text<'a>,
    lower: Vec<u8>,
    places: Option<Vec<Place>>,
    steps: Cell<usize>,
}

#[derive(Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
    level: u8,
}

impl<'a> View<'a> {
    pub(super) fn plain(text: &'a [u8]) -> Self {
        Self::new(Cow::Borrowed(text), None)
    }

    fn new(text: Text<'a>, places: Option<Vec<Place>>) -> Self {
        Self {
            lower: text.to_ascii_lowercase(),
            steps: Cell::new(text.len()),
            text,
            places,
        }
    }

    /// Where a span that is not empty stands in the source.
    pub(super) fn source(&self, (begin, end): Span) -> Span {
        let Some(places) = &self.places else {
            return (begin, end);
        };
        let first = places.get(begin).map_or(0, |place| place.start);
        let last = places
            .get(end.saturating_sub(1))
            .map_or(0, |place| place.end);
        (first, last)
    }

    /// In how many encodings the byte was written: 0 for one that stands there as it is.
    pub(super) fn level(&self, at: usize) -> u8 {
        self.places
            .as_ref()
            .and_then(|places| places.get(at))
            .map_or(0, |place| place.level)
    }

    pub(super) fn steps(&self) -> usize {
        self.steps.get()
    }

    pub(super) fn count(&self, steps: usize) {
        self.steps.set(self.steps.get() + steps);
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn at(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    /// The byte before, if there is one.
    pub(super) fn before(&self, at: usize, back: usize) -> Option<u8> {
        self.at(at.checked_sub(back)?)
    }

    /// Whether there is a byte, and it is accepted.
    pub(super) fn is(&self, at: usize, accepted: fn(u8) -> bool) -> bool {
        self.at(at).is_some_and(accepted)
    }

    pub(super) fn part(&self, begin: usize, end: usize) -> &[u8] {
        self.text.get(begin..end).unwrap_or_default()
    }

    pub(super) fn lower_part(&self, begin: usize, end: usize) -> &[u8] {
        self.lower.get(begin..end).unwrap_or_default()
    }

    pub(super) fn starts(&self, needle: &[u8], at: usize) -> bool {
        self.text
            .get(at..)
            .is_some_and(|rest| rest.starts_with(needle))
    }

    pub(super) fn starts_in_lower(&self, needle: &[u8], at: usize) -> bool {
        self.lower
            .get(at..)
            .is_some_and(|rest| rest.starts_with(needle))
    }

    /// Where the needle stands next.
    pub(super) fn find(&self, needle: &[u8], at: usize) -> Option<usize> {
        let found = memmem::find(self.text.get(at..)?, needle);
        self.found(found, needle.len(), at)
    }

    /// Where the needle, which is in lower case, stands next in either case.
    pub(super) fn find_in_any_case(&self, needle: &[u8], at: usize) -> Option<usize> {
        let found = memmem::find(self.lower.get(at..)?, needle);
        self.found(found, needle.len(), at)
    }

    pub(super) fn find_with(&self, finder: &Finder<'_>, at: usize) -> Option<usize> {
        let found = finder.find(self.text.get(at..)?);
        self.found(found, length(finder), at)
    }

    fn found(&self, found: Option<usize>, needle: usize, at: usize) -> Option<usize> {
        self.count(found.map_or(self.len() - at, |offset| offset + needle));
        found.map(|offset| at + offset)
    }

    /// The end of the run of accepted bytes that begins at `at`.
    pub(super) fn run(&self, at: usize, accepted: fn(u8) -> bool) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let size = rest.iter().take_while(|octet| accepted(**octet)).count();
        self.count(size + 1);
        at + size
    }

    /// The start of the run of accepted bytes that ends at `at`; at most `most` bytes are read.
    pub(super) fn run_before(&self, at: usize, accepted: fn(u8) -> bool, most: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        let size = before
            .iter()
            .rev()
            .take(most)
            .take_while(|octet| accepted(**octet))
            .count();
        self.count(size + 1);
        at - size
    }

    /// The maximal runs of accepted bytes that have so many of them.
    pub(super) fn runs(&self, accepted: fn(u8) -> bool, at_least: usize) -> Vec<Span> {
        self.count(self.len());
        let mut found = Vec::new();
        let mut start = 0;
        for (at, octet) in self.text.iter().enumerate() {
            if !accepted(*octet) {
                if at - start >= at_least {
                    found.push((start, at));
                }
                start = at + 1;
            }
        }
        if self.len().saturating_sub(start) >= at_least {
            found.push((start, self.len()));
        }
        found
    }

    /// Where an accepted byte stands next; else the end of the text.
    pub(super) fn any_of(&self, at: usize, accepted: fn(u8) -> bool) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let size = rest
            .iter()
            .position(|octet| accepted(*octet))
            .unwrap_or(rest.len());
        self.count(size + 1);
        at.min(self.len()) + size
    }
}

/// The source with percent-encoding and the escapes of JSON and of Python's reprs decoded to the last level, and without
/// NUL, which UTF-16 puts between letters. Escapes of one letter (`\n`) stay: decoded, they would hide a name that
/// begins with that letter. None where there is nothing to decode.
pub(super) fn decoded(source: &[u8]) -> Option<View<'static>> {
    memchr3(b'%', b'\\', 0, source)?;
    let mut decoder = Decoder {
        text: Vec::with_capacity(source.len()),
        places: Vec::with_capacity(source.len()),
    };
    for (at, octet) in source.iter().enumerate() {
        let place = Place {
            start: at,
            end: at + 1,
            level: 0,
        };
        decoder.push(&[*octet], place);
        decoder.decode_tail();
    }
    Some(View::new(Cow::Owned(decoder.text), Some(decoder.places)))
}

/// Puts each byte behind those before it, and decodes the escape that it completes. What was decoded may complete
/// another one. An escape is longer than what it stands for, so all of it costs no more than the source is long. A
/// backslash escapes a quote or a backslash of its own level: the first of `\\"` does not escape the quote.
struct Decoder {
    text: Vec<u8>,
    places: Vec<Place>,
}

impl Decoder {
    fn push(&mut self, octets: &[u8], place: Place) {
        for octet in octets {
            self.text.push(*octet);
            self.places.push(place);
        }
    }

    fn replace(&mut self, count: usize, octets: &[u8]) {
        let from = self.text.len().saturating_sub(count);
        let removed = self.places.get(from..).unwrap_or_default();
        let level = removed.iter().map(|place| place.level).max().unwrap_or(0);
        let place = Place {
            start: removed.first().map_or(0, |place| place.start),
            end: removed.last().map_or(0, |place| place.end),
            level: MAX_LEVEL.min(level + 1),
        };
        self.text.truncate(from);
        self.places.truncate(from);
        self.push(octets, place);
    }

    fn decode_tail(&mut self) {
        while let Some(last) = self.text.last().copied() {
            if last == 0 {
                self.replace(1, b"");
                return;
            }
            if matches!(last, b'\\' | b'"' | b'\'' | b'/') && self.escapes_last() {
                self.replace(2, &[last]);
                continue;
            }
            if !last.is_ascii_hexdigit() || !self.decode_number() {
                return;
            }
        }
    }

    fn escapes_last(&self) -> bool {
        let mut levels = self.places.iter().rev().map(|place| place.level);
        let is_of_its_level = levels.next() == levels.next();
        self.text.iter().rev().nth(1) == Some(&b'\\') && is_of_its_level
    }

    fn decode_number(&mut self) -> bool {
        if let Some([b'%', digits @ ..]) = self.tail(3)
            && let Some(octet) = number(digits).and_then(|number| u8::try_from(number).ok())
        {
            self.replace(3, &[octet]);
            return true;
        }
        if let Some([b'\\', b'x' | b'X', digits @ ..]) = self.tail(4)
            && let Some(octet) = number(digits).and_then(|number| u8::try_from(number).ok())
        {
            self.replace(4, &[octet]);
            return true;
        }
        if let Some([b'\\', b'u', digits @ ..]) = self.tail(6)
            && let Some(code) = number(digits)
        {
            self.replace_character(6, code);
            return true;
        }
        if let Some([b'\\', b'U', digits @ ..]) = self.tail(LONGEST_ESCAPE)
            && let Some(code) = number(digits)
            && code < 0x11_0000
        {
            self.replace_character(LONGEST_ESCAPE, code);
            return true;
        }
        false
    }

    fn tail(&self, count: usize) -> Option<&[u8]> {
        self.text.get(self.text.len().checked_sub(count)?..)
    }

    fn replace_character(&mut self, count: usize, code: u32) {
        let before = self
            .tail(count + 3)
            .and_then(|tail| tail.get(..3))
            .and_then(high_surrogate);
        match before {
            Some(high) if (0xDC00..0xE000).contains(&code) => {
                let code = 0x1_0000 + ((high - 0xD800) << 10) + (code - 0xDC00);
                self.replace(count + 3, &encoded(code));
            }
            _ => self.replace(count, &encoded(code)),
        }
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let value = char::from(*digit).to_digit(16)?;
        number.checked_mul(16)?.checked_add(value)
    })
}

fn high_surrogate(octets: &[u8]) -> Option<u32> {
    let [0xED, second @ 0xA0..=0xAF, third] = octets else {
        return None;
    };
    Some(0xD000 | (u32::from(second & 0x3F) << 6) | u32::from(third & 0x3F))
}

/// UTF-8, in the generalised form for what is half of a surrogate pair.
fn encoded(code: u32) -> Vec<u8> {
    if let Some(character) = char::from_u32(code) {
        let mut buffer = [0; 4];
        return character.encode_utf8(&mut buffer).as_bytes().to_vec();
    }
    [
        0xE0 | (code >> 12),
        0x80 | ((code >> 6) & 0x3F),
        0x80 | (code & 0x3F),
    ]
    .into_iter()
    .filter_map(|octet| u8::try_from(octet).ok())
    .collect()
}

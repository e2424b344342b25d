//! The grammar of JSON, for whoever builds something from it: a tree, or the canonical text at once.

use std::borrow::Cow;

use super::copy::Copy;
use super::{JsonError, MAX_DEPTH};

/// Reads one text from its beginning to its end.
///
/// It can copy what it passes over, without the white space between.
pub(crate) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) position: usize,
    pub(super) copy: Option<Copy>,
}

/// What a value is, told by its first byte.
pub(crate) enum Kind {
    Array,
    Null,
    Number,
    Object,
    String,
    Word(bool),
}

/// A name twice in one object.
pub(crate) const DUPLICATE: JsonError = JsonError("a member occurs twice");

impl<'a> Reader<'a> {
    /// At the first value of a text.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|_| JsonError("not UTF-8"))?;
        let mut reader = Self {
            text,
            position: 0,
            copy: None,
        };
        reader.skip_space();
        Ok(reader)
    }

    /// Nothing may follow the value.
    pub(crate) fn finish(mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.peek().is_some() {
            return Err(JsonError("something follows the value"));
        }
        Ok(())
    }

    /// Where in the text it stands.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// How many bytes are still to come.
    pub(crate) fn remaining(&self) -> usize {
        self.text.len() - self.position
    }

    /// Whether the next value is an object.
    pub(crate) fn at_object(&self) -> bool {
        self.peek() == Some(b'{')
    }

    /// What the next value is; `null`, `true` and `false` are passed over.
    #[inline(always)]
    pub(crate) fn kind(&mut self) -> Result<Kind, JsonError> {
        match self.peek() {
            Some(b'"') => Ok(Kind::String),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => self.word(b"true", Kind::Word(true)),
            Some(b'f') => self.word(b"false", Kind::Word(false)),
            Some(b'n') => self.word(b"null", Kind::Null),
            _ => Err(JsonError("a value is missing")),
        }
    }

    /// The next value, an array, whose items another function reads, told their depth.
    pub(crate) fn array(
        &mut self,
        depth: usize,
        item: impl FnMut(&mut Self, usize) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.items(depth, b']', item, JsonError("an array is not closed"))
    }

    /// The next value, an object, whose members another function reads: [`Self::name`],
    /// [`Self::colon`], value. It also has to see to it that no name occurs twice.
    pub(crate) fn object(
        &mut self,
        depth: usize,
        member: impl FnMut(&mut Self, usize) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.items(depth, b'}', member, JsonError("an object is not closed"))
    }

    /// The name of a member.
    #[inline(always)]
    pub(crate) fn name(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(JsonError("the name of a member is missing"));
        }
        self.string()
    }

    /// What stands between a name and its value.
    #[inline(always)]
    pub(crate) fn colon(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.next() != Some(b':') {
            return Err(JsonError("a member has no value"));
        }
        self.skip_space();
        Ok(())
    }

    fn items(
        &mut self,
        depth: usize,
        end: u8,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), JsonError>,
        unclosed: JsonError,
    ) -> Result<(), JsonError> {
        if depth == MAX_DEPTH {
            return Err(JsonError("nested too deeply"));
        }
        self.position += 1;
        self.skip_space();
        if self.peek() == Some(end) {
            self.position += 1;
            return Ok(());
        }
        loop {
            item(self, depth + 1)?;
            self.skip_space();
            match self.next() {
                Some(b',') => self.skip_space(),
                Some(byte) if byte == end => return Ok(()),
                _ => return Err(unclosed),
            }
        }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.position += 1;
        Some(byte)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.text
            .as_bytes()
            .get(self.position..)
            .unwrap_or_default()
    }

    #[inline(always)]
    fn skip_space(&mut self) {
        if let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.skip_spaces();
        }
    }

    #[inline(never)]
    fn skip_spaces(&mut self) {
        let start = self.position;
        let mut end = start + 1;
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.as_bytes().get(end) {
            end += 1;
        }
        self.position = end;
        self.rewrite(start, |_| ());
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Kind, JsonError> {
        if !self.rest().starts_with(word) {
            return Err(JsonError("a value is missing"));
        }
        self.position += word.len();
        Ok(kind)
    }
}

//! Numbers and strings: the half of the grammar that is about characters.

use std::borrow::Cow;

use super::reader::Reader;
use super::{JsonError, MAX_NUMBER_BYTES, Number, plain_prefix};

impl<'a> Reader<'a> {
    /// The next value, a number.
    pub(crate) fn number(&mut self) -> Result<Number<'a>, JsonError> {
        let start = self.position;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        if self.peek() == Some(b'0') {
            self.position += 1;
        } else {
            self.skip_digits()?;
        }
        let whole_end = self.position;
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.skip_digits()?;
        }
        let mut may_overflow = whole_end - start > MAX_SAFE_DIGITS;
        if let Some(b'e' | b'E') = self.peek() {
            may_overflow = true;
            self.position += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.position += 1;
            }
            self.skip_digits()?;
        }
        let literal = self.text.get(start..self.position).unwrap_or_default();
        if literal.len() > MAX_NUMBER_BYTES {
            return Err(JsonError("a number is too long"));
        }
        let number = Number {
            literal,
            integer: whole_end == self.position,
        };
        if may_overflow && number.as_f64().is_infinite() {
            return Err(JsonError("a number is too large"));
        }
        Ok(number)
    }

    /// The next value, a string.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.position += 1;
        let plain = self.plain();
        if self.peek() == Some(b'"') {
            self.position += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.escaped_string(plain).map(Cow::Owned)
    }

    #[inline(always)]
    fn plain(&mut self) -> &'a str {
        let start = self.position;
        self.position += plain_prefix(self.rest());
        self.text.get(start..self.position).unwrap_or_default()
    }

    fn escaped_string(&mut self, beginning: &str) -> Result<String, JsonError> {
        let mut text = String::from(beginning);
        loop {
            match self.next() {
                Some(b'"') => return Ok(text),
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(JsonError("a control character in a string")),
                None => return Err(JsonError("a string is not closed")),
            }
            text.push_str(self.plain());
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        Ok(match self.next() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(JsonError("an unknown escape in a string")),
        })
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        const LONE: JsonError = JsonError("a lone surrogate in a string");
        let first = self.hex4()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or(LONE);
        }
        if self.next() != Some(b'\\') || self.next() != Some(b'u') {
            return Err(LONE);
        }
        match (first, self.hex4()?) {
            (0xd800..0xdc00, second @ 0xdc00..0xe000) => {
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(LONE)
            }
            _ => Err(LONE),
        }
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or(JsonError("an unknown escape in a string"))?;
        }
        Ok(code)
    }

    fn skip_digits(&mut self) -> Result<(), JsonError> {
        let start = self.position;
        while let Some(b'0'..=b'9') = self.peek() {
            self.position += 1;
        }
        if self.position == start {
            Err(JsonError("a number lacks a digit"))
        } else {
            Ok(())
        }
    }
}

/// An integer part of no more characters is below 10^308, the largest power of ten in a double.
const MAX_SAFE_DIGITS: usize = 308;

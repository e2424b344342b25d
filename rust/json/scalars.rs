//! Numbers and strings: the half of the grammar that is about characters.

use std::borrow::Cow;

use super::reader::Reader;
use super::{Form, JsonError, MAX_NUMBER_BYTES, Number, plain_prefix};

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
        let mut form = Form::Integer;
        let mut may_overflow = self.position - start > MAX_SAFE_DIGITS;
        if self.peek() == Some(b'.') {
            form = Form::Fraction;
            self.position += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            form = Form::Exponent;
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
        let number = Number { literal, form };
        if may_overflow && number.as_f64().is_infinite() {
            return Err(JsonError("a number is too large"));
        }
        Ok(number)
    }

    /// The next value, a string.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let (plain, end) = self.plain(self.position + 1);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.position = end + 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.position = end;
        self.escaped_string(plain).map(Cow::Owned)
    }

    /// What stands for itself in a string, and where it ends.
    #[inline(always)]
    fn plain(&self, start: usize) -> (&'a str, usize) {
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let end = start + plain_prefix(rest);
        (self.text.get(start..end).unwrap_or_default(), end)
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
            let (plain, end) = self.plain(self.position);
            text.push_str(plain);
            self.position = end;
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
        let digits = self.rest().iter();
        let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
        self.position += digits;
        if digits == 0 {
            Err(JsonError("a number lacks a digit"))
        } else {
            Ok(())
        }
    }
}

/// An integer part of no more characters is below 10^308, the largest power of ten in a double.
const MAX_SAFE_DIGITS: usize = 308;

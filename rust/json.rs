//! One strict JSON parser for tokens, key sets and bodies (RFC 8259, and the choices of I-JSON, RFC 7493).
//!
//! Whatever two parsers could read as two different values is refused: a member twice, a lone
//! surrogate, a number that is infinite, a byte order mark. It is written by hand because `serde_json`
//! cannot refuse duplicates, keep the digits of an integer and borrow from the input, all at once.
//!
//! Time is linear in the input but for one sort of the names of a large object; the stack is bounded
//! by [`MAX_DEPTH`].

use std::borrow::Cow;
use std::fmt;

pub(crate) use copy::{SHORT, append};
pub(crate) use reader::{DUPLICATE, Kind, Reader};

mod copy;
mod reader;
mod scalars;
mod tree;

/// How deep arrays and objects may nest. Honest arguments stay below 20; each level costs stack.
pub const MAX_DEPTH: usize = 128;

/// The longest number literal in bytes. The longest finite integer has 309 digits, the shortest exact
/// text of a double 24; what is longer only costs whoever converts it.
pub const MAX_NUMBER_BYTES: usize = 512;

/// Parse exactly one JSON value in UTF-8.
///
/// # Errors
/// For whatever is not strict JSON, with what was wrong in fixed words.
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, JsonError> {
    let mut reader = Reader::new(bytes)?;
    let value = reader.value(0)?;
    reader.finish()?;
    Ok(value)
}

/// Why something is not strict JSON: fixed words, never input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError(pub &'static str);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for JsonError {}

/// A JSON value that borrows from the text wherever it can.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, still as it was written.
    Number(Number<'a>),
    /// A string; owned only when it was written with escapes.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Self>),
    /// The members of an object in their order; no name occurs twice.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Value<'a> {
    /// The member of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The truth of a boolean.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self {
            Some(*truth)
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn as_number(&self) -> Option<Number<'a>> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    /// The members of an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Self)]> {
        if let Self::Object(members) = self {
            Some(members)
        } else {
            None
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// A number that a double can hold without becoming infinite, with the digits it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    literal: &'a str,
    form: Form,
}

/// How a number was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With digits alone.
    Integer,
    /// With a fraction.
    Fraction,
    /// With an exponent.
    Exponent,
}

impl<'a> Number<'a> {
    /// The number as it was written.
    #[must_use]
    pub const fn literal(self) -> &'a str {
        self.literal
    }

    /// How it was written.
    #[must_use]
    pub const fn form(self) -> Form {
        self.form
    }

    /// Whether it was written without fraction and exponent.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        matches!(self.form, Form::Integer)
    }

    /// The nearest double: always finite.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        // The grammar of JSON numbers is part of the one Rust parses.
        self.literal.parse().unwrap_or_default()
    }

    /// The exact value of an integer literal, where it fits.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        if self.is_integer() {
            self.literal.parse().ok()
        } else {
            None
        }
    }
}

/// How many of the leading bytes stand for themselves between the quotes of a JSON string: all but
/// quote, backslash and control characters. Eight at a time, since most text is nothing else.
#[must_use]
pub fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES * 0x80;
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut plain = 0;
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk);
        // The lowest bit set is exact: a borrow can only disturb the bytes above a true match.
        let below = |x: u64, bound: u64| x.wrapping_sub(ONES * bound) & !x;
        let special =
            (below(word, 0x20) | below(word ^ (ONES * 0x22), 1) | below(word ^ (ONES * 0x5c), 1))
                & HIGH;
        if special != 0 {
            return plain + usize::try_from(special.trailing_zeros() / 8).unwrap_or_default();
        }
        plain += 8;
    }
    plain
        + rest
            .iter()
            .take_while(|byte| !matches!(byte, 0..0x20 | b'"' | b'\\'))
            .count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> &'static str {
        parse(text.as_bytes()).unwrap_err().0
    }

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn borrows_what_has_no_escape() {
        let value = parse(b" {\"a\": \"b\", \"c\\n\": [1, true, null]} ").unwrap();
        assert!(matches!(
            value.get("a"),
            Some(Value::String(Cow::Borrowed("b")))
        ));
        assert_eq!(value.get("c\n").unwrap().as_array().unwrap().len(), 3);
    }

    #[test]
    fn keeps_the_digits_of_a_number() {
        let value = parse(b"[12345678901234567890, -0, 1.50, 9223372036854775807]").unwrap();
        let numbers: Vec<_> = value
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item.as_number().unwrap())
            .collect();
        assert_eq!(
            (numbers[0].literal(), numbers[0].as_i64()),
            ("12345678901234567890", None)
        );
        assert_eq!(
            (numbers[1].is_integer(), numbers[1].as_i64()),
            (true, Some(0))
        );
        assert_eq!((numbers[2].as_f64(), numbers[2].as_i64()), (1.5, None));
        assert_eq!(numbers[3].as_i64(), Some(i64::MAX));
    }

    #[test]
    fn unescapes() {
        let value = parse(br#""\"\\\/\b\f\n\r\t\u00e9\uD83D\ude02""#).unwrap();
        assert_eq!(value.as_str(), Some("\"\\/\u{8}\u{c}\n\r\té😂"));
    }

    #[test]
    fn bounds_the_depth() {
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(refused(&nested(MAX_DEPTH + 1)), "nested too deeply");
        assert_eq!(refused(&"{\"\":".repeat(1_000_000)), "nested too deeply");
    }

    #[test]
    fn bounds_numbers() {
        assert!(parse("9".repeat(308).as_bytes()).is_ok());
        assert_eq!(refused(&"9".repeat(309)), "a number is too large");
        assert_eq!(refused("-1e400"), "a number is too large");
        assert_eq!(
            refused(&"1".repeat(MAX_NUMBER_BYTES + 1)),
            "a number is too long"
        );
        assert!(parse(b"1e-400").is_ok());
    }

    #[test]
    fn refuses_a_member_twice_at_any_depth_and_size() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"c":2,"\u0061":1}}]"#] {
            assert_eq!(refused(text), "a member occurs twice");
        }
        let many = |last: usize| {
            let names = (0..100_000).rev().chain([last]);
            format!(
                "{{{}}}",
                names
                    .map(|name| format!("\"{name}\":0"))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        };
        assert_eq!(refused(&many(50_000)), "a member occurs twice");
        assert!(parse(many(100_000).as_bytes()).is_ok());
    }

    #[test]
    fn passes_over_what_it_would_parse() {
        let nested = nested(MAX_DEPTH + 1);
        for text in [
            r#"{"a":[{"b":1},{"b":2}],"c":{"b":{}}}"#,
            r#"[{"a":{"b":1,"c":2,"\u0062":1}}]"#,
            r#"{"a":{"x":1},"a":2}"#,
            r#"[1,{"a":"\ud800"}]"#,
            "[1e400]",
            &nested,
        ] {
            let mut reader = Reader::new(text.as_bytes()).unwrap();
            let passed = reader.pass(0, &mut Vec::new());
            assert_eq!(passed, parse(text.as_bytes()).map(drop), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_strict() {
        for text in [
            "",
            " ",
            "\u{feff}{}",
            "{} {}",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "NaN",
            "Infinity",
            "-Infinity",
            "nul",
            "\"",
            "\"\u{1f}\"",
            "\"\n\"",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\ud800""#,
            r#""\ud800x""#,
            "'a'",
            "\u{a0}1",
            "[1}",
            "// a\n1",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(parse(b"\"\xed\xa0\x80\""), Err(JsonError("not UTF-8")));
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn never_panics_on_what_looks_like_json(text in "[\\[\\]{}\":,0-9eE.+\\\\u a-f-]{0,40}") {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn what_is_passed_over_is_read_as_strictly(text in "[\\[\\]{}\":,0-9eE.+\\\\u a-f-]{0,40}") {
            let passed = |read: fn(&mut Reader<'_>) -> Result<(), JsonError>| {
                let mut reader = Reader::new(text.as_bytes())?;
                read(&mut reader)?;
                reader.finish()
            };
            let parsed = parse(text.as_bytes()).map(drop);
            prop_assert_eq!(passed(|reader| reader.pass(0, &mut Vec::new())), parsed);
            prop_assert_eq!(passed(|reader| reader.outline(0).map(drop)), parsed);
        }

        #[test]
        fn plain_prefix_stops_where_a_byte_loop_does(bytes: Vec<u8>) {
            let slow = bytes.iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count();
            prop_assert_eq!(plain_prefix(&bytes), slow);
        }
    }
}

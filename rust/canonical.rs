//! The canonical form of JSON (RFC 8785) and its fingerprint: equal arguments, equal text, equal hash.
//!
//! One departure: an integer written without fraction and exponent keeps its exact digits. RFC 8785
//! rounds beyond 2^53, and two different arguments would share one fingerprint.

use std::cmp::Ordering;
use std::io::Write;

use ring::{digest, hmac};

use crate::json::{self, JsonError, Number, Value};
use crate::refusal::{Refusal, Refused};

/// The fingerprint of the bytes of any JSON value: `sha256:<hex>`, with a key `hmac-sha256:<hex>`.
///
/// # Errors
/// [`Refusal::InvalidJson`] for what is not strict JSON.
pub fn hash_arguments(bytes: &[u8], key: Option<&[u8]>) -> Result<String, Refused> {
    let mut form = Canonical::with_capacity(bytes.len());
    form.value(&json::parse(bytes).map_err(invalid_json)?);
    Ok(form.fingerprint(key))
}

/// A body or an argument that is not strict JSON; a token has another slug for it.
pub(crate) const fn invalid_json(JsonError(detail): JsonError) -> Refused {
    Refused::new(Refusal::InvalidJson, detail)
}

/// The canonical form while it is written, in one pass into one buffer.
#[derive(Debug, Default)]
pub struct Canonical {
    text: Vec<u8>,
}

impl Canonical {
    /// An empty form with room for this many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
        }
    }

    /// What is written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// `sha256:<hex>` of it, with a key `hmac-sha256:<hex>`.
    #[must_use]
    pub fn fingerprint(&self, key: Option<&[u8]>) -> String {
        match key {
            None => hexadecimal(
                "sha256:",
                digest::digest(&digest::SHA256, &self.text).as_ref(),
            ),
            Some(key) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                hexadecimal("hmac-sha256:", hmac::sign(&key, &self.text).as_ref())
            }
        }
    }

    /// Any value. The recursion is as deep as the value, which [`json::MAX_DEPTH`] bounds.
    pub fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.raw("null"),
            Value::Bool(true) => self.raw("true"),
            Value::Bool(false) => self.raw("false"),
            Value::Number(number) => self.number(*number),
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                self.raw("[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.raw(",");
                    }
                    self.value(item);
                }
                self.raw("]");
            }
            Value::Object(members)
                if members.is_sorted_by(|(a, _), (b, _)| order(a, b).is_lt()) =>
            {
                self.members(members.iter().map(|(name, value)| (name.as_ref(), value)));
            }
            Value::Object(members) => {
                let mut sorted: Vec<_> = members
                    .iter()
                    .map(|(name, value)| (name.as_ref(), value))
                    .collect();
                sorted.sort_unstable_by(|(a, _), (b, _)| order(a, b));
                self.members(sorted.into_iter());
            }
        }
    }

    fn members<'v>(&mut self, sorted: impl Iterator<Item = (&'v str, &'v Value<'v>)>) {
        self.raw("{");
        for (index, (name, value)) in sorted.enumerate() {
            if index > 0 {
                self.raw(",");
            }
            self.string(name);
            self.raw(":");
            self.value(value);
        }
        self.raw("}");
    }

    /// A number: integers by their digits, all else as the double it is.
    pub fn number(&mut self, number: Number<'_>) {
        match number.literal() {
            "-0" => self.raw("0"),
            literal if number.is_integer() => self.raw(literal),
            _ => self.double(number.as_f64()),
        }
    }

    /// An integer.
    pub fn integer(&mut self, integer: i64) {
        // Writing into memory cannot fail.
        let _ = write!(self.text, "{integer}");
    }

    /// A finite double, as ECMAScript writes it (RFC 8785 section 3.2.2.3); minus zero is zero.
    pub fn double(&mut self, double: f64) {
        self.raw(ryu_js::Buffer::new().format_finite(double));
    }

    /// A string with the few escapes of RFC 8785 section 3.2.2.2.
    pub fn string(&mut self, text: &str) {
        self.raw("\"");
        let mut rest = text.as_bytes();
        loop {
            let (plain, special) = rest.split_at(json::plain_prefix(rest));
            self.text.extend_from_slice(plain);
            let Some((byte, after)) = special.split_first() else {
                break;
            };
            self.escape(*byte);
            rest = after;
        }
        self.raw("\"");
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'"' => self.raw("\\\""),
            b'\\' => self.raw("\\\\"),
            0x08 => self.raw("\\b"),
            b'\t' => self.raw("\\t"),
            b'\n' => self.raw("\\n"),
            0x0c => self.raw("\\f"),
            b'\r' => self.raw("\\r"),
            _ => {
                self.raw("\\u00");
                self.text.extend(hexadecimal_digits(byte));
            }
        }
    }

    /// Text that already is in the canonical form: a literal, an integer, a bracket, a comma.
    pub fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }
}

/// How RFC 8785 section 3.2.3 orders names: by UTF-16 code units.
///
/// That is the order of the UTF-8 bytes, except that characters beyond U+FFFF (first byte F0 and up),
/// whose surrogates begin at D800, come before U+E000 to U+FFFF (first byte EE or EF).
#[must_use]
pub fn order(a: &str, b: &str) -> Ordering {
    let rank = |byte: u8| (matches!(byte, 0xee | 0xef), byte);
    match a.bytes().zip(b.bytes()).find(|(x, y)| x != y) {
        Some((x, y)) if x >= 0xee && y >= 0xee => rank(x).cmp(&rank(y)),
        Some((x, y)) => x.cmp(&y),
        None => a.len().cmp(&b.len()),
    }
}

fn hexadecimal(prefix: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(prefix.len() + 2 * bytes.len());
    text.push_str(prefix);
    text.extend(
        bytes
            .iter()
            .flat_map(|byte| hexadecimal_digits(*byte))
            .map(char::from),
    );
    text
}

fn hexadecimal_digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0xf].map(|digit| {
        if digit < 10 {
            b'0' + digit
        } else {
            b'a' - 10 + digit
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        let mut form = Canonical::default();
        form.value(&json::parse(text.as_bytes()).unwrap());
        String::from_utf8(form.text).unwrap()
    }

    #[test]
    fn sorts_and_squeezes() {
        assert_eq!(
            canonical(" { \"b\" : [ 1 , { } ] , \"a\" : null } "),
            r#"{"a":null,"b":[1,{}]}"#
        );
    }

    #[test]
    fn writes_doubles_as_ecmascript() {
        assert_eq!(
            canonical(
                "[1.0, -0, -0.0, 1E30, 4.50, 2e-3, 1e-27, 1e21, 1e20, 1e-6, 1e-7, 5e-324, 1e-999]"
            ),
            "[1,0,0,1e+30,4.5,0.002,1e-27,1e+21,100000000000000000000,0.000001,1e-7,5e-324,0]"
        );
    }

    #[test]
    fn keeps_integers_apart_beyond_2_to_the_53() {
        let text = "[9007199254740992,9007199254740993,-1000000000000000000000000000001]";
        assert_eq!(canonical(text), text);
        assert_ne!(
            hash_arguments(b"9007199254740993", None),
            hash_arguments(b"9007199254740992", None)
        );
    }

    #[test]
    fn escapes_only_what_it_must() {
        let written = canonical(r#""\u0000\u001f\b\t\n\f\r\"\\\/\u007f\u2028\u00e9\ud83d\ude02""#);
        assert_eq!(
            written,
            "\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}\u{2028}é😂\""
        );
    }

    #[test]
    fn orders_names_by_utf16() {
        assert_eq!(
            canonical(
                "{\"\u{fb33}\":1,\"\u{1f602}\":2,\"\u{20ac}\":3,\"\":4,\"a\u{1f602}\":5,\"a\u{e000}\":6,\"\u{d7ff}\":7}"
            ),
            "{\"\":4,\"a\u{1f602}\":5,\"a\u{e000}\":6,\"\u{20ac}\":3,\"\u{d7ff}\":7,\"\u{1f602}\":2,\"\u{fb33}\":1}"
        );
    }

    #[test]
    fn names_the_hash_it_is() {
        // SHA-256 of `{}`, and HMAC-SHA-256 of it under the key `key`.
        assert_eq!(
            hash_arguments(b"{}", None).unwrap(),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert!(
            hash_arguments(b"{}", Some(b"key"))
                .unwrap()
                .starts_with("hmac-sha256:")
        );
        assert_eq!(
            hash_arguments(b"{", None).unwrap_err().refusal,
            Refusal::InvalidJson
        );
    }

    proptest! {
        #[test]
        fn orders_as_utf16_does(a: String, b: String) {
            prop_assert_eq!(order(&a, &b), a.encode_utf16().cmp(b.encode_utf16()));
        }

        #[test]
        fn is_a_fixed_point(names: Vec<String>, doubles in prop::collection::vec(prop::num::f64::NORMAL, 0..8)) {
            let mut form = Canonical::default();
            form.raw("[");
            for name in &names {
                form.string(name);
                form.raw(",");
            }
            for double in &doubles {
                form.double(*double);
                form.raw(",");
            }
            form.raw("0]");
            let text = String::from_utf8(form.text).unwrap();
            let Value::Array(items) = json::parse(text.as_bytes()).unwrap() else { unreachable!() };
            prop_assert!(items.iter().zip(&names).all(|(item, name)| item.as_str() == Some(name)));
            let read = items.iter().skip(names.len()).filter_map(Value::as_number).map(Number::as_f64);
            prop_assert!(read.zip(&doubles).all(|(read, double)| read == *double));
            prop_assert_eq!(canonical(&text), text);
        }
    }
}

//! The canonical form of JSON (RFC 8785) and its fingerprint: equal arguments, equal text, equal hash.
//!
//! Two differences from RFC 8785, which reads every number as a double, both from 2^53 on. There several
//! integers round to one double, and arguments of different values would share one fingerprint.
//!
//! - An integer written without fraction and exponent keeps its exact digits.
//! - A double, which is a number written with a fraction or an exponent, always has an exponent:
//!   `1e+18`, where RFC 8785 writes `1000000000000000000`. So no double has the form of an integer.

use std::cmp::Ordering;
use std::fmt;
use std::io::Write;

use ring::{digest, hmac};

use crate::json::{JsonError, Reader, plain_prefix};
use crate::refusal::{Refusal, Refused};

mod transcript;

/// The fingerprint of the bytes of any JSON value: `sha256:<hex>`, with a key `hmac-sha256:<hex>`.
///
/// # Errors
/// [`Refusal::InvalidJson`] for what is not strict JSON.
pub fn hash_arguments(bytes: &[u8], key: Option<&[u8]>) -> Result<String, Refused> {
    canonical(bytes)
        .map(|form| form.fingerprint(key))
        .map_err(invalid_json)
}

/// The canonical form of the bytes of any JSON value.
///
/// # Errors
/// For what is not strict JSON.
pub fn canonical(bytes: &[u8]) -> Result<Canonical, JsonError> {
    let mut reader = Reader::new(bytes)?;
    let form = Canonical::read(&mut reader, 0)?;
    reader.finish()?;
    Ok(form)
}

/// A body or an argument that is not strict JSON; a token has another slug for it.
pub(crate) const fn invalid_json(JsonError(detail): JsonError) -> Refused {
    Refused::new(Refusal::InvalidJson, detail)
}

/// The canonical form while it is written, in one pass into one buffer.
#[derive(Clone, Default)]
pub struct Canonical {
    text: Vec<u8>,
}

/// Without its text: arguments reach no log.
impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canonical({} bytes)", self.text.len())
    }
}

impl Canonical {
    /// An empty form with room for this many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
        }
    }

    /// An empty form.
    pub(crate) const fn empty() -> Self {
        Self { text: Vec::new() }
    }

    /// The form of an empty object: what absent arguments count as.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self {
            text: b"{}".to_vec(),
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
        fingerprint(&self.text, key)
    }

    /// The form of the next value of a text, without ever building a tree of it.
    pub(crate) fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self, JsonError> {
        Ok(Self {
            text: transcript::write(reader, depth)?,
        })
    }

    /// An integer.
    pub fn integer(&mut self, integer: i64) {
        // Writing into memory cannot fail.
        let _ = write!(self.text, "{integer}");
    }

    /// A finite double.
    pub fn double(&mut self, double: f64) {
        write_double(&mut self.text, double);
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        write_string(&mut self.text, text);
    }

    /// Text that already is in the canonical form: a literal, an integer, a bracket, a comma.
    pub fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }
}

/// `sha256:<hex>` of some bytes, with a key `hmac-sha256:<hex>`.
#[must_use]
pub fn fingerprint(bytes: &[u8], key: Option<&[u8]>) -> String {
    match key {
        None => hexadecimal("sha256:", digest::digest(&digest::SHA256, bytes).as_ref()),
        Some(key) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hexadecimal("hmac-sha256:", hmac::sign(&key, bytes).as_ref())
        }
    }
}

/// The first double that several integers round to.
const FIRST_AMBIGUOUS: f64 = 9_007_199_254_740_992.0;

/// As ECMAScript writes it (RFC 8785 section 3.2.2.3), but with an exponent from 2^53 on; minus zero is
/// zero.
fn write_double(form: &mut Vec<u8>, double: f64) {
    let mut buffer = ryu_js::Buffer::new();
    let text = buffer.format_finite(double);
    if double.abs() < FIRST_AMBIGUOUS || text.contains('e') {
        return form.extend_from_slice(text.as_bytes());
    }
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or(("", text), |rest| ("-", rest));
    let (first, rest) = digits.split_at_checked(1).unwrap_or_default();
    let fraction = rest.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    // Writing into memory cannot fail.
    let _ = write!(form, "{sign}{first}{point}{fraction}e+{}", rest.len());
}

/// With the few escapes of RFC 8785 section 3.2.2.2.
fn write_string(form: &mut Vec<u8>, text: &str) {
    form.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest));
        form.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else {
            break;
        };
        write_escape(form, *byte);
        rest = after;
    }
    form.push(b'"');
}

fn write_escape(form: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        b'"' | b'\\' => byte,
        _ => {
            form.extend_from_slice(b"\\u00");
            return form.extend(hexadecimal_digits(byte));
        }
    };
    form.extend([b'\\', letter]);
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

/// `prefix` and the bytes in hexadecimal.
pub(crate) fn hexadecimal(prefix: &str, bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(prefix.len() + 2 * bytes.len());
    text.extend_from_slice(prefix.as_bytes());
    for byte in bytes {
        text.extend_from_slice(&hexadecimal_digits(*byte));
    }
    String::from_utf8(text).unwrap_or_default()
}

fn hexadecimal_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 0xf].map(|digit| DIGITS.get(usize::from(digit)).copied().unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::json::{Number, Value, parse};
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        String::from_utf8(canonical(text.as_bytes()).unwrap().text).unwrap()
    }

    #[test]
    fn sorts_and_squeezes() {
        assert_eq!(
            written(" { \"b\" : [ 1 , { } ] , \"a\" : null } "),
            r#"{"a":null,"b":[1,{}]}"#
        );
    }

    #[test]
    fn writes_doubles_as_ecmascript() {
        assert_eq!(
            written("[1.0, -0, -0.0, 1E30, 4.50, 2e-3, 1e-27, 1e21, 1e-6, 1e-7, 5e-324, 1e-999]"),
            "[1,0,0,1e+30,4.5,0.002,1e-27,1e+21,0.000001,1e-7,5e-324,0]"
        );
    }

    #[test]
    fn gives_doubles_that_integers_round_to_an_exponent() {
        assert_eq!(
            written(
                "[9007199254740991.0, 9007199254740992.0, -9007199254740993.0, 1e18, 1.2345678901234568e18, 1e20]"
            ),
            "[9007199254740991,9.007199254740992e+15,-9.007199254740992e+15,1e+18,1.2345678901234568e+18,1e+20]"
        );
    }

    #[test]
    fn keeps_integers_apart_beyond_2_to_the_53() {
        let text = "[9007199254740992,9007199254740993,-1000000000000000000000000000001]";
        assert_eq!(written(text), text);
        assert_ne!(
            hash_arguments(b"9007199254740993", None),
            hash_arguments(b"9007199254740992", None)
        );
    }

    #[test]
    fn escapes_only_what_it_must() {
        let text = written(r#""\u0000\u001f\b\t\n\f\r\"\\\/\u007f\u2028\u00e9\ud83d\ude02""#);
        assert_eq!(
            text,
            "\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}\u{2028}é😂\""
        );
    }

    #[test]
    fn orders_names_by_utf16() {
        assert_eq!(
            written(
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
        fn keeps_integers_and_doubles_apart(bits in 0x4340_0000_0000_0000_u64..0x7ff0_0000_0000_0000, integer: i64) {
            let double = f64::from_bits(bits);
            let mut form = Canonical::default();
            form.double(double);
            form.raw(" ");
            form.double(-double);
            let text = String::from_utf8(form.text).unwrap();
            prop_assert!(text.split(' ').all(|one| one.contains('e')));
            prop_assert!(text.split(' ').zip([double, -double]).all(|(one, same)| one.parse() == Ok(same)));
            let digits = integer.to_string();
            prop_assert_eq!(written(&digits), digits);
        }

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
            let Value::Array(items) = parse(text.as_bytes()).unwrap() else { unreachable!() };
            prop_assert!(items.iter().zip(&names).all(|(item, name)| item.as_str() == Some(name)));
            let read = items.iter().skip(names.len()).filter_map(Value::as_number).map(Number::as_f64);
            prop_assert!(read.zip(&doubles).all(|(read, double)| read == *double));
            prop_assert_eq!(written(&text), text);
        }
    }
}

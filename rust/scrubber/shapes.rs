//! Credentials that are known by what they look like, or because they are configured.

use memchr::memmem::{self, Finder};
use memchr::{memchr, memrchr};

use super::view::{View, is_base64, is_token, is_word};
use super::{Span, length};

/// Bytes of the label of a PEM block that are read: the longest in use is half as long.
const MAX_LABEL: usize = 64;

/// Bytes of a first part by which a JWT is known even where the rest was cut off: the shortest header has as many.
const MIN_JWT: usize = 16;

/// Bytes of a first part that two other parts follow.
const MIN_HEADER: usize = 8;

/// Of a first part that are decoded to see whether it is a JSON object: whitespace included.
const HEADER_BYTES: usize = 24;

/// Bytes of base64 or hexadecimal that are decoded: what holds a token is longer.
const MIN_ENCODED: usize = 32;

/// Bytes of a JWT that must stand in what was decoded.
const MIN_INSIDE: usize = 15;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY";
const DASHES: &[u8] = b"-----";

/// The forms of configured secrets; those that are `encoded` in base64 are parts of a run that goes as a whole.
pub(super) fn find_configured(
    view: &View<'_>,
    forms: &[Finder<'_>],
    encoded: &[Finder<'_>],
    found: &mut Vec<Span>,
) {
    for form in forms {
        let mut from = 0;
        while let Some(at) = view.find_with(form, from) {
            from = at + length(form);
            found.push((at, from));
        }
    }
    for form in encoded {
        let mut from = 0;
        while let Some(at) = view.find_with(form, from) {
            from = view.run(at, is_base64);
            found.push((view.run_before(at, is_base64, at), from));
        }
    }
}

/// Private keys in PEM (RFC 7468), to the end of the text where a key does not end.
pub(super) fn find_private_keys(view: &View<'_>, found: &mut Vec<Span>) {
    let mut from = 0;
    while let Some(at) = view.find(BEGIN, from) {
        from = at + BEGIN.len();
        if end_of_label(view, from).is_some() {
            from = end_of_private_key(view, from);
            found.push((at, from));
        }
    }
}

fn end_of_private_key(view: &View<'_>, mut from: usize) -> usize {
    while let Some(at) = view.find(END, from) {
        from = at + END.len();
        if let Some(label) = end_of_label(view, from) {
            return view
                .find(DASHES, label)
                .map_or(view.len(), |dashes| dashes + DASHES.len());
        }
    }
    view.len()
}

/// Behind the last `PRIVATE KEY` of a label that has nothing but capitals and spaces before it.
fn end_of_label(view: &View<'_>, at: usize) -> Option<usize> {
    let label = view.part(at, view.len().min(at + MAX_LABEL));
    let size = label
        .iter()
        .take_while(|octet| octet.is_ascii_uppercase() || **octet == b' ')
        .count();
    let offset = memmem::rfind(label.get(..size)?, PRIVATE_KEY)?;
    Some(at + offset + PRIVATE_KEY.len())
}

/// Tokens that begin with a prefix of their own.
pub(super) fn find_prefixed(view: &View<'_>, prefixes: &[String], found: &mut Vec<Span>) {
    for prefix in prefixes {
        let mut from = 0;
        while let Some(at) = view.find_in_any_case(prefix.as_bytes(), from) {
            let begin = at + prefix.len();
            from = view.run(begin, is_word);
            if from > begin {
                found.push((at, from));
            }
        }
    }
}

/// JWS and JWE in compact form (RFC 7515, RFC 7516), also cut off and with text joined to them: from where a part begins
/// as a JSON object does in base64, to the end of the run.
pub(super) fn find_jwts(view: &View<'_>, found: &mut Vec<Span>) {
    for (start, end) in view.runs(is_token, MIN_JWT) {
        if let Some(begin) = begin_of_jwt(view, start, end) {
            found.push((begin, end));
        }
    }
}

fn begin_of_jwt(view: &View<'_>, start: usize, end: usize) -> Option<usize> {
    let run = view.part(start, end);
    view.count(2 * run.len());
    let second_last_dot = memrchr(b'.', run)
        .and_then(|last| memrchr(b'.', run.get(..last)?))
        .map(|dot| start + dot);
    let mut next = start;
    while let Some(at) = next_maybe_object(view, next, end) {
        // As where two letters were matched: they are not looked at again.
        next = at + 2;
        view.count(HEADER_BYTES);
        let part = view.part(at, end.min(at + HEADER_BYTES));
        let part = part
            .split(|octet| *octet == b'.')
            .next()
            .unwrap_or_default();
        if !is_object(&unbase64(part)) {
            continue;
        }
        let window = view.part(at, end.min(at + MIN_JWT));
        let is_jwt = memchr(b'.', window).map_or(window.len() == MIN_JWT, |dot| {
            dot >= MIN_HEADER && second_last_dot.is_some_and(|second| at + dot <= second)
        });
        if is_jwt {
            return Some(at);
        }
    }
    None
}

/// The base64 of an opening brace, or of whitespace before one, begins with one of these pairs.
fn next_maybe_object(view: &View<'_>, from: usize, end: usize) -> Option<usize> {
    let pairs = view.part(from, end).windows(2);
    let begins = |pair: &[u8]| {
        matches!(
            pair,
            [b'e', b'w' | b'y']
                | [b'I', b'A' | b'C' | b'H']
                | [b'C', b'g' | b'i' | b'n' | b'Q' | b'S' | b'X']
                | [b'D', b'Q' | b'S' | b'X']
        )
    };
    pairs
        .enumerate()
        .find(|(_, pair)| begins(pair))
        .map(|(offset, _)| from + offset)
}

fn is_object(octets: &[u8]) -> bool {
    let mut rest = octets
        .iter()
        .filter(|octet| !matches!(octet, b' ' | b'\t' | b'\r' | b'\n'));
    rest.next() == Some(&b'{') && rest.next() == Some(&b'"')
}

/// Runs of base64 (RFC 4648), at any offset, and of hexadecimal that hold a token.
pub(super) fn find_encoded(view: &View<'_>, prefixes: &[String], found: &mut Vec<Span>) {
    for (start, end) in view.runs(is_base64, MIN_ENCODED) {
        let run = view.part(start, end);
        view.count(4 * run.len());
        let at = |offset: usize| run.get(offset..).unwrap_or_default();
        if (0..4).any(|offset| holds_token(&unbase64(at(offset)), prefixes)) {
            found.push((start, end));
        }
    }
    for (start, end) in view.runs(|octet| octet.is_ascii_hexdigit(), MIN_ENCODED) {
        let run = view.part(start, end);
        view.count(2 * run.len());
        let at = |offset: usize| run.get(offset..).unwrap_or_default();
        if (0..2).any(|offset| holds_token(&unhex(at(offset)), prefixes)) {
            found.push((start, end));
        }
    }
}

fn holds_token(octets: &[u8], prefixes: &[String]) -> bool {
    let is_jwt =
        |window: &[u8]| window.starts_with(b"eyJ") && window.iter().all(|octet| is_token(*octet));
    memmem::find_iter(octets, b"eyJ").any(|at| octets.get(at..at + MIN_INSIDE).is_some_and(is_jwt))
        || prefixes
            .iter()
            .any(|prefix| memmem::find(octets, prefix.as_bytes()).is_some())
}

/// What base64, standard or URL-safe, stands for; bits that are left over are dropped.
fn unbase64(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, octet| (bits << 6) | value_of(*octet));
        let missing = 4 - group.len();
        let [_, one, two, three] = (bits << (6 * missing)).to_be_bytes();
        octets.extend(
            [one, two, three]
                .into_iter()
                .take(3_usize.saturating_sub(missing)),
        );
    }
    octets
}

fn value_of(octet: u8) -> u32 {
    u32::from(match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    })
}

fn unhex(text: &[u8]) -> Vec<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16).unwrap_or(0);
    text.chunks_exact(2)
        .map(|pair| {
            pair.iter()
                .fold(0, |value, octet| value * 16 + digit(*octet))
        })
        .filter_map(|value| u8::try_from(value).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_both_alphabets_and_any_length() {
        assert_eq!(unbase64(b"eyJhbGciOiJub25lIn0"), b"{\"alg\":\"none\"}");
        assert_eq!(unbase64(b"-_-_"), unbase64(b"+/+/"));
        assert_eq!(unbase64(b"YQ"), b"a");
        assert_eq!(unbase64(b"Y"), b"");
    }
}

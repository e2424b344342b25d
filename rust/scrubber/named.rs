//! Values that are secret by the name before them: members, header fields, parameters of a query; and HTTP credentials
//! by their scheme.

use super::Span;
use super::view::{MAX_LEVEL, View, is_name, is_quote, is_space, is_token68};
use super::words::{REDACTED, Words, looks_random};

/// Bytes of a name that are read: more than any that is looked for, with what is joined to it.
const MAX_NAME: usize = 48;

type Levels = [usize; 9];
const _: () = assert!(MAX_LEVEL == 8, "a place for each level");

/// What a name says of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Header,
    Member,
    Parameter,
}

/// An authentication scheme and credentials that no word of a sentence looks like (RFC 9110 section 11.4).
pub(super) fn find_credentials(view: &View<'_>, words: &Words, found: &mut Vec<Span>) {
    for scheme in &words.schemes {
        let mut from = 0;
        while let Some(at) = view.find_in_any_case(scheme.as_bytes(), from) {
            from = at + scheme.len();
            let gap = from + usize::from(view.is(from, is_quote));
            let begin = skip(view, gap, is_gap);
            if begin == gap {
                continue;
            }
            let begin = opening_quote(view, begin).unwrap_or(begin);
            let letters = view.run(begin, is_token68);
            from = view.run(letters, |octet| octet == b'=');
            let is_parameter = letters < from
                && view
                    .part(begin, letters)
                    .iter()
                    .all(|octet| octet.is_ascii_lowercase() || *octet == b'_');
            if !is_parameter && looks_random(view.part(begin, from)) {
                found.push((begin, from));
            }
        }
    }
}

/// The values of secret names. What was found is not looked into again, so that every byte is read once.
pub(super) fn find_named(view: &View<'_>, words: &Words, found: &mut Vec<Span>) {
    let mut no_query_until: Levels = [0; 9];
    let mut at = view.any_of(0, is_separator);
    while at < view.len() {
        let mut end = at + 1;
        for span in values_behind(view, words, at, &mut no_query_until) {
            if span.0 < span.1 && view.part(span.0, span.1) != REDACTED {
                found.push(span);
            }
            end = end.max(span.1);
        }
        at = view.any_of(end, is_separator);
    }
}

fn values_behind(
    view: &View<'_>,
    words: &Words,
    separator: usize,
    no_query_until: &mut Levels,
) -> Vec<Span> {
    let mut end = view.run_before(separator, is_blank, separator);
    let is_quoted = view.before(end, 1).is_some_and(is_quote);
    end -= usize::from(is_quoted);
    let sign = view.at(separator);
    let is_comma = sign == Some(b',');
    if is_comma && !is_quoted {
        return Vec::new();
    }
    let start = view.run_before(end, is_name, MAX_NAME);
    if start == end {
        return Vec::new();
    }
    let is_joined = separator == end && sign == Some(b'=');
    let is_assigned = is_joined || (is_quoted && !is_comma);
    match kind_of(view, words, start, end, is_assigned) {
        Some(Kind::Header) => {
            if sign == Some(b':')
                && !is_quoted
                && let Some(line) = line(view, words, start, separator)
            {
                return vec![line];
            }
            values(view, separator, is_comma, |at| {
                after_scheme(view, words, at)
            })
        }
        Some(Kind::Member) if !is_comma || is_first_of_pair(view, start) => {
            values(view, separator, is_comma, |at| at)
        }
        Some(Kind::Parameter) if is_joined => parameter(view, start, separator, no_query_until),
        _ => Vec::new(),
    }
}

/// The value of a parameter that stands where a query or a form has one: `code` and `state` are words as well.
/// `no_query_until`: for each level, up to where no `&` follows, so that nothing is read twice to find that out.
fn parameter(
    view: &View<'_>,
    start: usize,
    separator: usize,
    no_query_until: &mut Levels,
) -> Vec<Span> {
    let level = view.level(separator);
    let before = view.before(start, 1);
    let is_bytes =
        before.is_some_and(is_quote) && matches!(view.before(start, 2), Some(b'b' | b'B'));
    let is_behind = is_bytes || matches!(before, Some(b'?' | b'&' | b';' | b'#'));
    let known = no_query_until.get_mut(usize::from(level));
    if !is_behind && known.as_ref().is_some_and(|until| separator < **until) {
        return Vec::new();
    }
    let begin = after_redacted(view, separator + 1);
    let end = end_of_value(view, begin, level);
    if is_behind || view.at(end) == Some(b'&') {
        return vec![(begin, end)];
    }
    if let Some(until) = known {
        *until = end;
    }
    Vec::new()
}

/// Whether a quoted name opens a tuple, as that of a header in a repr: `('x-api-key', '...')`.
fn is_first_of_pair(view: &View<'_>, start: usize) -> bool {
    let back = 2 + usize::from(matches!(view.before(start, 2), Some(b'b' | b'B')));
    view.before(start, back) == Some(b'(')
}

fn kind_of(
    view: &View<'_>,
    words: &Words,
    start: usize,
    end: usize,
    is_assigned: bool,
) -> Option<Kind> {
    let name = view.lower_part(start, end);
    let squeezed: Vec<u8> = name
        .iter()
        .copied()
        .filter(|octet| !matches!(octet, b'-' | b'_'))
        .collect();
    let ends = |each: &String| squeezed.ends_with(each.as_bytes());
    if words.headers.iter().any(ends) {
        return Some(Kind::Header);
    }
    if words.names.iter().any(ends) || (is_assigned && words.is_assigned_name(name)) {
        return Some(Kind::Member);
    }
    let is_parameter = words.parameters.iter().any(|each| each.as_bytes() == name);
    is_parameter.then_some(Kind::Parameter)
}

/// One value, or those of a list. `begin`: where in a quoted value the secret begins.
fn values(
    view: &View<'_>,
    separator: usize,
    is_comma: bool,
    begin_of: impl Fn(usize) -> usize,
) -> Vec<Span> {
    let mut at = skip(view, separator + 1, is_space);
    let mut is_list = false;
    while view.is(at, is_opening) && !view.starts(REDACTED, at) {
        is_list = true;
        at = skip(view, at + 1, is_space);
    }
    let mut spans = Vec::new();
    loop {
        let Some(begin) = opening_quote(view, at) else {
            if spans.is_empty() && !is_comma {
                let begin = after_redacted(view, at);
                spans.push((begin, end_of_value(view, begin, view.level(separator))));
            }
            return spans;
        };
        let close = closing_quote(view, begin - 1);
        spans.push((begin_of(begin), close));
        at = skip(view, close + 1, is_space);
        if !is_list || view.at(at) != Some(b',') {
            return spans;
        }
        at = skip(view, at + 1, is_space);
    }
}

/// The value of a header field that ends with its line, or with the quotes around it: cookies, and credentials of other
/// schemes, are several words. None where it is quoted.
fn line(view: &View<'_>, words: &Words, start: usize, separator: usize) -> Option<Span> {
    let begin = skip(view, separator + 1, is_blank);
    if opening_quote(view, begin).is_some() || view.is(begin, is_opening) {
        return None;
    }
    let credentials = after_scheme(view, words, begin);
    if credentials > begin {
        let credentials = after_redacted(view, credentials);
        let end = end_of_value(view, credentials, view.level(separator));
        return Some((credentials, end));
    }
    let begin = after_redacted(view, begin);
    let enclosing = start
        .checked_sub(1)
        .filter(|before| view.is(*before, is_quote));
    let mut at = view.any_of(begin, ends_line);
    while let Some(octet) = view.at(at) {
        let ends = match octet {
            b'\\' => view.is(at + 1, is_control_letter),
            b'"' | b'\'' => enclosing.is_some_and(|before| {
                view.at(before) == Some(octet) && view.level(at) <= view.level(before)
            }),
            _ => true,
        };
        if ends {
            break;
        }
        at = view.any_of(at + 1, ends_line);
    }
    Some((begin, at))
}

fn after_scheme(view: &View<'_>, words: &Words, at: usize) -> usize {
    words
        .schemes
        .iter()
        .map(|scheme| (scheme, at + scheme.len()))
        .find(|(scheme, end)| view.starts_in_lower(scheme.as_bytes(), at) && view.is(*end, is_gap))
        .map_or(at, |(_, end)| skip(view, end, is_gap))
}

fn after_redacted(view: &View<'_>, at: usize) -> usize {
    if view.starts(REDACTED, at) {
        at + REDACTED.len()
    } else {
        at
    }
}

/// Behind whitespace, also where it is written as `\n`.
fn skip(view: &View<'_>, mut at: usize, accepted: fn(u8) -> bool) -> usize {
    loop {
        at = view.run(at, accepted);
        if view.at(at) != Some(b'\\') || !view.is(at + 1, is_control_letter) {
            return at;
        }
        at += 2;
    }
}

/// Behind the quote with which a string begins; `b'` of Python's reprs included.
fn opening_quote(view: &View<'_>, at: usize) -> Option<usize> {
    if view.is(at, is_prefix_letter) && view.is(at + 1, is_quote) {
        return Some(at + 2);
    }
    view.is(at, is_quote).then_some(at + 1)
}

/// Where the string ends: at the same quote, not deeper in escapes, or with the line.
fn closing_quote(view: &View<'_>, opening: usize) -> usize {
    let ends: fn(u8) -> bool = match view.at(opening) {
        Some(b'"') => |octet| matches!(octet, b'"' | b'\r' | b'\n'),
        _ => |octet| matches!(octet, b'\'' | b'\r' | b'\n'),
    };
    let level = view.level(opening);
    let mut at = view.any_of(opening + 1, ends);
    while view.is(at, is_quote) && view.level(at) > level {
        at = view.any_of(at + 1, ends);
    }
    at
}

/// Where a value without quotes ends. A delimiter that is deeper in escapes than the separator is a part of it.
fn end_of_value(view: &View<'_>, at: usize, level: u8) -> usize {
    let mut at = view.any_of(at, ends_value);
    while let Some(octet) = view.at(at) {
        match octet {
            // SecretStr('...')
            b'(' => {
                if let Some(inside) = opening_quote(view, at + 1) {
                    at = closing_quote(view, inside - 1);
                }
            }
            b'\\' => {
                if view.is(at + 1, |next| is_control_letter(next) || is_quote(next)) {
                    return at;
                }
            }
            _ => {
                if view.level(at) <= level {
                    return at;
                }
            }
        }
        at = view.any_of(at + 1, ends_value);
    }
    at
}

const fn is_separator(octet: u8) -> bool {
    matches!(octet, b'=' | b':' | b',')
}

const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

const fn is_gap(octet: u8) -> bool {
    is_space(octet) || matches!(octet, b':' | b'=' | b',' | b'+')
}

const fn is_opening(octet: u8) -> bool {
    matches!(octet, b'[' | b'(')
}

/// After a backslash: `\n`, `\r` and `\t` in JSON and in a repr.
const fn is_control_letter(octet: u8) -> bool {
    matches!(octet, b'n' | b'r' | b't')
}

const fn is_prefix_letter(octet: u8) -> bool {
    matches!(octet, b'b' | b'B' | b'u' | b'U' | b'r' | b'R')
}

const fn ends_value(octet: u8) -> bool {
    is_space(octet)
        || is_quote(octet)
        || matches!(octet, b'&' | b',' | b';' | b')' | b'}' | b'\\' | b'(')
}

const fn ends_line(octet: u8) -> bool {
    is_quote(octet) || matches!(octet, b'\r' | b'\n' | b'\\')
}

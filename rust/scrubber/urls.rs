//! Passwords in URLs (RFC 3986 section 3.2.1).

use memchr::memchr;

use super::Span;
use super::view::{View, is_quote, is_space};
use super::words::{REDACTED, looks_random};

/// The password before the host of a URL, and a user name that looks like a token. A password may hold `/`, `?` and `#`
/// that should have been encoded, where what stands before them is no host and port.
pub(super) fn find_userinfo(view: &View<'_>, found: &mut Vec<Span>) {
    let mut url: (usize, Option<usize>) = (0, None);
    let mut from = 0;
    while let Some(at) = view.find(b"://", from) {
        let begin = at + 3;
        from = begin;
        let (end, mut sign) = authority(view, begin, view.level(begin - 1));
        let colon = memchr(b':', view.part(begin, sign.unwrap_or(end))).map(|at| begin + at);
        view.count(end - begin);
        if let Some(colon) = colon
            && sign.is_none()
            && matches!(view.at(end), Some(b'/' | b'?' | b'#'))
            && !view.part(colon + 1, end).iter().all(u8::is_ascii_digit)
        {
            if begin > url.0 {
                url = last_at(view, begin);
            }
            sign = url.1.filter(|sign| *sign > end);
        }
        if let Some(sign) = sign {
            secrets_of(view, begin, colon, sign, found);
        }
    }
}

fn secrets_of(
    view: &View<'_>,
    begin: usize,
    colon: Option<usize>,
    sign: usize,
    found: &mut Vec<Span>,
) {
    let user_end = colon.unwrap_or(sign);
    let user = view.part(begin, user_end);
    if looks_random(user) && user != REDACTED {
        found.push((begin, user_end));
    }
    if let Some(colon) = colon
        && colon + 1 < sign
        && view.part(colon + 1, sign) != REDACTED
    {
        found.push((colon + 1, sign));
    }
}

/// Where it ends, and its last `@`.
fn authority(view: &View<'_>, at: usize, level: u8) -> (usize, Option<usize>) {
    let mut sign = None;
    let mut at = view.any_of(at, ends_authority);
    while let Some(octet) = view.at(at) {
        if view.level(at) <= level {
            if octet != b'@' {
                break;
            }
            sign = Some(at);
        }
        at = view.any_of(at + 1, ends_authority);
    }
    (at, sign)
}

/// Where the URL ends, and the last `@` in it.
fn last_at(view: &View<'_>, at: usize) -> (usize, Option<usize>) {
    let mut sign = None;
    let mut at = view.any_of(at, ends_url);
    while view.at(at) == Some(b'@') {
        sign = Some(at);
        at = view.any_of(at + 1, ends_url);
    }
    (at, sign)
}

const fn ends_url(octet: u8) -> bool {
    is_space(octet) || is_quote(octet) || matches!(octet, b'@' | b'<' | b'>')
}

const fn ends_authority(octet: u8) -> bool {
    ends_url(octet) || matches!(octet, b'/' | b'?' | b'#' | b'\\')
}

//! The head of an HTTP request that is like nearly all others.

/// What such a head says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// The one Host.
    pub host: &'a str,
    /// Of the one bearer token.
    pub token: &'a str,
    /// The version of the protocol that the request says it speaks.
    pub protocol: Option<&'a str>,
    /// What the body is declared to have, in bytes.
    pub content_length: Option<u64>,
}

/// Of a declared size: a petabyte. Longer ones would only make the conversion slow.
pub const MAX_SIZE_DIGITS: usize = 15;

/// As every client spells it; other spellings are as good (RFC 9110 section 11.1), and not plain.
const BEARER: &str = "Bearer ";

/// What is judged of a head beside what `Head` has: with one of them, it takes a second look.
const UNUSUAL: [&str; 7] = [
    "client-cert",
    "content-encoding",
    "origin",
    "traceparent",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// What a head says that has one Host, one bearer token and nothing else that is judged, each header once; None for
/// every other, about which nothing is said by that.
pub fn read_head<'a>(headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Option<Head<'a>> {
    let (mut host, mut token) = (None, None);
    let mut head = Head::default();
    for (name, value) in headers {
        if is(name, "host") {
            once(&mut host, text(value)?)?;
        } else if is(name, "authorization") {
            once(&mut token, text(value)?.strip_prefix(BEARER)?)?;
        } else if is(name, "mcp-protocol-version") {
            once(&mut head.protocol, text(value)?)?;
        } else if is(name, "content-length") {
            once(&mut head.content_length, size(value)?)?;
        } else if UNUSUAL.iter().any(|unusual| is(name, unusual)) {
            return None;
        }
    }
    head.host = host?;
    head.token = token?;
    Some(head)
}

/// What the server behind the gate never sees.
#[must_use]
pub fn is_withheld(name: &[u8]) -> bool {
    is(name, "authorization")
}

fn is(name: &[u8], lower: &str) -> bool {
    name.eq_ignore_ascii_case(lower.as_bytes())
}

fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// Other bytes are not wrong, but are decoded elsewhere.
fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok().filter(|text| text.is_ascii())
}

/// RFC 9110 section 8.6: digits alone.
fn size(value: &[u8]) -> Option<u64> {
    let digits = text(value).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    (digits.len() <= MAX_SIZE_DIGITS)
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [(&str, &str); 4] = [
        ("host", "mcp.example.com"),
        ("Authorization", "Bearer a.b.c"),
        ("content-length", "12"),
        ("accept", "*/*"),
    ];

    fn read(more: &[(&'static str, &'static str)]) -> Option<Head<'static>> {
        let headers = PLAIN.iter().chain(more);
        let bytes: Vec<_> = headers
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        read_head(bytes)
    }

    #[test]
    fn a_plain_head_says_who_asks_whom() {
        let head = read(&[("mcp-protocol-version", "2026-07-28")]);
        assert_eq!(
            head,
            Some(Head {
                host: "mcp.example.com",
                token: "a.b.c",
                protocol: Some("2026-07-28"),
                content_length: Some(12),
            })
        );
    }

    #[test]
    fn what_takes_a_second_look_is_not_plain() {
        for unusual in UNUSUAL {
            assert_eq!(read(&[(unusual, "1")]), None, "{unusual}");
        }
        for (name, _) in PLAIN.iter().take(3) {
            assert_eq!(read(&[(name, "12")]), None, "{name} twice");
        }
    }
}

//! The head of an HTTP request that is like nearly all others.

use std::net::IpAddr;

/// What such a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Of the one bearer token.
    pub token: &'a [u8],
    /// Where among the headers it stands: what the server behind the gate never sees.
    pub credentials_at: usize,
    /// The version of the protocol that the request says it speaks.
    pub protocol: Option<&'a str>,
    /// What the body is declared to have, in bytes.
    pub content_length: Option<u64>,
}

/// Of a declared size: a petabyte. Longer ones would only make the conversion slow.
pub const MAX_SIZE_DIGITS: usize = 15;

/// As every client spells it; other spellings are as good (RFC 9110 section 11.1), and not plain.
const BEARER: &str = "Bearer ";

/// What is judged of a head beside what is known of it here: with one of them, it takes a second look.
const UNUSUAL: [&str; 7] = [
    "client-cert",
    "content-encoding",
    "origin",
    "traceparent",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// Which heads are like nearly all others, for one resource.
#[derive(Debug)]
pub struct Recogniser {
    hosts: Vec<String>,
    max_body_bytes: u64,
}

impl Recogniser {
    /// For a resource that is called by one of these hosts.
    #[must_use]
    pub const fn new(hosts: Vec<String>, max_body_bytes: u64) -> Self {
        Self {
            hosts,
            max_body_bytes,
        }
    }

    /// What a head says that has one Host, one of ours, one bearer token and nothing else that is judged, each of
    /// these once, and a body that may be so long; None for every other, about which nothing is said by that.
    pub fn read_head<'a>(
        &self,
        headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<Head<'a>> {
        let (mut host, mut token) = (None, None);
        let (mut protocol, mut content_length) = (None, None);
        for (at, (name, value)) in headers.into_iter().enumerate() {
            if is(name, "host") {
                once(&mut host, text(value)?)?;
            } else if is(name, "authorization") {
                once(&mut token, (at, text(value)?.strip_prefix(BEARER)?))?;
            } else if is(name, "mcp-protocol-version") {
                once(&mut protocol, text(value)?)?;
            } else if is(name, "content-length") {
                once(&mut content_length, size(value)?)?;
            } else if UNUSUAL.iter().any(|unusual| is(name, unusual)) {
                return None;
            }
        }
        let (credentials_at, token) = token?;
        let host = host?;
        let is_ours = self.hosts.iter().any(|ours| ours == host);
        // A body of no declared length is bounded while it is read.
        let is_bounded = content_length.is_none_or(|length| length <= self.max_body_bytes);
        (is_ours && is_bounded).then_some(Head {
            token: token.as_bytes(),
            credentials_at,
            protocol,
            content_length,
        })
    }
}

/// Whether a connection may carry credentials without a second look: encrypted, or within this machine.
#[must_use]
pub fn is_safe(scheme: &str, peer: Option<&str>) -> bool {
    scheme == "https"
        || peer
            .and_then(|peer| peer.parse::<IpAddr>().ok())
            .is_some_and(|address| address.is_loopback())
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PLAIN: [(&str, &str); 4] = [
        ("host", "mcp.example.com"),
        ("Authorization", "Bearer a.b.c"),
        ("content-length", "12"),
        ("accept", "*/*"),
    ];

    fn read(max_body_bytes: u64, more: &[(&'static str, &'static str)]) -> Option<Head<'static>> {
        let headers = PLAIN.iter().chain(more);
        let bytes: Vec<_> = headers
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        Recogniser::new(vec!["mcp.example.com".to_owned()], max_body_bytes).read_head(bytes)
    }

    #[test]
    fn a_plain_head_says_who_asks() {
        let head = read(12, &[("mcp-protocol-version", "2026-07-28")]);
        assert_eq!(
            head,
            Some(Head {
                token: b"a.b.c",
                credentials_at: 1,
                protocol: Some("2026-07-28"),
                content_length: Some(12),
            })
        );
        assert_eq!(read(11, &[]), None);
    }

    #[test]
    fn what_takes_a_second_look_is_not_plain() {
        for unusual in UNUSUAL {
            assert_eq!(read(12, &[(unusual, "1")]), None, "{unusual}");
        }
        for (name, _) in PLAIN.iter().take(3) {
            assert_eq!(read(12, &[(name, "12")]), None, "{name} twice");
        }
    }

    #[test]
    fn credentials_travel_encrypted_or_within_the_machine() {
        assert!(is_safe("https", None));
        assert!(is_safe("http", Some("127.9.9.9")));
        assert!(is_safe("http", Some("::1")));
        assert!(!is_safe("http", Some("192.0.2.1")));
        assert!(!is_safe("http", Some("localhost")));
        assert!(!is_safe("http", None));
    }
}

//! The fast path for the head of an HTTP request: every header is known here, or the request takes the slow path.

use std::borrow::Cow;
use std::net::IpAddr;

/// What the fast path read from a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The one bearer token.
    pub token: &'a [u8],
    /// Index of the Authorization header, which is not forwarded.
    pub credentials_at: usize,
    /// Value of `MCP-Protocol-Version`.
    pub protocol: Option<&'a str>,
    /// Value of `traceparent` (W3C Trace Context), not parsed.
    pub traceparent: Option<&'a str>,
    /// Declared size of the body, in bytes.
    pub content_length: Option<u64>,
}

/// Of a declared size: a petabyte. Longer ones would only make the conversion slow.
pub const MAX_SIZE_DIGITS: usize = 15;

/// The spelling of every known client. Others are valid (RFC 9110 section 11.1) and take the slow path.
const BEARER: &str = "Bearer ";

/// Headers that no check of the gate reads, in lower case: what the official clients, common HTTP libraries and
/// tracing send. A header that is neither here nor read below takes the slow path, so a check that is added there
/// cannot be bypassed here.
const HARMLESS: [&str; 15] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "baggage",
    "connection",
    "content-type",
    "cookie",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "sec-fetch-mode",
    "tracestate",
    "user-agent",
    "via",
    "x-request-id",
];

/// Prefix of the headers that repeat arguments of a call (MCP 2026-07-28); the server behind the gate compares them.
const HARMLESS_PREFIX: &[u8] = b"mcp-param-";

/// The fast path for one resource.
#[derive(Debug)]
pub struct Recogniser {
    hosts: Vec<String>,
    max_body_bytes: u64,
}

impl Recogniser {
    /// `hosts`: the accepted Host headers, in lower case.
    #[must_use]
    pub const fn new(hosts: Vec<String>, max_body_bytes: u64) -> Self {
        Self {
            hosts,
            max_body_bytes,
        }
    }

    /// Read a head of harmless headers with one accepted Host, one bearer token, and at most one each of protocol
    /// version, traceparent and content length within the bound. None means "take the slow path", not "refuse".
    pub fn read_head<'a>(
        &self,
        headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Option<Head<'a>> {
        let (mut host, mut token) = (None, None);
        let (mut protocol, mut traceparent, mut content_length) = (None, None, None);
        for (at, (name, value)) in headers.into_iter().enumerate() {
            match &*lower_case(name) {
                b"host" => once(&mut host, text(value)?)?,
                b"authorization" => once(&mut token, (at, text(value)?.strip_prefix(BEARER)?))?,
                b"mcp-protocol-version" => once(&mut protocol, text(value)?)?,
                b"traceparent" => once(&mut traceparent, text(value)?)?,
                b"content-length" => once(&mut content_length, size(value)?)?,
                other if is_harmless(other) => {}
                _ => return None,
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
            traceparent,
            content_length,
        })
    }
}

/// Whether a connection may carry credentials on the fast path: encrypted, or within this machine. A proxy that
/// says otherwise about its client does so in a header that is not harmless.
#[must_use]
pub fn is_safe(scheme: &str, peer: Option<&str>) -> bool {
    scheme == "https"
        || peer
            .and_then(|peer| peer.parse::<IpAddr>().ok())
            .is_some_and(|address| address.is_loopback())
}

/// ASGI has names in lower case already; other callers of the gate may not.
fn lower_case(name: &[u8]) -> Cow<'_, [u8]> {
    if name.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

fn is_harmless(name: &[u8]) -> bool {
    HARMLESS.iter().any(|harmless| harmless.as_bytes() == name) || name.starts_with(HARMLESS_PREFIX)
}

fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// Values with other bytes are decoded on the slow path.
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
    fn reads_a_plain_head() {
        let head = read(
            12,
            &[
                ("mcp-protocol-version", "2026-07-28"),
                ("traceparent", "00"),
            ],
        );
        assert_eq!(
            head,
            Some(Head {
                token: b"a.b.c",
                credentials_at: 1,
                protocol: Some("2026-07-28"),
                traceparent: Some("00"),
                content_length: Some(12),
            })
        );
        assert_eq!(read(11, &[]), None);
    }

    #[test]
    fn takes_harmless_headers_in_any_case_any_number_of_times() {
        for name in HARMLESS
            .into_iter()
            .chain(["Accept", "MCP-Param-Region", "COOKIE"])
        {
            assert!(
                read(12, &[(name, "1"), (name, "\u{ff}")]).is_some(),
                "{name}"
            );
        }
    }

    #[test]
    fn leaves_every_other_header_to_the_slow_path() {
        for name in [
            "origin",
            "Origin",
            "accept ",
            "accept_encoding",
            "mcp-param",
            "x-new",
            "",
        ] {
            assert_eq!(read(12, &[(name, "1")]), None, "{name}");
        }
    }

    #[test]
    fn leaves_repeated_headers_that_it_reads_to_the_slow_path() {
        for name in [
            "host",
            "Authorization",
            "content-length",
            "mcp-protocol-version",
            "traceparent",
        ] {
            assert_eq!(
                read(12, &[(name, "12"), (name, "12")]),
                None,
                "{name} twice"
            );
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

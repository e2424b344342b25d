//! The text of a `call` record: every member always there, `null` when unknown.

use std::io::Write;

use ring::digest;

use crate::canonical::hexadecimal;

/// Characters of a name that reach a record: the caller invents names.
pub const MAX_NAME: usize = 256;

/// Of the hash behind a name that was cut: 128 bits.
const DIGEST_DIGITS: usize = 32;

/// Room for what every record has.
const USUAL_BYTES: usize = 1024;

const MS_PER_SECOND: i64 = 1000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A text in the generalised form of UTF-8 that can also spell lone surrogates, as Python's texts can.
pub type Text<'a> = &'a [u8];

/// The id of a JSON-RPC request.
#[derive(Debug, Clone, Copy)]
pub enum Id<'a> {
    /// A number.
    Integer(i64),
    /// A text.
    Text(Text<'a>),
}

/// How a call ended, or what is known before it has.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// `success`, `tool_error`, a refusal's kind; `None` while the call has not ended.
    pub result: Option<Text<'a>>,
    /// The slug of why.
    pub reason: Option<Text<'a>>,
    /// What was found in particular, in fixed words.
    pub detail: Option<Text<'a>>,
    /// The violated budget.
    pub budget: Option<Text<'a>>,
    /// Who shares that budget: `client`, `total`, `organization` or `failed_auth`.
    pub budget_scope: Option<Text<'a>>,
    /// The unit of time of its limit, such as `minute`.
    pub budget_window: Option<Text<'a>>,
    /// How long to wait for it.
    pub retry_after_ms: Option<i64>,
}

/// What a record tells. `who` and `scopes` are members that were encoded once for their caller.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "docs/audit.md says what each member is")]
pub struct CallRecord<'a> {
    pub event: Text<'a>,
    /// Seconds since the epoch.
    pub at: f64,
    pub request_id: Text<'a>,
    pub parent_id: Option<Text<'a>>,
    pub rpc_id: Option<Id<'a>>,
    pub trace_id: Option<Text<'a>>,
    pub who: &'a str,
    pub transport: Text<'a>,
    pub peer: Option<Text<'a>>,
    pub http_method: Option<Text<'a>>,
    pub path: Option<Text<'a>>,
    pub method: Option<Text<'a>>,
    pub name: Option<Text<'a>>,
    pub arguments_hash: Option<Text<'a>>,
    pub hash_key: Option<Text<'a>>,
    pub scopes: &'a str,
    pub outcome: Option<Outcome<'a>>,
    pub limits_fallback: Option<Text<'a>>,
    pub rule: Option<Text<'a>>,
    pub would_deny: &'a [Text<'a>],
    pub disconnected: bool,
    pub latency_ms: Option<f64>,
}

impl CallRecord<'_> {
    /// One JSON object without its closing brace: the chain adds `instance`, `sequence` and `previous`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut line = Line(Vec::with_capacity(USUAL_BYTES));
        line.raw("{\"event\":");
        line.text(self.event);
        line.raw(",\"timestamp\":\"");
        line.timestamp(self.at);
        line.raw("\",\"request_id\":");
        line.text(self.request_id);
        line.member("parent_id", self.parent_id);
        line.raw(",\"rpc_id\":");
        match self.rpc_id {
            None => line.raw("null"),
            Some(Id::Integer(integer)) => line.integer(integer),
            Some(Id::Text(text)) => line.text(text),
        }
        line.member("trace_id", self.trace_id);
        line.raw(",");
        line.raw(self.who);
        line.raw(",\"transport\":");
        line.text(self.transport);
        line.member("peer", self.peer);
        line.member("http_method", self.http_method);
        line.member("path", self.path);
        line.member("method", self.method);
        line.member("tool_name", self.name);
        line.member("arguments_hash", self.arguments_hash);
        line.member("hash_key", self.hash_key);
        line.raw(",\"scopes\":");
        line.raw(self.scopes);
        line.outcome(self.outcome);
        line.member("limits_fallback", self.limits_fallback);
        line.member("rule", self.rule);
        line.raw(",\"would_deny\":[");
        for (position, slug) in self.would_deny.iter().enumerate() {
            line.raw(if position == 0 { "" } else { "," });
            line.text(slug);
        }
        line.raw("],\"disconnected\":");
        line.raw(if self.disconnected { "true" } else { "false" });
        line.raw(",\"latency_ms\":");
        match self.latency_ms {
            None => line.raw("null"),
            Some(latency) => line.thousandths(latency),
        }
        // Nothing but ASCII was written beside what came in as a text already.
        String::from_utf8(line.0).unwrap_or_default()
    }
}

/// A name as a record spells it: a JSON string in ASCII, bounded in length.
#[must_use]
pub fn spelt(name: Text<'_>) -> String {
    let mut line = Line(Vec::with_capacity(name.len() + 2));
    line.text(name);
    String::from_utf8(line.0).unwrap_or_default()
}

struct Line(Vec<u8>);

impl Line {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn integer(&mut self, integer: i64) {
        let _ = write!(self.0, "{integer}");
    }

    fn thousandths(&mut self, number: f64) {
        let _ = write!(self.0, "{number:.3}");
    }

    fn member(&mut self, name: &str, value: Option<Text<'_>>) {
        self.raw(",\"");
        self.raw(name);
        self.raw("\":");
        match value {
            None => self.raw("null"),
            Some(text) => self.text(text),
        }
    }

    fn outcome(&mut self, outcome: Option<Outcome<'_>>) {
        self.member("result", outcome.and_then(|outcome| outcome.result));
        self.member("reason", outcome.and_then(|outcome| outcome.reason));
        self.member("detail", outcome.and_then(|outcome| outcome.detail));
        self.member("budget", outcome.and_then(|outcome| outcome.budget));
        self.member(
            "budget_scope",
            outcome.and_then(|outcome| outcome.budget_scope),
        );
        self.member(
            "budget_window",
            outcome.and_then(|outcome| outcome.budget_window),
        );
        self.raw(",\"retry_after_ms\":");
        match outcome.and_then(|outcome| outcome.retry_after_ms) {
            None => self.raw("null"),
            Some(wait) => self.integer(wait),
        }
    }

    /// ISO 8601, UTC, milliseconds.
    fn timestamp(&mut self, at: f64) {
        let milliseconds = whole(at * 1000.0);
        let seconds = milliseconds.div_euclid(MS_PER_SECOND);
        let (year, month, day) = date(seconds.div_euclid(SECONDS_PER_DAY));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let _ = write!(
            self.0,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            milliseconds.rem_euclid(MS_PER_SECOND),
        );
    }

    /// A JSON string in ASCII; two names that begin alike do not read alike once they are cut.
    fn text(&mut self, text: Text<'_>) {
        self.raw("\"");
        match cut(text) {
            None => self.escaped(text),
            Some(kept) => {
                self.escaped(kept);
                let hash = hexadecimal("", digest::digest(&digest::SHA256, text).as_ref());
                self.raw("\\u2026sha256:");
                self.raw(hash.get(..DIGEST_DIGITS).unwrap_or_default());
            }
        }
        self.raw("\"");
    }

    fn escaped(&mut self, text: Text<'_>) {
        let mut left = text;
        loop {
            let plain = left.iter().position(|byte| !is_plain(*byte));
            let (before, rest) = left.split_at(plain.unwrap_or(left.len()));
            self.0.extend_from_slice(before);
            let Some((code, behind)) = first(rest) else {
                return;
            };
            self.escape(code);
            left = behind;
        }
    }

    fn escape(&mut self, code: u32) {
        match code {
            0x22 => self.raw("\\\""),
            0x5c => self.raw("\\\\"),
            0x08 => self.raw("\\b"),
            0x09 => self.raw("\\t"),
            0x0a => self.raw("\\n"),
            0x0c => self.raw("\\f"),
            0x0d => self.raw("\\r"),
            0..=0xffff => {
                let _ = write!(self.0, "\\u{code:04x}");
            }
            _ => {
                let beyond = code - 0x1_0000;
                let (high, low) = (0xd800 + (beyond >> 10), 0xdc00 + (beyond & 0x3ff));
                let _ = write!(self.0, "\\u{high:04x}\\u{low:04x}");
            }
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte <= b'~' && byte != b'"' && byte != b'\\'
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The first code point, and what is behind it.
fn first(text: Text<'_>) -> Option<(u32, Text<'_>)> {
    let (lead, rest) = text.split_first()?;
    let more = rest
        .iter()
        .take_while(|byte| is_continuation(**byte))
        .count();
    let (tail, behind) = rest.split_at(more);
    let begun = match tail.len() {
        0 => u32::from(*lead),
        1 => u32::from(lead & 0x1f),
        2 => u32::from(lead & 0x0f),
        _ => u32::from(lead & 0x07),
    };
    let code = tail
        .iter()
        .fold(begun, |code, byte| code << 6 | u32::from(byte & 0x3f));
    Some((code, behind))
}

/// What is kept of a text that is too long.
fn cut(text: Text<'_>) -> Option<Text<'_>> {
    if text.len() <= MAX_NAME {
        return None;
    }
    let end = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| !is_continuation(**byte))
        .nth(MAX_NAME)?
        .0;
    text.get(..end)
}

/// Towards zero, as Python's `int` does.
fn whole(number: f64) -> i64 {
    #[allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "saturates, and no time is that far"
    )]
    {
        number as i64
    }
}

/// Year, month and day of a day since the epoch (H. Hinnant, "chrono-compatible low-level date algorithms").
const fn date(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl FnOnce(&mut Line)) -> String {
        let mut line = Line(Vec::new());
        write(&mut line);
        String::from_utf8(line.0).unwrap_or_default()
    }

    #[test]
    fn a_moment_is_spelt_in_utc() {
        for (at, spelt) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_782_400.5, "2000-02-29T00:00:00.500Z"),
            (1_800_000_000.25, "2027-01-15T08:00:00.250Z"),
            (4_107_542_399.999, "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(line(|line| line.timestamp(at)), spelt);
        }
    }

    #[test]
    fn a_name_is_escaped_and_bounded() {
        assert_eq!(
            line(|line| line.text("a\"\n\u{7f}é😀".as_bytes())),
            "\"a\\\"\\n\\u007f\\u00e9\\ud83d\\ude00\""
        );
        assert_eq!(line(|line| line.text(b"\xed\xa0\x80")), "\"\\ud800\"");
        let long = line(|line| line.text("é".repeat(MAX_NAME + 1).as_bytes()));
        assert_eq!(long.matches("\\u00e9").count(), MAX_NAME);
        assert!(long.contains("\\u2026sha256:"));
    }
}

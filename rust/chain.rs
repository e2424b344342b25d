//! The hash chain of an audit trail: each line carries the SHA-256 of the one before, so that an
//! edit, a deletion or a swap shows.

use std::io::Write;

use ring::digest;

use crate::canonical::hexadecimal;

const PREFIX: &str = "sha256:";
const HASH_CHARS: usize = PREFIX.len() + 64;

/// The running end of one instance's chain.
#[derive(Debug)]
pub struct Chain {
    /// From the comma behind the record to the colon before the number, as each line has it.
    instance: String,
    sequence: u64,
    /// The hash of the last line, in quotes; `null` where there is none.
    previous: String,
}

impl Chain {
    /// Continue after the line that had `sequence` and the hash `previous`.
    ///
    /// # Errors
    /// For an instance that would need escapes in JSON, and for what is no hash.
    pub fn new(
        instance: &str,
        sequence: u64,
        previous: Option<&str>,
    ) -> Result<Self, &'static str> {
        if !instance.bytes().all(is_plain) {
            return Err("instance must be printable ASCII without quotes and backslashes");
        }
        if !previous.is_none_or(is_hash) {
            return Err("previous is not sha256: and 64 hexadecimal digits");
        }
        Ok(Self {
            instance: format!(",\"instance\":\"{instance}\",\"sequence\":"),
            sequence,
            previous: previous.map_or_else(|| "null".to_owned(), |hash| format!("\"{hash}\"")),
        })
    }

    /// The record's line: with `instance`, `sequence` and `previous`, and its newline. `record` is a
    /// JSON object without its closing brace.
    pub fn seal(&mut self, record: &str) -> Vec<u8> {
        let mut line = self.begin(record);
        line.push(b'}');
        self.end(&line);
        line.push(b'\n');
        line
    }

    /// The line without its closing brace, for members that depend on what it says.
    pub fn begin(&mut self, record: &str) -> Vec<u8> {
        self.sequence += 1;
        let mut line = Vec::with_capacity(record.len() + self.instance.len() + HASH_CHARS + 48);
        line.extend_from_slice(record.as_bytes());
        line.extend_from_slice(self.instance.as_bytes());
        let _ = write!(line, "{}", self.sequence);
        line.extend_from_slice(b",\"previous\":");
        line.extend_from_slice(self.previous.as_bytes());
        line
    }

    /// The next line carries the hash of this one, which has its closing brace and no newline.
    pub fn end(&mut self, line: &[u8]) {
        let hash = hexadecimal(PREFIX, digest::digest(&digest::SHA256, line).as_ref());
        self.previous.clear();
        self.previous.push('"');
        self.previous.push_str(&hash);
        self.previous.push('"');
    }

    /// Leave out the number of a record that is lost.
    pub const fn skip(&mut self) {
        self.sequence += 1;
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

fn is_hash(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_line_carries_the_hash_of_the_one_before() {
        let mut chain = Chain::new("i-1", 0, None).unwrap();
        let first = chain.seal("{\"n\":1");
        let second = chain.seal("{\"n\":2");
        assert_eq!(
            first,
            b"{\"n\":1,\"instance\":\"i-1\",\"sequence\":1,\"previous\":null}\n"
        );
        let hash = hexadecimal(
            PREFIX,
            digest::digest(&digest::SHA256, first.strip_suffix(b"\n").unwrap()).as_ref(),
        );
        assert_eq!(
            String::from_utf8(second).unwrap(),
            format!("{{\"n\":2,\"instance\":\"i-1\",\"sequence\":2,\"previous\":\"{hash}\"}}\n")
        );
    }

    #[test]
    fn what_would_break_a_line_is_refused() {
        assert!(Chain::new("a\"b", 0, None).is_err());
        assert!(Chain::new("a", 0, Some("sha256:abc")).is_err());
    }
}

//! The words by which secrets are known; `doorward.audit.credentials` has the lists.

/// What stands in the place of a credential.
pub(super) const REDACTED: &[u8] = b"[redacted]";

/// Bytes of credentials behind a scheme, whatever they look like: a word of a sentence about tokens is shorter.
const MIN_CREDENTIALS: usize = 16;

/// Bytes of credentials with a digit, padding or changing case in them, as few words have.
const MIN_RANDOM: usize = 8;

/// Names in lower case, without `-` and `_`.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// Header fields of which the whole value goes.
    pub headers: Vec<String>,
    /// Members and parameters that say what they are, wherever they stand.
    pub names: Vec<String>,
    /// Names that count in quotes and before `=` alone.
    pub assigned: Vec<String>,
    /// Names that count in a query or a form alone; as they are written.
    pub parameters: Vec<String>,
    /// Authentication schemes.
    pub schemes: Vec<String>,
    /// What nothing but a token begins with.
    pub prefixes: Vec<String>,
}

impl Words {
    /// Whether the name, or its last words, is one of those that count where a value is assigned to them.
    pub(super) fn is_assigned_name(&self, name: &[u8]) -> bool {
        let mut tail: Vec<u8> = Vec::new();
        for part in name.rsplit(|octet| matches!(octet, b'-' | b'_')) {
            tail.splice(0..0, part.iter().copied());
            if self.assigned.iter().any(|each| each.as_bytes() == tail) {
                return true;
            }
        }
        false
    }
}

/// Whether no word of a sentence looks like it.
pub(super) fn looks_random(credentials: &[u8]) -> bool {
    if credentials.len() >= MIN_CREDENTIALS {
        return true;
    }
    if credentials.len() < MIN_RANDOM {
        return false;
    }
    let mut pairs = credentials.iter().zip(credentials.iter().skip(1));
    credentials
        .iter()
        .any(|octet| octet.is_ascii_digit() || *octet == b'=')
        || pairs.any(|(one, two)| one.is_ascii_lowercase() && two.is_ascii_uppercase())
}

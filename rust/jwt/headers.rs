//! Headers of tokens that were right in every respect: an issuer writes the same one into all its tokens, so what it
//! means is kept. Whoever cannot sign puts nothing here, and a verifier with other keys starts anew.

use std::sync::OnceLock;

use super::Approved;

/// An issuer signs with one key, with two while they change, and may write the header in two ways. Each is as long
/// as a token at most.
const MOST: usize = 4;

/// What the headers mean, by their bytes as they were sent.
#[derive(Debug, Default)]
pub(super) struct Headers([OnceLock<(Box<[u8]>, Approved)>; MOST]);

impl Headers {
    pub(super) fn get(&self, header: &[u8]) -> Option<&Approved> {
        self.0
            .iter()
            .map_while(OnceLock::get)
            .find(|(kept, _)| **kept == *header)
            .map(|(_, approved)| approved)
    }

    /// The first few stay.
    pub(super) fn keep(&self, header: &[u8], approved: &Approved) {
        for place in &self.0 {
            let (kept, _) = place.get_or_init(|| (header.into(), approved.clone()));
            if **kept == *header {
                return;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::Algorithm;
    use crate::jwk::KeySet;
    use std::sync::Arc;

    #[test]
    fn the_first_few_stay() {
        let secret = KeySet::from_secret(&[7; 32], "HS256").unwrap();
        let approved = Approved {
            declared: true,
            key: Arc::clone(secret.select(None, Algorithm::HS256).unwrap()),
        };
        let headers = Headers::default();
        for header in [b"a", b"a", b"b", b"c", b"d", b"e"] {
            headers.keep(header, &approved);
        }
        let kept = |header: &[u8]| headers.get(header).is_some();
        assert!([b"a", b"b", b"c", b"d"].iter().all(|header| kept(*header)));
        assert!(!kept(b"e") && !kept(b"") && !kept(b"aa"));
    }
}

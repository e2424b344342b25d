//! Takes credentials out of text, in time that grows with the length of the text alone.
//!
//! Text of a log is chosen by callers (a path, a query, a header in an exception), so nothing here searches backwards
//! or tries a second time: each finder reads the text once, in the two ways that `view` has of it.

mod named;
mod shapes;
mod urls;
mod view;
mod words;

use std::borrow::Cow;

use memchr::memmem::Finder;

use self::view::{View, decoded};
use self::words::REDACTED;

pub use self::words::Words;

/// Characters of one text that are kept: more than a traceback that people read, and a bound for the cost of one.
pub const MAX_TEXT: usize = 32_768;

/// Characters behind those that are read as well, so that a secret that is cut off is still known.
pub const MARGIN: usize = 4_096;

/// Bytes of what is left of a form when it is decoded: less would be found in words.
const MIN_FORM: usize = 8;

const CUT: &[u8] = b" [cut off after 32768 characters]";

/// Bytes of a text, from the first to the one behind the last.
pub(crate) type Span = (usize, usize);

/// Knows words and forms of secrets.
#[derive(Debug)]
pub struct Scrubber {
    words: Words,
    forms: Vec<Finder<'static>>,
    encoded: Vec<Finder<'static>>,
}

impl Scrubber {
    /// `forms`: configured secrets as texts spell them. `encoded`: what base64 makes of them.
    ///
    /// # Errors
    ///
    /// An empty form, which would be found everywhere.
    pub fn new(
        words: Words,
        mut forms: Vec<Vec<u8>>,
        encoded: Vec<Vec<u8>>,
    ) -> Result<Self, &'static str> {
        if forms.iter().chain(&encoded).any(Vec::is_empty) {
            return Err("a form must not be empty: it would be found everywhere");
        }
        let plain: Vec<Vec<u8>> = forms
            .iter()
            .filter_map(|form| decoded(form))
            .map(|view| view.text.into_owned())
            .filter(|form| form.len() >= MIN_FORM)
            .collect();
        for form in plain {
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        let finder = |form: Vec<u8>| Finder::new(&form).into_owned();
        Ok(Self {
            words,
            forms: forms.into_iter().map(finder).collect(),
            encoded: encoded.into_iter().map(finder).collect(),
        })
    }

    /// The text with `[redacted]` for each credential; none where there is nothing to take out. The text is UTF-8, in
    /// the generalised form that can also spell lone surrogates; `characters` past `MAX_TEXT` are cut off.
    #[must_use]
    pub fn scrub(&self, text: &[u8]) -> Option<Vec<u8>> {
        let end = offset_of(text, MAX_TEXT);
        let source = start_of(text, MAX_TEXT + MARGIN);
        let (spans, _) = self.scan(source);
        if spans.is_empty() && end == text.len() {
            return None;
        }
        let mut clean = Vec::with_capacity(end);
        let mut at = 0;
        for (start, stop) in merged(source, spans) {
            if start >= end {
                break;
            }
            clean.extend_from_slice(source.get(at..start).unwrap_or_default());
            clean.extend_from_slice(REDACTED);
            at = stop;
        }
        clean.extend_from_slice(source.get(at..end).unwrap_or_default());
        if end < text.len() {
            clean.extend_from_slice(CUT);
        }
        Some(clean)
    }

    /// How many bytes scanning the text reads, some of them more than once.
    #[must_use]
    pub fn steps(&self, text: &[u8]) -> usize {
        self.scan(start_of(text, MAX_TEXT + MARGIN)).1
    }

    fn scan(&self, source: &[u8]) -> (Vec<Span>, usize) {
        let plain = View::plain(source);
        let inside = decoded(source);
        let mut spans = Vec::new();
        let mut steps = 0;
        for view in [Some(&plain), inside.as_ref()].into_iter().flatten() {
            let mut found = Vec::new();
            self.find(view, &mut found);
            spans.extend(
                found
                    .into_iter()
                    .filter(|(start, end)| start < end)
                    .map(|span| view.source(span)),
            );
            steps += view.steps();
        }
        (spans, steps)
    }

    fn find(&self, view: &View<'_>, found: &mut Vec<Span>) {
        shapes::find_configured(view, &self.forms, &self.encoded, found);
        shapes::find_private_keys(view, found);
        shapes::find_prefixed(view, &self.words.prefixes, found);
        shapes::find_jwts(view, found);
        shapes::find_encoded(view, &self.words.prefixes, found);
        named::find_credentials(view, &self.words, found);
        named::find_named(view, &self.words, found);
        urls::find_userinfo(view, found);
    }
}

/// Where the character of this number begins, or the end of the text.
fn offset_of(text: &[u8], characters: usize) -> usize {
    if text.len() <= characters {
        return text.len();
    }
    text.iter()
        .enumerate()
        .filter(|(_, octet)| !is_continuation(**octet))
        .nth(characters)
        .map_or(text.len(), |(at, _)| at)
}

fn start_of(text: &[u8], characters: usize) -> &[u8] {
    text.get(..offset_of(text, characters)).unwrap_or_default()
}

const fn is_continuation(octet: u8) -> bool {
    octet & 0xC0 == 0x80
}

/// In order, apart from each other, and made of whole characters.
fn merged(source: &[u8], spans: Vec<Span>) -> Vec<Span> {
    let mut spans: Vec<Span> = spans.into_iter().map(|span| whole(source, span)).collect();
    spans.sort_unstable();
    let mut apart: Vec<Span> = Vec::new();
    for (start, end) in spans {
        match apart.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => apart.push((start, end)),
        }
    }
    apart
}

fn whole(source: &[u8], (mut start, mut end): Span) -> Span {
    let is_inside = |at: usize| source.get(at).copied().is_some_and(is_continuation);
    while start > 0 && is_inside(start) {
        start -= 1;
    }
    while is_inside(end) {
        end += 1;
    }
    (start, end)
}

/// The bytes of a finder's needle.
fn length(finder: &Finder<'_>) -> usize {
    finder.needle().len()
}

/// Borrowed or owned: a view of the source, or what was decoded.
type Text<'a> = Cow<'a, [u8]>;

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";

    fn scrubber() -> Scrubber {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let words = Words {
            headers: list(&["authorization", "cookie"]),
            names: list(&["accesstoken", "password"]),
            assigned: list(&["token", "secret"]),
            parameters: list(&["code", "state"]),
            schemes: list(&["bearer", "basic"]),
            prefixes: list(&["doorward_agent_"]),
        };
        Scrubber::new(words, vec![b"correct horse 7531".to_vec()], Vec::new())
            .unwrap_or_else(|problem| unreachable!("{problem}"))
    }

    fn scrubbed(text: &str) -> String {
        let clean = scrubber().scrub(text.as_bytes());
        clean.map_or_else(
            || text.to_owned(),
            |clean| String::from_utf8(clean).unwrap_or_default(),
        )
    }

    #[test]
    fn a_token_behind_letters_escapes_and_percent_encoding() {
        for before in [
            "",
            "x",
            "jwt_",
            "%22",
            "Bearer%20",
            "Bearer%2520",
            "\\n",
            "\\u0022",
        ] {
            assert_eq!(
                scrubbed(&format!("{before}{TOKEN} end")),
                format!("{before}[redacted] end")
            );
        }
    }

    #[test]
    fn a_configured_secret_in_its_escapes() {
        assert_eq!(scrubbed("x=correct%20horse%25207531&y"), "x=[redacted]&y");
        assert_eq!(scrubbed("'correct\\x20horse\\u00207531'"), "'[redacted]'");
    }

    #[test]
    fn a_delimiter_that_is_encoded_is_part_of_the_value() {
        assert_eq!(
            scrubbed("?access_token=a%26b&x=1"),
            "?access_token=[redacted]&x=1"
        );
        assert_eq!(
            scrubbed("%3Fcode%3Da%26x%3D1"),
            "%3Fcode%3D[redacted]%26x%3D1"
        );
    }

    #[test]
    fn a_text_without_credentials_is_not_copied() {
        assert_eq!(scrubber().scrub(b"a word, 100% plain \\o/"), None);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_off_between_characters() {
        let clean = scrubbed(&"\u{20AC}".repeat(MAX_TEXT + 1));
        assert!(clean.ends_with("\u{20AC} [cut off after 32768 characters]"));
    }

    #[test]
    fn twice_the_text_costs_twice_the_steps() {
        let scrubber = scrubber();
        for piece in ["eyJaaaaa-", "%25", "code=", "://", "password='", "Bearer "] {
            let steps = |size: usize| scrubber.steps(piece.repeat(size / piece.len()).as_bytes());
            assert!(steps(32_000) * 10 < steps(16_000) * 22, "{piece}");
        }
    }
}

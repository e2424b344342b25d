//! Which claim names the caller of an issuer's tokens, where `sub` does not.

use crate::refusal::{Refusal, Refused};

/// Which claim names the caller. A token cannot tell whether a person is behind it, so the operator does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectRule {
    /// `sub` alone (RFC 9068 section 2.2).
    #[default]
    Sub,
    /// `sub`, else `username` (RFC 7662 section 2.2).
    Username,
    /// `sub`, else the client id: for an issuer that serves machines alone.
    Client,
}

impl SubjectRule {
    /// The rule of its name.
    ///
    /// # Errors
    /// For a name that is none.
    pub fn named(name: &str) -> Result<Self, &'static str> {
        match name {
            "sub" => Ok(Self::Sub),
            "username" => Ok(Self::Username),
            "client" => Ok(Self::Client),
            _ => Err("subject must be sub, username or client"),
        }
    }

    /// The subject of a token or an introspection answer.
    ///
    /// # Errors
    /// `missing_claim` where the rule finds none, `invalid_claim` for a user that could not be told apart from the
    /// client.
    pub fn subject<'v>(
        self,
        sub: Option<&'v str>,
        username: Option<&'v str>,
        client_id: Option<&'v str>,
    ) -> Result<&'v str, Refused> {
        if let Some(sub) = sub {
            return Ok(sub);
        }
        match (self, username, client_id) {
            (Self::Sub, _, _) => Err(missing(
                "sub is missing (RFC 9068 section 2.2): set subject of this [[issuer]] to \"username\" if its users \
                 are named by username, or to \"client\" if it serves machines alone",
            )),
            (Self::Username, None, _) => Err(missing("neither sub nor username is there")),
            (Self::Username, Some(name), Some(client)) if name == client => Err(Refused::new(
                Refusal::InvalidClaim,
                "username is the client's id: the user would be taken for the client",
            )),
            (Self::Username, Some(name), _) => Ok(name),
            (Self::Client, Some(_), _) => Err(missing(
                "sub is missing and username names a person: subject = \"client\" is for an [[issuer]] that serves \
                 machines alone; set \"username\"",
            )),
            (Self::Client, None, Some(client)) => Ok(client),
            (Self::Client, None, None) => Err(missing("neither sub nor a client id is there")),
        }
    }
}

const fn missing(detail: &'static str) -> Refused {
    Refused::new(Refusal::MissingClaim, detail)
}

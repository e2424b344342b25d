//! One JSON-RPC message, read strictly and once: what is asked, for which tool, with which arguments.
//!
//! A body is exactly one of: request (`method`, and an id that is a string or an integer), notification
//! (`method`, no `id` member at all), response (no `method`; exactly one of `result` and `error`). What
//! falls between these is what two readers judge differently: the SDK runs a message with `method`
//! beside `result`, and takes one whose id is null or 1.0 for a notification.

use std::ops::Range;

use crate::canonical::{Canonical, invalid_json};
use crate::json::{self, JsonError, Reader, Value};
use crate::refusal::{Refusal, Refused};

/// The longest `method`: the longest of the specification has 36 bytes.
pub const MAX_METHOD_BYTES: usize = 128;

/// The longest `id` that is a string: it is echoed and recorded, and a UUID has 36 bytes.
pub const MAX_ID_BYTES: usize = 256;

/// The longest name of a tool or prompt: the specification asks for at most 128 characters of ASCII.
pub const MAX_NAME_BYTES: usize = 256;

/// The longest `uri`: what HTTP servers commonly take as a request line.
pub const MAX_URI_BYTES: usize = 8192;

/// The longest `_meta.traceparent`: version 00 of Trace Context has 55 bytes, and no other is read.
pub const MAX_TRACEPARENT_BYTES: usize = 64;

/// The most members of a message, and of its params: the specification names fewer than ten of each.
pub const MAX_MEMBERS: usize = 256;

/// Members of the params whose place in the body is noted, for [`Envelope::param`].
const NOTED: [&str; 5] = [
    "_meta",
    "arguments",
    "inputResponses",
    "notifications",
    "requestState",
];

/// Read a body once. All that is needed of it later comes out of this one pass: no second reader can
/// take it for another call.
///
/// # Errors
/// [`Refusal::InvalidJson`] or [`Refusal::InvalidRequest`].
pub fn read_envelope(body: &[u8]) -> Result<Envelope, Refused> {
    let found = parse(body).map_err(invalid_json)?;
    let message = found.message;
    if message.as_object().is_none() {
        return Err(invalid("not an object"));
    }
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid("jsonrpc is not \"2.0\""));
    }
    let mut envelope = match message.get("method") {
        Some(method) => call(&message, method)?,
        None => response(&message)?,
    };
    if let Some(params) = params(&message)? {
        envelope.name = optional_text(params, "name", MAX_NAME_BYTES)?;
        envelope.uri = optional_text(params, "uri", MAX_URI_BYTES)?;
        if envelope.method.as_deref() == Some("completion/complete") {
            envelope.reference = reference(params)?;
        }
        if !matches!(
            params.get("arguments"),
            None | Some(Value::Null | Value::Object(_))
        ) {
            return Err(invalid("the arguments are not an object"));
        }
    }
    envelope.traceparent = found.traceparent;
    envelope.arguments = found.arguments.unwrap_or_else(Canonical::of_nothing);
    envelope.noted = found.noted;
    Ok(envelope)
}

/// What a message says, as far as a decision needs it.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Request, notification or response.
    pub kind: Kind,
    /// `method`; a response has none.
    pub method: Option<String>,
    /// `id`; a notification has none, nor has an error about a message that could not be read.
    pub id: Option<Id>,
    /// `params.name`
    pub name: Option<String>,
    /// `params.uri`
    pub uri: Option<String>,
    /// `params.ref` of a completion: its `type`, and its `name` or `uri`.
    pub reference: Option<(String, String)>,
    /// `params._meta.traceparent`, where it is a string of at most [`MAX_TRACEPARENT_BYTES`].
    pub traceparent: Option<String>,
    arguments: Canonical,
    noted: Vec<(&'static str, Range<usize>)>,
}

impl Envelope {
    /// The fingerprint of `params.arguments`; absent or null counts as `{}`. Hashed when it is asked
    /// for: a call that is refused needs no hash.
    #[must_use]
    pub fn hash_arguments(&self, key: Option<&[u8]>) -> String {
        self.arguments.fingerprint(key)
    }

    /// Where in the body a member of the params is written; None where it is absent, or not noted.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Range<usize>> {
        self.noted
            .iter()
            .find(|(noted, _)| *noted == name)
            .map(|(_, place)| place.clone())
    }

    /// A member of the params, read from the `body` that the envelope was read from; None where it is
    /// absent.
    ///
    /// # Errors
    /// [`Refusal::InvalidRequest`] where it has more than `max_bytes`: it is not read then.
    pub fn param<'a>(
        &self,
        body: &'a [u8],
        name: &str,
        max_bytes: usize,
    ) -> Result<Option<Value<'a>>, Refused> {
        let Some(place) = self.place(name) else {
            return Ok(None);
        };
        if place.len() > max_bytes {
            return Err(invalid("a member of the params is too large"));
        }
        json::parse(body.get(place).unwrap_or_default())
            .map(Some)
            .map_err(invalid_json)
    }
}

/// Whether the place of this member of the params is noted.
#[must_use]
pub fn is_noted(name: &str) -> bool {
    NOTED.contains(&name)
}

/// The kinds of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks for nothing in return.
    Notification,
    /// Asks for a response.
    Request,
    /// Answers a request of the server.
    Response,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// The `id` of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// An integer; beyond 64 bits no two readers agree.
    Integer(i64),
    /// A string.
    Text(String),
}

/// What one pass over a body finds.
struct Found<'a> {
    /// The message and its params, in which arrays and objects are empty: nothing of them is needed.
    message: Value<'a>,
    traceparent: Option<String>,
    /// The canonical form of `params.arguments` alone, neither `_meta` nor `inputResponses`: what the
    /// tool is asked to act upon.
    arguments: Option<Canonical>,
    noted: Vec<(&'static str, Range<usize>)>,
}

fn parse(body: &[u8]) -> Result<Found<'_>, JsonError> {
    let mut reader = Reader::new(body)?;
    let mut found = Found {
        message: Value::Null,
        traceparent: None,
        arguments: None,
        noted: Vec::new(),
    };
    let mut few = AtMost(MAX_MEMBERS);
    found.message = object(&mut reader, 0, |reader, name, depth| {
        few.another()?;
        if name != "params" {
            return reader.outline(depth);
        }
        let mut few = AtMost(MAX_MEMBERS);
        object(reader, depth, |reader, name, depth| {
            few.another()?;
            param(reader, name, depth, &mut found)
        })
    })?;
    reader.finish()?;
    Ok(found)
}

fn param<'a>(
    reader: &mut Reader<'a>,
    name: &str,
    depth: usize,
    found: &mut Found<'_>,
) -> Result<Value<'a>, JsonError> {
    let start = reader.position();
    let value = match name {
        "arguments" if reader.at_object() => {
            found.arguments = Some(Canonical::read(reader, depth)?);
            Value::Object(Vec::new())
        }
        "_meta" if reader.at_object() => {
            found.traceparent = traceparent(reader, depth)?;
            Value::Object(Vec::new())
        }
        "ref" if reader.at_object() => {
            reader.tree(depth, |reader, _, depth| reader.outline(depth))?
        }
        _ => reader.outline(depth)?,
    };
    if let Some(name) = NOTED.into_iter().find(|noted| *noted == name) {
        found.noted.push((name, start..reader.position()));
    }
    Ok(value)
}

/// `traceparent` of the next value, the `_meta` of the params (MCP, SEP-414).
fn traceparent(reader: &mut Reader<'_>, depth: usize) -> Result<Option<String>, JsonError> {
    let mut found = None;
    reader.members(depth, &mut Vec::new(), |reader, name, names, depth| {
        if name != "traceparent" {
            return reader.pass(depth, names);
        }
        found = bounded(reader.outline(depth)?.as_str(), MAX_TRACEPARENT_BYTES);
        Ok(())
    })?;
    Ok(found)
}

/// Counts the members of an object.
struct AtMost(usize);

impl AtMost {
    fn another(&mut self) -> Result<(), JsonError> {
        self.0 = self
            .0
            .checked_sub(1)
            .ok_or(JsonError("an object has too many members"))?;
        Ok(())
    }
}

/// A value whose members, where it is an object, another function reads.
fn object<'a>(
    reader: &mut Reader<'a>,
    depth: usize,
    member: impl FnMut(&mut Reader<'a>, &str, usize) -> Result<Value<'a>, JsonError>,
) -> Result<Value<'a>, JsonError> {
    if reader.at_object() {
        reader.tree(depth, member)
    } else {
        reader.value(depth)
    }
}

const fn invalid(detail: &'static str) -> Refused {
    Refused::new(Refusal::InvalidRequest, detail)
}

/// <https://www.jsonrpc.org/specification#request_object>
fn call(message: &Value<'_>, method: &Value<'_>) -> Result<Envelope, Refused> {
    if message.get("result").is_some() || message.get("error").is_some() {
        return Err(invalid("a method beside a result or an error"));
    }
    let method = bounded(method.as_str(), MAX_METHOD_BYTES)
        .ok_or(invalid("the method is no string, or too long"))?;
    let id = message.get("id").map(read_id).transpose()?;
    let kind = if id.is_some() {
        Kind::Request
    } else {
        Kind::Notification
    };
    Ok(Envelope {
        method: Some(method),
        id,
        ..Envelope::bare(kind)
    })
}

/// <https://www.jsonrpc.org/specification#response_object>
fn response(message: &Value<'_>) -> Result<Envelope, Refused> {
    if message.get("params").is_some() {
        return Err(invalid("params without a method"));
    }
    let id = message
        .get("id")
        .ok_or(invalid("a response without an id"))?;
    let (answer, id) = match (message.get("result"), message.get("error")) {
        (Some(result), None) => (result, Some(read_id(id)?)),
        // Null is the id of an error about a message whose id could not be read.
        (None, Some(error)) if id.is_null() => (error, None),
        (None, Some(error)) => (error, Some(read_id(id)?)),
        _ => return Err(invalid("neither a call nor one result or error")),
    };
    if answer.as_object().is_none() {
        return Err(invalid("the result or error is not an object"));
    }
    Ok(Envelope {
        id,
        ..Envelope::bare(Kind::Response)
    })
}

impl Envelope {
    const fn bare(kind: Kind) -> Self {
        Self {
            kind,
            method: None,
            id: None,
            name: None,
            uri: None,
            reference: None,
            traceparent: None,
            arguments: Canonical::empty(),
            noted: Vec::new(),
        }
    }
}

fn read_id(id: &Value<'_>) -> Result<Id, Refused> {
    match id {
        Value::Number(number) => number.as_i64().map(Id::Integer),
        _ => bounded(id.as_str(), MAX_ID_BYTES).map(Id::Text),
    }
    .ok_or(invalid(
        "the id is neither a string nor an integer, or too long",
    ))
}

fn params<'v, 'a>(message: &'v Value<'a>) -> Result<Option<&'v Value<'a>>, Refused> {
    match message.get("params") {
        Some(params) if params.as_object().is_none() => {
            Err(invalid("the params are not an object"))
        }
        params => Ok(params),
    }
}

/// `params.ref` of <https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/completion>.
fn reference(params: &Value<'_>) -> Result<Option<(String, String)>, Refused> {
    let Some(reference) = params.get("ref") else {
        return Ok(None);
    };
    let target = match reference.get("type").and_then(Value::as_str) {
        Some(kind @ "ref/prompt") => (kind, optional_text(reference, "name", MAX_NAME_BYTES)?),
        Some(kind @ "ref/resource") => (kind, optional_text(reference, "uri", MAX_URI_BYTES)?),
        _ => return Err(invalid("the ref is neither of a prompt nor of a resource")),
    };
    match target {
        (kind, Some(target)) => Ok(Some((kind.to_owned(), target))),
        (_, None) => Err(invalid("the ref names nothing")),
    }
}

fn optional_text(object: &Value<'_>, name: &str, most: usize) -> Result<Option<String>, Refused> {
    let Some(member) = object.get(name) else {
        return Ok(None);
    };
    let text =
        bounded(member.as_str(), most).ok_or(invalid("a name or uri is no string, or too long"))?;
    Ok(Some(text))
}

fn bounded(text: Option<&str>, most: usize) -> Option<String> {
    text.filter(|text| text.len() <= most).map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::canonical::hash_arguments;
    use proptest::prelude::*;

    fn read(body: &str) -> Result<Envelope, Refused> {
        read_envelope(body.as_bytes())
    }

    fn refused(body: &str) -> Refusal {
        read(body).unwrap_err().refusal
    }

    #[test]
    fn reads_a_tool_call() {
        let body = r#"{"jsonrpc":"2.0","id":"7","method":"tools/call","params":
            {"_meta":{"x":1},"name":"delete_user","arguments":{"b":1.0,"a":[]}}}"#;
        let envelope = read(body).unwrap();
        assert_eq!(
            (envelope.kind, &envelope.id),
            (Kind::Request, &Some(Id::Text("7".to_owned())))
        );
        assert_eq!(envelope.method.as_deref(), Some("tools/call"));
        assert_eq!(envelope.name.as_deref(), Some("delete_user"));
        assert_eq!(
            envelope.hash_arguments(None),
            hash_arguments(br#"{"a":[],"b":1}"#, None).unwrap()
        );
    }

    #[test]
    fn reads_a_member_of_the_params_where_it_is_wanted() {
        let body = r#"{"jsonrpc":"2.0","id":7,"method":"m","params":
            {"notifications": {"a":[1]} ,"arguments":{ },"other":{"a":1},"_meta":{"traceparent":"00","x":[]}}}"#;
        let envelope = read(body).unwrap();
        let param = |name, max_bytes| envelope.param(body.as_bytes(), name, max_bytes);
        let filter = param("notifications", 9).unwrap().unwrap();
        assert_eq!(filter.get("a").unwrap().as_array().unwrap().len(), 1);
        assert_eq!(
            param("notifications", 8).unwrap_err().refusal,
            Refusal::InvalidRequest
        );
        assert_eq!(param("requestState", 0).unwrap(), None);
        assert_eq!(param("other", 99).unwrap(), None, "its place is not noted");
        assert_eq!(envelope.place("arguments").unwrap().len(), "{ }".len());
        assert_eq!(envelope.traceparent.as_deref(), Some("00"));
    }

    #[test]
    fn shows_no_arguments() {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"password":"hunter2"}}}"#;
        assert!(!format!("{:?}", read(body).unwrap()).contains("hunter2"));
    }

    #[test]
    fn tells_the_kinds_apart() {
        for (body, kind) in [
            (r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#, Kind::Request),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
                Kind::Notification,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Kind::Response),
            (
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}"#,
                Kind::Response,
            ),
        ] {
            assert_eq!(read(body).unwrap().kind, kind, "{body}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_message() {
        for body in [
            "[]",
            "1",
            "null",
            "{}",
            r#"{"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":2.0,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1.0,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
            r#"{"jsonrpc":"2.0","method":"x","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        ] {
            assert_eq!(refused(body), Refusal::InvalidRequest, "{body}");
        }
        assert_eq!(refused(""), Refusal::InvalidJson);
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","method":"x","method":"y"}"#),
            Refusal::InvalidJson
        );
    }

    #[test]
    fn reads_the_reference_of_a_completion_alone() {
        let body = |method: &str, reference: &str| {
            read(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"ref":{reference}}}}}"#
            ))
        };
        let prompt = r#"{"type":"ref/prompt","name":"n","uri":"u"}"#;
        let expected = ("ref/prompt".to_owned(), "n".to_owned());
        assert_eq!(
            body("completion/complete", prompt).unwrap().reference,
            Some(expected)
        );
        assert_eq!(body("tools/call", prompt).unwrap().reference, None);
        assert!(
            body(
                "completion/complete",
                r#"{"type":"ref/resource","name":"n"}"#
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\{\"jsonrpc\":\"2.0\",(\"id\":[1-9n\"]{1,3},)?\"method\":\"[a-z/]{0,9}\"[\\}a-z:,]{0,3}") {
            let _ = read(&text);
        }
    }
}

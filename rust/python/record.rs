//! The text of a record, from what a decision knows.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyTuple};

use super::values::text_bytes;
use crate::record::{self, CallRecord, Id};

type Text<'py> = Bound<'py, PyString>;
type Outcome<'py> = (
    Option<Text<'py>>,
    Option<Text<'py>>,
    Option<Text<'py>>,
    Option<i64>,
    Option<Text<'py>>,
    Option<Text<'py>>,
    Option<Text<'py>>,
);

/// A ``call`` record without its closing brace.
#[pyfunction]
#[pyo3(signature = (event, at, request_id, parent_id, rpc_id, trace_id, who, transport, peer, http_method, path, method,
    name, arguments_hash, hash_key, scopes, outcome, limits_fallback, rule, would_deny, disconnected, latency_ms, /))]
#[expect(
    clippy::too_many_arguments,
    reason = "a record has so many members, and an object for them would cost more than writing them"
)]
pub(super) fn call_record(
    event: &str,
    at: f64,
    request_id: &str,
    parent_id: Option<Text<'_>>,
    rpc_id: Option<Bound<'_, PyAny>>,
    trace_id: Option<Text<'_>>,
    who: &str,
    transport: &str,
    peer: Option<Text<'_>>,
    http_method: Option<Text<'_>>,
    path: Option<Text<'_>>,
    method: Option<Text<'_>>,
    name: Option<Text<'_>>,
    arguments_hash: Option<&str>,
    hash_key: Option<Text<'_>>,
    scopes: &str,
    outcome: Option<Outcome<'_>>,
    limits_fallback: Option<Text<'_>>,
    rule: Option<Text<'_>>,
    would_deny: Bound<'_, PyTuple>,
    disconnected: bool,
    latency_ms: Option<f64>,
) -> PyResult<String> {
    let would_deny = would_deny
        .iter()
        .map(|slug| Ok(slug.cast_into::<PyString>()?))
        .collect::<PyResult<Vec<_>>>()?;
    let denied = would_deny
        .iter()
        .map(|slug| Ok(bytes(Some(slug))?.unwrap_or_default()))
        .collect::<PyResult<Vec<_>>>()?;
    let denied: Vec<&[u8]> = denied.iter().map(AsRef::as_ref).collect();
    let (parent_id, trace_id) = (bytes(parent_id.as_ref())?, bytes(trace_id.as_ref())?);
    let (peer, http_method) = (bytes(peer.as_ref())?, bytes(http_method.as_ref())?);
    let (path, limits_fallback) = (bytes(path.as_ref())?, bytes(limits_fallback.as_ref())?);
    let (method, name) = (bytes(method.as_ref())?, bytes(name.as_ref())?);
    let (hash_key, rule) = (bytes(hash_key.as_ref())?, bytes(rule.as_ref())?);
    let number = integer(rpc_id.as_ref());
    let id = rpc_id
        .filter(|_| number.is_none())
        .map(|id| id.str())
        .transpose()?;
    let id = bytes(id.as_ref())?;
    let outcome = outcome.as_ref().map(ended).transpose()?;
    Ok(CallRecord {
        event: event.as_bytes(),
        at,
        request_id: request_id.as_bytes(),
        parent_id: parent_id.as_deref(),
        rpc_id: number.map(Id::Integer).or(id.as_deref().map(Id::Text)),
        trace_id: trace_id.as_deref(),
        who,
        transport: transport.as_bytes(),
        peer: peer.as_deref(),
        http_method: http_method.as_deref(),
        path: path.as_deref(),
        method: method.as_deref(),
        name: name.as_deref(),
        arguments_hash: arguments_hash.map(str::as_bytes),
        hash_key: hash_key.as_deref(),
        scopes,
        outcome: outcome.as_ref().map(
            |(result, reason, budget, retry_after_ms, detail, scope, window)| record::Outcome {
                result: result.as_deref(),
                reason: reason.as_deref(),
                detail: detail.as_deref(),
                budget: budget.as_deref(),
                budget_scope: scope.as_deref(),
                budget_window: window.as_deref(),
                retry_after_ms: *retry_after_ms,
            },
        ),
        limits_fallback: limits_fallback.as_deref(),
        rule: rule.as_deref(),
        would_deny: &denied,
        disconnected,
        latency_ms,
    }
    .text())
}

/// A name as a record spells it: a JSON string, bounded in length.
#[pyfunction]
#[pyo3(signature = (name, /))]
pub(super) fn spelt(name: Option<Text<'_>>) -> PyResult<String> {
    Ok(bytes(name.as_ref())?.map_or_else(|| "null".to_owned(), |name| record::spelt(&name)))
}

type Ended<'a> = (
    Option<Cow<'a, [u8]>>,
    Option<Cow<'a, [u8]>>,
    Option<Cow<'a, [u8]>>,
    Option<i64>,
    Option<Cow<'a, [u8]>>,
    Option<Cow<'a, [u8]>>,
    Option<Cow<'a, [u8]>>,
);

fn ended<'a>(
    (result, reason, budget, wait, detail, scope, window): &'a Outcome<'_>,
) -> PyResult<Ended<'a>> {
    Ok((
        bytes(result.as_ref())?,
        bytes(reason.as_ref())?,
        bytes(budget.as_ref())?,
        *wait,
        bytes(detail.as_ref())?,
        bytes(scope.as_ref())?,
        bytes(window.as_ref())?,
    ))
}

/// A whole number that is no `bool`; others are spelt as texts.
fn integer(id: Option<&Bound<'_, PyAny>>) -> Option<i64> {
    id.filter(|id| id.is_exact_instance_of::<PyInt>())
        .and_then(|id| id.extract().ok())
}

/// The bytes of a text that may be missing.
fn bytes<'a>(text: Option<&'a Text<'_>>) -> PyResult<Option<Cow<'a, [u8]>>> {
    let Some(text) = text else {
        return Ok(None);
    };
    text_bytes(text).map(Some)
}

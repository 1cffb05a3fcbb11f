//! Answers made of stored responses.

use http::HeaderMap;
use http::header::RANGE;
use terrace_shared::http::range::ByteRange;
use terrace_shared::http::{self as engine, Answer, AnswerBody};
use terrace_shared::outcome::CacheStatus;
use terrace_shared::purge::Lag;
use terrace_shared::time::DeltaSeconds;
use wasm_bindgen::JsValue;
use worker::js_sys::Uint8Array;
use worker::web_sys;

use crate::convert::{self, ResponseBody};
use crate::parts::cut;
use crate::refusal::Refusal;
use crate::store::{self, Entry, StoredBody, cache_api};
use crate::visit::Visit;

/// Where an answer came from, for `Cache-Status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// This isolate's memory.
    Memory,
    /// The data centre's Cache API.
    CacheApi,
    /// Neither.
    Nowhere,
}

impl Place {
    /// Adds the place, and the lag of the ledger's view if there is one (R7).
    pub(crate) fn sign(self, said: CacheStatus, lag: Lag) -> CacheStatus {
        let said = match self {
            Self::Memory => said.detail("memory"),
            Self::CacheApi => said.detail("cache-api"),
            Self::Nowhere => said,
        };
        match lag {
            Lag::Within => said,
            Lag::Beyond(age) => said.detail(&format!("ledger-lag={}ms", age.as_u64())),
            Lag::Unknown => said.detail("ledger-lag=unknown"),
        }
    }
}

/// Which fields an answer has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fields<'a> {
    /// Those that are stored, at this age.
    Stored(DeltaSeconds),
    /// Those that the origin has just sent.
    New(&'a HeaderMap),
}

/// The answer to `visit` from what is stored, or being stored.
pub(crate) async fn respond(
    visit: &Visit,
    entry: &Entry,
    fields: Fields<'_>,
    said: &CacheStatus,
) -> web_sys::Response {
    match build(visit, entry, fields, said).await {
        Ok(response) => response,
        Err(error) => Refusal::internal(&error).answer(),
    }
}

async fn build(
    visit: &Visit,
    entry: &Entry,
    fields: Fields<'_>,
    said: &CacheStatus,
) -> Result<web_sys::Response, JsValue> {
    let length = match &entry.body {
        StoredBody::Memory(bytes) => Some(u64::from(bytes.byte_length())),
        StoredBody::CacheApi(..) => store::length_of(&entry.head),
        // What comes from the origin flows on whole: a part of it would still need all of it to pass.
        StoredBody::Origin(_) => None,
    };
    let answer = compose(visit, entry, fields, length, said);
    let status = answer.status.as_u16();
    match (answer.body, &entry.body) {
        (AnswerBody::None, body) => bodiless(status, &answer.fields, body),
        (AnswerBody::Full, StoredBody::Memory(bytes)) => {
            convert::response(status, &answer.fields, ResponseBody::Bytes(bytes))
        }
        (AnswerBody::Full, StoredBody::CacheApi(response, _) | StoredBody::Origin(response)) => {
            streamed(status, &answer.fields, response)
        }
        (AnswerBody::Range(range), StoredBody::Memory(bytes)) => {
            let part = cut(bytes, range);
            convert::response(status, &answer.fields, ResponseBody::Bytes(&part))
        }
        (AnswerBody::Multipart { parts, end }, StoredBody::Memory(bytes)) => {
            let whole = multipart(bytes, &parts, &end);
            convert::response(status, &answer.fields, ResponseBody::Bytes(&whole))
        }
        (AnswerBody::Range(range), StoredBody::CacheApi(whole, key)) => {
            match cache_api::get_part(*key, range).await {
                Some(part) => {
                    let _unread = bodiless(status, &answer.fields, &entry.body)?;
                    streamed(status, &answer.fields, &part)
                }
                None => send_whole(visit, entry, fields, said, whole),
            }
        }
        // Several parts of a long body: whoever wants those can take the whole (RFC 9110 §14.2).
        (
            AnswerBody::Range(_) | AnswerBody::Multipart { .. },
            StoredBody::CacheApi(whole, _) | StoredBody::Origin(whole),
        ) => send_whole(visit, entry, fields, said, whole),
    }
}

fn compose(
    visit: &Visit,
    entry: &Entry,
    fields: Fields<'_>,
    length: Option<u64>,
    said: &CacheStatus,
) -> Answer {
    let rules = visit.intake.rules.answer(&entry.head);
    // Only ranges can come in several parts, and randomness is dear here.
    let boundary = if visit.intake.fields.contains_key(RANGE) {
        format!("{:016x}", convert::random_bits())
    } else {
        String::new()
    };
    let (facts, head) = (&visit.intake.facts, &entry.head);
    let mut answer = match fields {
        Fields::Stored(age) => engine::answer(facts, head, age, length, &boundary, rules),
        Fields::New(fields) => engine::answer_new(facts, head, fields, length, &boundary, rules),
    };
    visit.said(said).append_to(&mut answer.fields);
    answer
}

fn send_whole(
    visit: &Visit,
    entry: &Entry,
    fields: Fields<'_>,
    said: &CacheStatus,
    response: &web_sys::Response,
) -> Result<web_sys::Response, JsValue> {
    let answer = compose(visit, entry, fields, None, said);
    streamed(answer.status.as_u16(), &answer.fields, response)
}

fn streamed(
    status: u16,
    fields: &HeaderMap,
    response: &web_sys::Response,
) -> Result<web_sys::Response, JsValue> {
    let stream = response.body();
    let body = stream
        .as_ref()
        .map_or(ResponseBody::None, ResponseBody::Stream);
    convert::response(status, fields, body)
}

/// An answer without body; what streams is let go.
fn bodiless(
    status: u16,
    fields: &HeaderMap,
    body: &StoredBody,
) -> Result<web_sys::Response, JsValue> {
    if let Some(stream) = body.response().and_then(web_sys::Response::body) {
        let _ = stream.cancel();
    }
    convert::response(status, fields, ResponseBody::None)
}

fn multipart(bytes: &Uint8Array, parts: &[(Box<[u8]>, ByteRange)], end: &[u8]) -> Uint8Array {
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for (head, range) in parts {
        pieces.push(Uint8Array::from(&**head));
        pieces.push(cut(bytes, *range));
    }
    pieces.push(Uint8Array::from(end));
    convert::joined(&pieces)
}

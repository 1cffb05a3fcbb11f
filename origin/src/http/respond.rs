//! Answers made of stored responses, and of the service's.

use std::collections::VecDeque;
use std::sync::Arc;

use ::http::header::HeaderName;
use ::http::{HeaderMap, HeaderValue, Response};
use bytes::Bytes;
use terrace_shared::http::range::ByteRange;
use terrace_shared::http::{
    Answer, AnswerBody, Exposure, StoredResponse, answer, answer_new, pass_fields,
};
use terrace_shared::intake::ROUTE_KEYS;
use terrace_shared::outcome::CacheStatus;
use terrace_shared::purge::wire::EPOCH_FIELD;
use terrace_shared::purge::{Epoch, Lag};
use terrace_shared::time::DeltaSeconds;

use super::CacheBody;
use super::growing::{Growing, Reader};
use super::outcome::OwnAnswer;
use super::site::Site;
use super::store::Entry;
use super::visit::Visit;

/// Where an answer came from, for `Cache-Status`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Place {
    /// This process's memory.
    Memory,
    /// Redis.
    Redis,
    /// Neither.
    #[default]
    Nowhere,
}

/// Which fields an answer has.
#[derive(Clone, Debug)]
pub(super) enum Fields {
    /// Those that are stored, at this age.
    Stored(DeltaSeconds),
    /// Those that the service has just sent.
    New(Box<HeaderMap>),
}

impl Place {
    /// Adds the place, and the lag of the ledger's view if there is one (R7).
    pub(super) fn sign(self, said: CacheStatus, lag: Lag) -> CacheStatus {
        let said = match self {
            Self::Memory => said.detail("memory"),
            Self::Redis => said.detail("redis"),
            Self::Nowhere => said,
        };
        match lag {
            Lag::Within => said,
            Lag::Beyond(age) => said.detail(&format!("ledger-lag={}ms", age.as_u64())),
            Lag::Unknown => said.detail("ledger-lag=unknown"),
        }
    }
}

/// The answer from what is stored.
pub(super) fn respond<B>(
    visit: &Visit,
    entry: &Arc<Entry>,
    age: DeltaSeconds,
    said: &CacheStatus,
) -> Response<CacheBody<B>> {
    let length = Some(entry.body.len() as u64);
    let answer = compose(visit, &entry.head, &Fields::Stored(age), length);
    let body = match &answer.body {
        AnswerBody::None => CacheBody::default(),
        AnswerBody::Full => CacheBody::whole(entry.body.clone()),
        AnswerBody::Range(range) => CacheBody::whole(cut(&entry.body, *range)),
        AnswerBody::Multipart { parts, end } => multipart(&entry.body, parts, end),
    };
    finish(visit, answer, body, said, visit.epoch_of(entry))
}

/// The answer from what is being stored. It flows on whole: a part of it would still need all of it to pass.
pub(super) fn respond_growing<B>(
    visit: &Visit,
    growing: &Growing,
    reader: Reader,
    fields: &Fields,
    said: &CacheStatus,
) -> Response<CacheBody<B>> {
    let answer = compose(visit, &growing.head, fields, None);
    let body = match answer.body {
        AnswerBody::None => CacheBody::default(),
        AnswerBody::Full | AnswerBody::Range(_) | AnswerBody::Multipart { .. } => {
            CacheBody::growing(reader)
        }
    };
    let produced_at = growing.head.fence().produced_at;
    let epoch = earliest(growing.epoch, produced_at);
    finish(visit, answer, body, said, epoch)
}

/// The service's own answer, as it goes to the client.
pub(super) fn pass_on<B>(
    visit: &Visit,
    answer: OwnAnswer<B>,
    said: &CacheStatus,
    epoch: Option<Epoch>,
) -> Response<CacheBody<B>> {
    let mut head = answer.head;
    let epoch = earliest(epoch, said_in(&head.headers));
    let rules = visit.intake.rules.decide();
    head.headers = pass_fields(&head.headers, answer.received_at.timestamp(), rules);
    sign(&visit.site, &mut head.headers, &visit.said(said), epoch);
    Response::from_parts(head, answer.body)
}

/// Under which epoch a response was produced that began here at `own`, when its service has said `theirs`: the
/// earlier one, if the two share a ledger (R9).
pub(super) fn earliest(own: Option<Epoch>, theirs: Option<Epoch>) -> Option<Epoch> {
    let own = own?;
    let theirs = theirs.filter(|theirs| theirs.incarnation == own.incarnation);
    Some(match theirs {
        Some(theirs) if theirs.sequence < own.sequence => theirs,
        Some(_) | None => own,
    })
}

/// The epoch that a service has said in its response.
pub(super) fn said_in(fields: &HeaderMap) -> Option<Epoch> {
    fields.get(EPOCH_FIELD)?.to_str().ok()?.parse().ok()
}

/// Adds what this cache says of itself.
pub(super) fn sign(site: &Site, fields: &mut HeaderMap, said: &CacheStatus, epoch: Option<Epoch>) {
    match site.config.surrogate_keys {
        Exposure::Strip => {}
        Exposure::Send => {
            fields.remove(ROUTE_KEYS); // the edge has the same routes
            let value = epoch.and_then(|epoch| HeaderValue::try_from(epoch.to_string()).ok());
            let name = HeaderName::from_static(EPOCH_FIELD);
            match value {
                Some(value) => fields.insert(name, value),
                None => fields.remove(name),
            };
        }
    }
    said.append_to(fields);
}

fn compose(visit: &Visit, head: &StoredResponse, fields: &Fields, length: Option<u64>) -> Answer {
    let facts = &visit.intake.facts;
    let rules = visit.intake.rules.answer(head);
    let boundary = if facts.is_conditional_or_partial() {
        format!("{:016x}", fastrand::u64(..))
    } else {
        String::new()
    };
    match fields {
        Fields::Stored(age) => answer(facts, head, *age, length, &boundary, rules),
        Fields::New(fields) => answer_new(facts, head, fields, length, &boundary, rules),
    }
}

fn finish<B>(
    visit: &Visit,
    answer: Answer,
    body: CacheBody<B>,
    said: &CacheStatus,
    epoch: Option<Epoch>,
) -> Response<CacheBody<B>> {
    let mut fields = answer.fields;
    sign(&visit.site, &mut fields, &visit.said(said), epoch);
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = fields;
    response
}

/// The bytes of `range`, a view of the same memory; as many of them as there are.
pub(super) fn cut(bytes: &Bytes, range: ByteRange) -> Bytes {
    let place = |position: u64| {
        usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(bytes.len())
    };
    let first = place(range.first);
    bytes.slice(first..place(range.last.saturating_add(1)).max(first))
}

fn multipart<B>(bytes: &Bytes, parts: &[(Box<[u8]>, ByteRange)], end: &[u8]) -> CacheBody<B> {
    let mut pieces = VecDeque::with_capacity(2 * parts.len() + 1);
    for (head, range) in parts {
        pieces.push_back(Bytes::copy_from_slice(head));
        pieces.push_back(cut(bytes, *range));
    }
    pieces.push_back(Bytes::copy_from_slice(end));
    CacheBody::pieces(pieces)
}

//! What the tests of this module share: short ways to say requests, responses and moments.

use ::http::header::HeaderName;
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{
    Decision, Exchange, Fill, ForwardAs, OnResponse, RequestFacts, ResponseHead, Rules,
    StoredResponse, decide, on_response,
};
use crate::outcome::{ForwardReason, NotStored};
use crate::purge::{Epoch, Fence, Incarnation, Sequence, Verdict};
use crate::time::{DeltaSeconds, Timestamp};

/// When the tests begin: `Sat, 21 Nov 2026 12:00:00 GMT`.
pub(super) const NOON: Timestamp = Timestamp::from_unix_seconds(1_795_262_400);

pub(super) const URL: &str = "https://a.example/p/q?x=1";

pub(super) fn seconds(seconds: u64) -> DeltaSeconds {
    DeltaSeconds::seconds(seconds)
}

pub(super) fn after(seconds: u64) -> Timestamp {
    NOON.saturating_add(DeltaSeconds::seconds(seconds))
}

pub(super) fn epoch(sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(7),
        sequence: Sequence::new(sequence),
    }
}

/// Lines `name: value`; bytes beyond ASCII stay as they are.
pub(super) fn fields(lines: &[&str]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        fields.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.trim().as_bytes()).unwrap(),
        );
    }
    fields
}

pub(super) fn request_as(method: &Method, lines: &[&str], rules: &Rules) -> RequestFacts {
    RequestFacts::parse(method, &URL.parse().unwrap(), &fields(lines), NOON, rules)
}

pub(super) fn get(lines: &[&str]) -> RequestFacts {
    request_as(&Method::GET, lines, &Rules::default())
}

/// Asked for and answered at noon, under epoch 1.
pub(super) fn fill() -> Fill<'static> {
    Fill {
        exchange: Exchange {
            requested_at: NOON,
            received_at: NOON,
        },
        fence: Fence::at(epoch(1)),
        host: "a.example",
        path_and_query: "/p/q?x=1",
        asked: ForwardAs::Client,
    }
}

pub(super) fn store_with(
    request: &RequestFacts,
    status: u16,
    lines: &[&str],
    rules: &Rules,
) -> Result<StoredResponse, NotStored> {
    let head = ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        fields: &fields(lines),
    };
    match on_response(request, head, None, Verdict::Untouched, &fill(), rules) {
        OnResponse::Store(stored) => Ok(*stored),
        OnResponse::Pass(because) => Err(because),
        other => panic!("neither stored nor passed: {other:?}"),
    }
}

pub(super) fn store(lines: &[&str]) -> Result<StoredResponse, NotStored> {
    store_with(&get(&[]), 200, lines, &Rules::default())
}

/// A 200 with these fields, stored for a request without fields.
pub(super) fn stored(lines: &[&str]) -> StoredResponse {
    store(lines).unwrap()
}

/// What is decided about a plain GET, so many seconds after noon.
pub(super) fn decide_at(
    request: &RequestFacts,
    stored: &StoredResponse,
    verdict: Verdict,
    after_noon: u64,
) -> &'static str {
    word(&decide(
        request,
        Some(stored),
        verdict,
        after(after_noon),
        &Rules::default(),
    ))
}

/// A decision in one word.
pub(super) fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Reuse { .. } => "reuse",
        Decision::ReuseStale { because, .. } => because.as_str(),
        Decision::Validate(validation) => match validation.because {
            ForwardReason::Stale => "validate: stale",
            ForwardReason::Request => "validate: request",
            _ => "validate: for another reason",
        },
        Decision::Complete(_) => "complete",
        Decision::Forward(reason) => reason.as_str(),
        Decision::GatewayTimeout => "timeout",
    }
}

//! Terrace's own endpoints: purge and status.

use http::{HeaderMap, StatusCode};
use serde::Serialize;
use terrace_shared::http::BodyEnd;
use terrace_shared::outcome::{CacheStatus, ForwardReason};
use terrace_shared::purge::compat::{Answer, Call, Dialect, Refusal};
use terrace_shared::purge::wire::{
    PURGE_PATH, PurgeRequest, PurgeState, PurgedTier, Receipt, STATUS_PATH, TierReceipt,
};
use terrace_shared::purge::{Epoch, PurgeMode};
use terrace_shared::time::{ByteCount, Milliseconds, TimestampMillis};
use worker::web_sys;

use super::client;
use crate::clock;
use crate::convert::{self, ResponseBody};
use crate::observe::{self, Count, Counters};
use crate::visit::Edge;

/// Every path that begins so is Terrace's own.
const OWN_PATHS: &str = "/.terrace/";

/// Longest body of a purge: 1,024 scopes of 1 KiB each.
const LONGEST_BODY: ByteCount = ByteCount::mebibytes(1);

#[derive(Serialize)]
struct Status {
    /// Where this isolate's view of the ledger stands; null before the first look.
    ledger_epoch: Option<Epoch>,
    /// How old that view is.
    view_age_ms: Option<Milliseconds>,
    counters: Counters,
}

/// Whether a URL is one of Terrace's own, which no route of the policy is asked about.
pub(crate) fn is_own_path(url: &str) -> bool {
    path_of(url).starts_with(OWN_PATHS)
}

/// Answers a request to one of Terrace's own paths.
pub(crate) async fn answer(request: &web_sys::Request, edge: &Edge) -> web_sys::Response {
    let method = request.method();
    let refusal = match (path_of(&request.url()), &*method) {
        (PURGE_PATH, "POST") => {
            let fields = convert::header_map(&request.headers());
            return carry_out(&Call::own(), &fields, request.body(), edge).await;
        }
        (STATUS_PATH, "GET" | "HEAD") => {
            return send(Answer::json(StatusCode::OK, &status()));
        }
        (PURGE_PATH, _) => {
            observe::count(Count::PurgeRefused);
            wrong_method(method, "POST")
        }
        (STATUS_PATH, _) => wrong_method(method, "GET, HEAD"),
        (path, _) => Refusal::NoSuchPath {
            path: path.to_owned(),
            hint: "Terrace answers at /.terrace/purge and /.terrace/status",
        },
    };
    send(refusal.answer(Dialect::Terrace))
}

/// Purges what `call` asks for, and answers in its words.
pub(super) async fn carry_out(
    call: &Call,
    fields: &HeaderMap,
    body: Option<web_sys::ReadableStream>,
    edge: &Edge,
) -> web_sys::Response {
    let answer = match purge(call, fields, body, edge).await {
        Ok((request, receipt)) => {
            observe::count(Count::PurgeAccepted);
            call.carried_out(&request, &receipt)
        }
        Err(refusal) => {
            observe::count(Count::PurgeRefused);
            call.refused(&refusal)
        }
    };
    send(answer)
}

async fn purge(
    call: &Call,
    fields: &HeaderMap,
    body: Option<web_sys::ReadableStream>,
    edge: &Edge,
) -> Result<(PurgeRequest, Receipt), Refusal> {
    let tokens = edge.config.tokens.as_ref();
    let tokens = tokens.map_err(|error| Refusal::Misconfigured {
        error: error.to_string(),
    })?;
    let token = call.admit(fields, tokens, clock::now().timestamp())?;
    let body = read(body).await?;
    let (request, purge) = call.purge(fields, &body, token, &edge.routes, clock::now())?;
    let (mode, scopes) = (purge.mode, purge.scopes.len());
    let epoch = edge.ledger.append(purge).await;
    let epoch = epoch.map_err(|error| Refusal::NotTaken {
        error: error.to_string(),
    })?;
    let bound = edge.routes.longest_bound();
    let receipt = receipt(epoch, mode, scopes, bound, clock::now());
    Ok((request, receipt))
}

async fn read(body: Option<web_sys::ReadableStream>) -> Result<Vec<u8>, Refusal> {
    let read = convert::read(body, LONGEST_BODY).await;
    let read = read.map_err(|_| Refusal::CutOff)?;
    let read = read.ok_or(Refusal::TooLong {
        limit: LONGEST_BODY,
    })?;
    match read.end {
        BodyEnd::Whole => Ok(read.bytes.to_vec()),
        BodyEnd::BrokenOff => Err(Refusal::CutOff),
    }
}

fn receipt(
    epoch: Epoch,
    mode: PurgeMode,
    scopes: usize,
    bound: Milliseconds,
    now: TimestampMillis,
) -> Receipt {
    Receipt {
        epoch,
        mode,
        scopes,
        purged_at_ms: now,
        visible_by_ms: Some(now.saturating_add(bound)),
        tiers: vec![TierReceipt {
            tier: PurgedTier::Edge,
            name: None,
            state: PurgeState::Done,
            bound_ms: bound,
            epoch: Some(epoch),
            detail: None,
        }],
        again_at_ms: None,
        token: None,
    }
}

fn status() -> Status {
    Status {
        ledger_epoch: client::epoch(),
        view_age_ms: client::age(clock::now()),
        counters: observe::snapshot(),
    }
}

const fn wrong_method(method: String, allow: &'static str) -> Refusal {
    Refusal::Method { method, allow }
}

fn path_of(url: &str) -> &str {
    let path = path_and_query_of(url);
    path.split('?').next().unwrap_or(path)
}

/// The part of a URL behind its host.
pub(super) fn path_and_query_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').and_then(|slash| rest.get(slash..));
    let path = path.unwrap_or("/");
    path.split('#').next().unwrap_or(path)
}

fn send(answer: Answer) -> web_sys::Response {
    let Answer {
        status,
        mut fields,
        body,
    } = answer;
    CacheStatus::forward(CacheStatus::NAME, ForwardReason::Bypass).append_to(&mut fields);
    convert::response(status.as_u16(), &fields, ResponseBody::Text(&body))
        .unwrap_or_else(|_| web_sys::Response::error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_host_keeps_a_url_and_a_query_in_it() {
        for (url, path_and_query) in [
            ("https://a.example", "/"),
            ("https://a.example/x?y#z", "/x?y"),
            (
                "https://a.example/purge/https://b.example/x?y",
                "/purge/https://b.example/x?y",
            ),
        ] {
            assert_eq!(path_and_query_of(url), path_and_query);
        }
        assert!(is_own_path("https://a.example/.terrace/purge?x"));
        assert!(!is_own_path("https://a.example/x?/.terrace/purge"));
    }
}

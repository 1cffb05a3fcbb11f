//! Terrace's own endpoints: purge and status.

use http::{HeaderMap, StatusCode};
use serde::Serialize;
use terrace_shared::http::BodyEnd;
use terrace_shared::outcome::{CacheStatus, ForwardReason};
use terrace_shared::purge::audit::{LOG_PATH, LogQuery};
use terrace_shared::purge::auth::Token;
use terrace_shared::purge::compat::{Answer, Call, Dialect, Refusal};
use terrace_shared::purge::wire::{
    PURGE_PATH, PurgeRequest, PurgeState, PurgedTier, Receipt, STATUS_PATH, TierReceipt,
};
use terrace_shared::purge::{Epoch, Purge, PurgeMode};
use terrace_shared::time::{ByteCount, Milliseconds, TimestampMillis};
use worker::web_sys;

use super::client;
use super::order::Order;
use crate::clock;
use crate::convert::{self, ResponseBody};
use crate::error::{ConfigError, LedgerError};
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
        (LOG_PATH, "GET") => match log(request, edge).await {
            Ok(page) => return send(page),
            Err(refusal) => refusal,
        },
        (STATUS_PATH, _) => wrong_method(method, "GET, HEAD"),
        (LOG_PATH, _) => wrong_method(method, "GET"),
        (path, _) => Refusal::NoSuchPath {
            path: path.to_owned(),
            hint: "Terrace answers at /.terrace/purge, /.terrace/log and /.terrace/status",
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
    let token = admitted(call, fields, edge).await?;
    let secrets = edge.config.token_secrets.as_ref();
    let secrets = secrets.map_err(misconfigured)?.as_ref();
    let (request, purge) = match understood(token, call, fields, body, edge).await {
        Ok(understood) => understood,
        Err(refusal) => {
            // What the ledger's object refuses, it logs itself.
            let by = Some(token.name());
            edge.ledger.log_refused(by, &refusal.to_string()).await;
            return Err(refusal);
        }
    };
    let (mode, scopes) = (purge.mode, purge.scopes.len());
    let order = Order {
        by: Some(token.name().into()),
        purge,
        after: request.after_ms,
    };
    let accepted = edge.ledger.append(order).await;
    let accepted = accepted.map_err(|error| not_taken(&error))?;
    let bound = edge.routes.longest_bound();
    let receipt = Receipt {
        again_at_ms: accepted.again_at,
        ..receipt(accepted.epoch, mode, scopes, bound, clock::now())
    };
    Ok((request, receipt.with_token(secrets)))
}

/// The token that comes with a call; one that is not known is counted in the purge log.
async fn admitted<'a>(
    call: &Call,
    fields: &HeaderMap,
    edge: &'a Edge,
) -> Result<&'a Token, Refusal> {
    let tokens = edge.config.tokens.as_ref().map_err(misconfigured)?;
    let outcome = call.admit(fields, tokens, clock::now().timestamp());
    if let Err(refusal @ Refusal::NotAuthenticated(_)) = &outcome {
        edge.ledger.log_refused(None, &refusal.to_string()).await;
    }
    outcome
}

/// The purge that a call asks for, if its token may ask for it.
async fn understood(
    token: &Token,
    call: &Call,
    fields: &HeaderMap,
    body: Option<web_sys::ReadableStream>,
    edge: &Edge,
) -> Result<(PurgeRequest, Purge), Refusal> {
    let body = read(body).await?;
    call.purge(fields, &body, token, &edge.routes, clock::now())
}

/// The part of the purge log that is asked for: all of it for a token that may purge everything, and what it did
/// itself for any other.
async fn log(request: &web_sys::Request, edge: &Edge) -> Result<Answer, Refusal> {
    let fields = convert::header_map(&request.headers());
    let token = admitted(&Call::own(), &fields, edge).await?;
    let url = request.url();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = LogQuery::parse(query).map_err(|error| Refusal::Query {
        error: error.to_string(),
        hint: "for example /.terrace/log?limit=20",
    })?;
    let by = Some(token.name()).filter(|_| !token.may_all());
    let page = edge.ledger.log(query, by).await;
    let page = page.map_err(|error| not_taken(&error))?;
    let body = String::from_utf8_lossy(&page).into_owned();
    Ok(Answer {
        body,
        ..Answer::json(StatusCode::OK, &())
    })
}

fn misconfigured(error: &ConfigError) -> Refusal {
    Refusal::Misconfigured {
        error: error.to_string(),
    }
}

/// What the ledger's authority did not take, or not say.
fn not_taken(error: &LedgerError) -> Refusal {
    match *error {
        LedgerError::TooManyCalls { retry_after } => Refusal::TooMany { retry_after },
        LedgerError::TooManyScheduled { .. } => Refusal::TooManyScheduled {
            error: error.to_string(),
        },
        LedgerError::TooFarAhead { .. } => Refusal::Query {
            error: error.to_string(),
            hint: "nothing was purged",
        },
        LedgerError::Unreachable(_)
        | LedgerError::TimedOut
        | LedgerError::Refused { .. }
        | LedgerError::NotUnderstood => Refusal::NotTaken {
            error: error.to_string(),
        },
    }
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
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
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

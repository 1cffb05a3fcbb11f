//! Requests that the cache has no part in, and what an unsafe one invalidates.

use std::rc::Rc;

use http::StatusCode;
use terrace_shared::http::{ForwardAs, invalidation, pass_fields, request_fields};
use terrace_shared::outcome::{CacheStatus, ForwardReason};
use terrace_shared::purge::{Purge, PurgeMode, Scope};
use worker::web_sys;

use crate::clock;
use crate::convert::{self, ResponseBody};
use crate::observe::{self, Count};
use crate::origin::{self, OriginAnswer};
use crate::refusal::Refusal;
use crate::search;
use crate::store;
use crate::visit::Visit;

/// Sends the request to the origin, and its answer to the client.
pub(crate) async fn pass(visit: &Rc<Visit>, reason: ForwardReason) -> web_sys::Response {
    observe::count(Count::Forwarded);
    let fields = request_fields(&visit.intake.fields, ForwardAs::Client);
    let body = visit.request.body();
    let said = CacheStatus::forward(CacheStatus::NAME, reason);
    match origin::ask(visit, visit.method.as_str(), fields, body).await {
        Ok(answer) => {
            invalidate(visit, &answer).await;
            let said = said.forward_status(answer.status);
            send(visit, &answer, &said)
        }
        Err(error) => {
            observe::count(Count::OriginFailed);
            Refusal::origin_failed(&error, said).answer()
        }
    }
}

/// The origin's answer as it goes to the client, its body untouched.
pub(crate) fn send(visit: &Visit, answer: &OriginAnswer, said: &CacheStatus) -> web_sys::Response {
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        return answer
            .response
            .clone()
            .unwrap_or_else(|_| web_sys::Response::error());
    }
    let mut fields = pass_fields(
        &answer.fields,
        answer.exchange.received_at,
        visit.intake.rules.decide(),
    );
    said.append_to(&mut fields);
    let body = answer.response.body();
    let body = body
        .as_ref()
        .map_or(ResponseBody::None, ResponseBody::Stream);
    match convert::response(answer.status.as_u16(), &fields, body) {
        Ok(response) => response,
        Err(error) => Refusal::internal(&error).answer(),
    }
}

/// Makes unusable what a successful unsafe request has changed (RFC 9111 §4.4, RFC 9875 §3).
///
/// URLs are removed from this isolate and this data centre, which costs no call of the ledger; groups,
/// which the origin names on purpose, are purged everywhere. Who needs a URL gone everywhere purges it.
async fn invalidate(visit: &Rc<Visit>, answer: &OriginAnswer) {
    let scopes = invalidation(
        &visit.method,
        &visit.intake.target.uri,
        answer.status,
        &answer.fields,
    );
    let now = clock::now();
    let mut groups = Vec::new();
    for scope in scopes {
        match scope {
            Scope::Exact(name) => {
                for key in search::keys_of_name(visit, &name) {
                    store::invalidate(key, now).await;
                }
            }
            scope => groups.push(scope),
        }
    }
    if groups.is_empty() {
        return;
    }
    let purge = Purge {
        mode: PurgeMode::Hard,
        scopes: groups,
        at: now,
        origin_epoch: None,
    };
    // A ledger that cannot be reached is counted there; the answer is the origin's all the same.
    let _ = visit.edge.ledger.append(purge).await;
}

//! Requests that the cache has no part in, and what an unsafe one invalidates.

use std::rc::Rc;

use http::{Method, StatusCode};
use terrace_shared::http::{
    Fill, ForwardAs, OnResponse, ResponseHead, invalidation, on_response, pass_fields,
    request_fields,
};
use terrace_shared::intake::{ROUTE_KEYS, route_keys};
use terrace_shared::outcome::{CacheStatus, ForwardReason};
use terrace_shared::purge::compat::PURGE_METHOD;
use terrace_shared::purge::{Epoch, Fence, Purge, PurgeMode, Scope, Verdict};
use worker::web_sys;

use crate::convert::{self, ResponseBody};
use crate::observe::{self, Count};
use crate::origin::{self, OriginAnswer};
use crate::purge::order::Order;
use crate::purge::{client, compat};
use crate::refusal::Refusal;
use crate::store::{self, Entry, StoredBody};
use crate::visit::Visit;
use crate::{clock, fill, parts, search};

/// Sends the request to the origin, and its answer to the client.
///
/// But for one: a `PURGE` is for the cache itself.
pub(crate) async fn pass(visit: &Rc<Visit>, reason: ForwardReason) -> web_sys::Response {
    if visit.method.as_str() == PURGE_METHOD {
        return compat::purge_url(visit).await;
    }
    observe::count(Count::Forwarded);
    let fields = request_fields(&visit.intake.fields, ForwardAs::Client);
    let body = visit.request.body();
    let said = CacheStatus::forward(CacheStatus::NAME, reason);
    let epoch = client::epoch(); // R1: before the origin is asked
    match origin::ask(visit, visit.method.as_str(), fields, body).await {
        Ok(answer) => {
            let current = !store::memory::invalidated_since(visit.plain_key, answer.asked_at);
            invalidate(visit, &answer).await;
            let said = said.forward_status(answer.status);
            match epoch.and_then(|epoch| of_post(visit, reason, &answer, epoch)) {
                Some(entry) if current => {
                    fill::store_new_behind(visit, entry);
                    send(visit, &answer, &said.stored())
                }
                Some(_) | None => send(visit, &answer, &said),
            }
        }
        Err(error) => {
            observe::count(Count::OriginFailed);
            Refusal::origin_failed(&error, said).answer()
        }
    }
}

/// What a POST brought that answers later GETs too: it says so, and for how long (RFC 9110 §9.3.3).
fn of_post(
    visit: &Visit,
    reason: ForwardReason,
    answer: &OriginAnswer,
    epoch: Epoch,
) -> Option<Entry> {
    if reason != ForwardReason::Method || visit.method != Method::POST {
        return None;
    }
    let mut fields = answer.fields.clone();
    if let Some(keys) = route_keys(visit.route(), visit.intake.target.path()) {
        fields.insert(ROUTE_KEYS, keys);
    }
    let fill = Fill {
        exchange: answer.exchange,
        fence: Fence::at(epoch),
        host: visit.intake.target.host(),
        path_and_query: &visit.intake.path_and_query,
        asked: ForwardAs::Client,
    };
    let response = ResponseHead {
        status: answer.status,
        fields: &fields,
    };
    let rules = visit.intake.rules.decide();
    let facts = &visit.intake.facts;
    match on_response(facts, response, None, Verdict::Untouched, &fill, rules) {
        OnResponse::Store(head) if store::takes(&head) && !parts::is_part(&head) => Some(Entry {
            head: Rc::new(*head),
            body: StoredBody::Origin(answer.response.clone().ok()?),
        }),
        OnResponse::Store(_)
        | OnResponse::Complete(_)
        | OnResponse::Combine(_)
        | OnResponse::Freshen(_)
        | OnResponse::AnswerOnce { .. }
        | OnResponse::Update(_)
        | OnResponse::ServeStale { .. }
        | OnResponse::AskAgain
        | OnResponse::Pass(_) => None,
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
    visit.said(said).append_to(&mut fields);
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
        visit.intake.target.uri(),
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
    let order = Order {
        by: None,
        purge,
        after: None,
    };
    let _ = visit.edge.ledger.append(order).await;
}

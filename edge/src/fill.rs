//! Filling the stores: ask the origin, decide what its answer is good for, send and store it.
//!
//! The ledger's epoch is read before the origin is asked (R1): a purge that arrives while the answer is
//! under way has a later place, so the answer is stored and never believed.

use std::rc::Rc;

use http::StatusCode;
use http::header::AGE;
use terrace_shared::http::{
    Extent, Fill, ForwardAs, Freshness, OnFailure, OnResponse, RequestFacts, ResponseHead,
    StoredResponse, ValidationRequest, on_failure, on_response, request_fields,
};
use terrace_shared::intake::{ROUTE_KEYS, route_keys};
use terrace_shared::outcome::{CacheStatus, ForwardReason, NotStored, StaleReason};
use terrace_shared::purge::{Fence, Lag, Verdict};
use terrace_shared::time::{DeltaSeconds, TimestampMillis};
use worker::web_sys;

use crate::clock;
use crate::error::OriginError;
use crate::flight::{self, Claim};
use crate::observe::{self, Count};
use crate::origin::{self, OriginAnswer};
use crate::pass::send;
use crate::purge::client;
use crate::refusal::Refusal;
use crate::respond::{Age, Place, respond};
use crate::store::{self, Entry, Found, StoredBody};
use crate::visit::Visit;

/// Why, and as what, the origin is asked.
#[derive(Clone, Debug)]
pub(crate) enum Forward {
    /// Whether what is stored is still right.
    Validating(ValidationRequest),
    /// For a response.
    Plain(ForwardReason),
}

/// What the origin's answer, or its absence, is good for.
enum Outcome {
    /// To be stored and sent.
    New(Rc<StoredResponse>, OriginAnswer),
    /// A 304: the stored body with a new head, to be stored and sent.
    Freshened(Rc<StoredResponse>, OriginAnswer),
    /// A 304 that forbids storing: the stored body with a new head, to be sent once.
    Once(Rc<StoredResponse>, NotStored, OriginAnswer),
    /// An answer to HEAD, to be sent; the stored body gets a new head.
    Updated(Rc<StoredResponse>, OriginAnswer),
    /// An error, or no answer: what is stored is sent.
    Stale(DeltaSeconds, StaleReason, Option<StatusCode>),
    /// To be sent, and not stored.
    Passed(NotStored, OriginAnswer),
    /// No answer, and nothing to send instead.
    Failed(OriginError),
}

impl Forward {
    pub(crate) const fn validating(validation: ValidationRequest) -> Self {
        Self::Validating(validation)
    }

    pub(crate) const fn because(reason: ForwardReason) -> Self {
        Self::Plain(reason)
    }

    /// The question that refreshes `head` behind an answer.
    fn refreshing(head: &StoredResponse) -> Self {
        ValidationRequest::of(head, ForwardReason::Stale)
            .map_or(Self::Plain(ForwardReason::Stale), Self::Validating)
    }

    const fn reason(&self) -> ForwardReason {
        match self {
            Self::Validating(validation) => validation.because,
            Self::Plain(reason) => *reason,
        }
    }
}

/// Asks the origin and answers the client; what can be stored is stored behind the answer.
pub(crate) async fn answer(
    visit: &Rc<Visit>,
    found: Found,
    forward: Forward,
    lag: Lag,
    claim: Option<Claim>,
) -> web_sys::Response {
    let said = CacheStatus::forward(CacheStatus::NAME, forward.reason());
    let place = store::place_of(visit.key, found.marker.as_deref(), &visit.intake.facts);
    let outcome = ask(visit, &visit.intake.facts, &found, forward).await;
    let found_entry = found.entry.clone();
    match (outcome, found_entry) {
        (Outcome::New(head, answer), _) => {
            let said = stored(said.forward_status(answer.status), &head);
            let asked_at = answer.asked_at;
            let had_age = answer.fields.contains_key(AGE);
            let entry = Entry {
                head,
                body: StoredBody::Origin(answer.response),
            };
            if let Some(copy) = entry.copy() {
                store_behind(visit, found, copy, asked_at, claim);
            }
            let age = if had_age {
                Age::Stored(entry.head.current_age(clock::now().timestamp()))
            } else {
                Age::New
            };
            respond(visit, &entry, age, &Place::Nowhere.sign(said, lag)).await
        }
        (Outcome::Freshened(head, answer), Some(before)) => {
            let said = stored(said.forward_status(answer.status), &head);
            let entry = Entry {
                head,
                body: before.body,
            };
            if let Some(copy) = entry.copy() {
                store_behind(visit, found, copy, answer.asked_at, claim);
            }
            let age = Age::Stored(entry.head.current_age(clock::now().timestamp()));
            respond(visit, &entry, age, &entry.body.place().sign(said, lag)).await
        }
        (Outcome::Once(head, because, answer), Some(before)) => {
            let said = said.forward_status(answer.status).not_stored(&because);
            let entry = Entry {
                head,
                body: before.body,
            };
            store::forget(visit.key, &found, &visit.intake.facts).await;
            let age = Age::Stored(entry.head.current_age(clock::now().timestamp()));
            respond(visit, &entry, age, &entry.body.place().sign(said, lag)).await
        }
        (Outcome::Updated(head, answer), before) => {
            let said = said.forward_status(answer.status);
            if let Some(before) = before {
                let entry = Entry {
                    head,
                    body: before.body,
                };
                store_behind(visit, found, entry, answer.asked_at, claim);
            }
            send(visit, &answer, &Place::Nowhere.sign(said, lag))
        }
        (Outcome::Stale(age, because, status), Some(entry)) => {
            observe::count(Count::StaleServed);
            let said = match status {
                Some(status) => said.forward_status(status),
                None => said,
            };
            let said = said.detail(because.as_str());
            let said = entry.body.place().sign(said, lag);
            respond(visit, &entry, Age::Stored(age), &said).await
        }
        (Outcome::Passed(because, answer), _) => {
            let said = said.forward_status(answer.status).not_stored(&because);
            if because.is_lasting() {
                flight::note_unstorable(place, clock::now());
            }
            if because == NotStored::NotModified {
                behind(visit, found);
            }
            send(visit, &answer, &Place::Nowhere.sign(said, lag))
        }
        (Outcome::Failed(error), _) => {
            Refusal::origin_failed(&error, Place::Nowhere.sign(said, lag)).answer()
        }
        // These come of something that is stored; without it there is no answer to give.
        (Outcome::Freshened(_, answer) | Outcome::Once(_, _, answer), None) => {
            send(visit, &answer, &Place::Nowhere.sign(said, lag))
        }
        (Outcome::Stale(..), None) => Refusal::origin_failed(&OriginError::NoAnswer, said).answer(),
    }
}

/// Refreshes what is stored, or fills it, behind the answer: one request of this isolate does it for all.
pub(crate) fn behind(visit: &Rc<Visit>, found: Found) {
    let Some(claim) = Claim::of(visit.key, visit.now) else {
        return;
    };
    let visit_behind = Rc::clone(visit);
    visit.context.wait_until(async move {
        let visit = visit_behind;
        let facts = visit.intake.facts.for_fill();
        let forward = found
            .entry
            .as_ref()
            .map_or(Forward::Plain(ForwardReason::Request), |entry| {
                Forward::refreshing(&entry.head)
            });
        let (head, body, asked_at) = match ask(&visit, &facts, &found, forward).await {
            Outcome::New(head, answer) => {
                let body = StoredBody::Origin(answer.response);
                (head, Some(body), answer.asked_at)
            }
            Outcome::Freshened(head, answer) => {
                let body = match found.entry.as_ref().map(|entry| &entry.body) {
                    Some(StoredBody::Memory(bytes)) => Some(StoredBody::Memory(bytes.clone())),
                    // The stream went to the client; there is another one where it came from.
                    Some(StoredBody::CacheApi(..) | StoredBody::Origin(_)) | None => {
                        let again = store::look_up_cache_api(visit.key, &visit.intake.facts).await;
                        again.entry.map(|entry| entry.body)
                    }
                };
                (head, body, answer.asked_at)
            }
            Outcome::Once(..)
            | Outcome::Updated(..)
            | Outcome::Stale(..)
            | Outcome::Passed(..)
            | Outcome::Failed(_) => return,
        };
        if let Some(body) = body {
            let entry = Entry { head, body };
            store::put(visit.key, found.marker, &facts, entry, asked_at).await;
        }
        drop(claim);
    });
}

/// Asks the origin for `facts`, once more if its 304 was not about what is stored.
async fn ask(visit: &Visit, facts: &RequestFacts, found: &Found, forward: Forward) -> Outcome {
    let again = Forward::Plain(forward.reason());
    match ask_once(visit, facts, found, &forward).await {
        Some(outcome) => outcome,
        None => match ask_once(visit, &facts.for_fill(), found, &again).await {
            Some(outcome) => outcome,
            None => Outcome::Failed(OriginError::NoAnswer),
        },
    }
}

async fn ask_once(
    visit: &Visit,
    facts: &RequestFacts,
    found: &Found,
    forward: &Forward,
) -> Option<Outcome> {
    observe::count(Count::Forwarded);
    let rules = visit.intake.rules.decide();
    let verdict = |head: &StoredResponse| client::verdict(head.fence(), head.scopes());
    let head = found.entry.as_ref().map(|entry| &*entry.head);
    let considered = head.filter(|head| verdict(head) != Verdict::Dropped);

    let epoch = client::epoch(); // R1: before the origin is asked
    let forward_as = match forward {
        Forward::Validating(validation) => ForwardAs::Validation(validation),
        Forward::Plain(_) if facts.is_conditional_or_partial() => ForwardAs::Client,
        Forward::Plain(_) => ForwardAs::Fill,
    };
    let fields = request_fields(&visit.intake.fields, forward_as);
    let asked = origin::ask(visit, facts.method().as_str(), fields, None).await;

    let judged = considered.map_or(Verdict::Untouched, verdict);
    let mut answer = match asked {
        Ok(answer) => answer,
        Err(error) => {
            observe::count(Count::OriginFailed);
            let now = clock::now().timestamp();
            let instead = on_failure(facts, considered, judged, error.kind(), now, rules);
            return Some(match instead {
                OnFailure::ServeStale { age, because, .. } => Outcome::Stale(age, because, None),
                OnFailure::BadGateway => Outcome::Failed(error),
                OnFailure::GatewayTimeout => Outcome::Failed(error.as_timeout()),
            });
        }
    };
    let Some(epoch) = epoch else {
        observe::count(Count::NotStored);
        return Some(Outcome::Passed(NotStored::LedgerLag, answer));
    };
    if let Some(keys) = route_keys(visit.route(), visit.intake.target.path()) {
        answer.fields.insert(ROUTE_KEYS, keys);
    }
    let fill = Fill {
        exchange: answer.exchange,
        fence: Fence::at(epoch),
        host: &visit.intake.target.host,
        path_and_query: &visit.intake.path_and_query,
        asked: forward_as,
    };
    let response = ResponseHead {
        status: answer.status,
        fields: &answer.fields,
    };
    let decided = on_response(facts, response, considered, judged, &fill, rules);
    answer.fields.remove(ROUTE_KEYS);
    Some(match decided {
        OnResponse::Store(head) if store::takes(&head) => Outcome::New(Rc::new(*head), answer),
        OnResponse::Store(head) if is_part(&head) => passed(NotStored::Partial, answer),
        OnResponse::Combine(_) => passed(NotStored::Partial, answer),
        OnResponse::Store(_) => passed(NotStored::TooLarge, answer),
        OnResponse::Freshen(head) => {
            observe::count(Count::Freshened);
            Outcome::Freshened(Rc::new(*head), answer)
        }
        OnResponse::AnswerOnce { head, because } => Outcome::Once(Rc::new(*head), because, answer),
        OnResponse::Update(head) => Outcome::Updated(Rc::new(*head), answer),
        OnResponse::ServeStale { age, because, .. } => {
            Outcome::Stale(age, because, Some(answer.status))
        }
        OnResponse::Pass(because) => passed(because, answer),
        OnResponse::Complete(_) | OnResponse::AskAgain => return None,
    })
}

fn is_part(head: &StoredResponse) -> bool {
    matches!(head.extent(), Extent::Partial { .. })
}

fn passed(because: NotStored, answer: OriginAnswer) -> Outcome {
    observe::count(Count::NotStored);
    Outcome::Passed(because, answer)
}

fn stored(said: CacheStatus, head: &StoredResponse) -> CacheStatus {
    match head.freshness(clock::now().timestamp()) {
        Freshness::Fresh { remaining } => said.stored().ttl(remaining),
        Freshness::Stale { .. } => said.stored(),
    }
}

/// Stores `entry` behind the answer; who waits for it on the same key does so until it is stored.
fn store_behind(
    visit: &Rc<Visit>,
    found: Found,
    entry: Entry,
    asked_at: TimestampMillis,
    claim: Option<Claim>,
) {
    let visit_behind = Rc::clone(visit);
    visit.context.wait_until(async move {
        let visit = visit_behind;
        store::put(
            visit.key,
            found.marker,
            &visit.intake.facts,
            entry,
            asked_at,
        )
        .await;
        drop(claim);
    });
}

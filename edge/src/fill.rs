//! Filling the stores: send the origin's answer to the client, and store it behind that.

use std::rc::Rc;

use terrace_shared::http::{Freshness, StoredResponse};
use terrace_shared::outcome::{CacheStatus, ForwardReason, NotStored};
use terrace_shared::purge::Lag;
use terrace_shared::time::{Milliseconds, TimestampMillis};
use worker::web_sys;

use crate::ask::{Forward, Outcome, ask};
use crate::clock;
use crate::error::OriginError;
use crate::flight::{self, Claim};
use crate::observe::{self, Count};
use crate::origin::OriginAnswer;
use crate::parts;
use crate::pass::send;
use crate::refusal::Refusal;
use crate::respond::{Fields, Place, respond};
use crate::search;
use crate::store::{self, Entry, Found, StoredBody};
use crate::visit::Visit;

/// Asks the origin and answers the client; what can be stored is stored behind the answer.
pub(crate) async fn answer(
    visit: &Rc<Visit>,
    found: Found,
    forward: Forward,
    lag: Lag,
    claim: Option<Claim>,
) -> web_sys::Response {
    let said = CacheStatus::forward(CacheStatus::NAME, forward.reason());
    let place = store::shared_place(visit.key, found.marker.as_deref(), &visit.intake.facts);
    let outcome = ask(visit, &visit.intake.facts, &found, forward).await;
    let found_entry = found.entry.clone();
    match (outcome, found_entry) {
        (Outcome::New(head, answer), _) => {
            let said = stored(said.forward_status(answer.status), &head);
            let body = StoredBody::Origin(answer.response);
            let entry = Entry { head, body };
            store_copy_behind(visit, found, &entry, answer.asked_at, claim);
            let fields = Fields::New(&answer.fields);
            respond(visit, &entry, fields, &Place::Nowhere.sign(said, lag)).await
        }
        (Outcome::NewPart(part, mut answer), _) => {
            let said = said.forward_status(answer.status);
            let copy = answer.response.clone();
            let sent = send(visit, &answer, &Place::Nowhere.sign(said, lag));
            if let Ok(copy) = copy {
                answer.response = copy;
                store_part_behind(visit, found, part, answer);
            }
            sent
        }
        (Outcome::Completed(entry, answer), _) => {
            let said = stored(said.forward_status(answer.status), &entry.head);
            store_copy_behind(visit, found, &entry, answer.asked_at, claim);
            let said = Place::Nowhere.sign(said, lag);
            respond(visit, &entry, age_of(&entry), &said).await
        }
        (Outcome::Freshened(entry, answer), _) => {
            let said = stored(said.forward_status(answer.status), &entry.head);
            store_copy_behind(visit, found, &entry, answer.asked_at, claim);
            let said = entry.body.place().sign(said, lag);
            respond(visit, &entry, age_of(&entry), &said).await
        }
        (Outcome::Once(entry, because, answer), _) => {
            let said = said.forward_status(answer.status).not_stored(&because);
            store::forget(visit.key, found.marker.as_ref(), &entry.head).await;
            let said = entry.body.place().sign(said, lag);
            respond(visit, &entry, age_of(&entry), &said).await
        }
        (Outcome::Updated(head, answer), before) => {
            let said = said.forward_status(answer.status);
            if let Some(Entry { body, .. }) = before {
                store_behind(visit, found, Entry { head, body }, answer.asked_at, claim);
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
            respond(visit, &entry, Fields::Stored(age), &said).await
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
        // This comes of something that is stored; without it there is no answer to give.
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
            Outcome::Freshened(Entry { head, body }, answer) => {
                let body = match body {
                    StoredBody::Memory(bytes) => Some(StoredBody::Memory(bytes)),
                    // The stream went to the client; there is another one where it came from.
                    StoredBody::CacheApi(..) | StoredBody::Origin(_) => {
                        body_again(&visit, &found).await
                    }
                };
                (head, body, answer.asked_at)
            }
            Outcome::Once(..)
            | Outcome::Updated(..)
            | Outcome::NewPart(..)
            | Outcome::Completed(..)
            | Outcome::Stale(..)
            | Outcome::Passed(..)
            | Outcome::Failed(_) => return,
        };
        if let Some(body) = body {
            let entry = Entry { head, body };
            keep(&visit, found, entry, asked_at).await;
        }
        drop(claim);
    });
}

/// The body of what was found, once more; none if something else lies there by now.
async fn body_again(visit: &Visit, found: &Found) -> Option<StoredBody> {
    let before = found.entry.as_ref()?;
    let again = store::look_up_cache_api(visit.key, &visit.intake.facts, |_| false).await;
    let again = again.entry.filter(|again| again.head == before.head)?;
    Some(again.body)
}

fn stored(said: CacheStatus, head: &StoredResponse) -> CacheStatus {
    match head.freshness(clock::now().timestamp()) {
        Freshness::Fresh { remaining } => said.stored().ttl(remaining),
        Freshness::Stale { .. } => said.stored(),
    }
}

fn age_of(entry: &Entry) -> Fields<'static> {
    Fields::Stored(entry.head.current_age(clock::now().timestamp()))
}

fn store_copy_behind(
    visit: &Rc<Visit>,
    found: Found,
    entry: &Entry,
    asked_at: TimestampMillis,
    claim: Option<Claim>,
) {
    if let Some(copy) = entry.copy() {
        store_behind(visit, found, copy, asked_at, claim);
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
        keep(&visit_behind, found, entry, asked_at).await;
        drop(claim);
    });
}

/// Stores what an unsafe request brought behind its answer, after what it invalidated.
pub(crate) fn store_new_behind(visit: &Rc<Visit>, entry: Entry) {
    // Later than the invalidation that it came with, which is noted to the millisecond.
    let invalidated_at = clock::now();
    let asked_at = invalidated_at.saturating_add(Milliseconds::new(1));
    store_behind(visit, Found::default(), entry, asked_at, None);
}

/// Reads a part that goes to the client as well, and stores it, together with what is stored if they fit.
fn store_part_behind(visit: &Rc<Visit>, found: Found, part: parts::Part, answer: OriginAnswer) {
    let visit_behind = Rc::clone(visit);
    visit.context.wait_until(async move {
        match parts::kept(found.entry.as_ref(), part, &answer).await {
            Ok(entry) => keep(&visit_behind, found, entry, answer.asked_at).await,
            Err(_) => observe::count(Count::StoreFailed),
        }
    });
}

/// Stores `entry` under the key that it says itself, unless what is there is better.
async fn keep(visit: &Visit, found: Found, entry: Entry, asked_at: TimestampMillis) {
    let key = search::key_for(visit, &entry.head);
    let Found {
        entry: before,
        marker,
    } = found;
    // A marker from before an invalidation would lead to what was invalidated.
    let is_current = key == visit.key && !store::memory::invalidated_since(key, visit.now);
    let marker = marker.filter(|_| is_current);
    let may_replace = |head: &StoredResponse| {
        before.as_ref().is_none_or(|before| {
            let verdict = search::verdict(visit, &before.head);
            head.may_replace(&before.head, verdict, clock::now().timestamp())
        })
    };
    store::put(
        key,
        marker,
        &visit.intake.facts,
        entry,
        asked_at,
        may_replace,
    )
    .await;
}

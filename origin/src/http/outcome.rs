//! What a fill has for the client that began it.

use std::sync::Arc;

use ::http::{Response, StatusCode, response};
use terrace_shared::http::{Decision, Failure};
use terrace_shared::outcome::{CacheStatus, NotStored, StaleReason};
use terrace_shared::time::{DeltaSeconds, TimestampMillis};

use super::CacheBody;
use super::asked::Origin;
use super::fill::behind;
use super::growing::{Growing, Reader};
use super::lookup::Found;
use super::refusal::Refusal;
use super::respond::{Fields, Place, pass_on, respond, respond_growing};
use super::service::Answered;
use super::share::stored;
use super::store::Entry;
use super::visit::Visit;
use crate::ledger::Began;

/// What a fill has for the client that began it.
pub(super) enum Outcome<O: Origin> {
    /// A store had it by now.
    Found(Decision, Found),
    /// It is coming, to be stored.
    Growing {
        growing: Arc<Growing>,
        reader: Reader,
        status: StatusCode,
        fields: Fields,
    },
    /// The service says that what is stored is still right, or has completed it.
    Validated {
        entry: Arc<Entry>,
        status: StatusCode,
        kept: Result<(), NotStored>,
    },
    /// The service's own answer.
    AsItCame(Box<OwnAnswer<O::Body>>),
    /// An error, or no answer: what is stored stands in.
    Stale(StandIn),
    /// The service's own error.
    Error(O::Error),
    /// No answer, and nothing to send instead.
    NoAnswer(Failure),
}

/// The service's own answer.
pub(super) struct OwnAnswer<B> {
    pub(super) head: response::Parts,
    pub(super) body: CacheBody<B>,
    pub(super) received_at: TimestampMillis,
    pub(super) kept: AsItCame,
}

/// What is stored, in the place of an answer.
pub(super) struct StandIn {
    pub(super) entry: Arc<Entry>,
    pub(super) place: Place,
    pub(super) age: DeltaSeconds,
    pub(super) because: StaleReason,
    /// The status of the answer, if there was one.
    pub(super) status: Option<StatusCode>,
}

/// What becomes of an answer that is sent on as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AsItCame {
    /// It is a part, and stored.
    Stored,
    /// It has said more of what is stored.
    Heeded,
    /// It is not stored.
    Not(NotStored),
}

/// The answer from what is stored, if the decision is to reuse it; what is stale is refreshed behind it.
pub(super) fn reuse<O: Origin>(
    visit: &Arc<Visit>,
    origin: impl FnOnce() -> O,
    decision: &Decision,
    found: &Found,
) -> Option<Response<CacheBody<O::Body>>> {
    let entry = found.entry.as_ref()?;
    let (age, said) = match *decision {
        Decision::Reuse { age, remaining } => {
            let rules = &visit.intake.rules;
            if rules.is_due_early(&entry.head, remaining, fastrand::f64) {
                visit.site.counters().counts.early_refreshes_total.add_one();
                behind(visit, origin, found);
            }
            (age, visit.hit(remaining))
        }
        Decision::ReuseStale {
            age,
            stale_for,
            because,
        } => {
            behind(visit, origin, found);
            (age, visit.stale_hit(stale_for, because))
        }
        Decision::Validate(_)
        | Decision::Complete(_)
        | Decision::Forward(_)
        | Decision::GatewayTimeout => return None,
    };
    visit.site.counters().hit(found.place);
    let said = found.place.sign(said, visit.lag);
    Some(respond(visit, entry, age, &said))
}

/// The answer to the client that has begun a fill.
pub(super) fn tell<O: Origin>(
    visit: &Arc<Visit>,
    origin: O,
    outcome: Outcome<O>,
    began: &Began,
    said: CacheStatus,
) -> Answered<O::Body, O::Error> {
    let nowhere = |said| Place::Nowhere.sign(said, visit.lag);
    let now = visit.clock().timestamp();
    Ok(match outcome {
        Outcome::Found(decision, found) => reuse(visit, || origin, &decision, &found)
            .unwrap_or_else(|| Refusal::failed(visit, Failure::Unreachable, said).answer(visit)),
        Outcome::Growing {
            growing,
            reader,
            status,
            fields,
        } => {
            let said = stored(said.forward_status(status), growing.head.freshness(now));
            respond_growing(visit, &growing, reader, &fields, &nowhere(said))
        }
        Outcome::Validated {
            entry,
            status,
            kept,
        } => {
            let said = said.forward_status(status);
            let said = match kept {
                Ok(()) => stored(said, entry.head.freshness(now)),
                Err(because) => said.not_stored(&because),
            };
            respond(visit, &entry, entry.head.current_age(now), &nowhere(said))
        }
        Outcome::AsItCame(answer) => tell_as_it_came(visit, *answer, began, said),
        Outcome::Stale(stand_in) => tell_stale(visit, &stand_in, said),
        Outcome::Error(error) => return Err(error),
        Outcome::NoAnswer(failure) => Refusal::failed(visit, failure, said).answer(visit),
    })
}

fn tell_as_it_came<B>(
    visit: &Visit,
    answer: OwnAnswer<B>,
    began: &Began,
    said: CacheStatus,
) -> Response<CacheBody<B>> {
    let said = said.forward_status(answer.head.status);
    let said = match &answer.kept {
        AsItCame::Stored => said.stored(),
        AsItCame::Heeded => said,
        AsItCame::Not(because) => said.not_stored(because),
    };
    let said = Place::Nowhere.sign(said, visit.lag);
    pass_on(visit, answer, &said, began.epoch)
}

fn tell_stale<B>(visit: &Visit, stand_in: &StandIn, said: CacheStatus) -> Response<CacheBody<B>> {
    visit.site.counters().counts.stale_served_total.add_one();
    let said = match stand_in.status {
        Some(status) => said.forward_status(status),
        None => said,
    };
    let said = said.detail(stand_in.because.as_str());
    let said = stand_in.place.sign(said, visit.lag);
    respond(visit, &stand_in.entry, stand_in.age, &said)
}

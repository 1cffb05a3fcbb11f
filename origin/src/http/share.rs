//! What a fill has for those who wait for it, and what they make of it.

use std::sync::Arc;

use ::http::header::HeaderName;
use ::http::{Response, StatusCode};
use terrace_shared::http::{Decision, Failure, Freshness, OnFailure, on_failure};
use terrace_shared::intake::judge;
use terrace_shared::outcome::{CacheStatus, StaleReason};
use terrace_shared::purge::Verdict;
use terrace_shared::sabotage::{self, Rule};

use super::CacheBody;
use super::fill::Forward;
use super::growing::Growing;
use super::lookup::{Found, judge_one};
use super::refusal::Refusal;
use super::respond::{Fields, Place, respond, respond_growing};
use super::store::Entry;
use super::visit::Visit;

/// What a fill has for those who wait for it.
#[derive(Clone, Debug)]
pub(super) enum Landing {
    /// A store had it by now.
    Found(Arc<Entry>, Place),
    /// The service says that it is still right, or has completed it.
    Validated(Arc<Entry>, StatusCode),
    /// It is coming.
    Growing(Arc<Growing>, StatusCode),
    /// It is of no use to anybody else.
    Alone,
    /// The service answered with an error, and something stale stands in for it.
    Error(StatusCode),
    /// The service gave no answer.
    Failed(Failure),
}

impl Landing {
    /// Which store had it, if one had.
    pub(super) const fn place(&self) -> Option<Place> {
        match self {
            Self::Found(_, place) => Some(*place),
            Self::Validated(..)
            | Self::Growing(..)
            | Self::Alone
            | Self::Error(_)
            | Self::Failed(_) => None,
        }
    }
}

/// What a request makes of another one's fill.
pub(super) enum Taken<B> {
    /// This answer.
    Answer(Response<CacheBody<B>>),
    /// Nothing: it began before a purge that is known by now.
    Outdated,
    /// Nothing: it is for other requests, which these fields tell apart.
    OtherVariant(Vec<HeaderName>),
    /// Nothing.
    Nothing,
}

/// What the request of `visit` makes of what another one's fill has landed with: judged again, now that all
/// its surrogate keys are known (R5).
pub(super) fn take<B>(
    visit: &Visit,
    found: &Found,
    forward: &Forward,
    landing: Landing,
) -> Taken<B> {
    let said = visit.forwarded(forward.reason());
    match landing {
        Landing::Found(entry, place) => take_entry(visit, &entry, place, None),
        Landing::Validated(entry, status) => {
            let freshness = entry.head.freshness(visit.clock().timestamp());
            let said = stored(said.forward_status(status).collapsed(), freshness);
            take_entry(visit, &entry, Place::Nowhere, Some(said))
        }
        Landing::Growing(growing, status) => {
            let said = said.forward_status(status).collapsed();
            take_growing(visit, &growing, said)
        }
        Landing::Alone => Taken::Nothing,
        Landing::Error(status) => {
            let said = said.forward_status(status).collapsed();
            let because = StaleReason::OriginError;
            take_stale(visit, found, (Failure::Unreachable, because), said)
                .map_or(Taken::Nothing, Taken::Answer)
        }
        Landing::Failed(failure) => {
            let said = said.collapsed();
            let because = StaleReason::OriginUnreachable;
            let stale = take_stale(visit, found, (failure, because), said.clone());
            Taken::Answer(
                stale.unwrap_or_else(|| Refusal::failed(visit, failure, said).answer(visit)),
            )
        }
    }
}

fn take_entry<B>(
    visit: &Visit,
    entry: &Arc<Entry>,
    place: Place,
    said: Option<CacheStatus>,
) -> Taken<B> {
    if visit.verdict(entry) == Verdict::Dropped {
        return Taken::Outdated;
    }
    if !entry.head.vary().matches(&visit.intake.facts) {
        return Taken::OtherVariant(entry.head.vary().names().cloned().collect());
    }
    let (age, said) = match judge_one(visit, entry, visit.clock().timestamp()) {
        Decision::Reuse { age, remaining } => (age, said.unwrap_or_else(|| visit.hit(remaining))),
        Decision::ReuseStale {
            age,
            stale_for,
            because,
        } => {
            let hit = || visit.stale_hit(stale_for, because);
            // Validated, and softened since.
            let validated = said.map(|said| said.detail(because.as_str()));
            (age, validated.unwrap_or_else(hit))
        }
        Decision::Validate(_)
        | Decision::Complete(_)
        | Decision::Forward(_)
        | Decision::GatewayTimeout => return Taken::Nothing,
    };
    let said = place.sign(said, visit.lag);
    Taken::Answer(respond(visit, entry, age, &said))
}

fn take_growing<B>(visit: &Visit, growing: &Arc<Growing>, said: CacheStatus) -> Taken<B> {
    let head = &growing.head;
    let intake = &visit.intake;
    let verdict = match visit.under_tokens(|| visit.verdict_on(head)) {
        _ if sabotage::breaks(Rule::JoinAfterPurge) => Verdict::Untouched,
        verdict => verdict,
    };
    if verdict != Verdict::Untouched {
        return Taken::Outdated;
    }
    if !head.vary().matches(&intake.facts) {
        return Taken::OtherVariant(head.vary().names().cloned().collect());
    }
    let now = visit.clock().timestamp();
    let decision = judge(
        &intake.facts,
        Some(head),
        (verdict, visit.lag),
        now,
        &intake.rules,
    );
    let age = match decision {
        Decision::Reuse { age, .. } | Decision::ReuseStale { age, .. } => age,
        Decision::Validate(_)
        | Decision::Complete(_)
        | Decision::Forward(_)
        | Decision::GatewayTimeout => return Taken::Nothing,
    };
    // Too late for its beginning: by now it is stored, or will not be.
    let Some(reader) = growing.read() else {
        return Taken::Nothing;
    };
    let said = stored(said, head.freshness(now));
    let said = Place::Nowhere.sign(said, visit.lag);
    let fields = Fields::Stored(age);
    Taken::Answer(respond_growing(visit, growing, reader, &fields, &said))
}

/// What is stored, if it may stand in for a service that fails.
fn take_stale<B>(
    visit: &Visit,
    found: &Found,
    (failure, because): (Failure, StaleReason),
    said: CacheStatus,
) -> Option<Response<CacheBody<B>>> {
    let (entry, verdict) = found.usable(visit)?;
    let facts = &visit.intake.facts;
    let now = visit.clock().timestamp();
    let rules = visit.intake.rules.decide();
    match on_failure(facts, Some(&entry.head), verdict, failure, now, rules) {
        OnFailure::ServeStale { age, .. } => {
            let said = found.place.sign(said.detail(because.as_str()), visit.lag);
            visit.site.counters().counts.stale_served_total.add_one();
            Some(respond(visit, entry, age, &said))
        }
        OnFailure::BadGateway | OnFailure::GatewayTimeout => None,
    }
}

/// Says that a response was stored, and for how long it is fresh.
pub(super) fn stored(said: CacheStatus, freshness: Freshness) -> CacheStatus {
    match freshness {
        Freshness::Fresh { remaining } => said.stored().ttl(remaining),
        Freshness::Stale { .. } => said.stored(),
    }
}

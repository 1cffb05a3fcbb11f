//! From a request that nothing stored can answer to its answer: one asks the service, and the others who want
//! the same meanwhile take what it gets.
//!
//! The ledger's epoch is read before the service is asked (R1): a purge that arrives while the answer is
//! under way has a later place, so the answer is stored and never believed. And nobody joins a fill that began
//! before a purge that is known by now (R5).

use std::sync::Arc;

use ::http::header::{CACHE_CONTROL, HeaderName, IF_MATCH, IF_UNMODIFIED_SINCE, PRAGMA, RANGE};
use ::http::{HeaderMap, HeaderValue, Method};
use terrace_shared::http::{
    CompletionRequest, Decision, Failure, ForwardAs, ValidationRequest, VaryKey,
};
use terrace_shared::outcome::ForwardReason;
use terrace_shared::policy::OnLedgerLag;
use terrace_shared::purge::token::Reach;
use terrace_shared::purge::{EntryScopes, Lag, Verdict};
use terrace_shared::sabotage::{self, Rule};
use terrace_shared::time::Milliseconds;
use tokio::sync::oneshot;

use super::asked::Origin;
use super::filler::{Filler, Purpose};
use super::lookup::Found;
use super::outcome::tell;
use super::refusal::Refusal;
use super::service::Answered;
use super::share::{Landing, Taken, take};
use super::store::{Entry, key_text};
use super::visit::Visit;
use crate::flight::{Follow, Lead, Role};
use crate::ledger::Began;

/// Why, and as what, the service is asked.
#[derive(Clone, Debug)]
pub(super) enum Forward {
    /// Whether what is stored is still right.
    Validating(ValidationRequest),
    /// For the bytes that a stored part lacks.
    Completing(CompletionRequest),
    /// For a response.
    Plain(ForwardReason),
}

/// Who may share a fill with whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Company {
    /// Everybody who asks for the same, unless a purge came in between.
    Any,
    /// Those who came since the last purge of anything.
    Recent,
    /// Nobody.
    None,
}

impl Forward {
    /// The question that refreshes what is stored behind an answer.
    pub(super) fn refreshing(entry: Option<&Arc<Entry>>) -> Self {
        entry
            .and_then(|entry| ValidationRequest::of(&entry.head, ForwardReason::Stale))
            .map_or(Self::Plain(ForwardReason::Stale), Self::Validating)
    }

    /// What a decision asks for; none if it asks for nothing.
    pub(super) fn of(decision: Decision) -> Option<Self> {
        match decision {
            Decision::Reuse { .. } | Decision::ReuseStale { .. } | Decision::GatewayTimeout => None,
            Decision::Validate(validation) => Some(Self::Validating(validation)),
            Decision::Complete(completion) => Some(Self::Completing(completion)),
            Decision::Forward(reason) => Some(Self::Plain(reason)),
        }
    }

    pub(super) const fn reason(&self) -> ForwardReason {
        match self {
            Self::Validating(validation) => validation.because,
            Self::Completing(completion) => completion.because,
            Self::Plain(reason) => *reason,
        }
    }

    /// As what the service is asked on behalf of `visit`.
    pub(super) fn forward_as(&self, visit: &Visit) -> ForwardAs<'_> {
        match self {
            Self::Validating(validation) => ForwardAs::Validation(validation),
            Self::Completing(completion) => ForwardAs::Completion(completion),
            Self::Plain(_) if company(visit, self) == Company::None => ForwardAs::Client,
            // The client's conditions are held against the whole, which serves others too.
            Self::Plain(_) => ForwardAs::Fill,
        }
    }
}

/// Asks the service, or waits for somebody who does, and answers.
pub(super) async fn answer<O: Origin>(
    visit: Arc<Visit>,
    origin: O,
    found: Found,
    forward: Forward,
) -> Answered<O::Body, O::Error> {
    /// Most fills that a request follows before it asks itself.
    const MOST_FOLLOWED: usize = 4;

    let mut company = company(&visit, &forward);
    let mut key = flight_key(&visit, &found);
    for _ in 0..MOST_FOLLOWED {
        let follow = match join(&visit, &key, company) {
            Boarding::Lead(lead, began) => {
                return lead_on(visit, origin, found, forward, began, Some(lead)).await;
            }
            Boarding::Alone => break,
            Boarding::Follow(follow) => follow,
        };
        let Some(landing) = follow.landed().await else {
            continue; // the leader gave up
        };
        let place = landing.place();
        match take(&visit, &found, &forward, landing) {
            Taken::Answer(response) => {
                let counters = visit.site.counters();
                counters.counts.coalesced_total.add_one();
                match place {
                    Some(place) => counters.hit(place),
                    None => counters.forward(forward.reason()),
                }
                return Ok(response);
            }
            Taken::Outdated => company = Company::Recent,
            Taken::OtherVariant(names) => key = variant_key(&visit, names),
            Taken::Nothing => break,
        }
    }
    let began = visit.site.begin();
    lead_on(visit, origin, found, forward, began, None).await
}

/// Refreshes what is stored behind an answer, unless somebody is at it.
pub(super) fn behind<O: Origin>(visit: &Arc<Visit>, origin: impl FnOnce() -> O, found: &Found) {
    let now = visit.clock();
    let resting = |entry: &Arc<Entry>| !entry.is_refreshable(now);
    if found.entry.as_ref().is_some_and(resting) {
        return;
    }
    let key = flight_key(visit, found);
    if let Boarding::Lead(lead, began) = join(visit, &key, Company::Any) {
        let forward = Forward::refreshing(found.entry.as_ref());
        let purpose = Purpose::Background(Box::new(visit.intake.facts.for_fill()));
        let filler = Filler::new(
            visit.clone(),
            origin(),
            found.clone(),
            forward,
            purpose,
            began,
        );
        tokio::spawn(filler.leading(lead).run(None));
    }
}

/// Asks on a task of its own, which goes on if the client does not.
async fn lead_on<O: Origin>(
    visit: Arc<Visit>,
    origin: O,
    found: Found,
    forward: Forward,
    began: Began,
    lead: Option<Lead<Began, Landing>>,
) -> Answered<O::Body, O::Error> {
    let reason = forward.reason();
    let (teller, told) = oneshot::channel();
    let again = origin.clone();
    let purpose = Purpose::Client;
    let mut filler = Filler::new(visit.clone(), origin, found, forward, purpose, began);
    if let Some(lead) = lead {
        filler = filler.leading(lead);
    }
    tokio::spawn(filler.run(Some(teller)));
    // Without word of it, its task has panicked, or the runtime is going down.
    let Ok((reason, outcome)) = told.await else {
        let said = visit.forwarded(reason);
        return Ok(Refusal::failed(&visit, Failure::Unreachable, said).answer(&visit));
    };
    let said = visit.forwarded(reason);
    tell(&visit, again, outcome, &began, said)
}

enum Boarding {
    Lead(Lead<Began, Landing>, Began),
    Follow(Follow<Landing>),
    Alone,
}

fn join(visit: &Visit, key: &Arc<str>, company: Company) -> Boarding {
    if company == Company::None {
        return Boarding::Alone;
    }
    let began = visit.site.begin();
    let joinable = |other: &Began| is_joinable(visit, other, company);
    match visit.site.flights.join(key, began, joinable) {
        Role::Lead(lead) => Boarding::Lead(lead, began),
        Role::Follow(follow) => Boarding::Follow(follow),
    }
}

/// Whether a request may join a fill that began so (R5).
fn is_joinable(visit: &Visit, began: &Began, company: Company) -> bool {
    let engine = visit.site.engine();
    // One that began before the bound may miss a purge that every reader must see by now.
    let age = engine.clock.moment().saturating_since(began.at);
    let distrusts = match visit.route().on_ledger_lag {
        OnLedgerLag::Revalidate | OnLedgerLag::Fail => visit.lag != Lag::Within,
        OnLedgerLag::ServeStale => false,
    };
    if distrusts && age > Milliseconds::from(visit.route().purge_bound) {
        return false;
    }
    if let Some(after) = &visit.after
        && engine.view().reach_of(began, &after.origin) == Reach::Behind
    {
        return false; // it began before a purge that the request's tokens name
    }
    if began.generation == engine.view().generation() || sabotage::breaks(Rule::JoinAfterPurge) {
        return true;
    }
    let Some(fence) = began.fence().filter(|_| company == Company::Any) else {
        return false;
    };
    let intake = &visit.intake;
    let scopes = EntryScopes::of_url(intake.target.host(), &intake.path_and_query, []);
    engine.view().verdict(&fence, &scopes) == Verdict::Untouched
}

/// Whose fill a request may share.
fn company(visit: &Visit, forward: &Forward) -> Company {
    let fields = &visit.intake.fields;
    let of_its_own = [RANGE, IF_MATCH, IF_UNMODIFIED_SINCE]
        .iter()
        .any(|name| fields.contains_key(name));
    let plain = match forward {
        Forward::Validating(_) => true,
        Forward::Completing(_) => false,
        Forward::Plain(_) => !of_its_own && *visit.intake.facts.method() == Method::GET,
    };
    let wants_own = forward.reason() == ForwardReason::Request || wants_of_now(fields);
    let marked = visit.site.markers.has(&visit.intake.key, visit.now);
    if plain && !wants_own && !marked && *visit.intake.facts.method() == Method::GET {
        Company::Any
    } else {
        Company::None
    }
}

/// Whether a client wants an answer of now, and none that was asked for a moment ago (RFC 9111 §5.2.1.4).
fn wants_of_now(fields: &HeaderMap) -> bool {
    let mut lines = fields.get_all(CACHE_CONTROL).iter();
    let no_cache = |text: &HeaderValue| {
        let mut words = text.as_bytes().windows(NO_CACHE.len());
        words.any(|word| word.eq_ignore_ascii_case(NO_CACHE))
    };
    lines.any(no_cache) || fields.get(PRAGMA).is_some_and(no_cache)
}

const NO_CACHE: &[u8] = b"no-cache";

/// The key of the fill that a request shares: of its variant, if its URL is known to have some.
fn flight_key(visit: &Visit, found: &Found) -> Arc<str> {
    let entries = found.variants.as_slice().iter();
    let names: Vec<HeaderName> = entries
        .flat_map(|entry| entry.head.vary().names().cloned())
        .collect();
    variant_key(visit, names)
}

fn variant_key(visit: &Visit, names: Vec<HeaderName>) -> Arc<str> {
    let url = key_text(&visit.intake.key);
    if names.is_empty() {
        return url.into();
    }
    let vary = VaryKey::of(names, &visit.intake.facts).to_bytes();
    format!("{url}#{}", vary.escape_ascii()).into()
}

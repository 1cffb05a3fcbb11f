//! The task of a fill: looks into the stores once more, asks the service, and hands out what comes.

use std::sync::Arc;

use ::http::header::HOST;
use ::http::{Request, response};
use parking_lot::Mutex;
use terrace_shared::http::{
    Decision, Exchange, Failure, Fill, ForwardAs, RequestFacts, ResponseHead, decide,
    on_response_among, request_fields,
};
use terrace_shared::intake::{ROUTE_KEYS, origin_fields, route_keys};
use terrace_shared::outcome::{ForwardReason, NotStored};
use terrace_shared::purge::{Fence, Verdict};
use terrace_shared::sabotage::{self, Rule};
use terrace_shared::time::TimestampMillis;
use tokio::sync::oneshot;

use super::asked::Origin;
use super::fill::Forward;
use super::keys;
use super::lookup::{Found, held, look_in_shared, look_up};
use super::outcome::Outcome;
use super::pump::{self, Pump};
use super::share::Landing;
use super::store::Entry;
use super::visit::Visit;
use crate::flight::Lead;
use crate::ledger::Began;

/// The task of a fill.
pub(super) struct Filler<O> {
    pub(super) visit: Arc<Visit>,
    /// Locked to be cloned, and for nothing else: a service need not be `Sync`.
    origin: Mutex<O>,
    pub(super) found: Found,
    forward: Forward,
    pub(super) purpose: Purpose,
    pub(super) began: Began,
    /// None if nobody shares the fill.
    pub(super) lead: Option<Lead<Began, Landing>>,
}

/// For whom a fill is.
pub(super) enum Purpose {
    /// For a client, as it asked.
    Client,
    /// For those to come: it asks for the whole.
    Background(Box<RequestFacts>),
}

/// What asking came to, and the body that is to be stored, if one is coming.
pub(super) type Filled<O> = (Outcome<O>, Option<Pump<<O as Origin>::Body>>);

/// The way to the client that waits: why the service was asked, and what came of it.
pub(super) type Teller<O> = oneshot::Sender<(ForwardReason, Outcome<O>)>;

/// What asking once came to.
pub(super) enum Asked<O: Origin> {
    Filled(Filled<O>),
    /// It was not about what is stored: ask for the whole.
    Again,
}

/// The service's answer.
pub(super) struct Answer<B> {
    pub(super) head: response::Parts,
    pub(super) body: B,
    pub(super) requested_at: TimestampMillis,
    pub(super) received_at: TimestampMillis,
}

impl<O: Origin> Filler<O> {
    pub(super) const fn new(
        visit: Arc<Visit>,
        origin: O,
        found: Found,
        forward: Forward,
        purpose: Purpose,
        began: Began,
    ) -> Self {
        Self {
            visit,
            origin: Mutex::new(origin),
            found,
            forward,
            purpose,
            began,
            lead: None,
        }
    }

    /// The same fill, which others may share.
    pub(super) fn leading(self, lead: Lead<Began, Landing>) -> Self {
        let lead = Some(lead);
        Self { lead, ..self }
    }

    /// Fills, and tells the client that waits for it, if there is one.
    pub(super) async fn run(mut self, teller: Option<Teller<O>>) {
        let (outcome, pump) = if let Some(outcome) = self.look_again().await {
            (outcome, None)
        } else {
            self.count();
            self.fill().await
        };
        let reason = self.forward.reason();
        let landing = self.landing(&outcome);
        if let Some(lead) = &self.lead {
            lead.announce(landing);
        }
        let Some(pump) = pump else {
            self.lead = None; // before the client can come again
            tell(teller, reason, outcome);
            return;
        };
        tell(teller, reason, outcome);
        pump::run(&self.visit, pump, self.lead).await;
    }

    fn count(&self) {
        let counters = self.visit.site.counters();
        match self.purpose {
            Purpose::Client => counters.forward(self.forward.reason()),
            Purpose::Background(_) => counters.counts.background_fills_total.add_one(),
        }
    }

    /// What the stores have by now: another fill may have landed since the request found nothing, here or in
    /// another process.
    async fn look_again(&mut self) -> Option<Outcome<O>> {
        if self.forward.reason() == ForwardReason::Request {
            return None; // whatever is stored, the client wants an answer of now
        }
        let visit = self.visit.clone();
        let (mut decision, mut found) = look_up(&visit, visit.clock().timestamp());
        if !self.is_enough(&decision, &found)
            && let Some(merged) = look_in_shared(&visit, &found).await
        {
            (decision, found) = merged;
        }
        if self.is_enough(&decision, &found) {
            return Some(Outcome::Found(decision, found));
        }
        self.forward = match &self.purpose {
            Purpose::Background(_) => Forward::refreshing(found.entry.as_ref()),
            Purpose::Client => Forward::of(decision)?,
        };
        self.found = found;
        None
    }

    /// Whether what is found makes asking needless.
    fn is_enough(&self, decision: &Decision, found: &Found) -> bool {
        match &self.purpose {
            Purpose::Client => {
                matches!(
                    decision,
                    Decision::Reuse { .. } | Decision::ReuseStale { .. }
                )
            }
            Purpose::Background(facts) => found.entry.as_ref().is_some_and(|entry| {
                let received_at = |entry: &Entry| entry.head.exchange().received_at;
                self.is_fresh(facts, entry)
                    && self.found.entry.as_ref().is_none_or(|held| {
                        // What is refreshed early is fresh itself: only a newer one is better.
                        received_at(entry) > received_at(held) || !self.is_fresh(facts, held)
                    })
            }),
        }
    }

    fn is_fresh(&self, facts: &RequestFacts, entry: &Arc<Entry>) -> bool {
        let (visit, rules) = (&*self.visit, self.visit.intake.rules.decide());
        let (verdict, now) = (visit.verdict(entry), visit.clock().timestamp());
        let decision = decide(facts, Some(&entry.head), verdict, now, rules);
        matches!(decision, Decision::Reuse { .. })
    }

    /// Asks the service, once more if it has answered something that is not about what is stored.
    async fn fill(&mut self) -> Filled<O> {
        match self.ask(self.forward.forward_as(&self.visit), None).await {
            Asked::Filled(filled) => filled,
            Asked::Again => match self.ask_again().await {
                Asked::Filled(filled) => filled,
                Asked::Again => (Outcome::NoAnswer(Failure::Unreachable), None),
            },
        }
    }

    async fn ask_again(&self) -> Asked<O> {
        match &self.forward {
            // What the client wants is a range, and nothing else about it is open.
            Forward::Completing(_) => self.ask(ForwardAs::Client, None).await,
            Forward::Validating(_) | Forward::Plain(_) => {
                let whole = self.facts().for_fill();
                self.ask(ForwardAs::Fill, Some(&whole)).await
            }
        }
    }

    /// What matters of the request.
    pub(super) fn facts(&self) -> &RequestFacts {
        match &self.purpose {
            Purpose::Client => &self.visit.intake.facts,
            Purpose::Background(facts) => facts,
        }
    }

    async fn ask(&self, forward_as: ForwardAs<'_>, whole: Option<&RequestFacts>) -> Asked<O> {
        let visit = &*self.visit;
        let facts = whole.unwrap_or_else(|| self.facts());
        // What is dropped by now is not considered, whatever the service says of it.
        let mut considered = self.found.variants.as_slice().to_vec();
        considered.retain(|entry| visit.verdict(entry) != Verdict::Dropped);

        let requested_at = visit.clock();
        let origin = self.origin.lock().clone();
        let asked = origin.ask(self.request(facts, forward_as));
        let limit = visit.site.config.head_timeout;
        let (head, body) = match tokio::time::timeout(limit, asked).await {
            Ok(Ok(response)) => response.into_parts(),
            Ok(Err(error)) => return self.failed(Failure::Unreachable, Some(error)),
            Err(_) => return self.failed(Failure::TimedOut, None),
        };
        let answer = Answer {
            head,
            body,
            requested_at,
            received_at: visit.clock(),
        };
        self.decide(answer, facts, &considered, forward_as).await
    }

    /// The request that goes to the service: nothing in it that the key does not name.
    fn request(&self, facts: &RequestFacts, forward_as: ForwardAs<'_>) -> Request<()> {
        let visit = &*self.visit;
        let mut request = visit.request(facts.method());
        let fields = request_fields(&visit.intake.fields, forward_as);
        *request.headers_mut() = origin_fields(fields, &visit.intake.target);
        if let Some(host) = visit.host() {
            request.headers_mut().insert(HOST, host);
        }
        request
    }

    /// What the service's answer is good for.
    async fn decide(
        &self,
        mut answer: Answer<O::Body>,
        facts: &RequestFacts,
        considered: &[Arc<Entry>],
        asked: ForwardAs<'_>,
    ) -> Asked<O> {
        let visit = &*self.visit;
        keys::into_fields(&mut answer.head);
        let late = sabotage::breaks(Rule::FenceBeforeSource);
        let began = if late { visit.site.begin() } else { self.began };
        let Some(epoch) = began.epoch else {
            return self.passed(answer, NotStored::LedgerLag);
        };
        let target = &visit.intake.target;
        if let Some(keys) = route_keys(visit.route(), target.path()) {
            answer.head.headers.insert(ROUTE_KEYS, keys);
        }
        let fill = Fill {
            exchange: Exchange::between(answer.requested_at, answer.received_at),
            fence: Fence::at(epoch),
            host: target.host(),
            path_and_query: &visit.intake.path_and_query,
            asked,
        };
        let head = ResponseHead {
            status: answer.head.status,
            fields: &answer.head.headers,
        };
        let stored = held(visit, considered);
        let among = on_response_among(facts, head, &stored, &fill, visit.intake.rules.decide());
        drop(stored);
        answer.head.headers.remove(ROUTE_KEYS);
        let entry = among.place.and_then(|place| considered.get(place));
        self.act(answer, among.said, entry).await
    }
}

/// An error means that the client has gone.
fn tell<O: Origin>(teller: Option<Teller<O>>, reason: ForwardReason, outcome: Outcome<O>) {
    if let Some(teller) = teller {
        let _ = teller.send((reason, outcome));
    }
}

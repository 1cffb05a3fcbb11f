//! What is done about the service's answer, and what others get of it.

use std::sync::Arc;

use ::http::StatusCode;
use ::http::header::AGE;
use bytes::Bytes;
use terrace_shared::http::{
    Combined, Decision, Extent, Failure, OnFailure, OnResponse, Piece, RequestFacts, Source,
    StoredResponse, combine, decide, on_failure,
};
use terrace_shared::outcome::{NotStored, StaleReason};
use terrace_shared::purge::Verdict;
use terrace_shared::time::{DeltaSeconds, Milliseconds};

use super::CacheBody;
use super::asked::Origin;
use super::filler::{Answer, Asked, Filler, Purpose};
use super::growing::Growing;
use super::outcome::{AsItCame, Outcome};
use super::pump::{self, Ended, Keep, Pump};
use super::respond::{Age, cut};
use super::share::Landing;
use super::store::{Entry, Kept};

impl<O: Origin> Filler<O> {
    /// How long a stored response is not refreshed behind answers after that has failed.
    const REST: Milliseconds = Milliseconds::new(1_000);

    /// Does what was decided about the service's answer, which may be about `entry`.
    pub(super) async fn act(
        &self,
        answer: Answer<O::Body>,
        said: OnResponse,
        entry: Option<&Arc<Entry>>,
    ) -> Asked<O> {
        let status = answer.head.status;
        match (said, entry) {
            (OnResponse::Store(head), _) => self.store(answer, *head),
            (OnResponse::Complete(combined), Some(entry)) => {
                self.complete(answer, *combined, entry).await
            }
            (OnResponse::Combine(combined), Some(entry)) => {
                let keep = Keep::CombinedWith(entry.clone());
                self.store_as_it_came(answer, *combined.newer, keep)
            }
            (OnResponse::Freshen(head), Some(entry)) => {
                self.visit.site.counters().counts.freshened_total.add_one();
                let entry = Arc::new(entry.with_head(*head));
                self.keep(&entry);
                self.validated(entry, status, Ok(()))
            }
            (OnResponse::AnswerOnce { head, because }, Some(entry)) => {
                self.forget(entry);
                self.visit.site.counters().not_stored(&because);
                self.validated(Arc::new(entry.with_head(*head)), status, Err(because))
            }
            (OnResponse::Update(head), Some(entry)) => {
                self.keep(&Arc::new(entry.with_head(*head)));
                self.as_it_came(answer, AsItCame::Heeded)
            }
            (OnResponse::ServeStale { age, because, .. }, Some(entry)) => {
                self.stale(entry, age, because, Some(status))
            }
            (OnResponse::Pass(because), _) => self.passed(answer, because),
            (OnResponse::AskAgain, _) => Asked::Again,
            // These are about something that is stored; without it there is nothing to make of them.
            (
                OnResponse::Complete(_)
                | OnResponse::Combine(_)
                | OnResponse::Freshen(_)
                | OnResponse::AnswerOnce { .. }
                | OnResponse::Update(_)
                | OnResponse::ServeStale { .. },
                None,
            ) => self.passed(answer, NotStored::StoreFailed),
        }
    }

    fn store(&self, answer: Answer<O::Body>, head: StoredResponse) -> Asked<O> {
        if matches!(head.extent(), Extent::Partial { .. }) {
            return self.store_as_it_came(answer, head, Keep::AsItIs);
        }
        let age = if answer.head.headers.contains_key(AGE) {
            Age::Stored(head.current_age(answer.received_at.timestamp()))
        } else {
            Age::New
        };
        let Some(growing) = self.growing(head) else {
            return self.passed(answer, NotStored::TooLarge);
        };
        let Some(reader) = growing.read() else {
            return self.passed(answer, NotStored::StoreFailed);
        };
        let outcome = Outcome::Growing {
            growing: growing.clone(),
            reader,
            status: answer.head.status,
            age,
        };
        let pump = Pump {
            body: answer.body,
            growing,
            keep: Keep::AsItIs,
        };
        Asked::Filled((outcome, Some(pump)))
    }

    /// Stores the body of an answer that goes to the client as it is.
    fn store_as_it_came(
        &self,
        answer: Answer<O::Body>,
        head: StoredResponse,
        keep: Keep,
    ) -> Asked<O> {
        let Some(growing) = self.growing(head) else {
            return self.passed(answer, NotStored::TooLarge);
        };
        let Some(reader) = growing.read() else {
            return self.passed(answer, NotStored::StoreFailed);
        };
        let pump = Pump {
            body: answer.body,
            growing,
            keep,
        };
        let outcome = Outcome::AsItCame {
            head: Box::new(answer.head),
            body: CacheBody::growing(reader),
            received_at: answer.received_at,
            kept: AsItCame::Stored,
        };
        Asked::Filled((outcome, Some(pump)))
    }

    /// A response that is going to be stored; none if it is known to be too large.
    fn growing(&self, head: StoredResponse) -> Option<Arc<Growing>> {
        let expected = length_of(&head);
        let largest = self.visit.site.config.largest_body.as_u64();
        (expected.unwrap_or_default() <= largest)
            .then(|| Growing::new(head, self.began.epoch, expected))
    }

    /// Waits for the bytes that the stored part lacked, and answers from both together.
    async fn complete(
        &self,
        answer: Answer<O::Body>,
        combined: Combined,
        entry: &Arc<Entry>,
    ) -> Asked<O> {
        let site = &self.visit.site;
        let largest = site.config.largest_body.as_u64();
        if length_of(&combined.head).is_none_or(|length| length > largest) {
            return Asked::Again;
        }
        let Some(growing) = self.growing(*combined.newer) else {
            return Asked::Again;
        };
        let Ended::Kept {
            received,
            last,
            end,
            error,
        } = pump::read(answer.body, &growing, site, |_| {}).await
        else {
            return Asked::Again;
        };
        let body = growing.collected(last.as_ref());
        if error.is_some() {
            return Asked::Again;
        }
        let newer = growing.head.clone().after_body(received, end);
        let Some(combined) = newer.ok().and_then(|newer| combine(&entry.head, &newer)) else {
            return Asked::Again;
        };
        let entry = Arc::new(assemble(combined, &entry.body, &body));
        self.keep(&entry);
        self.validated(entry, answer.head.status, Ok(()))
    }

    /// Stores what is complete, if no purge has overtaken it.
    pub(super) fn keep(&self, entry: &Arc<Entry>) {
        let visit = &*self.visit;
        let counters = visit.site.counters();
        if visit.verdict_on(&entry.head) != Verdict::Untouched {
            counters.counts.outrun_fills_total.add_one();
            return;
        }
        let key = visit.site.key_of(visit, &entry.head);
        let now = visit.clock().timestamp();
        let judge = |entry: &Arc<Entry>| visit.verdict(entry);
        match visit.site.memory.put(&key, entry, judge, now) {
            Kept::Yes => {}
            Kept::No => return,
        }
        counters.counts.stored_total.add_one();
        let length = entry.body.len() as u64;
        counters.counts.stored_bytes_total.add(length);
        if let Some(shared) = &visit.site.shared
            && length <= visit.site.config.largest_shared_body.as_u64()
        {
            shared.put(&key, entry, now);
        }
    }

    /// Forgets what must not be stored any longer.
    fn forget(&self, entry: &Entry) {
        let visit = &*self.visit;
        visit
            .site
            .memory
            .remove(&visit.intake.key, entry.head.vary());
        if let Some(shared) = &visit.site.shared {
            shared.remove(&visit.intake.key, entry);
        }
    }

    pub(super) fn passed(&self, answer: Answer<O::Body>, because: NotStored) -> Asked<O> {
        self.visit.site.counters().not_stored(&because);
        self.as_it_came(answer, AsItCame::Not(because))
    }

    fn as_it_came(&self, answer: Answer<O::Body>, kept: AsItCame) -> Asked<O> {
        let outcome = Outcome::AsItCame {
            head: Box::new(answer.head),
            body: CacheBody::service(answer.body),
            received_at: answer.received_at,
            kept,
        };
        Asked::Filled((outcome, None))
    }

    fn validated(
        &self,
        entry: Arc<Entry>,
        status: StatusCode,
        kept: Result<(), NotStored>,
    ) -> Asked<O> {
        let outcome = Outcome::Validated {
            entry,
            status,
            kept,
        };
        Asked::Filled((outcome, None))
    }

    fn stale(
        &self,
        entry: &Arc<Entry>,
        age: DeltaSeconds,
        because: StaleReason,
        status: Option<StatusCode>,
    ) -> Asked<O> {
        let outcome = Outcome::Stale {
            entry: entry.clone(),
            place: self.found.place,
            age,
            because,
            status,
        };
        Asked::Filled((outcome, None))
    }

    /// What to do when the service gives no answer.
    pub(super) fn failed(&self, failure: Failure, error: Option<O::Error>) -> Asked<O> {
        let visit = &*self.visit;
        visit.site.counters().counts.failed_fills_total.add_one();
        let usable = self.found.usable(visit);
        let (head, verdict) = usable
            .map(|(entry, verdict)| (&entry.head, verdict))
            .unzip();
        let instead = on_failure(
            self.facts(),
            head,
            verdict.unwrap_or(Verdict::Untouched),
            failure,
            visit.clock().timestamp(),
            visit.intake.rules.decide(),
        );
        let outcome = match (instead, usable, error) {
            (OnFailure::ServeStale { age, because, .. }, Some((entry, _)), _) => {
                return self.stale(entry, age, because, None);
            }
            (OnFailure::BadGateway | OnFailure::ServeStale { .. }, _, Some(error)) => {
                Outcome::Error(error)
            }
            (OnFailure::BadGateway | OnFailure::ServeStale { .. }, _, None) => {
                Outcome::NoAnswer(failure)
            }
            (OnFailure::GatewayTimeout, _, _) => Outcome::NoAnswer(Failure::TimedOut),
        };
        Asked::Filled((outcome, None))
    }

    /// What others get of an outcome; marks the URL if that is nothing, and is likely to stay so.
    pub(super) fn landing(&self, outcome: &Outcome<O>) -> Landing {
        let visit = &*self.visit;
        match outcome {
            Outcome::Found(_, found) => match &found.entry {
                Some(entry) => Landing::Found(entry.clone(), found.place),
                None => Landing::Alone,
            },
            Outcome::Growing {
                growing, status, ..
            } if self.is_for_others(&growing.head) => Landing::Growing(growing.clone(), *status),
            Outcome::Validated {
                entry,
                status,
                kept: Ok(()),
            } if self.is_for_others(&entry.head) => Landing::Validated(entry.clone(), *status),
            Outcome::Growing { .. } | Outcome::Validated { .. } => Landing::Alone,
            Outcome::AsItCame { kept, .. } => {
                if matches!(kept, AsItCame::Not(because) if because.is_lasting()) {
                    visit.site.markers.set(&visit.intake.key, visit.clock());
                }
                Landing::Alone
            }
            Outcome::Stale { status, .. } => {
                self.rest();
                match status {
                    Some(status) => Landing::Error(*status),
                    None => Landing::Failed(Failure::Unreachable),
                }
            }
            Outcome::Error(_) => {
                self.rest();
                Landing::Failed(Failure::Unreachable)
            }
            Outcome::NoAnswer(failure) => {
                self.rest();
                Landing::Failed(*failure)
            }
        }
    }

    /// Whether others can be sent a response that is not asked for anew.
    fn is_for_others(&self, head: &StoredResponse) -> bool {
        let visit = &*self.visit;
        let facts: RequestFacts = visit.intake.facts.for_fill();
        let now = visit.clock();
        let rules = visit.intake.rules.decide();
        let decision = decide(
            &facts,
            Some(head),
            Verdict::Untouched,
            now.timestamp(),
            rules,
        );
        let is_reusable = matches!(
            decision,
            Decision::Reuse { .. } | Decision::ReuseStale { .. }
        );
        let markers = &visit.site.markers;
        if is_reusable {
            markers.clear(&visit.intake.key);
        } else {
            markers.set(&visit.intake.key, now);
        }
        is_reusable
    }

    /// A refresh behind answers that has failed is not tried again at once.
    fn rest(&self) {
        match &self.purpose {
            Purpose::Client => {}
            Purpose::Background(_) => {
                if let Some(entry) = &self.found.entry {
                    let now = self.visit.clock();
                    entry.rest_until(now.saturating_add(Self::REST));
                }
            }
        }
    }
}

/// The stored bytes and the newer ones as one body.
pub(super) fn assemble(combined: Combined, stored: &Bytes, newer: &Bytes) -> Entry {
    let mut body = Vec::with_capacity(stored.len() + newer.len());
    for Piece { source, bytes } in &combined.pieces {
        let source = match source {
            Source::Stored => stored,
            Source::Newer => newer,
        };
        body.extend_from_slice(&cut(source, *bytes));
    }
    Entry::new(*combined.head, body.into())
}

/// How long the body of a response is, if its head says so.
pub(super) fn length_of(head: &StoredResponse) -> Option<u64> {
    match head.extent() {
        Extent::Complete { length } => length,
        Extent::Partial { range, .. } => Some(range.length()),
    }
}

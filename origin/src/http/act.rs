//! What is done about the service's answer, and what others get of it.

use std::sync::Arc;

use ::http::StatusCode;
use terrace_shared::http::{
    Decision, Extent, Failure, OnFailure, OnResponse, RequestFacts, StoredResponse, decide,
    on_failure,
};
use terrace_shared::outcome::{NotStored, StaleReason};
use terrace_shared::purge::Verdict;
use terrace_shared::time::{DeltaSeconds, Milliseconds};

use super::CacheBody;
use super::asked::Origin;
use super::filler::{Answer, Asked, Filler, Purpose};
use super::outcome::{AsItCame, Outcome, OwnAnswer, StandIn};
use super::pump::{Keep, Pump};
use super::respond::Fields;
use super::share::Landing;
use super::store::Entry;

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
                validated(entry, status, Ok(()))
            }
            (OnResponse::AnswerOnce { head, because }, Some(entry)) => {
                self.forget(entry);
                self.visit.site.counters().not_stored(&because);
                validated(Arc::new(entry.with_head(*head)), status, Err(because))
            }
            (OnResponse::Update(head), Some(entry)) => {
                self.keep(&Arc::new(entry.with_head(*head)));
                as_it_came(answer, AsItCame::Heeded)
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
            fields: Fields::New(Box::new(answer.head.headers)),
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
        let outcome = Outcome::AsItCame(Box::new(OwnAnswer {
            head: answer.head,
            body: CacheBody::growing(reader),
            received_at: answer.received_at,
            kept: AsItCame::Stored,
        }));
        Asked::Filled((outcome, Some(pump)))
    }

    pub(super) fn passed(&self, answer: Answer<O::Body>, because: NotStored) -> Asked<O> {
        self.visit.site.counters().not_stored(&because);
        as_it_came(answer, AsItCame::Not(because))
    }

    fn stale(
        &self,
        entry: &Arc<Entry>,
        age: DeltaSeconds,
        because: StaleReason,
        status: Option<StatusCode>,
    ) -> Asked<O> {
        let outcome = Outcome::Stale(StandIn {
            entry: entry.clone(),
            place: self.found.place,
            age,
            because,
            status,
        });
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
            Outcome::AsItCame(answer) => {
                if matches!(&answer.kept, AsItCame::Not(because) if because.is_lasting()) {
                    visit.site.markers.set(&visit.intake.key, visit.clock());
                }
                Landing::Alone
            }
            Outcome::Stale(stand_in) => {
                self.rest();
                match stand_in.status {
                    Some(status) => Landing::Error(status),
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

fn as_it_came<O: Origin>(answer: Answer<O::Body>, kept: AsItCame) -> Asked<O> {
    let outcome = Outcome::AsItCame(Box::new(OwnAnswer {
        head: answer.head,
        body: CacheBody::service(answer.body),
        received_at: answer.received_at,
        kept,
    }));
    Asked::Filled((outcome, None))
}

pub(super) fn validated<O: Origin>(
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

//! Asking the origin, and what its answer, or its absence, is good for.
//!
//! The ledger's epoch is read before the origin is asked (R1): a purge that arrives while the answer is
//! under way has a later place, so the answer is stored and never believed.

use std::rc::Rc;

use http::StatusCode;
use terrace_shared::http::{
    CompletionRequest, Fill, ForwardAs, OnFailure, OnResponse, RequestFacts, ResponseHead,
    StoredResponse, ValidationRequest, on_failure, on_response, request_fields,
};
use terrace_shared::intake::{ROUTE_KEYS, route_keys};
use terrace_shared::outcome::{ForwardReason, NotStored, StaleReason};
use terrace_shared::purge::{Fence, Verdict};
use terrace_shared::sabotage::{self, Rule};
use terrace_shared::time::DeltaSeconds;

use crate::clock;
use crate::error::OriginError;
use crate::observe::{self, Count};
use crate::origin::{self, OriginAnswer};
use crate::parts::{self, Part};
use crate::purge::client;
use crate::search;
use crate::store::{self, Entry, Found};
use crate::visit::Visit;

/// Why, and as what, the origin is asked.
#[derive(Clone, Debug)]
pub(crate) enum Forward {
    /// Whether what is stored is still right.
    Validating(ValidationRequest),
    /// For what a stored part lacks.
    Completing(CompletionRequest),
    /// For a response.
    Plain(ForwardReason),
}

/// What the origin's answer, or its absence, is good for.
pub(crate) enum Outcome {
    /// To be stored and sent.
    New(Rc<StoredResponse>, OriginAnswer),
    /// To be sent as it came; what it says to store is a part.
    NewPart(Part, OriginAnswer),
    /// What was stored and what came, together: to be stored and sent.
    Completed(Entry, OriginAnswer),
    /// A 304: the stored body with a new head, to be stored and sent.
    Freshened(Entry, OriginAnswer),
    /// A 304 that forbids storing: the stored body with a new head, to be sent once.
    Once(Entry, NotStored, OriginAnswer),
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

    pub(crate) const fn completing(completion: CompletionRequest) -> Self {
        Self::Completing(completion)
    }

    pub(crate) const fn because(reason: ForwardReason) -> Self {
        Self::Plain(reason)
    }

    /// The question that refreshes `head` behind an answer.
    pub(crate) fn refreshing(head: &StoredResponse) -> Self {
        ValidationRequest::of(head, ForwardReason::Stale)
            .map_or(Self::Plain(ForwardReason::Stale), Self::Validating)
    }

    pub(crate) const fn reason(&self) -> ForwardReason {
        match self {
            Self::Validating(validation) => validation.because,
            Self::Completing(completion) => completion.because,
            Self::Plain(reason) => *reason,
        }
    }
}

/// Asks the origin for `facts`, once more if its 304 was not about what is stored.
pub(crate) async fn ask(
    visit: &Visit,
    facts: &RequestFacts,
    found: &Found,
    forward: Forward,
) -> Outcome {
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
    let verdict = |entry: &Entry| search::verdict(visit, &entry.head);
    let usable = found.entry.as_ref();
    let usable = usable.filter(|entry| verdict(entry) != Verdict::Dropped);

    let epoch = client::epoch(); // R1: before the origin is asked
    let forward_as = match forward {
        Forward::Validating(validation) => ForwardAs::Validation(validation),
        Forward::Completing(completion) => ForwardAs::Completion(completion),
        Forward::Plain(_) if facts.is_conditional_or_partial() => ForwardAs::Client,
        Forward::Plain(_) => ForwardAs::Fill,
    };
    let fields = request_fields(&visit.intake.fields, forward_as);
    let asked = origin::ask(visit, facts.method().as_str(), fields, None).await;
    let late = sabotage::breaks(Rule::FenceBeforeSource);
    let epoch = if late { client::epoch() } else { epoch };

    let named = match (&asked, usable) {
        (Ok(answer), None) => named(visit, found, forward, answer).await,
        (Ok(_), Some(_)) | (Err(_), _) => None,
    };
    let entry = usable.or(named.as_ref());
    let considered = entry.map(|entry| &*entry.head);
    let judged = entry.map_or(Verdict::Untouched, verdict);
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
        host: visit.intake.target.host(),
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
        OnResponse::Store(head) if parts::is_part(&head) => part(Part::Alone(head), answer),
        OnResponse::Store(head) if store::takes(&head) => Outcome::New(Rc::new(*head), answer),
        OnResponse::Store(_) => passed(NotStored::TooLarge, answer),
        OnResponse::Combine(combined) => part(Part::With(combined), answer),
        OnResponse::Complete(combined) => {
            let entry = parts::completed(&entry?.body, &combined, &answer).await?;
            Outcome::Completed(entry, answer)
        }
        OnResponse::Freshen(head) => {
            observe::count(Count::Freshened);
            Outcome::Freshened(entry?.with_head(head), answer)
        }
        OnResponse::AnswerOnce { head, because } => {
            Outcome::Once(entry?.with_head(head), because, answer)
        }
        OnResponse::Update(head) => Outcome::Updated(Rc::new(*head), answer),
        OnResponse::ServeStale { age, because, .. } => {
            Outcome::Stale(age, because, Some(answer.status))
        }
        OnResponse::Pass(because) => passed(because, answer),
        OnResponse::AskAgain => return None,
    })
}

/// Which of the variants that were offered to the origin its answer names, read from where it lies
/// (RFC 9111 §4.3.4).
///
/// The epoch was read before the origin was asked; the verdict on what is read here is still to come (R4).
async fn named(
    visit: &Visit,
    found: &Found,
    forward: &Forward,
    answer: &OriginAnswer,
) -> Option<Entry> {
    let Forward::Validating(_) = forward else {
        return None;
    };
    let marker = found.marker.as_ref()?;
    if answer.status != StatusCode::NOT_MODIFIED {
        return None;
    }
    let is_dropped = |head: &StoredResponse| search::verdict(visit, head) == Verdict::Dropped;
    store::look_up_named(visit.key, marker, &answer.fields, is_dropped).await
}

fn part(part: Part, answer: OriginAnswer) -> Outcome {
    if parts::takes(&answer) {
        Outcome::NewPart(part, answer)
    } else {
        passed(NotStored::TooLarge, answer)
    }
}

fn passed(because: NotStored, answer: OriginAnswer) -> Outcome {
    observe::count(Count::NotStored);
    Outcome::Passed(because, answer)
}

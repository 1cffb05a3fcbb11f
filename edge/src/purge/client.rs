//! Asks the ledger's authority on behalf of this isolate, never on behalf of another request.
//!
//! A request awaits only what it asked itself: production cancels a request that awaits another's
//! future. What requests share is the plain data of [`View`]; what isolates share is in [`sharing`].

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::future::{Either, select};
use terrace_shared::purge::audit::LogQuery;
use terrace_shared::purge::token::{After, Reach};
use terrace_shared::purge::{EntryScopes, Epoch, Fence, Lag, LedgerLimits, Update, Verdict};
use terrace_shared::time::{Milliseconds, TimestampMillis};
use wasm_bindgen::JsValue;
use worker::{Context, Delay, Method, ObjectNamespace, Request, Stub, js_sys, web_sys};

use super::order::{Answer, Order, Refusal, Taken, query_of_name};
use super::sharing::{self, Label, Sharing, Worth};
use super::view::{Absorbed, Question, Refresh, View};
use crate::clock;
use crate::convert::random_bits;
use crate::error::LedgerError;
use crate::observe::{self, Count};

thread_local! {
    static VIEW: RefCell<View> = RefCell::default();
    static UNKNOWN: Cell<Unknown> = const { Cell::new(Unknown { calls: 0, told_at: None }) };
}

/// Calls without a known token that the purge log has not been told of, and when it was told last.
#[derive(Clone, Copy)]
struct Unknown {
    calls: u64,
    told_at: Option<TimestampMillis>,
}

/// The way to the ledger's authority.
#[derive(Clone)]
pub(crate) struct LedgerClient {
    authority: ObjectNamespace,
    limits: LedgerLimits,
    sharing: Sharing,
}

/// How old the view may be for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Older than this, it is refreshed behind the answer.
    pub(crate) refresh_after: Milliseconds,
    /// Older than this, it is refreshed first.
    pub(crate) bound: Milliseconds,
}

/// An answer of the authority's as it came, for others.
struct Learnt {
    label: Label,
    bytes: Vec<u8>,
}

impl LedgerClient {
    /// The object that is the authority. One for the whole edge.
    const NAME: &'static str = "ledger";

    /// How often a request looks for the answer to another one's question.
    const LOOK_AGAIN: Duration = Duration::from_millis(5);

    /// Longest wait of who purges, or reads the log; readers of the site have less patience.
    const PATIENCE: Milliseconds = Milliseconds::new(5_000);

    /// How often the purge log is told of calls without a known token.
    const TELL_EVERY: Milliseconds = Milliseconds::new(10_000);

    pub(crate) fn new(authority: ObjectNamespace, limits: LedgerLimits, sharing: Sharing) -> Self {
        Self {
            authority,
            limits,
            sharing,
        }
    }

    /// Brings the view within `bounds` if that can be done, and says how old it is then.
    ///
    /// A view within its bound costs no waiting: at most, this request's context asks behind the answer.
    pub(crate) async fn ready(
        &self,
        context: &Context,
        bounds: Bounds,
        now: TimestampMillis,
    ) -> Lag {
        let Bounds {
            refresh_after: refresh,
            bound,
        } = bounds;
        let plan = |now| {
            VIEW.with_borrow(|view| {
                let after = self.sharing.refresh_after(refresh, bound, view.lot());
                view.plan(now, after, bound)
            })
        };
        let mut now = now;
        while plan(now) == Refresh::Soon {
            Delay::from(Self::LOOK_AGAIN).await;
            now = clock::now();
        }
        match plan(now) {
            Refresh::NotNeeded | Refresh::Soon => {}
            Refresh::Behind => {
                let question = VIEW.with_borrow_mut(|view| view.ask(now));
                let client = self.clone();
                context.wait_until(async move {
                    if let Some(learnt) = client.news_behind(question, refresh).await {
                        client.leave(learnt, refresh).await;
                    }
                });
            }
            Refresh::First => {
                let question = VIEW.with_borrow_mut(|view| view.ask(now));
                if let Some(learnt) = self.news_first(question, refresh, bound).await {
                    let client = self.clone();
                    context.wait_until(async move { client.leave(learnt, refresh).await });
                }
            }
        }
        VIEW.with_borrow(|view| view.lag(clock::now(), bound))
    }

    /// Brings the view up to the purges that a request's tokens name, by one question at most (R10).
    ///
    /// Where the answer does not come, or does not reach that far, [`reach`] says so afterwards: what is stored
    /// is then of no use to this request.
    pub(crate) async fn catch_up(&self, after: &After) {
        if reach(after) == Reach::Reached {
            return;
        }
        let question = VIEW.with_borrow_mut(|view| view.ask(clock::now()));
        if self.refresh(question).await.is_ok() {
            VIEW.with_borrow_mut(|view| view.note_gone(&after.edge));
        }
    }

    /// Gives a purge to the authority, and makes it seen in this isolate before it returns.
    ///
    /// # Errors
    /// When the authority did not answer: the purge may or may not have been taken, so ask again. Or when it
    /// refused the purge, which has not been taken then.
    pub(crate) async fn append(&self, order: Order) -> Result<Taken, LedgerError> {
        let call = format!("append?{}", order.query());
        let bytes = js_sys::Uint8Array::from(&*order.purge.encode());
        let answer = self.call(post(&call, &bytes)?, Self::PATIENCE).await?;
        let line = String::from_utf8_lossy(&answer);
        let taken = match Answer::from_line(&line).ok_or(LedgerError::NotUnderstood)? {
            Answer::Taken(taken) => taken,
            Answer::TooMany { retry_after } => {
                return Err(LedgerError::TooManyCalls { retry_after });
            }
            Answer::TooManyScheduled { pending } => {
                return Err(LedgerError::TooManyScheduled { pending });
            }
            Answer::TooFarAhead { most } => return Err(LedgerError::TooFarAhead { most }),
        };
        let noted = VIEW.with_borrow_mut(|view| view.note(taken.epoch, order.purge));
        if noted == Absorbed::AskForAll {
            let question = VIEW.with_borrow_mut(|view| view.ask(clock::now()));
            // If this fails, readers here see the purge within the bound, as everywhere else.
            let _ = self.refresh(question).await;
        }
        Ok(taken)
    }

    /// Has the purge log say that a call of `by`'s was refused; without a known token, it is counted and told later.
    ///
    /// A log that cannot be reached is no reason to answer otherwise.
    pub(crate) async fn log_refused(&self, by: Option<&str>, reason: &str) {
        let mut times = 1;
        if by.is_none() {
            let now = clock::now();
            let Unknown { calls, told_at } = UNKNOWN.get();
            times += calls;
            let is_early = |at| now.saturating_since(at) < Self::TELL_EVERY;
            if told_at.is_some_and(is_early) {
                let calls = times;
                UNKNOWN.set(Unknown { calls, told_at });
                return;
            }
            let told_at = Some(now);
            UNKNOWN.set(Unknown { calls: 0, told_at });
        }
        let refusal = Refusal {
            by: by.map(Into::into),
            reason: reason.to_owned(),
            times,
        };
        let call = format!("refused?{}", refusal.query());
        if let Ok(request) = post(&call, &refusal.reason.into()) {
            let _ = self.call(request, View::PATIENCE).await;
        }
    }

    /// A part of the purge log as JSON, a [`LogPage`](terrace_shared::purge::audit::LogPage); with `by` only
    /// what that token did.
    ///
    /// # Errors
    /// When the authority did not answer.
    pub(crate) async fn log(
        &self,
        query: LogQuery,
        by: Option<&str>,
    ) -> Result<Vec<u8>, LedgerError> {
        let LogQuery { limit, before } = query;
        let before = before.map_or_else(String::new, |before| format!("&before={before}"));
        let url = format!("{URL}log?limit={limit}{before}&{}", query_of_name(by));
        self.call(Request::new(&url, Method::Get)?, Self::PATIENCE)
            .await
    }

    /// News for a view that is still good: another isolate's if there are any, or else the authority's.
    async fn news_behind(&self, question: Question, refresh: Milliseconds) -> Option<Learnt> {
        if self.sharing == Sharing::On {
            for pause in Sharing::LOOKS {
                Delay::from(pause).await;
                if self.take_shared(refresh).await {
                    VIEW.with_borrow_mut(|view| view.give_up(question));
                    return None;
                }
                if !sharing::somebody_asks(clock::now()).await {
                    break;
                }
            }
            sharing::say_asking(clock::now()).await;
        }
        let question = VIEW.with_borrow_mut(|view| view.ask(clock::now()));
        // A failure is counted there, and seen by requests as a view that grows older.
        self.refresh(question).await.ok()
    }

    /// News for a view beyond the bound of a request that waits for them.
    async fn news_first(
        &self,
        question: Question,
        refresh: Milliseconds,
        bound: Milliseconds,
    ) -> Option<Learnt> {
        if self.sharing == Sharing::On && self.take_shared(refresh).await {
            let lag = VIEW.with_borrow(|view| view.lag(clock::now(), bound));
            if lag == Lag::Within {
                VIEW.with_borrow_mut(|view| view.give_up(question));
                return None;
            }
        }
        self.refresh(question).await.ok()
    }

    /// Takes over what another isolate has left, if it is of use here.
    async fn take_shared(&self, refresh: Milliseconds) -> bool {
        let Some((label, response)) = sharing::look().await else {
            return false;
        };
        let worth = VIEW.with_borrow(|view| view.worth(&label, clock::now(), refresh));
        let taken = match worth {
            Worth::Nothing => return false,
            Worth::Confirms => {
                VIEW.with_borrow_mut(|view| view.confirm_shared(&label));
                Absorbed::Taken
            }
            Worth::Brings => {
                let Some(bytes) = sharing::read(&response).await else {
                    return false;
                };
                let Ok(update) = Update::decode(&bytes, self.limits) else {
                    observe::count(Count::Undecodable);
                    return false;
                };
                let now = clock::now();
                VIEW.with_borrow_mut(|view| view.absorb_shared(&label, update, now, refresh))
            }
        };
        if taken == Absorbed::Taken {
            observe::count(Count::LedgerShared);
            draw();
        }
        taken == Absorbed::Taken
    }

    /// Leaves an answer of the authority's for the other isolates.
    async fn leave(&self, learnt: Learnt, refresh: Milliseconds) {
        if self.sharing == Sharing::On {
            sharing::leave(learnt.label, &learnt.bytes, refresh).await;
        }
    }

    async fn refresh(&self, question: Question) -> Result<Learnt, LedgerError> {
        let outcome = match self.refresh_once(question).await {
            Ok((Absorbed::Taken, learnt)) => Ok(learnt),
            Ok((Absorbed::AskForAll, _)) => {
                let all = Question {
                    since: None,
                    ..question
                };
                self.refresh_once(all).await.map(|(_, learnt)| learnt)
            }
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            VIEW.with_borrow_mut(|view| view.fail(question, clock::now()));
        }
        draw();
        observe::count(if outcome.is_ok() {
            Count::LedgerRefreshed
        } else {
            Count::LedgerUnreachable
        });
        outcome
    }

    async fn refresh_once(&self, question: Question) -> Result<(Absorbed, Learnt), LedgerError> {
        observe::count(Count::LedgerAsked);
        let since = question.since.map(|epoch| epoch.to_string());
        let url = format!("{URL}updates?since={}", since.unwrap_or_default());
        let bytes = self
            .call(Request::new(&url, Method::Get)?, View::PATIENCE)
            .await?;
        let update = Update::decode(&bytes, self.limits).map_err(|_| LedgerError::NotUnderstood)?;
        let label = Label::of(question, &update);
        let absorbed = VIEW.with_borrow_mut(|view| view.absorb(question, update));
        Ok((absorbed, Learnt { label, bytes }))
    }

    async fn call(&self, request: Request, patience: Milliseconds) -> Result<Vec<u8>, LedgerError> {
        let stub = self.authority.get_by_name(Self::NAME)?;
        let timer = Delay::from(Duration::from_millis(patience.as_u64()));
        let answer = std::pin::pin!(ask(stub, request));
        match select(answer, timer).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => Err(LedgerError::TimedOut),
        }
    }
}

/// Where the authority answers; no host of the network's.
const URL: &str = "https://ledger.internal/";

fn post(call: &str, body: &JsValue) -> Result<Request, LedgerError> {
    let init = web_sys::RequestInit::new();
    init.set_method("POST");
    init.set_body(body);
    let url = format!("{URL}{call}");
    let request =
        web_sys::Request::new_with_str_and_init(&url, &init).map_err(worker::Error::from)?;
    Ok(Request::from(request))
}

/// Draws this isolate's lot for when it wants news next.
fn draw() {
    let [lot, ..] = random_bits().to_be_bytes();
    VIEW.with_borrow_mut(|view| view.draw(lot));
}

async fn ask(stub: Stub, request: Request) -> Result<Vec<u8>, LedgerError> {
    let mut response = stub.fetch_with_request(request).await?;
    let bytes = response.bytes().await?;
    match response.status_code() {
        200 => Ok(bytes),
        status => Err(LedgerError::Refused { status }),
    }
}

/// Where this isolate's view stands: what a fill notes before it asks the origin (R1).
pub(crate) fn epoch() -> Option<Epoch> {
    VIEW.with_borrow(View::epoch)
}

/// Judges a stored response by this isolate's view (R2).
pub(crate) fn verdict(fence: &Fence, scopes: &EntryScopes) -> Verdict {
    VIEW.with_borrow(|view| view.verdict(fence, scopes))
}

/// How this isolate's view stands against the purges that a request's tokens name.
pub(crate) fn reach(after: &After) -> Reach {
    VIEW.with_borrow(|view| view.reach(&after.edge))
}

/// What a request with tokens may make of a stored response, on which the ledger has said `verdict` (R10).
pub(crate) fn verdict_after(after: &After, verdict: Verdict, fence: &Fence) -> Verdict {
    VIEW.with_borrow(|view| {
        after.verdict_at_edge(verdict, fence, view.reach(&after.edge), view.told())
    })
}

/// How old this isolate's view is at `now`; none while there is none.
pub(crate) fn age(now: TimestampMillis) -> Option<Milliseconds> {
    match VIEW.with_borrow(|view| view.lag(now, Milliseconds::new(0))) {
        Lag::Within => Some(Milliseconds::new(0)),
        Lag::Beyond(age) => Some(age),
        Lag::Unknown => None,
    }
}

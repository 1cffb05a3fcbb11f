//! Asks the ledger's authority on behalf of this isolate, never on behalf of another request.
//!
//! A request awaits only what it asked itself: production cancels a request that awaits another's
//! future. What requests share is the plain data of [`View`]; what isolates share is in [`sharing`].

use std::cell::{Cell, RefCell, RefMut};
use std::time::Duration;

use futures_util::future::{Either, select};
use terrace_shared::DecodeError;
use terrace_shared::purge::audit::LogQuery;
use terrace_shared::purge::bulletin::{Bulletin, Label, Worth};
pub(crate) use terrace_shared::purge::refresh::Bounds;
use terrace_shared::purge::refresh::{Asking, Question, Refresh, Urgency, pause_before_look};
use terrace_shared::purge::token::{After, Reach};
use terrace_shared::purge::{
    EntryScopes, Epoch, Fence, Lag, Ledger, LedgerLimits, Update, Verdict,
};
use terrace_shared::time::{Milliseconds, TimestampMillis};
use wasm_bindgen::JsValue;
use worker::{Context, Delay, Method, ObjectNamespace, Request, Stub, js_sys, web_sys};

use super::order::{Answer, Order, Refusal, Taken, query_of_name};
use super::sharing::{self, Place, Sharing};
use super::view::{Absorbed, Left, View};
use crate::clock;
use crate::convert::random_bits;
use crate::error::LedgerError;
use crate::observe::{self, Count};

thread_local! {
    /// This isolate's view, which lasts as long as the isolate.
    static VIEW: &'static RefCell<View> = Box::leak(Box::default());
    static UNKNOWN: Cell<Unknown> = const { Cell::new(Unknown { calls: 0, told_at: None }) };
}

/// Calls without a known token that the purge log has not been told of, and when it was told last.
#[derive(Clone, Copy)]
struct Unknown {
    calls: u64,
    told_at: Option<TimestampMillis>,
}

/// This isolate's view; never held across an await.
fn view() -> RefMut<'static, View> {
    VIEW.with(|view| view.borrow_mut())
}

/// The way to the ledger's authority.
#[derive(Clone)]
pub(crate) struct LedgerClient {
    authority: ObjectNamespace,
    limits: LedgerLimits,
    sharing: Sharing,
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
        let mut now = now;
        let spread = match self.sharing {
            Sharing::On => bounds.spread(view().lot()),
            Sharing::Off => bounds,
        };
        let plan = |now| view().plan(spread, now);
        while plan(now) == Refresh::Soon {
            Delay::from(Self::LOOK_AGAIN).await;
            now = clock::now();
        }
        match plan(now) {
            Refresh::NotNeeded | Refresh::Soon => {}
            Refresh::Behind => {
                let question = view().ask(now);
                let client = self.clone();
                context.wait_until(async move {
                    let learnt = client.news(question, Urgency::Behind, spread.refresh_after);
                    if let Some(learnt) = learnt.await {
                        client.leave(learnt).await;
                    }
                });
            }
            Refresh::First => {
                let question = view().ask(now);
                if let Some(learnt) = self.news(question, Urgency::First, bounds.bound).await {
                    let client = self.clone();
                    context.wait_until(async move { client.leave(learnt).await });
                }
            }
        }
        view().lag(clock::now(), bounds.bound)
    }

    /// Brings the view up to the purges that a request's tokens name, by one question at most (R10).
    ///
    /// Where the answer does not come, or does not reach that far, [`reach`] says so afterwards: what is stored
    /// is then of no use to this request.
    pub(crate) async fn catch_up(&self, after: &After) {
        if reach(after) == Reach::Reached {
            return;
        }
        let question = view().ask(clock::now());
        if self.refresh(question).await.is_ok() {
            view().note_gone(&after.edge);
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
        let noted = view().note(taken.epoch, order.purge);
        if noted == Absorbed::AskForAll {
            let question = view().ask(clock::now());
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
            let _ = self.call(request, Asking::PATIENCE).await;
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

    /// News for a view that is to be no older than `wanted`: other isolates' if there are any, or else the authority's.
    ///
    /// While another isolate asks, what it learns is looked for. None after a failure too: that is counted, and seen
    /// by requests as a view that grows older.
    async fn news(
        &self,
        question: Question,
        urgency: Urgency,
        wanted: Milliseconds,
    ) -> Option<Learnt> {
        if self.sharing == Sharing::On {
            let mut looks = 0;
            loop {
                let Some(pause) = pause_before_look(looks) else {
                    view().fail(question, clock::now());
                    draw();
                    return None;
                };
                if looks > 0 {
                    Delay::from(Duration::from_millis(pause.as_u64())).await;
                }
                let answered_at = self.take_shared().await;
                if view().lag(clock::now(), wanted) == Lag::Within {
                    view().give_up(question);
                    return None;
                }
                let is_claimed = |since| urgency.is_claimed(since, answered_at, clock::now());
                if !sharing::claim().await.is_some_and(is_claimed) {
                    break;
                }
                looks += 1;
            }
            sharing::say_asking(clock::now()).await;
        }
        let question = view().ask(clock::now());
        self.refresh(question).await.ok()
    }

    /// Takes over what other isolates have left, as far as it is of use here; says when they asked last.
    async fn take_shared(&self) -> Option<TimestampMillis> {
        let (label, response) = sharing::look(Place::News).await?;
        if let Some(left) = self.left(label, &response).await {
            let taken = view().absorb_shared(left, clock::now());
            if taken == Absorbed::Taken {
                observe::count(Count::LedgerShared);
                draw();
            }
        }
        Some(label.asked_at)
    }

    /// What is of use here of the answers under `label`, and of the whole ledger if they begin after what is known here.
    async fn left(&self, label: Label, response: &web_sys::Response) -> Option<Left> {
        let worth = view().worth(&label, clock::now());
        let (whole, here) = match worth {
            Worth::Nothing => return None,
            Worth::Confirms => {
                let (whole, news) = (None, None);
                return Some(Left { label, whole, news });
            }
            Worth::Brings => (None, epoch()?),
            Worth::BringsAfterWhole => {
                let (whole, response) = sharing::look(Place::Whole).await?;
                if !whole.leads_to(&label, epoch()) {
                    return None;
                }
                let bytes = sharing::read(&response).await?;
                (Some((whole, self.decode(&bytes)?)), whole.head)
            }
        };
        let bytes = sharing::read(response).await?;
        let all = Bulletin::decode(label, &bytes);
        let news = all.and_then(|all| all.news_after(here.sequence, self.limits));
        let news = Some(news.inspect_err(undecodable).ok()?);
        Some(Left { label, whole, news })
    }

    fn decode(&self, whole: &[u8]) -> Option<Ledger> {
        let update = Update::decode(whole, self.limits);
        match update.inspect_err(undecodable).ok()? {
            Update::Snapshot(ledger) => Some(ledger),
            Update::Delta { .. } => None,
        }
    }

    /// Leaves an answer of the authority's for the other isolates: behind earlier ones, or the whole ledger by itself.
    async fn leave(&self, learnt: Learnt) {
        if self.sharing == Sharing::Off {
            return;
        }
        let Learnt { label, bytes } = learnt;
        let later = Bulletin::beginning(label, &*bytes, bytes.len());
        if label.from.is_none() {
            sharing::leave(Place::Whole, label, &bytes).await;
            return sharing::leave(Place::News, later.label, &later.encode()).await;
        }
        let found = sharing::look(Place::News).await;
        let mut lying = None;
        if let Some((label, response)) = found {
            lying = sharing::read(&response).await.map(|bytes| (label, bytes));
        }
        let earlier = lying.as_ref();
        let earlier = earlier.and_then(|(label, bytes)| Bulletin::decode(*label, bytes).ok());
        let began = earlier.as_ref().and_then(|earlier| earlier.label.from);
        let Some(all) = Bulletin::put_behind(earlier, later) else {
            return;
        };
        sharing::leave(Place::News, all.label, &all.encode()).await;
        if all.label.from == began {
            return;
        }
        // Who is new here would not find the way from the whole ledger to these answers.
        let whole = sharing::look(Place::Whole).await;
        if whole.is_some_and(|(whole, _)| whole.leads_to(&all.label, None)) {
            return;
        }
        let whole = view().whole(&all.label, clock::now());
        if let Some((label, bytes)) = whole {
            sharing::leave(Place::Whole, label, &bytes).await;
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
            view().fail(question, clock::now());
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
            .call(Request::new(&url, Method::Get)?, Asking::PATIENCE)
            .await?;
        let update = Update::decode(&bytes, self.limits).map_err(|_| LedgerError::NotUnderstood)?;
        let label = Label::of(question, &update);
        let absorbed = view().absorb(question, update);
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

fn undecodable(_: &DecodeError) {
    observe::count(Count::Undecodable);
}

/// Draws this isolate's lot for when it wants news next.
fn draw() {
    let [lot, ..] = random_bits().to_be_bytes();
    view().draw(lot);
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
    view().epoch()
}

/// Judges a stored response by this isolate's view (R2).
pub(crate) fn verdict(fence: &Fence, scopes: &EntryScopes) -> Verdict {
    view().verdict(fence, scopes)
}

/// How this isolate's view stands against the purges that a request's tokens name.
pub(crate) fn reach(after: &After) -> Reach {
    view().reach(&after.edge)
}

/// What a request with tokens may make of a stored response, on which the ledger has said `verdict` (R10).
pub(crate) fn verdict_after(after: &After, verdict: Verdict, fence: &Fence) -> Verdict {
    let view = view();
    after.verdict_at_edge(verdict, fence, view.reach(&after.edge), view.told())
}

/// How old this isolate's view is at `now`; none while there is none.
pub(crate) fn age(now: TimestampMillis) -> Option<Milliseconds> {
    view().age(now)
}

//! Asks the ledger's authority on behalf of this isolate, never on behalf of another request.
//!
//! A request awaits only what it asked itself: production cancels a request that awaits another's
//! future. What requests share is the plain data of [`View`].

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::{Either, select};
use terrace_shared::purge::token::{After, Reach};
use terrace_shared::purge::{EntryScopes, Epoch, Fence, Lag, LedgerLimits, Purge, Update, Verdict};
use terrace_shared::time::{Milliseconds, TimestampMillis};
use worker::{Context, Delay, Method, ObjectNamespace, Request, Stub, js_sys, web_sys};

use super::view::{Absorbed, Question, Refresh, View};
use crate::clock;
use crate::error::LedgerError;
use crate::observe::{self, Count};

thread_local! {
    static VIEW: RefCell<View> = RefCell::default();
}

/// The way to the ledger's authority.
#[derive(Clone)]
pub(crate) struct LedgerClient {
    authority: ObjectNamespace,
    limits: LedgerLimits,
}

/// How old the view may be for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Older than this, it is refreshed behind the answer.
    pub(crate) refresh_after: Milliseconds,
    /// Older than this, it is refreshed first.
    pub(crate) bound: Milliseconds,
}

impl LedgerClient {
    /// The object that is the authority. One for the whole edge.
    const NAME: &'static str = "ledger";

    /// How often a request looks for the answer to another one's question.
    const LOOK_AGAIN: Duration = Duration::from_millis(5);

    pub(crate) fn new(authority: ObjectNamespace, limits: LedgerLimits) -> Self {
        Self { authority, limits }
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
        let plan =
            |now| VIEW.with_borrow(|view| view.plan(now, bounds.refresh_after, bounds.bound));
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
                    // A failure is counted there, and seen by requests as a view that grows older.
                    let _ = client.refresh(question).await;
                });
            }
            Refresh::First => {
                let question = VIEW.with_borrow_mut(|view| view.ask(now));
                let _ = self.refresh(question).await;
            }
        }
        VIEW.with_borrow(|view| view.lag(clock::now(), bounds.bound))
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

    /// Gives `purge` to the authority, and makes it seen in this isolate before it returns.
    ///
    /// # Errors
    /// When the authority did not answer: the purge may or may not have been taken, so ask again.
    pub(crate) async fn append(&self, purge: Purge) -> Result<Epoch, LedgerError> {
        let init = web_sys::RequestInit::new();
        init.set_method("POST");
        init.set_body(&js_sys::Uint8Array::from(&*purge.encode()));
        let url = "https://ledger.internal/append";
        let request =
            web_sys::Request::new_with_str_and_init(url, &init).map_err(worker::Error::from)?;
        let request = Request::from(request);
        let answer = self.call(request).await?;
        let text = String::from_utf8_lossy(&answer);
        let epoch: Epoch = text.parse().map_err(|_| LedgerError::NotUnderstood)?;
        if VIEW.with_borrow_mut(|view| view.note(epoch, purge)) == Absorbed::AskForAll {
            let question = VIEW.with_borrow_mut(|view| view.ask(clock::now()));
            // If this fails, readers here see the purge within the bound, as everywhere else.
            let _ = self.refresh(question).await;
        }
        Ok(epoch)
    }

    async fn refresh(&self, question: Question) -> Result<(), LedgerError> {
        let outcome = self.refresh_once(question).await;
        let outcome = match outcome {
            Ok(Absorbed::Taken) => Ok(()),
            Ok(Absorbed::AskForAll) => {
                let all = Question {
                    since: None,
                    ..question
                };
                self.refresh_once(all).await.map(|_| ())
            }
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            VIEW.with_borrow_mut(|view| view.give_up(question));
        }
        observe::count(if outcome.is_ok() {
            Count::LedgerRefreshed
        } else {
            Count::LedgerUnreachable
        });
        outcome
    }

    async fn refresh_once(&self, question: Question) -> Result<Absorbed, LedgerError> {
        let since = question.since.map(|epoch| epoch.to_string());
        let url = format!(
            "https://ledger.internal/updates?since={}",
            since.unwrap_or_default()
        );
        let bytes = self.call(Request::new(&url, Method::Get)?).await?;
        let update = Update::decode(&bytes, self.limits).map_err(|_| LedgerError::NotUnderstood)?;
        Ok(VIEW.with_borrow_mut(|view| view.absorb(question, update)))
    }

    async fn call(&self, request: Request) -> Result<Vec<u8>, LedgerError> {
        let stub = self.authority.get_by_name(Self::NAME)?;
        let timer = Delay::from(Duration::from_millis(View::PATIENCE.as_u64()));
        let answer = std::pin::pin!(ask(stub, request));
        match select(answer, timer).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => Err(LedgerError::TimedOut),
        }
    }
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

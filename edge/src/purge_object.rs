//! The Durable Object that is the ledger's authority: decode, ask the [`Desk`], persist, encode.
//!
//! Only this worker talks to it: `POST /append?ORDER` with a purge's bytes answers with a line of text,
//! `GET /updates?since=EPOCH` with the bytes of an update, `POST /refused` takes a call that was refused before
//! it came here, and `GET /log` shows what came of them all.

mod tables;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use terrace_shared::purge::audit::LogQuery;
use terrace_shared::purge::{Epoch, Purge};
use terrace_shared::time::{Milliseconds, TimestampMillis};
use worker::{
    Delay, DurableObject, Env, Error, Method, Request, Response, Result, State, durable_object,
    wasm_bindgen,
};

use crate::clock;
use crate::convert::random_bits;
use crate::env::built_in_routes;
use crate::error::ConfigError;
use crate::purge::desk::Desk;
use crate::purge::limit::RateLimit;
use crate::purge::order::{self, Answer, Order, Refusal};
use tables::Tables;

/// The purge ledger of one edge, in `SQLite`.
#[durable_object(alarm)]
pub struct PurgeObject {
    state: State,
    rate: std::result::Result<RateLimit, ConfigError>,
    /// Replayed from storage at the first request after a wake.
    desk: RefCell<Option<Desk<Tables>>>,
    /// Orders that have come and are not written yet.
    orders: RefCell<Vec<Waiting>>,
    /// For when this object has set its alarm, since it woke.
    alarm_at: Cell<Option<TimestampMillis>>,
}

/// An order, and where its request looks for the answer; none comes if writing it failed.
struct Waiting {
    order: Order,
    answer: Rc<OnceCell<Answer>>,
}

impl DurableObject for PurgeObject {
    fn new(state: State, env: Env) -> Self {
        let rate = RateLimit::from_vars(|name| env.var(name).ok().map(|var| var.to_string()));
        Self {
            state,
            rate,
            desk: RefCell::new(None),
            orders: RefCell::new(Vec::new()),
            alarm_at: Cell::new(None),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let url = request.inner().url();
        let query = url.split_once('?').map_or("", |(_, query)| query);
        match (request.method(), request.path().as_str()) {
            (Method::Post, "/append") => {
                let purge = Purge::decode(&request.bytes().await?)
                    .map_err(|error| Error::RustError(error.to_string()))?;
                let order = Order::from_query(query, purge);
                Response::ok(self.append(order).await?.to_line())
            }
            (Method::Get, "/updates") => {
                let since = order::parameter(query, "since");
                let since = since.and_then(|text| text.parse::<Epoch>().ok());
                let answer = self.with_desk(|desk| desk.answer(since, random_bits))?;
                self.set_alarm().await?;
                Response::from_bytes(answer)
            }
            (Method::Post, "/refused") => {
                let refusal = Refusal::from_query(query, request.text().await?);
                let now = clock::now();
                self.with_desk(|desk| desk.refused(&refusal, now))?;
                Response::ok("")
            }
            (Method::Get, "/log") => {
                let by = order::name(query);
                let number =
                    |name| order::parameter(query, name).and_then(|text| text.parse().ok());
                let query = LogQuery {
                    limit: number("limit").map_or(0, |limit: u64| {
                        usize::try_from(limit).unwrap_or(LogQuery::MOST)
                    }),
                    before: number("before"),
                };
                let page = self.with_desk(|desk| desk.log_page(query, by.as_deref()))?;
                Response::ok(page)
            }
            _ => Response::error("no such call", 404),
        }
    }

    async fn alarm(&self) -> Result<Response> {
        self.alarm_at.set(None);
        let now = clock::now();
        let outcome = self.with_desk(|desk| desk.run_due(now));
        // Also after a failure: the platform tries an alarm that failed a few times only.
        self.set_alarm().await?;
        outcome?;
        self.state.storage().sync().await?;
        Response::ok("")
    }
}

impl PurgeObject {
    /// Carries out `order`, together with all others that have come: one transaction for all of them.
    ///
    /// Whoever's turn comes first writes; nobody awaits what another request began.
    async fn append(&self, order: Order) -> Result<Answer> {
        let answer = Rc::new(OnceCell::new());
        self.orders.borrow_mut().push(Waiting {
            order,
            answer: Rc::clone(&answer),
        });
        Delay::from(Duration::ZERO).await;
        if answer.get().is_none() {
            let waiting = self.orders.take();
            let (orders, answers): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .map(|waiting| (waiting.order, waiting.answer))
                .unzip();
            let now = clock::now();
            let given = self.with_desk(|desk| desk.take(orders, now))?;
            for (place, answer) in answers.iter().zip(given) {
                let _ = place.set(answer);
            }
            self.set_alarm().await?;
        }
        self.state.storage().sync().await?;
        let answer = answer.get().copied();
        answer.ok_or_else(|| Error::from("the purges that were written together were not kept"))
    }

    /// Has the platform call when a second purge is due, unless it is told already.
    async fn set_alarm(&self) -> Result<()> {
        /// An alarm that is so late was lost: the platform gives up one that failed several times.
        const LOST_AFTER: Milliseconds = Milliseconds::new(60_000);
        let due = self.desk.borrow().as_ref().and_then(Desk::next_due);
        let Some(due) = due else {
            return Ok(());
        };
        let now = clock::now();
        let is_set = self
            .alarm_at
            .get()
            .is_some_and(|at| at <= due && now.saturating_since(at) < LOST_AFTER);
        if is_set {
            return Ok(());
        }
        // Not sooner than in a moment: a storage that fails is not asked in a tight loop.
        let wait = due.saturating_since(now).as_u64().max(10);
        self.alarm_at.set(Some(due));
        self.state
            .storage()
            .set_alarm(Duration::from_millis(wait))
            .await
    }

    fn with_desk<T>(&self, call: impl FnOnce(&mut Desk<Tables>) -> Result<T>) -> Result<T> {
        let mut slot = self.desk.borrow_mut();
        let desk = match &mut *slot {
            Some(desk) => desk,
            empty @ None => empty.insert(self.open_desk()?),
        };
        let outcome = call(desk);
        if outcome.is_err() {
            *slot = None; // what the storage holds now is read anew
        }
        outcome
    }

    fn open_desk(&self) -> Result<Desk<Tables>> {
        let tables = Tables::open(self.state.storage().sql())?;
        let config = |error: &ConfigError| Error::from(error.to_string());
        let rate = *self.rate.as_ref().map_err(config)?;
        let routes = built_in_routes().map_err(|error| config(&error))?;
        let limits = routes.policy().ledger_limits();
        Desk::open(tables, limits, rate, random_bits)
    }
}

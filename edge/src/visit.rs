//! One request on its way through the cache, with everything that was read of it once.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;

use http::Method;
use terrace_shared::intake::{Intake, Routes, Target};
use terrace_shared::outcome::CacheStatus;
use terrace_shared::policy::Route;
use terrace_shared::purge::token::{After, Presented, Reach};
use terrace_shared::purge::wire::AFTER_FIELD;
use terrace_shared::time::{Milliseconds, TimestampMillis};
use worker::{Context, Env, Fetcher, web_sys};

use crate::clock;
use crate::convert;
use crate::env::{Config, built_in_routes};
use crate::error::ConfigError;
use crate::observe::{self, Count};
use crate::purge::client::{self, Bounds, LedgerClient};
use crate::purge::sharing::Sharing;
use crate::refusal::Refusal;
use crate::search;
use crate::store::StoreKey;

/// What this isolate was deployed with: read at its first request, and kept.
pub(crate) struct Edge {
    pub(crate) config: Config,
    pub(crate) routes: Routes,
    pub(crate) ledger: LedgerClient,
    /// None when the worker is deployed without static assets.
    pub(crate) assets: Option<Fetcher>,
}

/// One request on its way through the cache.
pub(crate) struct Visit {
    pub(crate) edge: Rc<Edge>,
    pub(crate) context: Context,
    pub(crate) request: web_sys::Request,
    pub(crate) method: Method,
    pub(crate) intake: Intake,
    pub(crate) key: StoreKey,
    /// The same without what responses of its path have said about queries.
    pub(crate) plain_key: StoreKey,
    /// When the request came.
    pub(crate) now: TimestampMillis,
    /// Nothing older than these purges may answer it; none if it presents no token that is believed (R10).
    pub(crate) after: Option<After>,
    /// Tokens that it presents and that are not believed.
    ignored_tokens: usize,
}

thread_local! {
    static EDGE: OnceCell<Rc<Edge>> = const { OnceCell::new() };
}

impl Edge {
    /// Name of the binding of the ledger's Durable Object.
    const LEDGER: &'static str = "PURGE";
    /// Name of the binding of the static assets.
    const ASSETS: &'static str = "ASSETS";

    /// What this isolate was deployed with. A fault is looked for again by each request: it is said each time.
    pub(crate) fn of(env: &Env) -> Result<Rc<Self>, ConfigError> {
        if let Some(edge) = EDGE.with(|cell| cell.get().map(Rc::clone)) {
            return Ok(edge);
        }
        let authority = env
            .durable_object(Self::LEDGER)
            .map_err(|_| ConfigError::Binding { name: Self::LEDGER })?;
        #[cfg(feature = "sabotage")]
        if let Some(rule) = env
            .var("TERRACE_BREAK")
            .ok()
            .and_then(|rule| rule.to_string().parse().ok())
        {
            terrace_shared::sabotage::break_rule(rule);
        }
        let routes = built_in_routes()?;
        let edge = Rc::new(Self {
            config: Config::from_env(env)?,
            ledger: LedgerClient::new(
                authority,
                routes.policy().ledger_limits(),
                Sharing::from_env(env)?,
            ),
            routes,
            assets: env.assets(Self::ASSETS).ok(),
        });
        EDGE.with(|cell| {
            let _ = cell.set(Rc::clone(&edge));
        });
        Ok(edge)
    }
}

impl Visit {
    /// Reads `request`: its target, route, cookies and key.
    pub(crate) fn begin(
        request: web_sys::Request,
        edge: Rc<Edge>,
        context: Context,
    ) -> Result<Self, Refusal> {
        let now = clock::now();
        let target = Target::parse(&request.url()).map_err(Refusal::bad_request)?;
        let method = convert::method(&request).ok_or_else(Refusal::bad_method)?;
        let fields = convert::header_map(&request.headers());
        let intake = Intake::of(&method, target, fields, &edge.routes, now.timestamp());
        let plain_key = StoreKey::of(intake.key.as_bytes());
        let intake = search::apply(intake);
        let presented = presented(&intake, &edge.config);
        Ok(Self {
            after: Some(presented.after).filter(|after| !after.is_empty()),
            ignored_tokens: presented.ignored,
            plain_key,
            key: StoreKey::of(intake.key.as_bytes()),
            context,
            request,
            method,
            intake,
            now,
            edge,
        })
    }

    /// Its route.
    pub(crate) fn route(&self) -> &Route {
        self.intake.rules.route()
    }

    /// What is said of an answer, and of the tokens that the request presents.
    pub(crate) fn said<'a>(&self, said: &'a CacheStatus) -> Cow<'a, CacheStatus> {
        let mut said = Cow::Borrowed(said);
        let mut add = |detail| said = Cow::Owned(said.as_ref().clone().detail(detail));
        if self.ignored_tokens > 0 {
            add("after-ignored");
        }
        if let Some(after) = &self.after
            && client::reach(after) == Reach::Behind
        {
            add("after-unreached");
        }
        said
    }

    /// How old the view of the ledger may be for it.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            refresh_after: self.edge.routes.policy().ledger().refresh.into(),
            bound: Milliseconds::from(self.route().purge_bound),
        }
    }
}

/// What the request presents; one look-up if that is nothing.
fn presented(intake: &Intake, config: &Config) -> Presented {
    if !intake.fields.contains_key(AFTER_FIELD) {
        return Presented::default();
    }
    let secrets = config.token_secrets.as_ref().ok().and_then(Option::as_ref);
    let presented = Presented::of(&intake.fields, secrets);
    if presented.ignored > 0 {
        observe::count(Count::TokensIgnored);
    }
    if !presented.after.is_empty() {
        observe::count(Count::TokensHeeded);
    }
    presented
}

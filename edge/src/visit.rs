//! One request on its way through the cache, with everything that was read of it once.

use std::cell::OnceCell;
use std::rc::Rc;

use http::Method;
use terrace_shared::intake::{Intake, Routes, Target};
use terrace_shared::policy::Route;
use terrace_shared::time::{Milliseconds, TimestampMillis};
use worker::{Context, Env, Fetcher, web_sys};

use crate::clock;
use crate::convert;
use crate::env::{Config, built_in_routes};
use crate::error::ConfigError;
use crate::purge::client::{Bounds, LedgerClient};
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
        Ok(Self {
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

    /// How old the view of the ledger may be for it.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            refresh_after: self.edge.routes.policy().ledger().refresh.into(),
            bound: Milliseconds::from(self.route().purge_bound),
        }
    }
}

//! The policy, as the engine's rules for each route.

use std::sync::Arc;

use ::http::HeaderValue;
use ::http::header::{CACHE_CONTROL, EXPIRES, HeaderName};

use crate::http::{BrowserRule, Exchange, Exposure, Heuristic, Rules, StoredResponse, VaryRule};
use crate::key::SurrogateKey;
use crate::policy::{self, Immutable, Policy, Route, RouteClass};
use crate::time::{DeltaSeconds, Milliseconds};

/// The policy, with the rules of its routes made ready.
#[derive(Debug)]
pub struct Routes {
    policy: Policy,
    /// In the order of the policy's routes.
    rules: Vec<Arc<RouteRules>>,
    /// Of paths that no route names.
    fallback: Arc<RouteRules>,
}

/// What the engine is told about the responses of one route.
#[derive(Debug)]
pub struct RouteRules {
    route: Route,
    as_stored: Rules,
    /// For responses that say nothing to browsers.
    for_browsers: Option<Rules>,
}

/// Longest that a 404 without a lifetime of its own is fresh, whatever the route gives to files.
const NEGATIVE: DeltaSeconds = DeltaSeconds::minutes(1);

impl Routes {
    /// Makes the rules of each of the policy's routes; clients do not see surrogate keys.
    pub fn new(policy: Policy) -> Self {
        Self::exposing(policy, Exposure::Strip)
    }

    /// [`Self::new`], with a say in whether clients see surrogate keys.
    pub fn exposing(policy: Policy, surrogate_keys: Exposure) -> Self {
        let make = |route| Arc::new(RouteRules::of(route, &policy, surrogate_keys));
        Self {
            rules: policy.routes().map(make).collect(),
            fallback: make(policy.route("")),
            policy,
        }
    }

    /// The route of `path`, with its rules.
    pub fn find(&self, path: &str) -> &Arc<RouteRules> {
        let mut rules = self.rules.iter();
        rules
            .find(|rules| rules.route.path.matches(path))
            .unwrap_or(&self.fallback)
    }

    /// The policy itself.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The longest purge bound of any route: when every reader has seen a purge.
    pub fn longest_bound(&self) -> Milliseconds {
        let bounds = self.policy.routes().map(|route| route.purge_bound);
        let longest = bounds.max().max(Some(self.policy.ledger().bound));
        longest.unwrap_or_default().into()
    }
}

impl RouteRules {
    fn of(route: &Route, policy: &Policy, surrogate_keys: Exposure) -> Self {
        let mut surrogate_key_fields = Rules::default().surrogate_key_fields;
        surrogate_key_fields.push(ROUTE_KEYS);
        let as_stored = Rules {
            surrogate_key_fields,
            surrogate_keys,
            default_lifetime: route.edge,
            negative_lifetime: route.edge.map(|lifetime| lifetime.min(NEGATIVE)),
            heuristic: match route.class {
                RouteClass::OriginHeaders => Heuristic::default(),
                // These classes say how long; where one says nothing, nothing is guessed.
                RouteClass::FingerprintedAsset
                | RouteClass::Html
                | RouteClass::Api
                | RouteClass::Report
                | RouteClass::Bypass => Heuristic {
                    percent: 0,
                    ..Heuristic::default()
                },
            },
            default_grace: route.grace,
            default_stale_if_error: route.stale_if_error,
            stale_when_disconnected: stale_when_disconnected(route),
            longest_lifetime: Policy::LONGEST_LIFETIME.min(policy.horizon()),
            vary: match &route.vary {
                policy::VaryRule::Any => VaryRule::Any,
                policy::VaryRule::Only(names) => VaryRule::Only(
                    names
                        .iter()
                        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
                        .collect(),
                ),
            },
            ..Rules::default()
        };
        let for_browsers = browser_cache_control(route).map(|value| Rules {
            browser: BrowserRule::Replace(value),
            ..as_stored.clone()
        });
        Self {
            route: route.clone(),
            as_stored,
            for_browsers,
        }
    }

    /// The route itself.
    pub const fn route(&self) -> &Route {
        &self.route
    }

    /// The rules for deciding.
    pub const fn decide(&self) -> &Rules {
        &self.as_stored
    }

    /// Whether `stored`, which is fresh for `remaining`, should be filled again behind the answer.
    ///
    /// `draw` gives a number from 0 to below 1, at random; it is only asked where chance has a say.
    pub fn is_due_early(
        &self,
        stored: &StoredResponse,
        remaining: DeltaSeconds,
        draw: impl FnOnce() -> f64,
    ) -> bool {
        let Exchange {
            requested_at,
            received_at,
        } = stored.exchange();
        let load = received_at.saturating_since(requested_at);
        let (lifetime, early) = (stored.lifetime(), self.route.early_refresh);
        early.is_due(lifetime.into(), remaining.into(), load.into(), draw)
    }

    /// The rules for answering with `stored`: the route speaks to browsers where the origin does not.
    pub fn answer(&self, stored: &StoredResponse) -> &Rules {
        let fields = stored.fields();
        // What is missing today may be there tomorrow: errors are not pressed upon browsers.
        let silent = || {
            stored.status().is_success()
                && !fields.contains_key(CACHE_CONTROL)
                && !fields.contains_key(EXPIRES)
        };
        self.for_browsers
            .as_ref()
            .filter(|_| silent())
            .unwrap_or(&self.as_stored)
    }
}

/// What HTTP allows a cache that is cut off from its origin, where the route does not say how long itself.
fn stale_when_disconnected(route: &Route) -> DeltaSeconds {
    match route.class {
        RouteClass::OriginHeaders if route.stale_if_error.is_zero() => {
            Rules::default().stale_when_disconnected
        }
        RouteClass::OriginHeaders
        | RouteClass::FingerprintedAsset
        | RouteClass::Html
        | RouteClass::Api
        | RouteClass::Report
        | RouteClass::Bypass => route.stale_if_error,
    }
}

/// Field with the surrogate keys that the route gives: added to the origin's answer, never sent on.
///
/// A field of its own, so that a 304 without surrogate keys does not replace those that are stored.
pub const ROUTE_KEYS: HeaderName = HeaderName::from_static("terrace-route-keys");

/// The value of [`ROUTE_KEYS`] for a response to `path`; none if the route gives none.
///
/// What cannot be made into surrogate keys is handed on as it is: the engine refuses it aloud (R12).
pub fn route_keys(route: &Route, path: &str) -> Option<HeaderValue> {
    match route.surrogate_keys(path) {
        Ok(keys) if keys.is_empty() => None,
        Ok(keys) => {
            let texts: Vec<&str> = keys.iter().map(SurrogateKey::as_str).collect();
            HeaderValue::try_from(texts.join(" ")).ok()
        }
        Err(_) => HeaderValue::from_bytes(b"\xff").ok(),
    }
}

/// `Cache-Control` for browsers, as the route wants it.
pub fn browser_cache_control(route: &Route) -> Option<HeaderValue> {
    let lifetime = route.browser?.as_seconds();
    let public = match route.class {
        RouteClass::FingerprintedAsset | RouteClass::Html => "public, ",
        RouteClass::Api | RouteClass::Report | RouteClass::Bypass | RouteClass::OriginHeaders => "",
    };
    let more = match (route.immutable, lifetime) {
        (Immutable::Yes, _) => ", immutable",
        (Immutable::No, 0) => ", must-revalidate",
        (Immutable::No, _) => "",
    };
    HeaderValue::try_from(format!("{public}max-age={lifetime}{more}")).ok()
}

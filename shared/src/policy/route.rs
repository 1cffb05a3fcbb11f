//! Routes: how responses are cached, by the path they are requested with.

use serde::{Deserialize, Serialize};

use super::key_space::surrogate_keys;
use super::{
    EarlyRefresh, LanguageRule, LedgerPolicy, OnLedgerLag, PathPattern, Policy, QueryRule,
};
use crate::key::{KeyError, SurrogateKeys, Template};
use crate::time::DeltaSeconds;

/// How the responses of some paths are cached: one of `[[routes]]`.
///
/// A response that gives a lifetime itself (`Cache-Control`, a targeted field, `Expires`) has that one;
/// the route's are for responses that give none. What a response forbids (`no-store`, `private`,
/// `must-revalidate`) no route allows.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Route {
    /// Which paths.
    pub path: PathPattern,
    /// What kind of responses; the other settings default by it.
    pub class: RouteClass,
    /// How long a response is fresh at the edge if it does not say so itself; none: it is not stored.
    pub edge: Option<DeltaSeconds>,
    /// `max-age` sent to browsers if the response gives none; none: nothing is added.
    pub browser: Option<DeltaSeconds>,
    /// Whether `immutable` is sent with it (RFC 8246).
    pub immutable: Immutable,
    /// How long stale may be served while revalidating, if the response gives no `stale-while-revalidate`.
    pub grace: DeltaSeconds,
    /// How long stale may be served when the origin fails, if the response gives no `stale-if-error`.
    pub stale_if_error: DeltaSeconds,
    /// When a fresh response is filled again behind an answer. Default: `XFetch` with beta 1.
    ///
    /// A fill's duration counts in whole seconds, as ages do: an origin that answers within one is asked when the
    /// response is stale, in its grace.
    pub early_refresh: EarlyRefresh,
    /// How the query takes part in the cache key. Default: as it is.
    pub query: QueryRule,
    /// By which request fields responses may vary. Default: any.
    pub vary: VaryRule,
    /// Which languages the origin has. Default: not known, and `Accept-Language` stays as it is.
    pub languages: LanguageRule,
    /// How the request's cookies take part. Default: ignored for assets, else a request with any is not cached.
    pub cookies: CookieRule,
    /// Every reader sees a purge within this. Default: the ledger's bound.
    pub purge_bound: DeltaSeconds,
    /// What happens when the ledger's replica is older than that. Default: revalidate.
    pub on_ledger_lag: OnLedgerLag,
    /// The surrogate keys that every response carries besides its own, made from captured segments. Default: none.
    pub surrogate_key_templates: Vec<Template>,
}

/// What kind of responses a route has.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteClass {
    /// Files whose name changes with their content: a year everywhere, and `immutable`.
    FingerprintedAsset,
    /// Pages: 5 minutes at the edge, revalidated by browsers.
    Html,
    /// Answers of an API: 5 minutes at the edge for `GET`, revalidated by browsers.
    Api,
    /// Reports and aggregated figures: 24 hours at the edge, revalidated by browsers.
    Report,
    /// Never stored, never answered from a store.
    Bypass,
    /// As the origin's headers say, and nothing else: the class of paths that no route names.
    #[default]
    OriginHeaders,
}

/// Whether `immutable` is sent to browsers (RFC 8246).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Immutable {
    /// It is.
    Yes,
    /// It is not.
    #[default]
    No,
}

/// By which request fields a response may vary and still be stored.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VaryRule {
    /// Any, as its `Vary` says.
    #[default]
    Any,
    /// These names only, in lower case; a response that varies by another is not stored.
    Only(Vec<Box<str>>),
}

/// How the request's cookies take part.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CookieRule {
    /// A request with any cookie is neither answered from a store nor stored.
    #[default]
    Bypass,
    /// Not at all, and they are not sent to the origin: every client has the same response.
    Ignore,
    /// By name; cookies not named are ignored.
    Named {
        /// These are part of the cache key, and sent to the origin.
        keyed: Vec<Box<str>>,
        /// A request with one of these is neither answered from a store nor stored.
        bypass: Vec<Box<str>>,
    },
}

/// What one cookie of a request means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum OnCookie {
    /// It is part of the cache key, and sent to the origin.
    Key,
    /// It takes no part, and is not sent to the origin.
    Ignore,
    /// The request is neither answered from a store nor its response stored.
    Bypass,
}

impl Route {
    /// The route for these paths with every setting at its class's default.
    pub fn new(path: PathPattern, class: RouteClass) -> Self {
        let (edge, browser) = class.lifetimes();
        let grace = match class {
            RouteClass::FingerprintedAsset | RouteClass::Html | RouteClass::Api => {
                DeltaSeconds::minutes(1)
            }
            RouteClass::Report => DeltaSeconds::hours(1),
            RouteClass::Bypass | RouteClass::OriginHeaders => DeltaSeconds::ZERO,
        };
        let is_asset = class == RouteClass::FingerprintedAsset;
        Self {
            path,
            class,
            edge,
            browser,
            immutable: if is_asset {
                Immutable::Yes
            } else {
                Immutable::No
            },
            grace,
            stale_if_error: DeltaSeconds::ZERO,
            early_refresh: EarlyRefresh::default(),
            query: QueryRule::default(),
            vary: VaryRule::default(),
            languages: LanguageRule::default(),
            cookies: if is_asset {
                CookieRule::Ignore
            } else {
                CookieRule::Bypass
            },
            purge_bound: LedgerPolicy::default().bound,
            on_ledger_lag: OnLedgerLag::default(),
            surrogate_key_templates: Vec::new(),
        }
    }

    /// The surrogate keys that the route gives the response to a request for `path`.
    ///
    /// # Errors
    /// When what comes out is no set of surrogate keys.
    pub fn surrogate_keys(&self, path: &str) -> Result<SurrogateKeys, KeyError> {
        let parts = self.path.capture(path).unwrap_or_default();
        surrogate_keys(&self.surrogate_key_templates, &parts)
    }

    /// Longest that a stored response can be of use, by the route's own lifetime.
    pub fn longest_use(&self) -> DeltaSeconds {
        let lifetime = self.edge.unwrap_or_default();
        lifetime.saturating_add(self.grace.max(self.stale_if_error))
    }
}

impl Default for Route {
    /// For all paths, as the origin's headers say.
    fn default() -> Self {
        Self::new(PathPattern::all(), RouteClass::OriginHeaders)
    }
}

impl RouteClass {
    /// Lifetimes at the edge and in browsers, of a response that gives none itself.
    fn lifetimes(self) -> (Option<DeltaSeconds>, Option<DeltaSeconds>) {
        let edge = match self {
            Self::FingerprintedAsset => {
                let year = Some(Policy::LONGEST_LIFETIME);
                return (year, year);
            }
            Self::Html | Self::Api => DeltaSeconds::minutes(5),
            Self::Report => DeltaSeconds::hours(24),
            Self::Bypass | Self::OriginHeaders => return (None, None),
        };
        (Some(edge), Some(DeltaSeconds::ZERO))
    }
}

impl VaryRule {
    /// Whether a response may vary by this request field; case does not matter.
    pub fn allows(&self, field: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.iter().any(|name| name.eq_ignore_ascii_case(field)),
        }
    }
}

impl CookieRule {
    /// What a request that sends a cookie of this name means.
    pub fn on(&self, cookie: &str) -> OnCookie {
        let has = |names: &[Box<str>]| names.iter().any(|name| **name == *cookie);
        match self {
            Self::Bypass => OnCookie::Bypass,
            Self::Named { bypass, .. } if has(bypass) => OnCookie::Bypass,
            Self::Named { keyed, .. } if has(keyed) => OnCookie::Key,
            Self::Ignore | Self::Named { .. } => OnCookie::Ignore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SurrogateKey;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn classes_have_the_lifetimes_of_their_kind() {
        let minutes = DeltaSeconds::minutes;
        let zero = Some(DeltaSeconds::ZERO);
        for (class, edge, browser, immutable) in [
            (
                RouteClass::FingerprintedAsset,
                Some(DeltaSeconds::days(365)),
                Some(DeltaSeconds::days(365)),
                Immutable::Yes,
            ),
            (RouteClass::Html, Some(minutes(5)), zero, Immutable::No),
            (RouteClass::Api, Some(minutes(5)), zero, Immutable::No),
            (
                RouteClass::Report,
                Some(DeltaSeconds::hours(24)),
                zero,
                Immutable::No,
            ),
            (RouteClass::Bypass, None, None, Immutable::No),
            (RouteClass::OriginHeaders, None, None, Immutable::No),
        ] {
            let route = Route::new(PathPattern::all(), class);
            assert_eq!(
                (route.edge, route.browser, route.immutable),
                (edge, browser, immutable),
                "{class:?}"
            );
        }
    }

    #[test]
    fn captured_segments_become_surrogate_keys() {
        let path = PathPattern::parse("/api/plans/{plan_id}").unwrap();
        let mut route = Route::new(path, RouteClass::Api);
        route.surrogate_key_templates = ["plans", "plan:{plan_id}"]
            .map(|text| Template::parse(text).unwrap())
            .into();
        let keys = route.surrogate_keys("/api/plans/a%20b").unwrap();
        let texts: Vec<_> = keys.iter().map(SurrogateKey::as_str).collect();
        assert_eq!(texts, ["plan:a%20b", "plans"]);
    }

    #[test]
    fn rules_for_fields_and_cookies_go_by_name() {
        assert!(VaryRule::Any.allows("Accept-Language"));
        let only = VaryRule::Only(vec!["accept-encoding".into()]);
        assert!(only.allows("Accept-Encoding"));
        assert!(!only.allows("User-Agent"));
        let named = CookieRule::Named {
            keyed: vec!["currency".into()],
            bypass: vec!["session".into()],
        };
        for (rule, cookie, expected) in [
            (&CookieRule::Bypass, "_ga", OnCookie::Bypass),
            (&CookieRule::Ignore, "session", OnCookie::Ignore),
            (&named, "session", OnCookie::Bypass),
            (&named, "currency", OnCookie::Key),
            (&named, "Currency", OnCookie::Ignore),
        ] {
            assert_eq!(rule.on(cookie), expected, "{rule:?} on {cookie:?}");
        }
    }
}

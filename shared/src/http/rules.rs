//! What the configuration contributes to the decisions.

use ::http::HeaderValue;
use ::http::header::HeaderName;

use crate::time::DeltaSeconds;

/// What the shell's configuration, or one route of it, says about caching.
///
/// Everything has a default; a shell sets what its policy says and leaves the rest.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whom the cache serves. Default: everybody.
    pub kind: CacheKind,
    /// Fields that speak to this cache before `Cache-Control` does. Default: [`Targets::default`].
    pub targets: Targets,
    /// Freshness lifetime of a response that states none, from its route's class. Default: none, so heuristics apply.
    pub default_lifetime: Option<DeltaSeconds>,
    /// The same for 404, 405, 410, 414 and 501. Default: none, so they are like the others.
    pub negative_lifetime: Option<DeltaSeconds>,
    /// Longest freshness lifetime that is believed. Default: one year.
    ///
    /// The purge ledger's horizon must not be shorter than this with grace, stale-if-error and
    /// [`Self::stale_when_disconnected`] (R11).
    pub longest_lifetime: DeltaSeconds,
    /// Grace of a response that states none (`stale-while-revalidate`). Default: 0 s.
    pub default_grace: DeltaSeconds,
    /// How long a response that does not say may be served stale when the origin fails. Default: 0 s.
    pub default_stale_if_error: DeltaSeconds,
    /// How long a response may be served stale while the origin cannot be reached at all, unless something
    /// forbids it (RFC 9111 §4.2.4). Does not apply after a purge. Default: one hour.
    pub stale_when_disconnected: DeltaSeconds,
    /// Freshness guessed from `Last-Modified`. Default: a tenth of its age, at most one day.
    pub heuristic: Heuristic,
    /// Which request fields responses may vary on. Default: any.
    pub vary: VaryRule,
    /// Response fields that carry surrogate keys. Default: `Surrogate-Key`, `Cache-Tag`, `Edge-Cache-Tag`, `xkey`
    /// and `Cache-Groups`.
    pub surrogate_key_fields: Vec<HeaderName>,
    /// Whether clients see those fields. Default: they do not.
    pub surrogate_keys: Exposure,
    /// Longest staleness that a client's `max-stale` can ask for. Default: one day.
    pub max_stale: DeltaSeconds,
    /// Whether the client's `Cache-Control` and `Pragma` have a say. Default: they have.
    pub client_directives: ClientDirectives,
    /// What to do with responses that set cookies. Default: stored if their freshness is explicit.
    pub set_cookie: SetCookieRule,
    /// What to do with 206 responses. Default: stored.
    pub partial: PartialRule,
    /// `Cache-Control` for clients. Default: as the origin sent it.
    pub browser: BrowserRule,
    /// Most ranges of one request that are answered; more get the whole. Default: 16.
    pub most_ranges: usize,
}

/// Whom a cache serves (RFC 9111 §1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CacheKind {
    /// Many users.
    #[default]
    Shared,
    /// One user.
    Private,
}

/// Names of the targeted fields in order of precedence (RFC 9213 §2.2).
///
/// The first that is present and valid replaces `Cache-Control` and `Expires`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Targets {
    /// Meant for Terrace alone; not passed on.
    pub own: Vec<HeaderName>,
    /// Meant for all of a class; passed on to the caches behind.
    pub class: Vec<HeaderName>,
}

/// Freshness guessed from how long ago the representation was changed (RFC 9111 §4.2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heuristic {
    /// Per cent of the time since `Last-Modified`; zero turns it off.
    pub percent: u8,
    /// Most that is ever guessed.
    pub longest: DeltaSeconds,
}

/// Which request fields responses may vary on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum VaryRule {
    /// Any.
    #[default]
    Any,
    /// These; a response that varies on another one is not stored.
    Only(Vec<HeaderName>),
}

/// Whether clients see what is meant for caches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Exposure {
    /// Taken out.
    #[default]
    Strip,
    /// Passed on.
    Send,
}

/// Whether request directives have a say (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClientDirectives {
    /// All of them have.
    #[default]
    Honour,
    /// Only `only-if-cached` and `no-store` have: nobody can force requests through to the origin.
    Ignore,
}

/// What to do with responses that set cookies (RFC 9111 §7.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SetCookieRule {
    /// Stored if the response itself states its freshness; then the origin has meant it.
    #[default]
    IfExplicit,
    /// Never stored.
    Never,
}

/// What to do with 206 responses (RFC 9111 §3.3, §3.4).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PartialRule {
    /// Stored, and combined with other parts of the same representation.
    #[default]
    Store,
    /// Passed on and not stored.
    Pass,
}

/// What clients get as `Cache-Control`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum BrowserRule {
    /// What the origin sent.
    #[default]
    AsStored,
    /// This value instead, and no `Expires`.
    Replace(HeaderValue),
}

impl Rules {
    /// The rules of a private cache.
    pub fn private() -> Self {
        Self {
            kind: CacheKind::Private,
            targets: Targets::none(),
            ..Self::default()
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            kind: CacheKind::Shared,
            targets: Targets::default(),
            default_lifetime: None,
            negative_lifetime: None,
            longest_lifetime: DeltaSeconds::days(365),
            default_grace: DeltaSeconds::ZERO,
            default_stale_if_error: DeltaSeconds::ZERO,
            stale_when_disconnected: DeltaSeconds::hours(1),
            heuristic: Heuristic::default(),
            vary: VaryRule::Any,
            surrogate_key_fields: SURROGATE_KEY_FIELDS.to_vec(),
            surrogate_keys: Exposure::Strip,
            max_stale: DeltaSeconds::days(1),
            client_directives: ClientDirectives::Honour,
            set_cookie: SetCookieRule::IfExplicit,
            partial: PartialRule::Store,
            browser: BrowserRule::AsStored,
            most_ranges: 16,
        }
    }
}

impl Targets {
    /// No targeted field is read: a private cache is no target.
    pub const fn none() -> Self {
        Self {
            own: Vec::new(),
            class: Vec::new(),
        }
    }

    /// All of them in order of precedence.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderName> {
        self.own.iter().chain(&self.class)
    }
}

impl Default for Targets {
    /// `Terrace-Cache-Control`, then `CDN-Cache-Control`, then `Surrogate-Control` as an alias.
    fn default() -> Self {
        Self {
            own: vec![HeaderName::from_static("terrace-cache-control")],
            class: vec![
                HeaderName::from_static("cdn-cache-control"),
                HeaderName::from_static("surrogate-control"),
            ],
        }
    }
}

impl Default for Heuristic {
    fn default() -> Self {
        Self {
            percent: 10,
            longest: DeltaSeconds::days(1),
        }
    }
}

const SURROGATE_KEY_FIELDS: [HeaderName; 5] = [
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("edge-cache-tag"),
    HeaderName::from_static("xkey"),
    HeaderName::from_static("cache-groups"),
];

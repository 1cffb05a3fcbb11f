//! How a request comes to the cache: its target, its route with the rules for it, and its key.
//!
//! The shells that speak HTTP (the edge worker, the origin's tower layer) all begin with
//! [`Intake::of`], so that one policy file means the same everywhere: a path that two readers could
//! understand differently is refused, the route's query and cookie rules are applied, and host, path,
//! query and keyed cookies become the key.

mod cookies;
mod forward;
mod judge;
mod rules;
mod search;
mod target;

use std::sync::Arc;

use ::http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, UPGRADE};
use ::http::{HeaderMap, HeaderValue, Method};

use crate::http::{NoVarySearch, RequestFacts, StoredResponse, weighted};
use crate::key::EncodedKey;
use crate::outcome::ForwardReason;
use crate::policy::{LanguageRule, Route, RouteClass};
use crate::purge::EntryScopes;
use crate::purge::token::take_after_cookie;
use crate::time::Timestamp;
use cookies::{Cookies, apply_cookies};

pub use forward::origin_fields;
pub use judge::{judge, judge_among};
pub use rules::{ROUTE_KEYS, RouteRules, Routes, browser_cache_control, route_keys};
pub use search::{Learned, SearchRules};
pub use target::{Target, TargetError, is_plain_host};

/// A request as the cache sees it.
#[derive(Clone, Debug)]
pub struct Intake {
    /// What it asks for.
    pub target: Target,
    /// Path and query as the route normalises them: what is asked of the origin, and purged by.
    pub path_and_query: Box<str>,
    /// The client's fields, less the cookies that the route leaves out, with preferences in few spellings.
    pub fields: Arc<HeaderMap>,
    /// What of them matters to the decisions.
    pub facts: RequestFacts,
    /// Its route, with the rules for it.
    pub rules: Arc<RouteRules>,
    /// Whether it has to do with the stores at all.
    pub handling: Handling,
    /// Under which key its responses are stored, variants apart.
    pub key: EncodedKey,
    /// The cookies that are part of the key.
    cookies: Box<[u8]>,
}

/// Whether a request has to do with the stores at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handling {
    /// It may be answered from them, and its response stored.
    Cache,
    /// It passes them by.
    Pass(ForwardReason),
}

impl Intake {
    /// Finds the route of a request, and reads the request by its rules.
    pub fn of(
        method: &Method,
        target: Target,
        mut fields: HeaderMap,
        routes: &Routes,
        now: Timestamp,
    ) -> Self {
        let rules = Arc::clone(routes.find(target.path()));
        let route = rules.route();
        let (cookies, keyed) = if fields.contains_key(COOKIE) {
            take_after_cookie(&mut fields);
            apply_cookies(&route.cookies, &mut fields)
        } else {
            (Cookies::Cacheable, None)
        };
        let handling = handling(method, route, &fields, cookies);
        let path_and_query = normalised(&target, route);
        let cookies_in_key: Box<[u8]> = keyed.unwrap_or_default().into();
        let key = key_of(&target, &path_and_query, &cookies_in_key);
        if handling == Handling::Cache {
            normalise_preferences(route, &mut fields);
        }
        let fields = Arc::new(fields);
        let facts = RequestFacts::of(method, target.uri(), &fields, now, rules.decide());
        Self {
            target,
            path_and_query,
            fields,
            facts,
            rules,
            handling,
            key,
            cookies: cookies_in_key,
        }
    }

    /// The same request under what responses of its path have said about queries.
    ///
    /// Only the key changes: the origin is asked for the URL as it came. Responses that say `rule` themselves
    /// are stored under this key, and no others: those that say nothing under [`Self::of`]'s. What is found
    /// here may be stored under another name than this request's, so a purge of this one has to be looked for
    /// besides: [`Self::alias_scopes`].
    #[must_use]
    pub fn under_search_rule(mut self, rule: &NoVarySearch) -> Self {
        self.key = self.key_under(rule);
        self
    }

    /// The key of [`Self::under_search_rule`].
    pub fn key_under(&self, rule: &NoVarySearch) -> EncodedKey {
        key_under(rule, &self.target, &self.path_and_query, &self.cookies)
    }

    /// What this request's own URL answers to when something is purged, if `stored` was stored under another.
    ///
    /// The ledger's verdict on these, under the fence of `stored`, counts as well as the one on its own.
    pub fn alias_scopes(&self, stored: &StoredResponse) -> Option<EntryScopes> {
        self.alias_scopes_of(stored.scopes())
    }

    /// [`Self::alias_scopes`] for a stored response that answers to `scopes`.
    pub fn alias_scopes_of(&self, scopes: &EntryScopes) -> Option<EntryScopes> {
        let own = scopes
            .name()
            .strip_prefix(self.target.host())
            .is_some_and(|rest| rest == &*self.path_and_query);
        (!own).then(|| EntryScopes::of_url(self.target.host(), &self.path_and_query, []))
    }

    /// The key of another URL, given as host, path and query: what an unsafe method invalidates.
    pub fn key_of_name(&self, name: &str, routes: &Routes) -> Option<EncodedKey> {
        let (target, path_and_query) = self.target_of_name(name, routes)?;
        Some(key_of(&target, &path_and_query, &[]))
    }

    /// The same key under what responses of its path have said about queries.
    pub fn key_of_name_under(
        &self,
        rule: &NoVarySearch,
        name: &str,
        routes: &Routes,
    ) -> Option<EncodedKey> {
        let (target, path_and_query) = self.target_of_name(name, routes)?;
        Some(key_under(rule, &target, &path_and_query, &[]))
    }

    fn target_of_name(&self, name: &str, routes: &Routes) -> Option<(Target, Box<str>)> {
        let target = Target::parse(&format!("{}://{name}", self.target.scheme())).ok()?;
        let path_and_query = normalised(&target, routes.find(target.path()).route());
        Some((target, path_and_query))
    }
}

/// The key names its rule, so that responses of different rules never meet.
fn key_under(
    rule: &NoVarySearch,
    target: &Target,
    path_and_query: &str,
    cookies: &[u8],
) -> EncodedKey {
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    EncodedKey::of([
        target.scheme().as_bytes(),
        target.host().as_bytes(),
        path.as_bytes(),
        rule.normalise(query).as_bytes(),
        rule.to_text().as_bytes(),
        cookies,
    ])
}

fn key_of(target: &Target, path_and_query: &str, cookies: &[u8]) -> EncodedKey {
    EncodedKey::of([
        target.scheme().as_bytes(),
        target.host().as_bytes(),
        path_and_query.as_bytes(),
        cookies,
    ])
}

fn handling(method: &Method, route: &Route, fields: &HeaderMap, cookies: Cookies) -> Handling {
    let bypass = route.class == RouteClass::Bypass
        || cookies == Cookies::Bypass
        || fields.contains_key(UPGRADE);
    if bypass {
        Handling::Pass(ForwardReason::Bypass)
    } else if matches!(*method, Method::GET | Method::HEAD) {
        Handling::Cache
    } else {
        // Its response may still be one that answers later requests (RFC 9110 §9.3.3).
        Handling::Pass(ForwardReason::Method)
    }
}

fn normalised(target: &Target, route: &Route) -> Box<str> {
    let Some(sent) = target.query() else {
        return target.path_and_query().into();
    };
    let query = route.query.normalise(sent);
    if query == sent {
        // An empty query is not the same as none (RFC 3986 §6.2.3).
        target.path_and_query().into()
    } else if query.is_empty() {
        target.path().into()
    } else {
        format!("{}?{query}", target.path()).into()
    }
}

/// What a client likes best in one of few spellings, so that few variants arise.
fn normalise_preferences(route: &Route, fields: &mut HeaderMap) {
    if fields.contains_key(ACCEPT_ENCODING) {
        let codings = normalised_codings(fields);
        fields.insert(ACCEPT_ENCODING, codings);
    }
    if !route.languages.is_empty() && fields.contains_key(ACCEPT_LANGUAGE) {
        let language = normalised_language(&route.languages, fields);
        fields.remove(ACCEPT_LANGUAGE);
        if let Some(language) = language {
            fields.insert(ACCEPT_LANGUAGE, language);
        }
    }
}

/// The one of the origin's languages that the client likes best.
fn normalised_language(languages: &LanguageRule, fields: &HeaderMap) -> Option<HeaderValue> {
    let ranges: Vec<_> = weighted(&ACCEPT_LANGUAGE, fields)
        .take(MOST_LANGUAGE_RANGES)
        .collect();
    HeaderValue::from_str(languages.best(&ranges)?).ok()
}

/// Those behind them are not read: each is held against each of the route's languages.
const MOST_LANGUAGE_RANGES: usize = 64;

/// The codings that a client takes, in one of few spellings, so that few variants arise.
///
/// `identity;q=0` and codings that nobody serves are left out.
fn normalised_codings(fields: &HeaderMap) -> HeaderValue {
    let lines = fields.get_all(ACCEPT_ENCODING).iter();
    let taken = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(coding)
        .fold(0, |taken, coding| taken | 1 << coding);
    let text = CODINGS.get(taken).copied().unwrap_or("identity");
    HeaderValue::from_static(text)
}

/// The place of a coding that the client takes; none if it refuses it, or if nobody serves it.
fn coding(member: &[u8]) -> Option<usize> {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next()?;
    let place = [&b"br"[..], b"gzip", b"zstd"]
        .iter()
        .position(|coding| coding.eq_ignore_ascii_case(name))?;
    let is_zero = |byte: &u8| matches!(byte, b'0' | b'.');
    let refused = parts.any(|part| match part {
        [b'q' | b'Q', b'=', weight @ ..] => weight.iter().all(is_zero),
        _ => false,
    });
    (!refused).then_some(place)
}

/// By which of `br`, `gzip` and `zstd` are taken; in the order that the engine gives such lists.
const CODINGS: [&str; 8] = [
    "identity",
    "br",
    "gzip",
    "br, gzip",
    "zstd",
    "br, zstd",
    "gzip, zstd",
    "br, gzip, zstd",
];

#[cfg(test)]
mod tests;

//! One request on its way through the cache, with everything that was read of it once.

use std::cell::OnceCell;
use std::rc::Rc;

use http::header::{ACCEPT_ENCODING, COOKIE, UPGRADE};
use http::{HeaderMap, HeaderValue, Method};
use terrace_shared::http::RequestFacts;
use terrace_shared::key::EncodedKey;
use terrace_shared::outcome::ForwardReason;
use terrace_shared::policy::{CookieRule, Route, RouteClass};
use terrace_shared::time::{Milliseconds, TimestampMillis};
use worker::{Context, Env, Fetcher, web_sys};

use crate::clock;
use crate::convert;
use crate::env::Config;
use crate::error::ConfigError;
use crate::purge::client::{Bounds, LedgerClient};
use crate::refusal::Refusal;
use crate::route::{RouteRules, Routes};
use crate::store::StoreKey;
use crate::target::Target;

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
    pub(crate) target: Target,
    /// The client's fields, less the cookies that the route leaves out.
    pub(crate) fields: HeaderMap,
    pub(crate) facts: RequestFacts,
    pub(crate) rules: Rc<RouteRules>,
    pub(crate) handling: Handling,
    /// Path and query as the route normalises them: what is asked of the origin, and purged by.
    pub(crate) path_and_query: Box<str>,
    pub(crate) key: StoreKey,
    /// When the request came.
    pub(crate) now: TimestampMillis,
}

/// Whether a request has to do with the stores at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Handling {
    /// It may be answered from them, and its response stored.
    Cache,
    /// It passes them by.
    Pass(ForwardReason),
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
        let routes = Routes::built_in()?;
        let edge = Rc::new(Self {
            config: Config::from_env(env)?,
            ledger: LedgerClient::new(authority, routes.policy().ledger_limits()),
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
        let mut fields = convert::header_map(&request.headers());
        let (route, rules) = edge.routes.find(target.path());
        let (cookies, keyed) = apply_cookies(&route.cookies, &mut fields);
        let handling = handling(&method, route, &fields, cookies);
        let path_and_query = normalised(&target, route);
        let key = EncodedKey::of([
            target.scheme.as_bytes(),
            target.host.as_bytes(),
            path_and_query.as_bytes(),
            keyed.as_deref().unwrap_or_default(),
        ]);
        if handling == Handling::Cache
            && let Some(codings) = fields.get(ACCEPT_ENCODING)
        {
            let codings = normalised_codings(codings);
            fields.insert(ACCEPT_ENCODING, codings);
        }
        let facts = RequestFacts::parse(
            &method,
            &target.uri,
            &fields,
            now.timestamp(),
            rules.decide(),
        );
        Ok(Self {
            key: StoreKey::of(key.as_bytes()),
            context,
            request,
            method,
            target,
            fields,
            facts,
            rules,
            handling,
            path_and_query,
            now,
            edge,
        })
    }

    /// Its route.
    pub(crate) fn route(&self) -> &Route {
        self.edge.routes.policy().route(self.target.path())
    }

    /// How old the view of the ledger may be for it.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            refresh_after: self.edge.routes.policy().ledger().refresh.into(),
            bound: Milliseconds::from(self.route().purge_bound),
        }
    }
}

/// The key of another URL of this request's host: what an unsafe method invalidates.
pub(crate) fn key_of_name(visit: &Visit, name: &str) -> Option<StoreKey> {
    let url = format!("{}://{name}", visit.target.scheme);
    let target = Target::parse(&url).ok()?;
    let (route, _) = visit.edge.routes.find(target.path());
    let path_and_query = normalised(&target, route);
    let key = EncodedKey::of([
        target.scheme.as_bytes(),
        target.host.as_bytes(),
        path_and_query.as_bytes(),
        &[],
    ]);
    Some(StoreKey::of(key.as_bytes()))
}

fn handling(method: &Method, route: &Route, fields: &HeaderMap, cookies: Cookies) -> Handling {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Handling::Pass(ForwardReason::Method);
    }
    let bypass = route.class == RouteClass::Bypass
        || cookies == Cookies::Bypass
        || fields.contains_key(UPGRADE);
    if bypass {
        Handling::Pass(ForwardReason::Bypass)
    } else {
        Handling::Cache
    }
}

fn normalised(target: &Target, route: &Route) -> Box<str> {
    let (path, query) = match target.path_and_query.split_once('?') {
        Some((path, query)) => (path, route.query.normalise(query)),
        None => return target.path_and_query.clone(),
    };
    if query.is_empty() {
        path.into()
    } else {
        format!("{path}?{query}").into()
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cookies {
    /// They leave the request cacheable.
    Cacheable,
    /// One of them does not.
    Bypass,
}

/// Takes out the cookies that the route leaves out, and gives those that are part of the key.
fn apply_cookies(rule: &CookieRule, fields: &mut HeaderMap) -> (Cookies, Option<Vec<u8>>) {
    if !fields.contains_key(COOKIE) {
        return (Cookies::Cacheable, None);
    }
    let (keyed, bypass) = match rule {
        CookieRule::Bypass => return (Cookies::Bypass, None),
        CookieRule::Ignore => {
            fields.remove(COOKIE);
            return (Cookies::Cacheable, None);
        }
        CookieRule::Named { keyed, bypass } => (keyed, bypass),
    };
    let lines: Vec<HeaderValue> = fields.get_all(COOKIE).iter().cloned().collect();
    let mut kept: Vec<&[u8]> = Vec::new();
    for pair in lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
    {
        let pair = pair.trim_ascii();
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        if bypass.iter().any(|other| other.as_bytes() == name) {
            return (Cookies::Bypass, None);
        }
        if keyed.iter().any(|other| other.as_bytes() == name) {
            kept.push(pair);
        }
    }
    kept.sort_unstable();
    let kept = kept.join(&b"; "[..]);
    fields.remove(COOKIE);
    if let Ok(value) = HeaderValue::from_bytes(&kept)
        && !kept.is_empty()
    {
        fields.insert(COOKIE, value);
    }
    (Cookies::Cacheable, Some(kept))
}

/// The codings that a client takes, in one of few spellings, so that few variants arise.
///
/// `identity;q=0` and codings that nobody serves are left out.
fn normalised_codings(value: &HeaderValue) -> HeaderValue {
    let text = value.to_str().unwrap_or_default();
    let takes = |coding: &str| {
        text.split(',').any(|member| {
            let mut parts = member.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|part| {
                let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
                weight.is_some_and(|weight| weight.trim_matches(['0', '.']).is_empty())
            });
            name.eq_ignore_ascii_case(coding) && !refused
        })
    };
    let codings: Vec<&str> = ["zstd", "br", "gzip"]
        .into_iter()
        .filter(|coding| takes(coding))
        .collect();
    let codings = if codings.is_empty() {
        "identity".to_owned()
    } else {
        codings.join(", ")
    };
    HeaderValue::try_from(codings).unwrap_or_else(|_| HeaderValue::from_static("identity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_come_in_few_spellings() {
        for (given, normal) in [
            ("gzip, deflate, br, zstd", "zstd, br, gzip"),
            ("GZIP;q=0.5,br;q=0", "gzip"),
            ("br;q=0.000, gzip ; q=1", "gzip"),
            ("deflate", "identity"),
            ("", "identity"),
        ] {
            let value = HeaderValue::from_static(given);
            assert_eq!(normalised_codings(&value), normal, "{given}");
        }
    }

    fn cookies(rule: &CookieRule, line: &str) -> (Cookies, Option<String>, Option<String>) {
        let mut fields = HeaderMap::new();
        fields.insert(COOKIE, HeaderValue::from_str(line).unwrap());
        let (cookies, keyed) = apply_cookies(rule, &mut fields);
        let left = fields.get(COOKIE);
        (
            cookies,
            keyed.map(|keyed| String::from_utf8(keyed).unwrap()),
            left.map(|value| value.to_str().unwrap().to_owned()),
        )
    }

    #[test]
    fn cookies_take_part_as_the_route_says() {
        let named = CookieRule::Named {
            keyed: vec!["lang".into(), "theme".into()],
            bypass: vec!["session".into()],
        };
        let text = |text: &str| Some(text.to_owned());
        for (rule, line, expected) in [
            (
                &CookieRule::Bypass,
                "a=1",
                (Cookies::Bypass, None, text("a=1")),
            ),
            (&CookieRule::Ignore, "a=1", (Cookies::Cacheable, None, None)),
            (
                &named,
                "theme=dark; a=1;lang=de",
                (
                    Cookies::Cacheable,
                    text("lang=de; theme=dark"),
                    text("lang=de; theme=dark"),
                ),
            ),
            (&named, "a=1", (Cookies::Cacheable, text(""), None)),
            (
                &named,
                "lang=de; session=x",
                (Cookies::Bypass, None, text("lang=de; session=x")),
            ),
        ] {
            assert_eq!(cookies(rule, line), expected, "{rule:?} {line}");
        }
    }
}

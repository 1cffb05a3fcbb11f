//! `[[routes]]`.

use http::HeaderName;

use super::fields::{Field, Fields};
use super::keys::early_refresh;
use super::{Problem, YEAR, on_ledger_lag, surrogate_keys};
use crate::policy::{
    CookieRule, Immutable, LanguageRule, LedgerPolicy, PathPattern, QueryNames, QueryOrder,
    QueryRule, Route, RouteClass, VaryRule,
};

/// All routes, in the order of the file.
pub(super) fn read(field: &Field<'_>, ledger: &LedgerPolicy) -> Option<Vec<Route>> {
    let mut routes: Vec<Route> = Vec::new();
    let mut paths: Vec<(PathPattern, usize)> = Vec::new();
    for field in field.list(MOST_ROUTES)? {
        let Some(mut fields) = field.table() else {
            continue;
        };
        let Some(route) = read_route(&mut fields, ledger) else {
            continue;
        };
        let same = paths.iter().find(|(path, _)| *path == route.path);
        if let (Some((_, line)), Some(path)) = (same, fields.get("path")) {
            path.fail(Problem::Repeated { line: *line });
        }
        let line = fields.get("path").map_or(0, |path| path.line());
        paths.push((route.path.clone(), line));
        routes.push(route);
    }
    Some(routes)
}

/// Most routes of a policy: each request tries them one after the other.
const MOST_ROUTES: usize = 256;

fn read_route(fields: &mut Fields<'_>, ledger: &LedgerPolicy) -> Option<Route> {
    let path = fields
        .require("path")
        .and_then(|field| field.parse(PathPattern::parse, Problem::PathPattern));
    let class = fields.require("class").and_then(|field| class(&field));
    if class == Some(RouteClass::Bypass) {
        refuse_settings(fields);
    }
    // Everything else is read also when these are wrong, to find what is wrong there.
    let mut route = Route::new(
        path.clone().unwrap_or_else(PathPattern::all),
        class.unwrap_or_default(),
    );
    route.purge_bound = ledger.bound;
    let parts: Option<Vec<_>> = path.as_ref().map(|path| path.part_names().collect());
    fields.set(
        &mut route.surrogate_key_templates,
        "surrogate_keys",
        |field| surrogate_keys(field, parts.as_deref(), None),
    );
    let lifetime = |field: &Field<'_>| field.seconds(0..=YEAR);
    fields.set(&mut route.edge, "edge_seconds", lifetime);
    fields.set(&mut route.browser, "browser_seconds", lifetime);
    fields.set(&mut route.grace, "grace_seconds", lifetime);
    fields.set(
        &mut route.stale_if_error,
        "stale_if_error_seconds",
        lifetime,
    );
    fields.set(&mut route.early_refresh, "early_refresh", early_refresh);
    fields.set(&mut route.immutable, "immutable", |field| {
        Some(if field.truth()? {
            Immutable::Yes
        } else {
            Immutable::No
        })
    });
    fields.set(&mut route.purge_bound, "purge_bound_seconds", |field| {
        field.seconds(0..=3_600)
    });
    fields.set(&mut route.query, "query", query);
    fields.set(&mut route.vary, "vary", vary);
    fields.set(&mut route.languages, "languages", |field| {
        names(field, "a language", LanguageRule::is_tag).map(LanguageRule::new)
    });
    fields.set(&mut route.cookies, "cookies", cookies);
    fields.set(&mut route.on_ledger_lag, "on_ledger_lag", on_ledger_lag);
    fields.finish();
    (path.is_some() && class.is_some()).then_some(route)
}

fn class(field: &Field<'_>) -> Option<RouteClass> {
    field.word(&[
        ("fingerprinted_asset", RouteClass::FingerprintedAsset),
        ("html", RouteClass::Html),
        ("api", RouteClass::Api),
        ("report", RouteClass::Report),
        ("bypass", RouteClass::Bypass),
        ("origin_headers", RouteClass::OriginHeaders),
    ])
}

fn refuse_settings(fields: &Fields<'_>) {
    for (name, field) in fields.unknown() {
        if SETTINGS.contains(&name) {
            field.fail(Problem::NoEffect);
        }
    }
}

/// What a route that stores nothing has no use for.
const SETTINGS: [&str; 13] = [
    "edge_seconds",
    "browser_seconds",
    "grace_seconds",
    "stale_if_error_seconds",
    "early_refresh",
    "immutable",
    "purge_bound_seconds",
    "query",
    "vary",
    "languages",
    "cookies",
    "on_ledger_lag",
    "surrogate_keys",
];

/// `{ keep = […] }` or `{ drop = […] }`, with or without `sort = true`.
fn query(field: &Field<'_>) -> Option<QueryRule> {
    let mut fields = field.table()?;
    let mut rule = QueryRule::default();
    let is_parameter = |name: &str| !name.is_empty() && name.len() <= 128;
    let (keep, drop) = (fields.get("keep"), fields.get("drop"));
    if let (Some(_), Some(drop)) = (&keep, &drop) {
        drop.fail(Problem::Excluded { other: "keep" });
    }
    if let Some(keep) = keep {
        let names = names(&keep, "a query parameter", is_parameter);
        rule.names = QueryNames::Keep(names.unwrap_or_default());
    } else if let Some(drop) = drop {
        let names = names(&drop, "a query parameter", is_parameter);
        rule.names = QueryNames::Drop(names.unwrap_or_default());
    }
    fields.set(&mut rule.order, "sort", |field| {
        Some(if field.truth()? {
            QueryOrder::Sorted
        } else {
            QueryOrder::AsSent
        })
    });
    fields.finish();
    Some(rule)
}

fn vary(field: &Field<'_>) -> Option<VaryRule> {
    let names = names(field, "a header field", |name| {
        name != "*" && is_token(name)
    })?;
    let lower = |name: Box<str>| name.to_ascii_lowercase().into();
    Some(VaryRule::Only(names.into_iter().map(lower).collect()))
}

/// `"ignore"`, `"bypass"`, or `{ keyed = […], bypass = […] }`.
fn cookies(field: &Field<'_>) -> Option<CookieRule> {
    if field.is_text() {
        let is_ignored = field.word(&[("ignore", true), ("bypass", false)])?;
        return Some(if is_ignored {
            CookieRule::Ignore
        } else {
            CookieRule::Bypass
        });
    }
    let mut fields = field.table()?;
    let mut of = |name| {
        let field = fields.get(name)?;
        names(&field, "a cookie", is_token)
    };
    let keyed = of("keyed").unwrap_or_default();
    let bypass = of("bypass").unwrap_or_default();
    if let Some(field) = fields
        .get("bypass")
        .filter(|_| keyed.iter().any(|name| bypass.contains(name)))
    {
        field.fail(Problem::Excluded { other: "keyed" });
    }
    fields.finish();
    Some(CookieRule::Named { keyed, bypass })
}

fn is_token(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// The names in an array, all of which `is_one` takes for one.
fn names(
    field: &Field<'_>,
    what: &'static str,
    is_one: impl Fn(&str) -> bool,
) -> Option<Vec<Box<str>>> {
    let mut names = Vec::new();
    for field in field.list(MOST_NAMES)? {
        let Some(name) = field.text() else { continue };
        if !is_one(name) {
            let name = name.into();
            field.fail(Problem::BadFieldName { name, what });
            continue;
        }
        names.push(name.into());
    }
    Some(names)
}

/// Most names in one list.
const MOST_NAMES: usize = 128;

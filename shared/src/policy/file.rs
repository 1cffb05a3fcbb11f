//! Reading `terrace.toml`: everything wrong with it is found in one go.

mod error;
mod events;
mod fields;
mod keys;
mod routes;
#[cfg(test)]
mod tests;

use toml::de::DeTable;

pub use self::error::{PolicyError, PolicyErrors, Problem};
use self::fields::{Field, Fields, Findings};
use super::{LedgerPolicy, OnLedgerLag, Policy, Route};
use crate::key::Template;
use crate::time::DeltaSeconds;

/// The policy that `text` is.
pub(super) fn read(text: &str) -> Result<Policy, PolicyErrors> {
    let findings = Findings::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let message = error.message().into();
        let at = error.span().map_or(text.len(), |span| span.start);
        findings.add(at, "", Problem::Syntax { message }, None);
    }
    // What is read from a text that is no TOML would only add followers to those errors.
    findings.result(())?;
    let root = Fields::of_file(document.get_ref(), &findings);
    let policy = read_file(root);
    findings.result(policy)
}

fn read_file(mut root: Fields<'_>) -> Policy {
    let version = root.require("version");
    if let Some(field) = version
        && field.number(1..=u64::from(u32::MAX)) != Some(Policy::VERSION.into())
    {
        // Another version may mean anything by its fields: nothing else is reported.
        field.fail_once(Problem::Version);
        return Policy::default();
    }
    let ledger = root.get("ledger");
    let horizon = ledger
        .as_ref()
        .and_then(|field| field.table()?.get("horizon_seconds"));
    let ledger = ledger.and_then(|field| field.table());
    let ledger = ledger.map(read_ledger).unwrap_or_default();
    let key_spaces = root.get("keys").and_then(|field| field.table());
    let key_spaces = key_spaces
        .map(|fields| keys::read(&fields))
        .unwrap_or_default();
    let routes = root.get("routes");
    let routes = routes.and_then(|field| routes::read(&field, &ledger));
    let events = root.get("events").and_then(|field| field.table());
    let events = events.map(|fields| events::read(&fields, &key_spaces));
    root.finish();
    let policy = Policy {
        key_spaces,
        routes: routes.unwrap_or_default(),
        fallback: Route {
            purge_bound: ledger.bound,
            ..Route::default()
        },
        events: events.unwrap_or_default(),
        ledger,
    };
    let least = policy.longest_use();
    if let Some(horizon) = horizon.filter(|_| ledger.horizon.is_some_and(|own| own < least)) {
        horizon.fail(Problem::ShortHorizon { least });
    }
    policy
}

fn read_ledger(mut fields: Fields<'_>) -> LedgerPolicy {
    let mut ledger = LedgerPolicy::default();
    let count = |field: &Field<'_>, most: u64| {
        let number = field.number(16..=most)?;
        usize::try_from(number).ok()
    };
    fields.set(&mut ledger.bound, "bound_seconds", |field| {
        field.seconds(1..=3_600)
    });
    fields.set(&mut ledger.refresh, "refresh_seconds", |field| {
        field.seconds(1..=3_600)
    });
    fields.set(&mut ledger.horizon, "horizon_seconds", |field| {
        field.seconds(1..=LONGEST_HORIZON.as_seconds())
    });
    fields.set(&mut ledger.marks, "marks", |field| count(field, 1 << 24));
    fields.set(&mut ledger.patterns, "patterns", |field| {
        count(field, 1 << 16)
    });
    if ledger.refresh > ledger.bound {
        let problem = Problem::Above {
            other: "bound_seconds",
        };
        match fields.get("refresh_seconds") {
            Some(field) => field.fail(problem),
            None => fields.fail(Problem::Below {
                other: "refresh_seconds, 1 s",
            }),
        }
    }
    fields.finish();
    ledger
}

/// Longest horizon that may be written: five years.
const LONGEST_HORIZON: DeltaSeconds = DeltaSeconds::days(5 * 365);

/// Longest lifetime that may be written, in seconds.
const YEAR: u64 = Policy::LONGEST_LIFETIME.as_seconds();

fn on_ledger_lag(field: &Field<'_>) -> Option<OnLedgerLag> {
    field.word(&[
        ("revalidate", OnLedgerLag::Revalidate),
        ("serve_stale", OnLedgerLag::ServeStale),
        ("fail", OnLedgerLag::Fail),
    ])
}

fn template(field: &Field<'_>) -> Option<Template> {
    field.parse(Template::parse, Problem::Template)
}

/// Templates of surrogate keys, made from these parts only; none if any of them is wrong.
fn surrogate_keys(
    field: &Field<'_>,
    parts: Option<&[&str]>,
    version: Option<u32>,
) -> Option<Vec<Template>> {
    let fields = field.list(MOST_SURROGATE_KEYS)?;
    let wanted = fields.len();
    let templates: Vec<_> = fields
        .iter()
        .filter_map(|field| {
            let template = template(field)?;
            if template.has_version() && version.is_none() {
                field.fail(Problem::NoVersion);
                return None;
            }
            for part in template.part_names() {
                if let Some(known) = parts.filter(|parts| !parts.contains(&part)) {
                    field.fail_near(Problem::UnknownPart, part, known);
                }
            }
            Some(template.with_version(version.unwrap_or(1)))
        })
        .collect();
    (templates.len() == wanted).then_some(templates)
}

/// Most surrogate-key templates of one key space, route or event.
const MOST_SURROGATE_KEYS: usize = 64;

//! `[keys.NAME]`.

use super::fields::{Field, Fields};
use super::{Problem, YEAR, on_ledger_lag, surrogate_keys, template};
use crate::policy::{Adaptive, EarlyRefresh, Expiry, KeySpace, Strategy};
use crate::time::{ByteCount, Milliseconds};

/// All key spaces, in the order of the file.
pub(super) fn read(fields: &Fields<'_>) -> Vec<KeySpace> {
    let mut spaces: Vec<KeySpace> = Vec::new();
    for (name, field) in fields.named() {
        if !is_name(name) {
            field.fail(Problem::BadName { name: name.into() });
        }
        let Some(mut fields) = field.table() else {
            continue;
        };
        let Some(space) = read_space(name, &mut fields) else {
            continue;
        };
        let same = spaces
            .iter()
            .find(|other| other.template.overlaps(&space.template));
        if let (Some(same), Some(template)) = (same, fields.get("template")) {
            let other = same.name.clone();
            template.fail(Problem::SharedKeys { other });
        }
        spaces.push(space);
    }
    spaces
}

/// A name of a key space, which is also a label of metrics and part of scopes.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain)
}

fn read_space(name: &str, fields: &mut Fields<'_>) -> Option<KeySpace> {
    let version = fields.get("version");
    let version = version.and_then(|field| field.number(1..=u64::from(u32::MAX)));
    let version = version
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or(1);
    let template = fields
        .require("template")
        .and_then(|field| template(&field));
    // Everything else is read also when the template is wrong, to find what is wrong there.
    let mut space = KeySpace::new(name, "unreadable").ok()?;
    space.version = version;
    let parts: Option<Vec<_>> = template
        .as_ref()
        .map(|template| template.part_names().collect());
    fields.set(
        &mut space.surrogate_key_templates,
        "surrogate_keys",
        |field| surrogate_keys(field, parts.as_deref(), Some(version)),
    );
    read_lifetimes(&mut space, fields);
    read_behaviour(&mut space, fields);
    fields.finish();
    space.template = template?.with_version(version);
    Some(space)
}

fn read_lifetimes(space: &mut KeySpace, fields: &mut Fields<'_>) {
    let lifetime = |field: &Field<'_>| field.seconds(1..=YEAR);
    let or_none = |field: &Field<'_>| field.seconds(0..=YEAR);
    let lifetimes = &mut space.lifetimes;
    fields.set(&mut lifetimes.memory, "memory_seconds", lifetime);
    fields.set(&mut lifetimes.redis, "redis_seconds", lifetime);
    fields.set(&mut lifetimes.edge, "edge_seconds", or_none);
    fields.set(&mut lifetimes.browser, "browser_seconds", or_none);
    fields.set(&mut space.grace, "grace_seconds", or_none);
    fields.set(&mut space.stale_if_error, "stale_if_error_seconds", or_none);
    fields.set(&mut space.negative, "negative_seconds", or_none);
    let is_given = ["memory_seconds", "redis_seconds", "edge_seconds"]
        .map(|name| fields.get(name).is_some())
        .contains(&true);
    if !is_given {
        fields.fail(Problem::NoLifetime);
    }
}

fn read_behaviour(space: &mut KeySpace, fields: &mut Fields<'_>) {
    fields.set(&mut space.strategy, "strategy", strategy);
    fields.set(&mut space.jitter_percent, "jitter_percent", |field| {
        u8::try_from(field.number(0..=50)?).ok()
    });
    fields.set(&mut space.early_refresh, "early_refresh", early_refresh);
    fields.set(&mut space.adaptive, "adaptive", adaptive);
    fields.set(&mut space.compress_above, "compress_above_bytes", |field| {
        field.number(0..=1 << 30).map(ByteCount::bytes)
    });
    fields.set(&mut space.expiry, "sliding", |field| {
        Some(if field.truth()? {
            Expiry::Sliding
        } else {
            Expiry::Fixed
        })
    });
    fields.set(&mut space.on_ledger_lag, "on_ledger_lag", on_ledger_lag);
    let timeout = |field: &Field<'_>| field.number(1..=600_000).map(Milliseconds::new);
    fields.set(&mut space.soft_timeout, "soft_timeout_ms", timeout);
    fields.set(&mut space.hard_timeout, "hard_timeout_ms", timeout);
    if let (Some(soft), Some(hard)) = (space.soft_timeout, space.hard_timeout)
        && let Some(field) = fields.get("soft_timeout_ms").filter(|_| soft > hard)
    {
        field.fail(Problem::Above {
            other: "hard_timeout_ms",
        });
    }
}

fn strategy(field: &Field<'_>) -> Option<Strategy> {
    field.word(&[
        ("cache-aside", Strategy::CacheAside),
        ("read-through", Strategy::ReadThrough),
        ("write-through", Strategy::WriteThrough),
        ("write-behind", Strategy::WriteBehind),
        ("counter", Strategy::Counter),
    ])
}

/// `"off"`, `{ beta = 1.0 }` or `{ percent = 80 }`.
pub(super) fn early_refresh(field: &Field<'_>) -> Option<EarlyRefresh> {
    if field.is_text() {
        return field.word(&[("off", EarlyRefresh::Off)]);
    }
    let mut fields = field.table()?;
    let beta = fields.get("beta");
    let percent = fields.get("percent");
    fields.finish();
    match (beta, percent) {
        (Some(_), Some(percent)) => {
            percent.fail(Problem::Excluded { other: "beta" });
            None
        }
        (Some(beta), None) => {
            let beta = beta.fraction(10)?;
            Some(EarlyRefresh::Xfetch { beta })
        }
        (None, Some(percent)) => {
            let percent = u8::try_from(percent.number(1..=99)?).ok()?;
            Some(EarlyRefresh::Percent { percent })
        }
        (None, None) => {
            fields.require("beta");
            None
        }
    }
}

fn adaptive(field: &Field<'_>) -> Option<Adaptive> {
    let mut adaptive = Adaptive::default();
    let mut fields = field.table()?;
    let accesses = |field: &Field<'_>| field.number(1..=u64::from(u32::MAX));
    let factor = |field: &Field<'_>| u32::try_from(field.number(1..=100)?).ok();
    fields.set(
        &mut adaptive.hot_above_accesses,
        "hot_above_accesses",
        accesses,
    );
    fields.set(&mut adaptive.hot_factor, "hot_factor", factor);
    fields.set(
        &mut adaptive.cold_below_accesses,
        "cold_below_accesses",
        accesses,
    );
    fields.set(&mut adaptive.cold_divisor, "cold_divisor", factor);
    fields.finish();
    if adaptive.cold_below_accesses > adaptive.hot_above_accesses {
        fields.fail(Problem::Below {
            other: "cold_below_accesses",
        });
        return None;
    }
    Some(adaptive)
}

//! For how long a response is fresh (RFC 9111 §4.2).

use ::http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use ::http::{HeaderMap, StatusCode};

use super::cache_control::{Flags, Members, ResponseDirectives, delta_seconds};
use super::fields::{lines, only_line};
use super::{CacheKind, Rules, date};
use crate::time::{DeltaSeconds, Timestamp};

/// What a lifetime rests on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lifetime {
    /// `s-maxage` (RFC 9111 §5.2.2.10).
    SMaxAge(DeltaSeconds),
    /// `max-age` or `Expires`.
    Explicit(DeltaSeconds),
    /// The rules or a heuristic.
    Assumed(DeltaSeconds),
    /// Nothing.
    None,
}

impl Lifetime {
    /// The first of what there is (RFC 9111 §4.2.1).
    pub(super) fn of(
        status: StatusCode,
        fields: &HeaderMap,
        directives: &ResponseDirectives,
        received_at: Timestamp,
        rules: &Rules,
    ) -> Self {
        if let (CacheKind::Shared, Some(length)) = (rules.kind, directives.s_maxage) {
            return Self::SMaxAge(length.min(rules.longest_lifetime));
        }
        if let Some(length) = directives.max_age {
            return Self::Explicit(length.min(rules.longest_lifetime));
        }
        if !directives.targeted && fields.contains_key(EXPIRES) {
            return Self::Explicit(expires(fields, received_at).min(rules.longest_lifetime));
        }
        // A heuristic is allowed for these statuses, or if the response is `public` (RFC 9111 §4.2.2).
        if !is_heuristically_cacheable(status) && !directives.flags.has(Flags::PUBLIC) {
            return Self::None;
        }
        let by_rules = match rules.negative_lifetime {
            Some(length) if is_negative(status) => Some(length),
            Some(_) | None => rules.default_lifetime,
        };
        match by_rules.or_else(|| heuristic(fields, received_at, rules)) {
            Some(length) => Self::Assumed(length.min(rules.longest_lifetime)),
            None => Self::None,
        }
    }

    pub(super) const fn length(self) -> DeltaSeconds {
        match self {
            Self::SMaxAge(length) | Self::Explicit(length) | Self::Assumed(length) => length,
            Self::None => DeltaSeconds::ZERO,
        }
    }

    pub(super) const fn is_explicit(self) -> bool {
        match self {
            Self::SMaxAge(_) | Self::Explicit(_) => true,
            Self::Assumed(_) | Self::None => false,
        }
    }
}

/// When the response was produced: its `Date`, or when it came if that is missing or malformed (RFC 9110 §6.6.1).
pub(super) fn date_value(fields: &HeaderMap, received_at: Timestamp) -> Timestamp {
    only_line(fields, &DATE)
        .and_then(|text| date::parse(text, received_at))
        .unwrap_or(received_at)
}

/// The first member of `Age`; what is not a number is ignored (RFC 9111 §5.1).
pub(super) fn age_value(fields: &HeaderMap) -> DeltaSeconds {
    lines(fields, &AGE)
        .flat_map(|line| Members { rest: line })
        .next()
        .and_then(delta_seconds)
        .unwrap_or_default()
}

/// `Last-Modified`, unless it is malformed.
pub(super) fn last_modified_value(fields: &HeaderMap, received_at: Timestamp) -> Option<Timestamp> {
    only_line(fields, &LAST_MODIFIED).and_then(|text| date::parse(text, received_at))
}

/// From `Date` until the earliest `Expires`; what is no date is in the past (RFC 9111 §5.3).
fn expires(fields: &HeaderMap, received_at: Timestamp) -> DeltaSeconds {
    let date = date_value(fields, received_at);
    lines(fields, &EXPIRES)
        .map(|text| {
            date::parse(text, received_at)
                .map_or(DeltaSeconds::ZERO, |expires| expires.saturating_since(date))
        })
        .min()
        .unwrap_or_default()
}

/// A part of the time since the last change (RFC 9111 §4.2.2).
fn heuristic(fields: &HeaderMap, received_at: Timestamp, rules: &Rules) -> Option<DeltaSeconds> {
    let modified = last_modified_value(fields, received_at)?;
    let since = date_value(fields, received_at).saturating_since(modified);
    let part = since
        .saturating_mul(u64::from(rules.heuristic.percent))
        .as_seconds()
        / 100;
    (part > 0).then(|| DeltaSeconds::seconds(part).min(rules.heuristic.longest))
}

/// Statuses that are cacheable without saying so (RFC 9110 §15.1).
pub(super) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

fn is_negative(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 410 | 414 | 501)
}

#[cfg(test)]
mod tests;

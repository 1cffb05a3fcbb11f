//! What to answer when the origin gives none.

use ::http::Method;

use super::{Extent, Freshness, RequestFacts, Rules, StoredResponse, range};
use crate::outcome::StaleReason;
use crate::purge::Verdict;
use crate::time::{DeltaSeconds, Timestamp};

/// How the origin failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// It could not be reached, or broke off before its head was complete.
    Unreachable,
    /// It gave no answer in time.
    TimedOut,
}

/// What to answer instead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum OnFailure {
    /// The stored response, with this `Age` (RFC 5861 §4).
    ServeStale {
        /// Its current age.
        age: DeltaSeconds,
        /// For how long it has been stale.
        stale_for: DeltaSeconds,
        /// Why it may be sent.
        because: StaleReason,
    },
    /// A 502.
    BadGateway,
    /// A 504.
    GatewayTimeout,
}

/// Whether the stored response may stand in for an origin that cannot be asked (RFC 9111 §4.2.4, RFC 5861 §4).
pub fn on_failure(
    request: &RequestFacts,
    stored: Option<&StoredResponse>,
    verdict: Verdict,
    failure: Failure,
    now: Timestamp,
    rules: &Rules,
) -> OnFailure {
    let usable = stored.filter(|_| verdict != Verdict::Dropped);
    let stale = usable.and_then(|stored| {
        stale_on_error(request, stored, now, rules)
            .or_else(|| stale_when_disconnected(request, stored, verdict, now))
    });
    if let Some(stale) = stale {
        return OnFailure::ServeStale {
            age: stale.age,
            stale_for: stale.stale_for,
            because: StaleReason::OriginUnreachable,
        };
    }
    match failure {
        // `must-revalidate`, and what includes it, is a 504 without an origin (RFC 9111 §5.2.2.2, §5.2.2.10).
        Failure::Unreachable if !usable.is_some_and(StoredResponse::forbids_unstated_stale) => {
            OnFailure::BadGateway
        }
        Failure::Unreachable | Failure::TimedOut => OnFailure::GatewayTimeout,
    }
}

/// A stored response that may be sent because the origin has failed.
pub(super) struct StaleOnError {
    pub(super) age: DeltaSeconds,
    pub(super) stale_for: DeltaSeconds,
}

/// Whether `stored` may be sent instead of an error (RFC 5861 §4), irrespective of other freshness directives.
pub(super) fn stale_on_error(
    request: &RequestFacts,
    stored: &StoredResponse,
    now: Timestamp,
    rules: &Rules,
) -> Option<StaleOnError> {
    if !answers(request, stored) {
        return None;
    }
    let age = stored.current_age(now);
    let stale_for = Freshness::of(stored.lifetime, age).stale_for();
    // The client may ask for it as well, unless the origin has forbidden it.
    let by_client = match request.directives.stale_if_error {
        Some(length) if !stored.forbids_unstated_stale() => length.min(rules.max_stale),
        Some(_) | None => DeltaSeconds::ZERO,
    };
    let allowed = stored.stale_if_error().max(by_client);
    (stale_for < allowed).then_some(StaleOnError { age, stale_for })
}

/// Whether `stored` may be sent because nobody can be asked (RFC 9111 §4.2.4).
fn stale_when_disconnected(
    request: &RequestFacts,
    stored: &StoredResponse,
    verdict: Verdict,
    now: Timestamp,
) -> Option<StaleOnError> {
    // Somebody has said that it is out of date, and nobody that it may be sent all the same.
    if verdict != Verdict::Untouched || !answers(request, stored) {
        return None;
    }
    let age = stored.current_age(now);
    let stale_for = Freshness::of(stored.lifetime, age).stale_for();
    (stale_for < stored.stale_when_disconnected()).then_some(StaleOnError { age, stale_for })
}

/// Whether `stored` has what `request` wants, its freshness apart.
fn answers(request: &RequestFacts, stored: &StoredResponse) -> bool {
    let is_read = request.method == Method::GET || request.method == Method::HEAD;
    let has_the_bytes =
        matches!(stored.extent, Extent::Complete { .. }) || range::lies_within(request, stored);
    is_read && !request.for_the_origin && stored.vary.matches(request) && has_the_bytes
}

#[cfg(test)]
mod tests;

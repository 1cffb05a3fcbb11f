//! Whether a stored response may be reused (RFC 9111 §4).

use ::http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use ::http::{HeaderMap, Method};

use super::cache_control::{Flags, RequestDirectives};
use super::{
    CompletionRequest, EntityTag, Extent, Freshness, RequestFacts, Rules, StoredResponse, range,
};
use crate::outcome::{ForwardReason, StaleReason};
use crate::purge::Verdict;
use crate::time::{DeltaSeconds, Timestamp};

/// What to do with a request.
#[derive(Clone, Debug)]
#[must_use]
pub enum Decision {
    /// Send the stored response with this `Age`.
    Reuse {
        /// Its current age.
        age: DeltaSeconds,
        /// Freshness that is left; never zero.
        remaining: DeltaSeconds,
    },
    /// Send it although stale, and revalidate behind it.
    ReuseStale {
        /// Its current age.
        age: DeltaSeconds,
        /// For how long it has been stale; zero if it is stale only because of a soft purge.
        stale_for: DeltaSeconds,
        /// Why it may be sent.
        because: StaleReason,
    },
    /// Ask the origin with these validators first.
    Validate(ValidationRequest),
    /// Ask the origin for the bytes that the stored part lacks (RFC 9111 §3.3).
    Complete(CompletionRequest),
    /// Forward; nothing stored can help.
    Forward(ForwardReason),
    /// `only-if-cached` and nothing usable: a 504 (RFC 9111 §5.2.1.7).
    GatewayTimeout,
}

/// The fields that make a request a validation request (RFC 9111 §4.3.1).
#[derive(Clone, Debug)]
pub struct ValidationRequest {
    /// Why what is stored is not enough.
    pub because: ForwardReason,
    /// `If-None-Match` and `If-Modified-Since`, as far as there are validators.
    pub fields: HeaderMap,
}

impl ValidationRequest {
    /// Asks whether `stored` is still right; none if it has no validator.
    pub fn of(stored: &StoredResponse, because: ForwardReason) -> Option<Self> {
        let mut fields = HeaderMap::new();
        if let Some(value) = stored.entity_tag.as_ref().and_then(EntityTag::to_value) {
            fields.insert(IF_NONE_MATCH, value);
        }
        // The origin's own text, as it may compare that (RFC 9110 §13.1.3).
        if let (Some(_), Some(value)) = (stored.last_modified, stored.fields.get(LAST_MODIFIED)) {
            fields.insert(IF_MODIFIED_SINCE, value.clone());
        }
        (!fields.is_empty()).then_some(Self { because, fields })
    }
}

/// What to do with `request`, given the stored response that [`super::select`] chose and the ledger's verdict on it.
///
/// A reuse allocates nothing. A stale reuse is revalidated behind the client's back with
/// [`ValidationRequest::of`], or with a plain fill if there is nothing to validate it with.
pub fn decide(
    request: &RequestFacts,
    stored: Option<&StoredResponse>,
    verdict: Verdict,
    now: Timestamp,
    rules: &Rules,
) -> Decision {
    if request.method != Method::GET && request.method != Method::HEAD {
        return Decision::Forward(ForwardReason::Method); // (RFC 9111 §4)
    }
    let decision = match candidate(request, stored, verdict) {
        Ok(stored) => of_candidate(request, stored, verdict, now, rules),
        Err(ForwardReason::Partial) => stored
            .and_then(|stored| CompletionRequest::of(request, stored))
            .map_or(
                Decision::Forward(ForwardReason::Partial),
                Decision::Complete,
            ),
        Err(reason) => Decision::Forward(reason),
    };
    match decision {
        Decision::Validate(_) | Decision::Complete(_) | Decision::Forward(_)
            if request.directives.only_if_cached =>
        {
            Decision::GatewayTimeout // (RFC 9111 §5.2.1.7)
        }
        decision => decision,
    }
}

/// What is stored, if it can be used for this request at all.
fn candidate<'a>(
    request: &RequestFacts,
    stored: Option<&'a StoredResponse>,
    verdict: Verdict,
) -> Result<&'a StoredResponse, ForwardReason> {
    let stored = stored.ok_or(ForwardReason::UriMiss)?;
    match verdict {
        Verdict::Untouched | Verdict::Softened => {}
        Verdict::Dropped => return Err(ForwardReason::Miss), // as if it were not there (R2)
    }
    if !stored.vary.matches(request) {
        return Err(ForwardReason::VaryMiss); // (RFC 9111 §4.1)
    }
    // These are for the origin to evaluate (RFC 9111 §4.3.2); and a client that says `no-store` is not
    // answered from a store either.
    if request.for_the_origin || request.directives.no_store {
        return Err(ForwardReason::Request);
    }
    match stored.extent {
        Extent::Complete { .. } => Ok(stored),
        // An incomplete response answers only for the bytes it has (RFC 9111 §3.3).
        Extent::Partial { .. } if range::lies_within(request, stored) => Ok(stored),
        Extent::Partial { .. } => Err(ForwardReason::Partial),
    }
}

fn of_candidate(
    request: &RequestFacts,
    stored: &StoredResponse,
    verdict: Verdict,
    now: Timestamp,
    rules: &Rules,
) -> Decision {
    let validate = |because| {
        ValidationRequest::of(stored, because)
            .map_or(Decision::Forward(because), Decision::Validate)
    };
    let wishes = &request.directives;
    let age = stored.current_age(now);
    let freshness = Freshness::of(stored.lifetime, age);
    if wishes.no_cache {
        return validate(ForwardReason::Request); // (RFC 9111 §5.2.1.4)
    }
    // Not without validation, however fresh (RFC 9111 §5.2.2.4).
    if stored.flags.has(Flags::NO_CACHE) {
        return validate(ForwardReason::Stale);
    }
    match (freshness, verdict) {
        (Freshness::Fresh { remaining }, Verdict::Untouched) => {
            if takes_fresh(wishes, age, remaining) {
                Decision::Reuse { age, remaining }
            } else {
                validate(ForwardReason::Request)
            }
        }
        (freshness, _) => {
            let stale_for = freshness.stale_for();
            match stale_reason(wishes, stored, (age, freshness), verdict, rules) {
                Some(because) => Decision::ReuseStale {
                    age,
                    stale_for,
                    because,
                },
                None => validate(ForwardReason::Stale),
            }
        }
    }
}

/// Whether the client takes a fresh response of this age.
fn takes_fresh(wishes: &RequestDirectives, age: DeltaSeconds, remaining: DeltaSeconds) -> bool {
    let young_enough = wishes.max_age.is_none_or(|most| age <= most); // (RFC 9111 §5.2.1.1)
    let long_enough = wishes.min_fresh.is_none_or(|least| remaining >= least); // (RFC 9111 §5.2.1.3)
    young_enough && long_enough
}

/// Why it may be sent although it is stale, if it may (RFC 9111 §4.2.4).
fn stale_reason(
    wishes: &RequestDirectives,
    stored: &StoredResponse,
    (age, freshness): (DeltaSeconds, Freshness),
    verdict: Verdict,
    rules: &Rules,
) -> Option<StaleReason> {
    let stale_for = freshness.stale_for();
    // `min-fresh`, and `max-age` without `max-stale`, ask for a fresh one (RFC 9111 §5.2.1.1, §5.2.1.3).
    if wishes.min_fresh.is_some() {
        return None;
    }
    if wishes
        .max_age
        .is_some_and(|most| age > most || wishes.max_stale.is_none())
    {
        return None;
    }
    if stale_for < stored.grace() {
        return Some(match verdict {
            Verdict::Softened | Verdict::Dropped => StaleReason::SoftPurge,
            Verdict::Untouched => StaleReason::WhileRevalidate, // (RFC 5861 §3)
        });
    }
    // What a client allows does not undo a purge.
    let (Verdict::Untouched, Some(max_stale)) = (verdict, wishes.max_stale) else {
        return None;
    };
    let allowed = max_stale.min(rules.max_stale);
    (stale_for <= allowed && !stored.forbids_unstated_stale()).then_some(StaleReason::ClientAllows)
}

#[cfg(test)]
mod tests;

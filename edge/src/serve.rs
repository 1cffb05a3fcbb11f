//! The life of a request.
//!
//! 1. **Target, route, key** ([`Visit::begin`]): a path that two readers could understand differently is
//!    refused; the policy's route says how to treat query, cookies and lifetimes; host, path, query and
//!    keyed cookies are hashed into the key.
//! 2. **Static assets** ([`assets`]), then what the cache has no part in ([`pass`]): unsafe methods,
//!    bypassed routes. An unsafe request that succeeds invalidates its URL.
//! 3. **The ledger's view** is made young enough: a warm one costs no I/O.
//! 4. **Look up** in isolate memory, then in the data centre's Cache API. Whatever comes out is judged by
//!    the ledger (has a purge named it since it was filled?) and then by HTTP (`decide`).
//! 5. **Act**: reuse it; reuse it although stale and refresh it behind the answer; validate it; or fill.
//! 6. **Fill** ([`fill`]): note the ledger's epoch, ask the origin, stream the answer to the client and a
//!    copy into both stores, with its surrogate keys, its lifetime and that epoch.
//! 7. **`Cache-Status`** on the answer says what was done.

use std::rc::Rc;

use terrace_shared::http::Decision;
use terrace_shared::intake::{Handling, judge};
use terrace_shared::outcome::{CacheStatus, ForwardReason};
use terrace_shared::policy::OnLedgerLag;
use terrace_shared::purge::{Lag, Verdict};
use worker::{Context, Env, web_sys};

use crate::fill::{self, Forward};
use crate::observe::{self, Count};
use crate::pass::pass;
use crate::purge::{client, handler};
use crate::refusal::Refusal;
use crate::respond::{Age, Place, respond};
use crate::store::{self, Found};
use crate::visit::{Edge, Visit};
use crate::{assets, clock};

/// Answers a request.
pub(crate) async fn serve(
    request: web_sys::Request,
    env: &Env,
    context: Context,
) -> web_sys::Response {
    let edge = match Edge::of(env) {
        Ok(edge) => edge,
        Err(error) => return Refusal::misconfigured(&error).answer(),
    };
    if handler::is_own_path(&request.url()) {
        return handler::answer(&request, &edge).await;
    }
    let visit = match Visit::begin(request, edge, context) {
        Ok(visit) => Rc::new(visit),
        Err(refusal) => return refusal.answer(),
    };
    observe::count(Count::Requests);
    if let Some(asset) = assets::answer(&visit).await {
        return asset;
    }
    if let Handling::Pass(reason) = visit.intake.handling {
        return pass(&visit, reason).await;
    }

    let ledger = &visit.edge.ledger;
    let lag = ledger
        .ready(&visit.context, visit.bounds(), visit.now)
        .await;
    if lag != Lag::Within && visit.route().on_ledger_lag == OnLedgerLag::Fail {
        return Refusal::ledger_too_old(lag).answer();
    }

    let (decision, found, place) = look_up(&visit, lag).await;
    match (decision, found.entry.clone()) {
        (Decision::Reuse { age, remaining }, Some(entry)) => {
            let said = place.sign(CacheStatus::hit(CacheStatus::NAME, remaining), lag);
            respond(&visit, &entry, Age::Stored(age), &said).await
        }
        (
            Decision::ReuseStale {
                age,
                stale_for,
                because,
            },
            Some(entry),
        ) => {
            fill::behind(&visit, found);
            observe::count(Count::StaleServed);
            let said = CacheStatus::stale_hit(CacheStatus::NAME, stale_for, because);
            respond(&visit, &entry, Age::Stored(age), &place.sign(said, lag)).await
        }
        (Decision::Validate(validation), _) => {
            fill::answer(&visit, found, Forward::validating(validation), lag).await
        }
        (Decision::Complete(completion), _) => {
            let forward = Forward::because(completion.because);
            fill::answer(&visit, found, forward, lag).await
        }
        (Decision::Forward(reason), _) => {
            fill::answer(&visit, found, Forward::because(reason), lag).await
        }
        (Decision::Reuse { .. } | Decision::ReuseStale { .. }, None) => {
            fill::answer(&visit, found, Forward::because(ForwardReason::UriMiss), lag).await
        }
        (Decision::GatewayTimeout, _) => Refusal::only_if_cached().answer(),
    }
}

/// What the stores have for a request, and what to do with it: isolate memory first, and the Cache API
/// when that is not enough, as another isolate may have filled or freshened it since.
async fn look_up(visit: &Visit, lag: Lag) -> (Decision, Found, Place) {
    let in_memory = store::look_up_memory(visit.key, &visit.intake.facts);
    let decision = judged(visit, &in_memory, lag);
    if matches!(decision, Decision::Reuse { .. }) {
        observe::count(Count::MemoryHit);
        return (decision, in_memory, Place::Memory);
    }
    let mut in_cache = store::look_up_cache_api(visit.key, &visit.intake.facts).await;
    let other = judged(visit, &in_cache, lag);
    if in_memory.entry.is_some() && usefulness(&other) <= usefulness(&decision) {
        return (decision, in_memory, Place::Memory);
    }
    if matches!(other, Decision::Reuse { .. } | Decision::ReuseStale { .. }) {
        observe::count(Count::CacheApiHit);
        in_cache = store::promote(in_cache).await;
    }
    (other, in_cache, Place::CacheApi)
}

/// The ledger's verdict on what was found, and then HTTP's.
fn judged(visit: &Visit, found: &Found, lag: Lag) -> Decision {
    let head = found.entry.as_ref().map(|entry| &*entry.head);
    let verdict = head.map_or(Verdict::Untouched, |head| {
        client::verdict(head.fence(), head.scopes())
    });
    if verdict == Verdict::Dropped {
        observe::count(Count::Purged);
    }
    let now = clock::now().timestamp();
    let decision = judge(
        &visit.intake.facts,
        head,
        (verdict, lag),
        now,
        &visit.intake.rules,
    );
    match decision {
        Decision::Forward(ForwardReason::UriMiss) if found.marker.is_some() => {
            Decision::Forward(ForwardReason::VaryMiss)
        }
        decision => decision,
    }
}

/// Of two decisions, the one that spares the origin more is taken.
const fn usefulness(decision: &Decision) -> u8 {
    match decision {
        Decision::Reuse { .. } => 4,
        Decision::ReuseStale { .. } => 3,
        Decision::Validate(_) | Decision::Complete(_) => 2,
        Decision::Forward(ForwardReason::UriMiss) => 0,
        Decision::Forward(_) | Decision::GatewayTimeout => 1,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use terrace_shared::http::ValidationRequest;
    use terrace_shared::time::DeltaSeconds;

    use super::*;

    #[test]
    fn what_spares_the_origin_more_is_more_useful() {
        let order = [
            Decision::Forward(ForwardReason::UriMiss),
            Decision::Forward(ForwardReason::Miss),
            Decision::Validate(ValidationRequest {
                because: ForwardReason::Stale,
                fields: HeaderMap::new(),
            }),
            Decision::Reuse {
                age: DeltaSeconds::ZERO,
                remaining: DeltaSeconds::seconds(1),
            },
        ];
        assert!(order.is_sorted_by_key(usefulness));
    }
}

//! The life of a request.
//!
//! 1. **Target, route, key** ([`Visit::begin`]): a path that two readers could understand differently is
//!    refused; the policy's route says how to treat query, cookies and lifetimes; host, path, query and
//!    keyed cookies are hashed into the key.
//! 2. **Static assets** ([`assets`]), then what the cache has no part in ([`pass`]): unsafe methods,
//!    bypassed routes. An unsafe request that succeeds invalidates its URL.
//! 3. **The ledger's view** is made young enough: a warm one costs no I/O. It is brought up to the purges that the
//!    request's tokens name, and nothing older answers it (R10).
//! 4. **Look up** in isolate memory, then in the data centre's Cache API. Whatever comes out is judged by
//!    the ledger (has a purge named it since it was filled?) and then by HTTP (`decide`).
//! 5. **Wait** ([`flight`]): of several requests that need the same from the origin, one asks.
//! 6. **Act**: reuse it; reuse it although stale and refresh it behind the answer; validate it, or have the origin
//!    choose among what is stored for other requests; or fill.
//! 7. **Fill** ([`fill`]): note the ledger's epoch, ask the origin, stream the answer to the client and a
//!    copy into both stores, with its surrogate keys, its lifetime and that epoch.
//! 8. **`Cache-Status`** on the answer says what was done.

use std::rc::Rc;

use http::Method;
use terrace_shared::http::{Decision, StoredResponse, Variant, decide_unread};
use terrace_shared::intake::{Handling, judge};
use terrace_shared::outcome::{CacheStatus, ForwardReason, Outcome};
use terrace_shared::policy::OnLedgerLag;
use terrace_shared::purge::{Lag, Verdict};
use terrace_shared::time::TimestampMillis;
use worker::{Context, Env, js_sys, web_sys};

use crate::ask::Forward;
use crate::fill;
use crate::flight::{self, Claim, Turn};
use crate::observe::{self, Count};
use crate::pass::pass;
use crate::purge::{compat, handler};
use crate::refusal::Refusal;
use crate::respond::{Fields, Place, respond};
use crate::search;
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
    let url = request.url();
    if handler::is_own_path(&url) {
        return handler::answer(&request, &edge).await;
    }
    if let Some(answer) = compat::answer(&request, &url, &edge).await {
        return answer;
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

    if let Some(after) = &visit.after {
        visit.edge.ledger.catch_up(after).await;
    }
    let lag = match usable_view(&visit, visit.now).await {
        Ok(lag) => lag,
        Err(lag) => return Refusal::ledger_too_old(lag).answer(),
    };
    let looked = look_up(&visit, lag).await;
    let (looked, waited) = wait_for_others(&visit, looked).await;
    act(&visit, looked, waited).await
}

/// What the stores have for a request.
struct Looked {
    decision: Decision,
    found: Found,
    place: Place,
    lag: Lag,
}

/// What came of waiting for other requests of the same key.
struct Waited {
    /// The right to ask the origin, if nobody else has it.
    claim: Option<Claim>,
    /// Why this request would have asked, if another one's answer served it.
    collapsed: Option<ForwardReason>,
}

/// How old the view of the ledger is, refreshed first if need be; an error if the route wants no answer then (R7).
async fn usable_view(visit: &Visit, now: TimestampMillis) -> Result<Lag, Lag> {
    let lag = visit
        .edge
        .ledger
        .ready(&visit.context, visit.bounds(), now)
        .await;
    if lag != Lag::Within && visit.route().on_ledger_lag == OnLedgerLag::Fail {
        return Err(lag);
    }
    Ok(lag)
}

/// Lets one request of this isolate ask the origin for all that want the same.
///
/// What the others find afterwards is judged anew, so that nobody is given what was purged meanwhile (R5).
async fn wait_for_others(visit: &Visit, looked: Looked) -> (Looked, Waited) {
    /// Who has waited in vain this often asks on his own.
    const ROUNDS: usize = 2;
    let (mut looked, mut collapsed) = (looked, None);
    for _ in 0..ROUNDS {
        let Some(reason) = shared_reason(visit, &looked.decision) else {
            break;
        };
        let marker = looked.found.marker.as_deref();
        let key = store::shared_place(visit.key, marker, &visit.intake.facts);
        let turn = match &visit.after {
            None => flight::turn(key).await,
            Some(_) => flight::own_turn(key),
        };
        match turn {
            Turn::Lead(claim) => {
                let claim = Some(claim);
                return (
                    looked,
                    Waited {
                        claim,
                        collapsed: None,
                    },
                );
            }
            Turn::Alone => break,
            Turn::LookAgain => {
                let Ok(lag) = usable_view(visit, clock::now()).await else {
                    break;
                };
                collapsed = collapsed.or(Some(reason));
                looked = look_up(visit, lag).await;
            }
        }
    }
    (
        looked,
        Waited {
            claim: None,
            collapsed,
        },
    )
}

/// Why the origin must be asked, if one answer would do for all who ask the same now.
fn shared_reason(visit: &Visit, decision: &Decision) -> Option<ForwardReason> {
    let reason = match decision {
        Decision::Validate(validation) => validation.because,
        Decision::Complete(completion) => completion.because,
        Decision::Forward(reason) => *reason,
        Decision::Reuse { .. } | Decision::ReuseStale { .. } | Decision::GatewayTimeout => {
            return None;
        }
    };
    let shared = match reason {
        ForwardReason::UriMiss
        | ForwardReason::VaryMiss
        | ForwardReason::Miss
        | ForwardReason::Stale => visit.method == Method::GET,
        ForwardReason::Bypass
        | ForwardReason::Method
        | ForwardReason::Request
        | ForwardReason::Partial => false,
    };
    shared.then_some(reason)
}

/// Reuses, validates or fills.
async fn act(visit: &Rc<Visit>, looked: Looked, waited: Waited) -> web_sys::Response {
    let Looked {
        decision,
        found,
        place,
        lag,
    } = looked;
    let Waited { claim, collapsed } = waited;
    let said = || match collapsed {
        Some(reason) => CacheStatus::forward(CacheStatus::NAME, reason).collapsed(),
        None => CacheStatus::new(CacheStatus::NAME, Outcome::Hit),
    };
    match (decision, found.entry.clone()) {
        (Decision::Reuse { age, remaining }, Some(entry)) => {
            let rules = &visit.intake.rules;
            if rules.is_due_early(&entry.head, remaining, js_sys::Math::random) {
                fill::behind(visit, found);
            }
            let said = place.sign(said().ttl(remaining), lag);
            respond(visit, &entry, Fields::Stored(age), &said).await
        }
        (
            Decision::ReuseStale {
                age,
                stale_for,
                because,
            },
            Some(entry),
        ) => {
            fill::behind(visit, found);
            observe::count(Count::StaleServed);
            let said = place.sign(said().stale(stale_for, because), lag);
            respond(visit, &entry, Fields::Stored(age), &said).await
        }
        (Decision::Validate(validation), _) => {
            fill::answer(visit, found, Forward::validating(validation), lag, claim).await
        }
        (Decision::Complete(completion), _) => {
            let forward = Forward::completing(completion);
            fill::answer(visit, found, forward, lag, claim).await
        }
        (Decision::Forward(reason), _) => {
            fill::answer(visit, found, Forward::because(reason), lag, claim).await
        }
        (Decision::Reuse { .. } | Decision::ReuseStale { .. }, None) => {
            let forward = Forward::because(ForwardReason::UriMiss);
            fill::answer(visit, found, forward, lag, claim).await
        }
        (Decision::GatewayTimeout, _) => Refusal::only_if_cached().answer(),
    }
}

/// What the stores have for a request, and what to do with it: isolate memory first, and the Cache API
/// when that is not enough, as another isolate may have filled or freshened it since.
async fn look_up(visit: &Visit, lag: Lag) -> Looked {
    let is_dropped = |head: &StoredResponse| search::verdict(visit, head) == Verdict::Dropped;
    let in_memory = store::look_up_memory(visit.key, &visit.intake.facts, is_dropped);
    let decision = judged(visit, &in_memory, lag);
    let looked = |decision, found, place| Looked {
        decision,
        found,
        place,
        lag,
    };
    if matches!(decision, Decision::Reuse { .. }) {
        observe::count(Count::MemoryHit);
        return looked(decision, in_memory, Place::Memory);
    }
    let mut in_cache = store::look_up_cache_api(visit.key, &visit.intake.facts, is_dropped).await;
    let other = judged(visit, &in_cache, lag);
    if in_memory.entry.is_some() && usefulness(&other) <= usefulness(&decision) {
        return looked(decision, in_memory, Place::Memory);
    }
    if matches!(other, Decision::Reuse { .. } | Decision::ReuseStale { .. }) {
        observe::count(Count::CacheApiHit);
        in_cache = store::promote(in_cache).await;
    }
    looked(other, in_cache, Place::CacheApi)
}

/// The ledger's verdict on what was found, and then HTTP's.
fn judged(visit: &Visit, found: &Found, lag: Lag) -> Decision {
    let head = found.entry.as_ref().map(|entry| &*entry.head);
    let verdict = head.map_or(Verdict::Untouched, |head| search::verdict(visit, head));
    if verdict == Verdict::Dropped && visit.after.is_none() {
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
    // The responses of this URL vary, and none of them may be used: the origin may choose among the others.
    let (Decision::Forward(reason @ (ForwardReason::UriMiss | ForwardReason::Miss)), Some(marker)) =
        (&decision, &found.marker)
    else {
        return decision;
    };
    let verdict = |known: &Variant| search::verdict_on_known(visit, known);
    match decide_unread(&visit.intake.facts, marker.known(), verdict, now) {
        Decision::Forward(ForwardReason::VaryMiss) if *reason == ForwardReason::Miss => decision,
        unread => unread,
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

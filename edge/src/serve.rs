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

use terrace_shared::http::{Decision, StoredResponse, ValidationRequest, decide};
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
use crate::visit::{Edge, Handling, Visit};
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
    if let Handling::Pass(reason) = visit.handling {
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
    let in_memory = store::look_up_memory(visit.key, &visit.facts);
    let decision = judge(visit, &in_memory, lag);
    if matches!(decision, Decision::Reuse { .. }) {
        observe::count(Count::MemoryHit);
        return (decision, in_memory, Place::Memory);
    }
    let mut in_cache = store::look_up_cache_api(visit.key, &visit.facts).await;
    let other = judge(visit, &in_cache, lag);
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
fn judge(visit: &Visit, found: &Found, lag: Lag) -> Decision {
    let head = found.entry.as_ref().map(|entry| &*entry.head);
    let verdict = head.map_or(Verdict::Untouched, |head| {
        client::verdict(head.fence(), head.scopes())
    });
    if verdict == Verdict::Dropped {
        observe::count(Count::Purged);
    }
    let now = clock::now().timestamp();
    let decision = decide(&visit.facts, head, verdict, now, visit.rules.decide());
    match (decision, head) {
        (Decision::Forward(ForwardReason::UriMiss), None) if found.marker.is_some() => {
            Decision::Forward(ForwardReason::VaryMiss)
        }
        (decision, Some(head)) => under_lag(decision, head, lag, visit.route().on_ledger_lag),
        (decision, None) => decision,
    }
}

/// What a decision becomes when the view may lack a purge of what is stored (R7): only the origin knows.
fn under_lag(
    decision: Decision,
    head: &StoredResponse,
    lag: Lag,
    on_ledger_lag: OnLedgerLag,
) -> Decision {
    match (&decision, lag, on_ledger_lag) {
        (
            Decision::Reuse { .. } | Decision::ReuseStale { .. },
            Lag::Beyond(_) | Lag::Unknown,
            OnLedgerLag::Revalidate | OnLedgerLag::Fail,
        ) => ValidationRequest::of(head, ForwardReason::Stale)
            .map_or(Decision::Forward(ForwardReason::Stale), Decision::Validate),
        _ => decision,
    }
}

/// Of two decisions, the one that spares the origin more is taken.
const fn usefulness(decision: &Decision) -> u8 {
    match decision {
        Decision::Reuse { .. } => 4,
        Decision::ReuseStale { .. } => 3,
        Decision::Validate(_) => 2,
        Decision::Forward(ForwardReason::UriMiss) => 0,
        Decision::Forward(_) | Decision::GatewayTimeout => 1,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
    use terrace_shared::http::{
        Exchange, Fill, OnResponse, RequestFacts, ResponseHead, Rules, on_response,
    };
    use terrace_shared::purge::{Epoch, Fence, Incarnation, Sequence};
    use terrace_shared::time::{DeltaSeconds, Milliseconds, Timestamp};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000_000);

    fn stored(fields: &[(&'static str, &'static str)]) -> StoredResponse {
        let rules = Rules::default();
        let uri = Uri::from_static("https://a.example/");
        let facts = RequestFacts::parse(&Method::GET, &uri, &HeaderMap::new(), NOW, &rules);
        let fields: HeaderMap = fields
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let response = ResponseHead {
            status: StatusCode::OK,
            fields: &fields,
        };
        let fill = Fill {
            exchange: Exchange {
                requested_at: NOW,
                received_at: NOW,
            },
            fence: Fence::at(Epoch {
                incarnation: Incarnation::from_random(1),
                sequence: Sequence::ZERO,
            }),
            host: "a.example",
            path_and_query: "/",
        };
        match on_response(&facts, response, None, Verdict::Untouched, &fill, &rules) {
            OnResponse::Store(head) => *head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn under_lag_only_serve_stale_answers_without_asking_the_origin() {
        let with_tag = stored(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]);
        let without = stored(&[("cache-control", "max-age=60")]);
        let reuse = || Decision::Reuse {
            age: DeltaSeconds::ZERO,
            remaining: DeltaSeconds::seconds(60),
        };
        let late = Lag::Beyond(Milliseconds::new(9_000));
        for lag in [late, Lag::Unknown] {
            let decision = under_lag(reuse(), &with_tag, lag, OnLedgerLag::Revalidate);
            assert!(matches!(decision, Decision::Validate(_)), "{decision:?}");
            let decision = under_lag(reuse(), &without, lag, OnLedgerLag::Revalidate);
            assert!(matches!(decision, Decision::Forward(_)), "{decision:?}");
            let decision = under_lag(reuse(), &with_tag, lag, OnLedgerLag::ServeStale);
            assert!(matches!(decision, Decision::Reuse { .. }), "{decision:?}");
        }
        let decision = under_lag(reuse(), &with_tag, Lag::Within, OnLedgerLag::Revalidate);
        assert!(matches!(decision, Decision::Reuse { .. }), "{decision:?}");
    }

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

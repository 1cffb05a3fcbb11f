//! HTTP's decision, under what is known of the ledger.

use crate::http::{
    Among, Decision, Held, RequestFacts, StoredResponse, ValidationRequest, decide, decide_among,
};
use crate::outcome::ForwardReason;
use crate::policy::OnLedgerLag;
use crate::purge::{Lag, Verdict};
use crate::time::Timestamp;

use super::RouteRules;

/// What to do with `request`, given what is stored, the ledger's verdict on it, and how old the ledger's view is.
///
/// A view that is too old may lack a purge of what is stored, so that only the origin knows (R7); the route
/// says whether that matters.
pub fn judge(
    request: &RequestFacts,
    stored: Option<&StoredResponse>,
    (verdict, lag): (Verdict, Lag),
    now: Timestamp,
    rules: &RouteRules,
) -> Decision {
    let decision = decide(request, stored, verdict, now, rules.decide());
    match stored {
        Some(stored) => under_lag(decision, stored, lag, rules.route().on_ledger_lag),
        None => decision,
    }
}

/// [`judge`] for all stored responses of one URI.
pub fn judge_among(
    request: &RequestFacts,
    stored: &[Held<'_>],
    lag: Lag,
    now: Timestamp,
    rules: &RouteRules,
) -> Among<Decision> {
    let among = decide_among(request, stored, now, rules.decide());
    let held = among.place.and_then(|place| stored.get(place));
    Among {
        said: match held {
            Some(held) => under_lag(among.said, held.head, lag, rules.route().on_ledger_lag),
            None => among.said,
        },
        ..among
    }
}

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

#[cfg(test)]
mod tests {
    use crate::http::{
        Exchange, Fill, ForwardAs, OnResponse, RequestFacts, ResponseHead, Rules, on_response,
    };
    use crate::purge::{Epoch, Fence, Incarnation, Sequence};
    use crate::time::{DeltaSeconds, Milliseconds, Timestamp};
    use ::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

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
            asked: ForwardAs::Fill,
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
}

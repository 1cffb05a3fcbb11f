use super::*;
use crate::http::support::{after, get, store_with, stored};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn without_an_origin_stale_stands_in_or_the_failure_is_named() {
    // RFC 5861 §4, RFC 9111 §5.2.2.2
    let (unreachable, timed_out) = (Failure::Unreachable, Failure::TimedOut);
    for (directives, verdict, failure, expected) in [
        (
            "max-age=60, stale-if-error=41",
            Verdict::Untouched,
            unreachable,
            "stale",
        ),
        (
            "max-age=60, stale-if-error=41",
            Verdict::Softened,
            timed_out,
            "stale",
        ),
        (
            "max-age=60, stale-if-error=40",
            Verdict::Untouched,
            unreachable,
            "502",
        ),
        (
            "max-age=60, stale-if-error=40",
            Verdict::Untouched,
            timed_out,
            "504",
        ),
        (
            "max-age=60, stale-if-error=41",
            Verdict::Dropped,
            unreachable,
            "502",
        ),
        (
            "max-age=60, stale-if-error=41, must-revalidate",
            Verdict::Untouched,
            unreachable,
            "504",
        ),
        ("max-age=60", Verdict::Untouched, unreachable, "stale"),
        ("max-age=60", Verdict::Untouched, timed_out, "stale"),
        ("max-age=60", Verdict::Softened, unreachable, "502"),
        ("max-age=60", Verdict::Dropped, unreachable, "502"),
        ("s-maxage=60", Verdict::Untouched, unreachable, "504"),
        (
            "max-age=60, must-revalidate",
            Verdict::Untouched,
            unreachable,
            "504",
        ),
        (
            "max-age=60, proxy-revalidate",
            Verdict::Untouched,
            unreachable,
            "504",
        ),
    ] {
        let stored = stored(&[&format!("cache-control: {directives}")]);
        let rules = Rules::default();
        let result = on_failure(
            &get(&[]),
            Some(&stored),
            verdict,
            failure,
            after(100),
            &rules,
        );
        let word = match result {
            OnFailure::ServeStale { because, .. } => {
                assert_eq!(because, StaleReason::OriginUnreachable);
                "stale"
            }
            OnFailure::BadGateway => "502",
            OnFailure::GatewayTimeout => "504",
        };
        assert_eq!(word, expected, "{directives} {verdict:?}");
    }
}

#[test]
fn a_cache_that_is_cut_off_serves_stale_for_as_long_as_the_rules_say() {
    // RFC 9111 §4.2.4
    let rules = |length| Rules {
        stale_when_disconnected: DeltaSeconds::seconds(length),
        ..Rules::default()
    };
    for (length, at, served) in [(0, 60, false), (10, 69, true), (10, 70, false)] {
        let rules = rules(length);
        let lines = ["cache-control: max-age=60"];
        let stored = store_with(&get(&[]), 200, &lines, &rules).unwrap();
        let failure = Failure::Unreachable;
        let verdict = Verdict::Untouched;
        let result = on_failure(
            &get(&[]),
            Some(&stored),
            verdict,
            failure,
            after(at),
            &rules,
        );
        let is_served = matches!(result, OnFailure::ServeStale { .. });
        assert_eq!(is_served, served, "{length} {at}");
        assert_eq!(stored.usable_until(), after(60 + length));
    }
}

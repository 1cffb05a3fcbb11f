use super::*;
use crate::http::support::{after, get, stored};
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
        ("max-age=60", Verdict::Untouched, unreachable, "502"),
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

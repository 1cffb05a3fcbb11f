use super::*;
use crate::http::CacheKind;
use crate::http::support::{after, decide_at, get, request_as, seconds, store_with, stored, word};
use crate::outcome::NotStored;
use Verdict::{Dropped, Softened, Untouched};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const SWR: &str = "cache-control: max-age=60, stale-while-revalidate=30";

#[test]
fn a_fresh_response_is_reused_with_its_age_and_what_is_left() {
    // RFC 9111 §4, §4.2
    let stored = stored(&["cache-control: max-age=60", "age: 10"]);
    let decision = decide(
        &get(&[]),
        Some(&stored),
        Untouched,
        after(20),
        &Rules::default(),
    );
    let Decision::Reuse { age, remaining } = decision else {
        panic!("{decision:?}");
    };
    assert_eq!((age, remaining), (seconds(30), seconds(30)));
}

#[test]
fn verdicts_of_the_ledger_come_before_freshness() {
    // R2, R3
    let plain = stored(&["cache-control: max-age=60", "etag: \"a\""]);
    let graceful = stored(&[SWR, "etag: \"a\""]);
    for (stored, verdict, at, expected) in [
        (&plain, Untouched, 0, "reuse"),
        (&plain, Softened, 0, "validate: stale"),
        (&plain, Dropped, 0, "miss"),
        (&graceful, Softened, 0, "soft-purge"),
        (&graceful, Softened, 89, "soft-purge"),
        (&graceful, Softened, 90, "validate: stale"),
        (&graceful, Dropped, 70, "miss"),
    ] {
        assert_eq!(
            decide_at(&get(&[]), stored, verdict, at),
            expected,
            "{verdict:?} {at}"
        );
    }
}

#[test]
fn stale_responses_are_served_only_within_a_grace_that_nothing_forbids() {
    // RFC 9111 §4.2.4, RFC 5861 §3
    for (directives, at, expected) in [
        ("max-age=60", 60, "stale"),
        ("max-age=60, stale-while-revalidate=30", 59, "reuse"),
        (
            "max-age=60, stale-while-revalidate=30",
            60,
            "stale-while-revalidate",
        ),
        (
            "max-age=60, stale-while-revalidate=30",
            89,
            "stale-while-revalidate",
        ),
        ("max-age=60, stale-while-revalidate=30", 90, "stale"),
        ("max-age=60, stale-while-revalidate=x", 60, "stale"),
        (
            "max-age=60, stale-while-revalidate=30, must-revalidate",
            60,
            "stale",
        ),
        (
            "max-age=60, stale-while-revalidate=30, proxy-revalidate",
            60,
            "stale",
        ),
        // Both are the origin's own words, so it has meant both.
        (
            "s-maxage=60, stale-while-revalidate=30",
            60,
            "stale-while-revalidate",
        ),
    ] {
        let stored = stored(&[&format!("cache-control: {directives}")]);
        assert_eq!(
            decide_at(&get(&[]), &stored, Untouched, at),
            expected,
            "{directives} {at}"
        );
    }
}

#[test]
fn the_default_grace_gives_way_to_what_the_origin_says() {
    let rules = Rules {
        default_grace: seconds(30),
        ..Rules::default()
    };
    for (directives, expected) in [
        ("max-age=60", "stale-while-revalidate"),
        ("max-age=60, stale-while-revalidate=0", "stale"),
        ("max-age=60, must-revalidate", "stale"),
        ("s-maxage=60", "stale"), // RFC 9111 §5.2.2.10
    ] {
        let line = format!("cache-control: {directives}");
        let stored = store_with(&get(&[]), 200, &[&line], &rules).unwrap();
        let decision = decide(&get(&[]), Some(&stored), Untouched, after(60), &rules);
        assert_eq!(word(&decision), expected, "{directives}");
    }
}

#[test]
fn request_directives_narrow_what_is_reused() {
    // RFC 9111 §5.2.1
    for (wish, at, expected) in [
        ("max-age=10", 10, "reuse"),
        ("max-age=10", 11, "validate: request"),
        ("max-age=0", 1, "validate: request"),
        ("max-age=nonsense", 1, "validate: request"),
        ("min-fresh=50", 10, "reuse"),
        ("min-fresh=50", 11, "validate: request"),
        ("min-fresh=nonsense", 0, "validate: request"),
        ("no-cache", 0, "validate: request"),
        ("no-store", 0, "request"),
        ("max-stale", 60, "max-stale"),
        ("max-stale=5", 65, "max-stale"),
        ("max-stale=5", 66, "validate: stale"),
        ("max-stale=nonsense", 61, "validate: stale"),
        ("max-age=70, max-stale=20", 70, "max-stale"),
        ("max-age=70, max-stale=20", 71, "validate: stale"),
        ("min-fresh=1, max-stale=20", 70, "validate: stale"),
        ("only-if-cached", 10, "reuse"),
        ("only-if-cached", 60, "timeout"),
        ("only-if-cached, max-stale", 60, "max-stale"),
    ] {
        let stored = stored(&["cache-control: max-age=60", "etag: \"a\""]);
        let request = get(&[&format!("cache-control: {wish}")]);
        assert_eq!(
            decide_at(&request, &stored, Untouched, at),
            expected,
            "{wish} at {at}"
        );
    }
    // `max-age` without `max-stale` asks for nothing stale, grace or not.
    let request = get(&["cache-control: max-age=1000"]);
    assert_eq!(decide_at(&request, &stored(&[SWR]), Untouched, 60), "stale");
}

#[test]
fn max_stale_is_capped_and_undoes_neither_directives_nor_purges() {
    // RFC 9111 §5.2.1.2, §4.2.4
    let request = get(&["cache-control: max-stale"]);
    for (directives, verdict, at, expected) in [
        ("max-age=60", Untouched, 60 + 86_400, "max-stale"),
        ("max-age=60", Untouched, 60 + 86_401, "stale"),
        ("max-age=60", Softened, 60, "stale"),
        ("max-age=60, must-revalidate", Untouched, 60, "stale"),
        ("s-maxage=60", Untouched, 60, "stale"),
    ] {
        let stored = stored(&[&format!("cache-control: {directives}")]);
        assert_eq!(
            decide_at(&request, &stored, verdict, at),
            expected,
            "{directives} {at}"
        );
    }
}

#[test]
fn only_if_cached_without_anything_stored_is_a_timeout() {
    // RFC 9111 §5.2.1.7
    let rules = Rules::default();
    let request = get(&["cache-control: only-if-cached"]);
    let decision = decide(&request, None, Untouched, after(0), &rules);
    assert_eq!(word(&decision), "timeout");
    let decision = decide(&get(&[]), None, Untouched, after(0), &rules);
    assert_eq!(word(&decision), "uri-miss");
}

#[test]
fn a_response_with_no_cache_is_always_validated() {
    // RFC 9111 §5.2.2.4
    let always = stored(&["cache-control: no-cache, max-age=60", "etag: \"a\""]);
    assert_eq!(
        decide_at(&get(&[]), &always, Untouched, 0),
        "validate: stale"
    );
    let request = get(&["cache-control: max-stale"]);
    assert_eq!(
        decide_at(&request, &always, Untouched, 70),
        "validate: stale"
    );
}

#[test]
fn only_get_and_head_are_answered() {
    let stored = stored(&["cache-control: max-age=60"]);
    for (method, expected) in [
        (Method::GET, "reuse"),
        (Method::HEAD, "reuse"),
        (Method::POST, "method"),
        (Method::OPTIONS, "method"),
        (Method::DELETE, "method"),
    ] {
        let request = request_as(&method, &[], &Rules::default());
        assert_eq!(
            decide_at(&request, &stored, Untouched, 0),
            expected,
            "{method}"
        );
    }
}

#[test]
fn preconditions_for_the_origin_go_to_the_origin() {
    // RFC 9111 §4.3.2
    let stored = stored(&["cache-control: max-age=60", "etag: \"a\""]);
    for (line, expected) in [
        ("if-match: \"a\"", "request"),
        ("if-match: nonsense", "request"),
        (
            "if-unmodified-since: Sat, 21 Nov 2026 12:00:00 GMT",
            "request",
        ),
        ("if-none-match: \"a\"", "reuse"),
    ] {
        assert_eq!(
            decide_at(&get(&[line]), &stored, Untouched, 0),
            expected,
            "{line}"
        );
    }
}

#[test]
fn another_variant_is_never_sent() {
    // RFC 9111 §4.1
    let stored = stored(&["cache-control: max-age=60", "vary: foo"]);
    assert_eq!(
        decide_at(&get(&["foo: 1"]), &stored, Untouched, 0),
        "vary-miss"
    );
}

#[test]
fn a_stored_part_answers_only_for_its_bytes() {
    // RFC 9111 §3.3
    let rules = Rules {
        partial: crate::http::PartialRule::Store,
        ..Rules::default()
    };
    let asked = get(&["range: bytes=10-19"]);
    let lines = [
        "cache-control: max-age=60",
        "content-range: bytes 10-19/100",
        "etag: \"a\"",
    ];
    let stored = store_with(&asked, 206, &lines, &rules).unwrap();
    for (lines, expected) in [
        (&["range: bytes=10-19"][..], "reuse"),
        (&["range: bytes=12-13,15-16"], "reuse"),
        (&["range: bytes=12-13", "if-range: \"a\""], "reuse"),
        (&["range: bytes=12-13", "if-range: \"b\""], "partial"),
        (&["range: bytes=9-13"], "complete"),
        (&["range: bytes=12-"], "complete"),
        (&["range: bytes=9-20"], "partial"),
        (&["range: bytes=-10"], "partial"),
        (&["range: bytes=9-13,15-16"], "partial"),
        (&[], "partial"),
    ] {
        assert_eq!(
            decide_at(&get(lines), &stored, Untouched, 0),
            expected,
            "{lines:?}"
        );
    }
}

#[test]
fn validators_are_sent_as_the_origin_wrote_them() {
    // RFC 9111 §4.3.1
    let modified = "last-modified: Sunday, 06-Nov-94 08:49:37 GMT";
    let stored = stored(&["cache-control: max-age=60", "etag: W/\"a,b\"", modified]);
    let validation = ValidationRequest::of(&stored, ForwardReason::Stale).unwrap();
    assert_eq!(validation.fields["if-none-match"], "W/\"a,b\"");
    assert_eq!(
        validation.fields["if-modified-since"],
        "Sunday, 06-Nov-94 08:49:37 GMT"
    );
    assert_eq!(validation.fields.len(), 2);
}

#[test]
fn a_private_cache_keeps_what_is_private() {
    let rules = Rules::private();
    assert_eq!(rules.kind, CacheKind::Private);
    let lines = ["cache-control: private, max-age=60"];
    let stored = store_with(&get(&[]), 200, &lines, &rules).unwrap();
    let decision = decide(&get(&[]), Some(&stored), Untouched, after(9), &rules);
    assert_eq!(word(&decision), "reuse");
    assert_eq!(
        store_with(&get(&[]), 200, &lines, &Rules::default()),
        Err(NotStored::Private)
    );
}

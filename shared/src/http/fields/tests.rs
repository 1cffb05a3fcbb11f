use super::*;
use crate::http::support::{NOON, fields, seconds, stored};
use crate::outcome::ForwardReason;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn names(fields: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_reuse_has_its_age_and_nothing_meant_for_caches() {
    // RFC 9111 §4, §5.1
    let stored = stored(&[
        "cache-control: max-age=60",
        "age: 5",
        "age: 6",
        "surrogate-key: a",
        "cache-tag: b",
        "xkey: c",
        "edge-cache-tag: d",
        "cache-groups: \"e\"",
        "terrace-epoch: 0000000000000007-2",
        "surrogate-control: max-age=60",
        "terrace-cache-control: max-age=60",
        "cdn-cache-control: max-age=60",
        "warning: 110 - \"old\"",
        "x-a: 1",
        "x-a: 2",
    ]);
    let out = response_fields(&stored, seconds(7), &Rules::default());
    assert_eq!(
        names(&out),
        [
            "age",
            "cache-control",
            "cdn-cache-control",
            "date",
            "warning",
            "x-a"
        ]
    );
    assert_eq!(out.get_all("age").iter().collect::<Vec<_>>(), ["7"]);
    assert_eq!(out.get_all("x-a").iter().count(), 2);
    let shown = Rules {
        surrogate_keys: Exposure::Send,
        ..Rules::default()
    };
    assert_eq!(
        response_fields(&stored, seconds(7), &shown)["surrogate-key"],
        "a"
    );
}

#[test]
fn each_field_for_caches_is_taken_out_alone_and_beside_one_with_the_same_trace() {
    let rules = Rules::default();
    let (xkey, vary) = (HeaderName::from_static("xkey"), ::http::header::VARY);
    assert_eq!(Traces::bit(&xkey), Traces::bit(&vary));
    for name in for_caches(&rules) {
        let mut fields = HeaderMap::new();
        fields.append(name, HeaderValue::from_static("a"));
        fields.append(name, HeaderValue::from_static("b"));
        for_client(&mut fields, &rules);
        assert!(fields.is_empty(), "{name}");
        fields.append(&vary, HeaderValue::from_static("a"));
        fields.append(name, HeaderValue::from_static("b"));
        for_client(&mut fields, &rules);
        assert_eq!(names(&fields), ["vary"], "{name}");
    }
    assert_eq!(for_caches(&rules).count(), 8);
}

#[test]
fn browsers_get_what_the_policy_says() {
    let stored = stored(&[
        "cache-control: max-age=60",
        "expires: Sat, 21 Nov 2026 12:00:07 GMT",
    ]);
    let rules = Rules {
        browser: BrowserRule::Replace(HeaderValue::from_static("no-cache")),
        ..Rules::default()
    };
    let out = response_fields(&stored, seconds(0), &rules);
    assert_eq!(names(&out), ["age", "cache-control", "date"]);
    assert_eq!(out["cache-control"], "no-cache");
}

#[test]
fn a_passed_response_keeps_its_date_and_age() {
    // RFC 9110 §6.6.1, §7.6.1
    for (lines, date) in [
        (
            &["date: Sun, 06 Nov 1994 08:49:37 GMT", "age: 4"][..],
            "Sun, 06 Nov 1994 08:49:37 GMT",
        ),
        (
            &["date: nonsense", "age: 4"],
            "Sat, 21 Nov 2026 12:00:00 GMT",
        ),
        (
            &["connection: date", "age: 4"],
            "Sat, 21 Nov 2026 12:00:00 GMT",
        ),
    ] {
        let out = pass_fields(&fields(lines), NOON, &Rules::default());
        assert_eq!(names(&out), ["age", "date"], "{lines:?}");
        assert_eq!(out["date"], date);
    }
}

#[test]
fn a_validation_takes_the_place_of_the_clients_own_conditions() {
    // RFC 9111 §4.3.1
    let client = fields(&[
        "host: a.example",
        "if-none-match: \"client\"",
        "if-modified-since: x",
        "if-range: \"x\"",
        "range: bytes=0-1",
        "connection: keep-alive, x-hop, cookie",
        "x-hop: 1",
        "cookie: a=b",
        "te: gzip",
        "surrogate-capability: near=\"Surrogate/1.0\"",
    ]);
    let stored = stored(&["cache-control: max-age=60", "etag: \"ours\""]);
    let validation = ValidationRequest::of(&stored, ForwardReason::Stale).unwrap();
    let out = request_fields(&client, ForwardAs::Validation(&validation));
    assert_eq!(
        names(&out),
        ["cookie", "host", "if-none-match", "surrogate-capability"]
    );
    let capabilities: Vec<_> = out.get_all("surrogate-capability").iter().collect();
    assert_eq!(
        capabilities,
        ["near=\"Surrogate/1.0\"", "terrace=\"Surrogate/1.0\""]
    );
    assert_eq!(out["if-none-match"], "\"ours\"");
    let out = request_fields(&client, ForwardAs::Fill);
    assert_eq!(names(&out), ["cookie", "host", "surrogate-capability"]);
    let out = request_fields(&client, ForwardAs::Client);
    assert_eq!(
        names(&out),
        [
            "cookie",
            "host",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "range",
            "surrogate-capability"
        ]
    );
}

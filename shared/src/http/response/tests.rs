use ::http::header::HeaderName;

use super::*;
use crate::http::ValidationRequest;
use crate::http::support::{
    NOON, after, decide_at, epoch, fields, fill, get, request_as, seconds, store_with, stored,
};
use crate::key::SurrogateKeys;
use crate::outcome::ForwardReason;
use crate::purge::EntryScopes;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const FRESH: &str = "cache-control: max-age=60";

/// What becomes of an answer that came a hundred seconds after noon, under epoch 5.
fn later(
    request: &RequestFacts,
    status: u16,
    lines: &[&str],
    stored: Option<&StoredResponse>,
    verdict: Verdict,
) -> OnResponse {
    let validation = stored.and_then(|stored| ValidationRequest::of(stored, ForwardReason::Stale));
    let fill = Fill {
        asked: validation
            .as_ref()
            .map_or(ForwardAs::Client, ForwardAs::Validation),
        exchange: Exchange {
            requested_at: after(99),
            received_at: after(100),
        },
        fence: Fence::at(epoch(5)),
        ..fill()
    };
    let head = ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        fields: &fields(lines),
    };
    on_response(request, head, stored, verdict, &fill, &Rules::default())
}

fn freshened(lines: &[&str], stored: &StoredResponse) -> StoredResponse {
    match later(&get(&[]), 304, lines, Some(stored), Verdict::Untouched) {
        OnResponse::Freshen(freshened) => *freshened,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_304_lifts_the_fence_to_the_epoch_read_before_asking_and_no_further() {
    // R4
    let stored = stored(&[FRESH, "etag: \"a\"", "terrace-epoch: 0000000000000007-2"]);
    let plain = freshened(&["etag: \"a\""], &stored);
    assert_eq!(plain.fence().filled_at, epoch(5));
    assert_eq!(plain.fence().produced_at, Some(epoch(2)));
    let newer = freshened(
        &["etag: \"a\"", "terrace-epoch: 0000000000000007-4"],
        &stored,
    );
    assert_eq!(newer.fence().produced_at, Some(epoch(4)));
}

#[test]
fn a_304_takes_the_surrogate_keys_of_the_merged_fields() {
    // R4
    let stored = stored(&[
        FRESH,
        "etag: \"a\"",
        "surrogate-key: old",
        "cache-tag: kept",
    ]);
    let freshened = freshened(&["etag: \"a\"", "surrogate-key: new"], &stored);
    let keys = SurrogateKeys::parse(["kept new"]).unwrap();
    let expected = EntryScopes::of_url("a.example", "/p/q?x=1", &keys);
    assert_eq!(freshened.scopes(), &expected);
}

#[test]
fn a_304_replaces_fields_and_begins_a_new_age() {
    // RFC 9111 §3.2, §4.3.4
    let stored = stored(&[
        FRESH,
        "etag: \"a\"",
        "age: 50",
        "x-a: 1",
        "x-a: 2",
        "x-b: 1",
        "content-type: text/plain",
        "content-length: 9",
    ]);
    let freshened = freshened(
        &[
            "etag: \"a\"",
            "x-a: 3",
            "x-a: 4",
            "content-type: x/y",
            "content-length: 0",
            "cache-control: max-age=70",
            "connection: x-b",
            "x-b: 2",
            "transfer-encoding: chunked",
        ],
        &stored,
    );
    let lines = |name| -> Vec<_> { freshened.fields().get_all(name).iter().collect() };
    assert_eq!(lines("x-a"), ["3", "4"]);
    assert_eq!(lines("x-b"), ["1"]);
    assert_eq!(lines("content-type"), ["x/y"]);
    assert_eq!(lines("content-length"), ["9"]);
    assert_eq!(lines("transfer-encoding"), Vec::<&str>::new());
    assert_eq!(freshened.lifetime(), seconds(70));
    assert_eq!(freshened.current_age(after(100)), seconds(1)); // only the response delay
    assert_eq!(freshened.extent(), stored.extent());
    assert_eq!(freshened.status(), StatusCode::OK);
}

#[test]
fn a_304_freshens_only_what_it_speaks_of() {
    // RFC 9111 §4.3.4
    let at = "last-modified: Sat, 21 Nov 2026 11:00:00 GMT";
    let other = "last-modified: Sat, 21 Nov 2026 10:00:00 GMT";
    let strong = stored(&[FRESH, "etag: \"a\"", at]);
    let weak = stored(&[FRESH, "etag: W/\"a\""]);
    let dated = stored(&[FRESH, at]);
    for (stored, lines, fits) in [
        (&strong, &["etag: \"a\""][..], true),
        (&strong, &["etag: W/\"a\""], true),
        (&strong, &["etag: \"b\""], false),
        (&strong, &["etag: malformed"], false),
        (&strong, &[at], true),
        (&strong, &[], true),
        (&weak, &["etag: \"a\""], false),
        (&weak, &["etag: W/\"a\""], true),
        (&dated, &[at], true),
        (&dated, &[other], false),
        (&dated, &["etag: \"a\"", at], false),
    ] {
        let result = later(&get(&[]), 304, lines, Some(stored), Verdict::Softened);
        match (fits, result) {
            (true, OnResponse::Freshen(_)) | (false, OnResponse::AskAgain) => {}
            (_, other) => panic!("{lines:?}: {other:?}"),
        }
    }
}

#[test]
fn a_304_after_a_purge_freshens_nothing() {
    // R2, R3
    let stored = stored(&[FRESH, "etag: \"a\""]);
    let result = later(
        &get(&[]),
        304,
        &["etag: \"a\""],
        Some(&stored),
        Verdict::Dropped,
    );
    assert!(matches!(result, OnResponse::AskAgain));
}

#[test]
fn a_304_for_the_clients_own_condition_is_passed_on() {
    let request = get(&["if-none-match: \"a\""]);
    let unvalidated = stored(&[FRESH]);
    for stored in [None, Some(&unvalidated)] {
        let result = later(&request, 304, &["etag: \"a\""], stored, Verdict::Untouched);
        assert!(matches!(result, OnResponse::Pass(NotStored::NotModified)));
    }
}

#[test]
fn a_304_that_forbids_storing_is_answered_once() {
    let stored = stored(&[FRESH, "etag: \"a\""]);
    let lines = ["etag: \"a\"", "cache-control: no-store"];
    let result = later(&get(&[]), 304, &lines, Some(&stored), Verdict::Untouched);
    let OnResponse::AnswerOnce { head, because } = result else {
        panic!("{result:?}");
    };
    assert_eq!(because, NotStored::NoStore);
    assert_eq!(head.fields()["cache-control"], "no-store");
}

#[test]
fn an_error_is_replaced_by_what_is_stored_for_as_long_as_that_is_allowed() {
    // RFC 5861 §4; what is stored has been stale for 40 s.
    for (directives, status, verdict, replaced) in [
        (
            "max-age=60, stale-if-error=41",
            500,
            Verdict::Untouched,
            true,
        ),
        (
            "max-age=60, stale-if-error=41",
            502,
            Verdict::Softened,
            true,
        ),
        (
            "max-age=60, stale-if-error=41",
            503,
            Verdict::Untouched,
            true,
        ),
        (
            "max-age=60, stale-if-error=41",
            504,
            Verdict::Untouched,
            true,
        ),
        (
            "max-age=60, stale-if-error=40",
            500,
            Verdict::Untouched,
            false,
        ),
        (
            "max-age=60, stale-if-error=41",
            501,
            Verdict::Untouched,
            false,
        ),
        (
            "max-age=60, stale-if-error=41",
            404,
            Verdict::Untouched,
            false,
        ),
        (
            "max-age=60, stale-if-error=41",
            500,
            Verdict::Dropped,
            false,
        ),
        (
            "max-age=60, stale-if-error=41, must-revalidate",
            500,
            Verdict::Untouched,
            false,
        ),
        ("max-age=60", 500, Verdict::Untouched, false),
    ] {
        let stored = stored(&[&format!("cache-control: {directives}")]);
        let result = later(&get(&[]), status, &[], Some(&stored), verdict);
        let is_stale = match result {
            OnResponse::ServeStale { stale_for, .. } => stale_for == seconds(40),
            _ => false,
        };
        assert_eq!(is_stale, replaced, "{directives} {status} {verdict:?}");
    }
    let stored = stored(&[FRESH]);
    let request = get(&["cache-control: stale-if-error=50"]);
    let result = later(&request, 500, &[], Some(&stored), Verdict::Untouched);
    assert!(matches!(result, OnResponse::ServeStale { .. }));
}

#[test]
fn a_response_to_head_updates_or_outdates_what_is_stored_for_get() {
    // RFC 9111 §4.3.5
    let stored = stored(&[FRESH, "etag: \"a\"", "content-length: 9", "age: 3"]);
    let head = request_as(&Method::HEAD, &[], &Rules::default());
    let update = |lines: &[&str]| match later(&head, 200, lines, Some(&stored), Verdict::Untouched)
    {
        OnResponse::Update(stored) => Some(*stored),
        OnResponse::Pass(NotStored::Method) => None,
        other => panic!("{other:?}"),
    };
    let updated = update(&["etag: \"a\"", FRESH, "x-a: 1", "content-length: 9"]).unwrap();
    assert_eq!(updated.fields()["x-a"], "1");
    assert_eq!(updated.fence().filled_at, epoch(5));
    assert_eq!(
        decide_at(&get(&[]), &updated, Verdict::Untouched, 100),
        "reuse"
    );
    for lines in [
        &["etag: \"b\"", FRESH][..],
        &["etag: \"a\"", "content-length: 8"],
        &[
            "etag: \"a\"",
            "last-modified: Sat, 21 Nov 2026 11:00:00 GMT",
        ],
    ] {
        let outdated = update(lines).unwrap();
        assert_eq!(outdated.fence(), stored.fence());
        assert_eq!(
            decide_at(&get(&[]), &outdated, Verdict::Untouched, 0),
            "validate: stale"
        );
    }
    assert_eq!(update(&[FRESH, "content-length: 9"]), None);
}

#[test]
fn stored_fields_are_those_meant_for_everybody() {
    // RFC 9111 §3.1
    let stored = stored(&[
        FRESH,
        "connection: x-hop, close",
        "x-hop: 1",
        "keep-alive: 5",
        "te: trailers",
        "upgrade: h2c",
        "transfer-encoding: chunked",
        "proxy-authenticate: Basic",
        "x-a: 1",
        "x-a: 2",
        "set-cookie: a=b",
        "set-cookie: c=d",
    ]);
    let mut names: Vec<_> = stored.fields().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "date", "set-cookie", "x-a"]);
    assert_eq!(stored.fields().get_all("set-cookie").iter().count(), 2);
    assert_eq!(stored.date(), NOON);
    assert_eq!(stored.fields()["date"], "Sat, 21 Nov 2026 12:00:00 GMT");
}

#[test]
fn a_response_to_head_speaks_of_a_stored_part_as_of_the_whole() {
    // RFC 9111 §4.3.5
    let lines = [FRESH, "etag: \"a\"", "content-range: bytes 0-4/9"];
    let stored = store_with(&get(&[]), 206, &lines, &Rules::default()).unwrap();
    let head = request_as(&Method::HEAD, &[], &Rules::default());
    for (length, lifetime) in [("9", 70), ("5", 0)] {
        let length = format!("content-length: {length}");
        let lines = ["etag: \"a\"", "cache-control: max-age=70", &length];
        match later(&head, 200, &lines, Some(&stored), Verdict::Untouched) {
            OnResponse::Update(updated) => {
                assert_eq!(updated.lifetime(), seconds(lifetime));
                assert_eq!(updated.extent(), stored.extent());
                assert_eq!(updated.fields()["content-range"], "bytes 0-4/9");
            }
            other => panic!("{other:?}"),
        }
    }
}

use super::*;
use crate::http::support::{NOON, after, fields, get, seconds, store_with, stored};
use crate::http::{Exchange, Freshness, Heuristic};
use crate::time::TimestampMillis;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const DATE_NOON: &str = "date: Sat, 21 Nov 2026 12:00:00 GMT";

fn lifetime_of(status: u16, lines: &[&str], rules: &Rules) -> Lifetime {
    let fields = fields(lines);
    let directives = ResponseDirectives::parse(&fields, rules);
    let status = StatusCode::from_u16(status).unwrap();
    Lifetime::of(status, &fields, &directives, NOON, rules)
}

#[test]
fn the_first_source_of_a_lifetime_counts() {
    // RFC 9111 §4.2.1
    use Lifetime::{Assumed, Explicit, None, SMaxAge};
    let expires = "expires: Sat, 21 Nov 2026 12:00:07 GMT";
    let modified = "last-modified: Sat, 21 Nov 2026 11:58:20 GMT"; // 100 s before
    for (lines, expected) in [
        (
            &["cache-control: max-age=5, s-maxage=6", expires][..],
            SMaxAge(seconds(6)),
        ),
        (&["cache-control: max-age=5", expires], Explicit(seconds(5))),
        (
            &["cache-control: public", expires, DATE_NOON],
            Explicit(seconds(7)),
        ),
        (&[expires, modified], Explicit(seconds(7))),
        (&[modified], Assumed(seconds(10))),
        (&[], None),
        // A targeted field silences `Expires` too (RFC 9213 §2.2).
        (&["cdn-cache-control: foo", expires], None),
        (
            &["cdn-cache-control: max-age=3, s-maxage=2", expires],
            SMaxAge(seconds(2)),
        ),
    ] {
        assert_eq!(
            lifetime_of(200, lines, &Rules::default()),
            expected,
            "{lines:?}"
        );
    }
    assert_eq!(
        lifetime_of(
            200,
            &["cache-control: max-age=5, s-maxage=6"],
            &Rules::private()
        ),
        Explicit(seconds(5))
    );
}

#[test]
fn expires_counts_from_date_and_anything_malformed_is_past() {
    // RFC 9111 §5.3
    for (lines, expected) in [
        (
            &[
                "expires: Sat, 21 Nov 2026 12:00:07 GMT",
                "date: Sat, 21 Nov 2026 11:59:57 GMT",
            ][..],
            10,
        ),
        (
            &["expires: Sat, 21 Nov 2026 12:00:07 GMT", "date: nonsense"],
            7,
        ),
        (&["expires: 0"], 0),
        (&["expires: -1"], 0),
        (&["expires: Sat, 21 Nov 2026 12:00:07 EST"], 0),
        (&["expires: Sat, 21 Nov 2026 11:00:00 GMT"], 0),
        (&["expires: Sat, 21 Nov 2026 12:00:07 GMT", "expires: 0"], 0),
        (&["expires: sat, 21 nov 2026 12:00:07 gmt"], 7),
        (&["expires: Saturday, 21-Nov-26 12:00:07 GMT"], 7),
        (&["expires: Sat Nov 21 12:00:07 2026"], 7),
    ] {
        assert_eq!(
            lifetime_of(200, lines, &Rules::default()),
            Lifetime::Explicit(seconds(expected)),
            "{lines:?}"
        );
    }
}

#[test]
fn heuristics_are_bounded_and_only_for_statuses_that_allow_them() {
    // RFC 9111 §4.2.2
    let long_ago = "last-modified: Sat, 21 Nov 2020 12:00:00 GMT";
    let day = Lifetime::Assumed(DeltaSeconds::days(1));
    for (status, line, expected) in [
        (200, "x: y", day),
        (204, "x: y", day),
        (404, "x: y", day),
        (500, "x: y", Lifetime::None),
        (302, "x: y", Lifetime::None),
        (500, "cache-control: public", day),
    ] {
        let lines = [long_ago, line];
        assert_eq!(
            lifetime_of(status, &lines, &Rules::default()),
            expected,
            "{status} {line}"
        );
    }
    let off = Rules {
        heuristic: Heuristic {
            percent: 0,
            ..Heuristic::default()
        },
        ..Rules::default()
    };
    assert_eq!(lifetime_of(200, &[long_ago], &off), Lifetime::None);
    let future = ["last-modified: Sat, 21 Nov 2027 12:00:00 GMT"];
    assert_eq!(lifetime_of(200, &future, &Rules::default()), Lifetime::None);
}

#[test]
fn the_routes_default_counts_only_without_explicit_freshness() {
    let rules = Rules {
        default_lifetime: Some(seconds(300)),
        negative_lifetime: Some(seconds(9)),
        longest_lifetime: seconds(1_000),
        ..Rules::default()
    };
    for (status, line, expected) in [
        (200, "x: y", Lifetime::Assumed(seconds(300))),
        (404, "x: y", Lifetime::Assumed(seconds(9))),
        (500, "x: y", Lifetime::None),
        (
            200,
            "cache-control: max-age=0",
            Lifetime::Explicit(seconds(0)),
        ),
        (
            404,
            "cache-control: max-age=70",
            Lifetime::Explicit(seconds(70)),
        ),
        (
            200,
            "cache-control: max-age=7000",
            Lifetime::Explicit(seconds(1_000)),
        ),
    ] {
        assert_eq!(
            lifetime_of(status, &[line], &rules),
            expected,
            "{status} {line}"
        );
    }
}

#[test]
fn age_has_all_four_terms() {
    // RFC 9111 §4.2.3: max(apparent age, Age + response delay) + resident time
    for (date, age, delay, resident, expected) in [
        ("Sat, 21 Nov 2026 12:00:00 GMT", "0", 0, 0, 0),
        ("Sat, 21 Nov 2026 12:00:00 GMT", "0", 0, 9, 9),
        ("Sat, 21 Nov 2026 11:59:50 GMT", "0", 0, 9, 19),
        ("Sat, 21 Nov 2026 11:59:50 GMT", "30", 0, 9, 39),
        ("Sat, 21 Nov 2026 11:59:50 GMT", "30", 4, 9, 43),
        ("Sat, 21 Nov 2026 12:30:00 GMT", "0", 0, 9, 9), // a clock ahead of ours
        ("nonsense", "0", 3, 9, 12),
    ] {
        let age = format!("age: {age}");
        let date = format!("date: {date}");
        let mut stored = stored(&["cache-control: max-age=100", &age, &date]);
        stored.exchange = Exchange {
            requested_at: NOON.saturating_sub(seconds(delay)),
            received_at: NOON,
        };
        assert_eq!(
            stored.current_age(after(resident)),
            seconds(expected),
            "{date} {age}"
        );
    }
}

#[test]
fn the_first_age_counts_and_what_is_no_number_is_ignored() {
    // RFC 9111 §5.1
    for (lines, expected) in [
        (&["age: 7"][..], 7),
        (&["age: 7", "age: 9"], 7),
        (&["age: 7, 9"], 7),
        (&["age: -7"], 0),
        (&["age: 7.5"], 0),
        (&["age: seven"], 0),
        (&["age:"], 0),
        (&["age: 99999999999999999999"], 1 << 31),
    ] {
        assert_eq!(age_value(&fields(lines)), seconds(expected), "{lines:?}");
    }
}

#[test]
fn a_response_turns_stale_exactly_at_its_lifetime() {
    // RFC 9111 §4.2
    for (lifetime, age, fresh) in [
        (0, 0, false),
        (60, 59, true),
        (60, 60, false),
        (60, 61, false),
    ] {
        let freshness = Freshness::of(seconds(lifetime), seconds(age));
        assert_eq!(matches!(freshness, Freshness::Fresh { .. }), fresh, "{age}");
    }
    assert_eq!(
        Freshness::of(seconds(9), seconds(11)).stale_for(),
        seconds(2)
    );
}

#[test]
fn a_store_may_forget_when_neither_grace_nor_errors_allow_it() {
    let line = "cache-control: max-age=60, stale-while-revalidate=10, stale-if-error=40";
    let stored = store_with(&get(&[]), 200, &[line, "age: 5"], &Rules::default()).unwrap();
    assert_eq!(stored.usable_until(), after(95));
}

#[test]
fn a_second_that_turns_over_while_the_origin_answers_is_no_second() {
    // RFC 9111 §4.2.3
    let at = TimestampMillis::from_unix_millis;
    for (requested, received, delay) in [
        (1_999, 2_001, 0),
        (1_000, 1_999, 0),
        (1_000, 2_000, 1),
        (1_999, 3_998, 1),
        (3_000, 2_000, 0),
    ] {
        let exchange = Exchange::between(at(requested), at(received));
        let got = exchange.received_at.saturating_since(exchange.requested_at);
        assert_eq!(got.as_seconds(), delay, "{requested} {received}");
        assert_eq!(exchange.received_at.as_unix_seconds(), received / 1_000);
    }
}

#[test]
fn freshness_is_guessed_for_these_statuses_alone() {
    // RFC 9110 §15.1
    let cacheable = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];
    let modified = ["last-modified: Fri, 20 Nov 2026 12:00:00 GMT"];
    for status in 200..600 {
        let lifetime = lifetime_of(status, &modified, &Rules::default());
        let guessed = lifetime != Lifetime::None;
        assert_eq!(guessed, cacheable.contains(&status), "{status}");
    }
}

use ::http::Method;

use super::*;
use crate::http::support::{get, request_as, store_with, stored};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn ranges(request: &RequestFacts, length: u64) -> Outcome {
    let stored = stored(&[
        "cache-control: max-age=60",
        "etag: \"a\"",
        "last-modified: Sat, 21 Nov 2026 11:00:00 GMT",
    ]);
    evaluate(request, &stored, length, &Rules::default())
}

fn of(range: &str, length: u64) -> Outcome {
    ranges(&get(&[&format!("range: {range}")]), length)
}

fn partial(ranges: &[(u64, u64)]) -> Outcome {
    let range = |&(first, last): &(u64, u64)| ByteRange { first, last };
    Outcome::Partial(ranges.iter().map(range).collect())
}

#[test]
fn ranges_are_cut_to_what_there_is() {
    // RFC 9110 §14.1.2
    for (range, expected) in [
        ("bytes=0-0", partial(&[(0, 0)])),
        ("bytes=2-5", partial(&[(2, 5)])),
        ("bytes=2-", partial(&[(2, 9)])),
        ("bytes=2-99", partial(&[(2, 9)])),
        ("bytes=2-99999999999999999999999", partial(&[(2, 9)])),
        ("bytes=-3", partial(&[(7, 9)])),
        ("bytes=-99", partial(&[(0, 9)])),
        ("BYTES=1-2", partial(&[(1, 2)])),
        ("bytes=0-1, 4-5", partial(&[(0, 1), (4, 5)])),
        ("bytes=4-5,,0-1", partial(&[(4, 5), (0, 1)])),
        ("bytes=0-1,2-3", partial(&[(0, 3)])),
        ("bytes=0-1,4-5,1-4", partial(&[(0, 5)])),
        ("bytes=0-1,50-60", partial(&[(0, 1)])),
        ("bytes=-3,10-", partial(&[(7, 9)])),
        ("bytes=10-", Outcome::NotSatisfiable),
        ("bytes=-0", Outcome::NotSatisfiable),
        ("bytes=10-11,12-13", Outcome::NotSatisfiable),
    ] {
        assert_eq!(of(range, 10), expected, "{range}");
    }
    assert_eq!(of("bytes=0-", 0), Outcome::NotSatisfiable);
    assert_eq!(of("bytes=-1", 0), Outcome::NotSatisfiable);
}

#[test]
fn malformed_ranges_are_ignored() {
    // RFC 9110 §14.2
    for range in [
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=1",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes= ",
        "lines=1-2",
        "bytes 1-2",
        "bytes=+1-2",
    ] {
        assert_eq!(of(range, 10), Outcome::Full, "{range}");
    }
    let twice = get(&["range: bytes=0-1", "range: bytes=0-1"]);
    assert_eq!(ranges(&twice, 10), Outcome::Full);
    let head = request_as(&Method::HEAD, &["range: bytes=0-1"], &Rules::default());
    assert_eq!(ranges(&head, 10), Outcome::Full);
}

#[test]
fn range_bombs_get_the_whole() {
    // RFC 9110 §17.15
    let bomb = |count: usize| format!("bytes={}", vec!["0-"; count].join(","));
    assert_eq!(of(&bomb(16), 10), partial(&[(0, 9)]));
    assert_eq!(of(&bomb(17), 10), Outcome::Full);
    assert_eq!(of(&bomb(100_000), 10), Outcome::Full);
}

#[test]
fn if_range_holds_only_for_the_same_bytes() {
    // RFC 9110 §13.1.5
    for (validator, cut) in [
        ("\"a\"", true),
        ("W/\"a\"", false),
        ("\"b\"", false),
        ("Sat, 21 Nov 2026 11:00:00 GMT", true),
        ("Sat, 21 Nov 2026 11:00:01 GMT", false),
        ("nonsense", false),
    ] {
        let if_range = format!("if-range: {validator}");
        let outcome = ranges(&get(&["range: bytes=0-1", &if_range]), 10);
        assert_eq!(outcome == partial(&[(0, 1)]), cut, "{validator}");
    }
    // Made in the second of the change, so another change may have followed (RFC 9110 §8.8.2.2).
    let weak = stored(&[
        "cache-control: max-age=60",
        "date: Sat, 21 Nov 2026 11:00:00 GMT",
        "last-modified: Sat, 21 Nov 2026 11:00:00 GMT",
    ]);
    let request = get(&[
        "range: bytes=0-1",
        "if-range: Sat, 21 Nov 2026 11:00:00 GMT",
    ]);
    assert_eq!(
        evaluate(&request, &weak, 10, &Rules::default()),
        Outcome::Full
    );
}

#[test]
fn errors_are_not_cut() {
    let fresh = ["cache-control: max-age=60"];
    let stored = store_with(&get(&[]), 404, &fresh, &Rules::default()).unwrap();
    let outcome = evaluate(&get(&["range: bytes=0-1"]), &stored, 10, &Rules::default());
    assert_eq!(outcome, Outcome::Full);
}

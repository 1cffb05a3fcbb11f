use super::Outcome::{Full, NotModified, PreconditionFailed};
use super::*;
use crate::http::Rules;
use crate::http::support::{get, store_with, stored};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn preconditions_are_evaluated_in_their_order() {
    // RFC 9110 §13.1, §13.2.2
    let before = "Sat, 21 Nov 2026 10:00:00 GMT";
    let at = "Sat, 21 Nov 2026 11:00:00 GMT";
    let stored = stored(&[
        "cache-control: max-age=60",
        "etag: \"a\"",
        &format!("last-modified: {at}"),
    ]);
    let line = |name: &str, value: &str| format!("{name}: {value}");
    for (lines, expected) in [
        (vec![], Full),
        (vec![line("if-none-match", "\"a\"")], NotModified),
        (vec![line("if-none-match", "W/\"a\"")], NotModified),
        (vec![line("if-none-match", "\"b\", \"a\"")], NotModified),
        (vec![line("if-none-match", "*")], NotModified),
        (vec![line("if-none-match", "\"b\"")], Full),
        (vec![line("if-none-match", "a")], Full),
        // `If-None-Match` silences `If-Modified-Since`, also when it is malformed.
        (
            vec![
                line("if-none-match", "\"b\""),
                line("if-modified-since", at),
            ],
            Full,
        ),
        (
            vec![line("if-none-match", "b"), line("if-modified-since", at)],
            Full,
        ),
        (vec![line("if-modified-since", at)], NotModified),
        (vec![line("if-modified-since", before)], Full),
        (vec![line("if-modified-since", "nonsense")], Full),
        (
            vec![line("if-modified-since", at), line("if-modified-since", at)],
            Full,
        ),
        (vec![line("if-match", "\"a\"")], Full),
        (vec![line("if-match", "W/\"a\"")], PreconditionFailed),
        (vec![line("if-match", "\"b\"")], PreconditionFailed),
        (vec![line("if-match", "*")], Full),
        (
            vec![line("if-match", "\"a\""), line("if-none-match", "\"a\"")],
            NotModified,
        ),
        (vec![line("if-unmodified-since", at)], Full),
        (
            vec![line("if-unmodified-since", before)],
            PreconditionFailed,
        ),
        (
            vec![
                line("if-match", "\"a\""),
                line("if-unmodified-since", before),
            ],
            Full,
        ),
    ] {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        assert_eq!(evaluate(&get(&lines), &stored), expected, "{lines:?}");
    }
}

#[test]
fn without_last_modified_its_date_is_compared() {
    // RFC 9111 §4.3.2
    let stored = stored(&[
        "cache-control: max-age=60",
        "date: Sat, 21 Nov 2026 11:00:00 GMT",
    ]);
    for (since, expected) in [
        ("Sat, 21 Nov 2026 11:00:00 GMT", NotModified),
        ("Sat, 21 Nov 2026 10:59:59 GMT", Full),
    ] {
        let request = get(&[&format!("if-modified-since: {since}")]);
        assert_eq!(evaluate(&request, &stored), expected, "{since}");
    }
}

#[test]
fn only_a_success_becomes_not_modified() {
    // RFC 9110 §13.2.1
    let lines = ["cache-control: max-age=60", "etag: \"a\""];
    let stored = store_with(&get(&[]), 404, &lines, &Rules::default()).unwrap();
    assert_eq!(evaluate(&get(&["if-none-match: \"a\""]), &stored), Full);
}

use ::http::Method;
use ::http::header::ACCEPT_ENCODING;

use super::*;
use crate::http::support::{get, request_as, store_with};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn stored_for(request: &[&str], vary: &str) -> StoredResponse {
    let lines = ["cache-control: max-age=60", vary];
    store_with(&get(request), 200, &lines, &Rules::default()).unwrap()
}

#[test]
fn values_match_when_they_mean_the_same() {
    // RFC 9111 §4.1
    for (stored, asked, same) in [
        (&["foo: 1"][..], &["foo: 1"][..], true),
        (&["foo: 1"], &["foo: 2"], false),
        (&["foo: 1"], &[], false),
        (&[], &["foo: 1"], false),
        (&[], &[], true),
        (&["foo:"], &[], false),
        (&["foo: 1, 2"], &["foo: 1,2"], true),
        (&["foo: 1, 2"], &["foo: 1", "foo: 2"], true),
        (&["foo: 1, 2"], &["foo: 2, 1"], false),
        (&["foo: 1, 2"], &["foo: 1"], false),
        (&["foo: 1"], &["foo: 1, 2"], false),
        (&["foo: \"1, 2\""], &["foo: \"1,2\""], false),
        (&["foo: a"], &["foo: A"], false),
        (&["foo: 1", "bar: x"], &["foo: 1"], true),
    ] {
        let key = stored_for(stored, "vary: Foo").vary;
        assert_eq!(key.matches(&get(asked)), same, "{stored:?} {asked:?}");
        let other = stored_for(asked, "vary: Foo").vary;
        assert_eq!(key == other, same, "{stored:?} {asked:?}");
        assert_eq!(key.to_bytes() == other.to_bytes(), same);
    }
}

#[test]
fn weighted_lists_match_in_whatever_order_and_spelling() {
    // RFC 9111 §4.1, RFC 9110 §12.5
    for (name, stored, asked, same) in [
        ("accept-language", "en, DE", "de;q=1,EN", true),
        ("accept-language", "en, de;q=0.5", "de;q=0.50, en", true),
        ("accept-language", "en, de;q=0.5", "de, en;q=0.5", false),
        ("accept-encoding", "gzip, br", "br , GZIP", true),
        ("accept-encoding", "", "identity", false),
        ("accept", "text/html;level=1", "text/html", false),
        ("accept-charset", "utf-8;q=0.9", "UTF-8;Q=0.900", true),
        ("x-list", "a, b", "b, a", false),
    ] {
        let line = |value: &str| format!("{name}: {value}");
        let vary = format!("vary: {name}");
        let one = stored_for(&[&line(stored)], &vary).vary;
        assert_eq!(one.matches(&get(&[&line(asked)])), same, "{stored} {asked}");
        let other = stored_for(&[&line(asked)], &vary).vary;
        assert_eq!(one == other, same, "{stored} {asked}");
        assert!(one.matches(&get(&[&line(stored)])));
        assert!(!one.matches(&get(&[])));
    }
    let one = stored_for(&["accept: a, b"], "vary: accept").vary;
    assert!(one.matches(&get(&["accept: b", "accept: a"])));
}

#[test]
fn every_named_field_takes_part() {
    let stored = stored_for(&["a: 1", "b: 2"], "vary: B, a,, A");
    let names: Vec<_> = stored.vary.names().map(HeaderName::as_str).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(stored.vary.matches(&get(&["b: 2", "a: 1", "c: 3"])));
    assert!(!stored.vary.matches(&get(&["a: 1"])));
}

#[test]
fn a_star_anywhere_is_never_stored() {
    for vary in ["vary: *", "vary: a, *", "vary: *, a", "vary: a b"] {
        let lines = ["cache-control: max-age=60", vary];
        let result = store_with(&get(&[]), 200, &lines, &Rules::default());
        assert_eq!(result, Err(NotStored::VaryStar), "{vary}");
    }
}

#[test]
fn only_allowed_fields_may_select() {
    let rules = Rules {
        vary: VaryRule::Only(vec![ACCEPT_ENCODING]),
        ..Rules::default()
    };
    let store = |vary| {
        let request = request_as(&Method::GET, &["accept-encoding: br", "cookie: a"], &rules);
        store_with(&request, 200, &["cache-control: max-age=60", vary], &rules)
    };
    assert!(store("vary: Accept-Encoding").is_ok());
    assert_eq!(store("vary: Cookie"), Err(NotStored::VaryNotAllowed));
}

#[test]
fn normalised_values_take_the_place_of_the_clients() {
    let value = ::http::HeaderValue::from_static("br");
    let request = get(&["accept-encoding: gzip, deflate, br;q=1.0"])
        .with_selecting(ACCEPT_ENCODING, Some(value));
    let stored = stored_for(&["accept-encoding: br"], "vary: accept-encoding");
    assert!(stored.vary.matches(&request));
    let absent = request.with_selecting(ACCEPT_ENCODING, None);
    assert!(!stored.vary.matches(&absent));
}

#[test]
fn of_several_matching_the_most_recent_is_selected() {
    // RFC 9111 §4.1
    let one = stored_for(&["a: 1"], "vary: a");
    let mut newer = one.clone();
    newer.date = one
        .date
        .saturating_add(crate::time::DeltaSeconds::seconds(1));
    let other = stored_for(&["a: 2"], "vary: a");
    let request = get(&["a: 1"]);
    assert_eq!(
        select(&request, &[&one, &newer, &other]),
        Selection::Match(1)
    );
    assert_eq!(select(&request, &[&newer, &one]), Selection::Match(0));
    assert_eq!(select(&request, &[&other]), Selection::VaryMiss);
    assert_eq!(select(&request, &[]), Selection::UriMiss);
    assert_eq!(
        Selection::VaryMiss.forward_reason(ForwardReason::UriMiss),
        ForwardReason::VaryMiss
    );
}

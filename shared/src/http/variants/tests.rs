use super::*;
use crate::bytes::hex;
use crate::http::support::{NOON, after, epoch, fields, get, store_with};
use crate::http::{Rules, Selection, select};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Stored for a request with this `Foo`.
fn head(foo: &str, lines: &[&str]) -> StoredResponse {
    let mut all = vec!["cache-control: max-age=60"];
    all.extend(lines);
    store_with(
        &get(&[&format!("foo: {foo}")]),
        200,
        &all,
        &Rules::default(),
    )
    .unwrap()
}

fn dated(second: u64) -> String {
    format!("date: Sat, 21 Nov 2026 12:00:{second:02} GMT")
}

fn list(heads: &[&StoredResponse]) -> VariantList {
    heads.iter().fold(VariantList::default(), |list, head| {
        list.with(head, after(1_000), NOON)
    })
}

fn keys(list: &VariantList) -> Vec<&VaryKey> {
    list.0.iter().map(Variant::vary).collect()
}

#[test]
fn the_first_that_matches_is_the_one_that_select_takes() {
    // RFC 9111 §4.1
    let one = head("1", &["vary: foo", &dated(5)]);
    let two = head("2", &["vary: foo", &dated(1)]);
    let both = head("2", &["vary: foo, bar", &dated(3)]);
    let all = head("2", &[&dated(3)]);
    let stored = [&one, &two, &both, &all];
    let list = list(&stored);
    for lines in [&["foo: 1"][..], &["foo: 2"], &["foo: 2", "bar: 1"], &[]] {
        let request = get(lines);
        let Selection::Match(at) = select(&request, &stored) else {
            panic!("{lines:?}");
        };
        let first = list.matching(&request).next().unwrap();
        assert_eq!(first.vary(), stored[at].vary(), "{lines:?}");
    }
}

#[test]
fn one_for_the_same_requests_takes_the_place_of_the_one_before() {
    let one = head("1", &["vary: foo", "etag: \"a\"", &dated(5)]);
    let again = head("1", &["vary: foo", "etag: \"b\"", &dated(1)]);
    let (list, again) = (list(&[&one, &again]), list(&[&again]));
    assert_eq!(list, again);
    assert_eq!(list.without(one.vary()), Some(VariantList::default()));
    assert_eq!(VariantList::default().without(one.vary()), None);
}

#[test]
fn what_is_kept_no_longer_falls_off() {
    let one = head("1", &["vary: foo"]);
    let two = head("2", &["vary: foo"]);
    let list = VariantList::default().with(&one, after(10), NOON);
    assert_eq!(list.with(&two, after(99), after(9)).0.len(), 2);
    assert_eq!(keys(&list.with(&two, after(99), after(10))), [two.vary()]);
}

#[test]
fn lists_of_two_readers_are_merged_and_the_more_recent_of_two_is_kept() {
    let old = head("1", &["vary: foo", "etag: \"a\"", &dated(1)]);
    let new = head("1", &["vary: foo", "etag: \"b\"", &dated(9)]);
    let other = head("2", &["vary: foo", &dated(5)]);
    let (one, two) = (list(&[&old, &other]), list(&[&new]));
    assert_eq!(one.merged(&two), list(&[&new, &other]));
    assert_eq!(two.merged(&one), list(&[&new, &other]));
}

#[test]
fn it_is_bounded_in_number_and_in_bytes_and_the_least_recent_fall_off() {
    let heads: Vec<_> = (0..40)
        .map(|number| head(&number.to_string(), &["vary: foo", &dated(number)]))
        .collect();
    let many = list(&heads.iter().collect::<Vec<_>>());
    let expected: Vec<_> = heads[24..].iter().rev().map(StoredResponse::vary).collect();
    assert_eq!(keys(&many), expected);
    let long: Vec<_> = (0..9)
        .map(|number| head(&format!("{number}{}", "x".repeat(2_000)), &["vary: foo"]))
        .collect();
    let long = list(&long.iter().collect::<Vec<_>>());
    assert_eq!(long.0.len(), 3);
    let most = usize::try_from(VariantList::LARGEST.as_u64()).unwrap();
    assert!(long.weight() <= most && long.encode().len() <= most);
    let huge = head(&"x".repeat(9_000), &["vary: foo"]);
    assert_eq!(list(&[&heads[0], &huge]), list(&[&heads[0]]));
}

#[test]
fn a_304_names_those_with_its_entity_tag() {
    let strong = head("1", &["vary: foo", "etag: \"a\""]);
    let weak = head("2", &["vary: foo", "etag: W/\"a\"", &dated(1)]);
    let none = head("3", &["vary: foo"]);
    let list = list(&[&strong, &weak, &none]);
    for (lines, expected) in [
        (&["etag: \"a\""][..], vec![strong.vary()]),
        (&["etag: W/\"a\""], vec![weak.vary(), strong.vary()]),
        (&["etag: \"b\""], vec![]),
        (&["etag: a"], vec![]),
        (&[], vec![]),
    ] {
        let named: Vec<_> = list.named(&fields(lines)).map(Variant::vary).collect();
        assert_eq!(named, expected, "{lines:?}");
    }
}

#[test]
fn layout_is_pinned() {
    let golden = include_str!("../../../../tests/vectors/variants_v1.hex");
    assert_eq!(hex(&sample().encode()), golden.trim());
}

#[test]
fn what_was_written_is_read_back() {
    for list in [VariantList::default(), sample()] {
        assert_eq!(VariantList::decode(&list.encode()), Ok(list));
    }
    let read = sample();
    assert_eq!(read.0[0].fence().filled_at, epoch(1));
}

#[test]
fn cut_and_changed_bytes_are_an_error_or_another_list_never_a_panic() {
    let whole = sample().encode();
    for length in 0..whole.len() {
        let cut = whole.get(..length).unwrap();
        assert!(VariantList::decode(cut).is_err(), "{length}");
    }
    for at in 0..whole.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            assert_ne!(VariantList::decode(&changed), Ok(sample()), "{at}");
        }
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(
        VariantList::decode(&longer),
        Err(DecodeError::TrailingBytes)
    );
}

fn sample() -> VariantList {
    let one = [
        "vary: foo, bar",
        "etag: W/\"a\"",
        "surrogate-key: product:1",
    ];
    let two = [&dated(1)[..], "terrace-epoch: 0000000000000007-9"];
    list(&[&head("1", &one), &head("2", &two)])
}

#[test]
fn it_is_known_whether_all_vary_by_the_same_fields() {
    let one = head("1", &["vary: foo"]);
    let two = head("2", &["vary: foo", &dated(1)]);
    let all = head("3", &[&dated(2)]);
    assert!(list(&[]).all_vary_by(1) && list(&[&one, &two]).all_vary_by(1));
    assert!(!list(&[&one, &two]).all_vary_by(2));
    assert!(!list(&[&one, &all]).all_vary_by(1));
}

use super::*;
use crate::http::support::{NOON, after, epoch, fields, fill, get, request_as, store_with, word};
use crate::http::{AnswerBody, Exchange, VaryKey, answer};
use crate::purge::Fence;
use crate::time::DeltaSeconds;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const FRESH: &str = "cache-control: max-age=60";
const VARY: &str = "vary: foo";

/// The response to a request with this `Foo`.
fn variant(foo: &str, lines: &[&str]) -> StoredResponse {
    let mut all = vec![FRESH, VARY];
    all.extend(lines);
    let request = get(&[&format!("foo: {foo}")]);
    store_with(&request, 200, &all, &Rules::default()).unwrap()
}

fn held(head: &StoredResponse) -> Held<'_> {
    Held {
        head,
        verdict: Verdict::Untouched,
    }
}

fn dropped(head: &StoredResponse) -> Held<'_> {
    Held {
        head,
        verdict: Verdict::Dropped,
    }
}

fn decided(request: &RequestFacts, stored: &[Held<'_>]) -> Among<Decision> {
    decide_among(request, stored, after(9), &Rules::default())
}

#[test]
fn the_one_for_the_request_is_decided_on() {
    let (one, two) = (variant("1", &[]), variant("2", &[]));
    let all = [held(&one), held(&two)];
    for (foo, place) in [("1", 0), ("2", 1)] {
        let among = decided(&get(&[&format!("foo: {foo}")]), &all);
        assert_eq!(among.place, Some(place));
        assert_eq!(word(&among.said), "reuse");
    }
}

#[test]
fn of_what_is_for_other_requests_the_origin_may_choose() {
    // RFC 9111 §4.1, §4.3.1
    let one = variant("1", &["etag: \"a\""]);
    let two = variant(
        "2",
        &["etag: W/\"b\"", "date: Sat, 21 Nov 2026 12:00:01 GMT"],
    );
    let same = variant("3", &["etag: \"a\""]);
    let none = variant("4", &[]);
    let all = [held(&one), held(&two), held(&same), held(&none)];
    let among = decided(&get(&["foo: 9"]), &all);
    assert_eq!(among.place, None);
    let Decision::Validate(validation) = among.said else {
        panic!("{among:?}");
    };
    assert_eq!(validation.because, ForwardReason::VaryMiss);
    assert_eq!(validation.fields["if-none-match"], "W/\"b\", \"a\"");
    assert_eq!(validation.fields.len(), 1);
}

#[test]
fn requests_that_only_the_origin_can_answer_are_not_made_conditional() {
    let one = variant("1", &["etag: \"a\""]);
    let plain = variant("1", &[]);
    let part = [FRESH, VARY, "etag: \"p\"", "content-range: bytes 0-4/9"];
    let part = store_with(&get(&["foo: 1"]), 206, &part, &Rules::default()).unwrap();
    for (stored, lines, expected) in [
        (&[held(&one)][..], &["range: bytes=0-1"][..], "vary-miss"),
        (&[held(&one)], &["if-none-match: \"x\""], "vary-miss"),
        (&[held(&one)], &["cache-control: no-store"], "vary-miss"),
        (&[held(&one)], &["cache-control: only-if-cached"], "timeout"),
        (&[held(&plain)], &[], "vary-miss"),
        (&[held(&part)], &[], "vary-miss"),
        (&[dropped(&one)], &[], "miss"),
        (&[], &[], "uri-miss"),
    ] {
        let among = decided(&get(lines), stored);
        assert_eq!(among.place, None);
        assert_eq!(word(&among.said), expected, "{lines:?}");
    }
    let head = request_as(&Method::HEAD, &[], &Rules::default());
    assert_eq!(word(&decided(&head, &[held(&one)]).said), "vary-miss");
}

#[test]
fn no_more_tags_are_sent_than_fit() {
    let variants: Vec<_> = (0..40)
        .map(|number| variant("1", &[&format!("etag: \"{number}\"")]))
        .collect();
    let all: Vec<_> = variants.iter().collect();
    let validation = ValidationRequest::of_several(&all, ForwardReason::VaryMiss).unwrap();
    let text = validation.fields["if-none-match"].to_str().unwrap();
    assert_eq!(text.split(", ").count(), ValidationRequest::MOST_TAGS);
    assert!(ValidationRequest::of_several(&[], ForwardReason::VaryMiss).is_none());
}

#[test]
fn a_304_names_one_of_several() {
    // RFC 9111 §4.3.4
    let at = "last-modified: Sat, 21 Nov 2026 11:00:00 GMT";
    let later = "date: Sat, 21 Nov 2026 12:00:01 GMT";
    let strong = variant("1", &["etag: \"a\"", at]);
    let recent = variant("2", &["etag: \"a\"", later]);
    let weak = variant("3", &["etag: W/\"b\""]);
    let dated = variant("4", &[at]);
    let all = [&strong, &recent, &weak, &dated];
    for (lines, expected) in [
        (&["etag: \"a\""][..], Some(1)),
        (&["etag: W/\"a\""], Some(1)),
        (&["etag: W/\"b\""], Some(2)),
        (&["etag: \"b\""], None),
        (&["etag: \"c\""], None),
        (&["etag: c"], None),
        (&[at], Some(3)),
        (&[], None),
    ] {
        assert_eq!(identified(&fields(lines), &all), expected, "{lines:?}");
    }
}

/// What becomes of a 304 for a request with `Foo: 9`, asked about all of `stored`.
fn not_modified(stored: &[Held<'_>], lines: &[&str]) -> Among<OnResponse> {
    let heads: Vec<_> = stored.iter().map(|held| held.head).collect();
    let validation = ValidationRequest::of_several(&heads, ForwardReason::VaryMiss).unwrap();
    let fill = Fill {
        asked: ForwardAs::Validation(&validation),
        exchange: Exchange {
            requested_at: after(99),
            received_at: after(100),
        },
        fence: Fence::at(epoch(5)),
        ..fill()
    };
    let head = ResponseHead {
        status: StatusCode::NOT_MODIFIED,
        fields: &fields(lines),
    };
    on_response_among(&get(&["foo: 9"]), head, stored, &fill, &Rules::default())
}

#[test]
fn the_one_that_a_304_names_becomes_this_requests_too() {
    // RFC 9111 §4.3.4
    let one = variant("1", &["etag: \"a\"", "x: 1"]);
    let two = variant("2", &["etag: \"b\"", "x: 2"]);
    let among = not_modified(&[held(&one), held(&two)], &["etag: \"b\"", "y: 3"]);
    assert_eq!(among.place, Some(1));
    let OnResponse::Freshen(head) = among.said else {
        panic!("{among:?}");
    };
    assert_eq!(head.fields()["x"], "2");
    assert_eq!(head.fields()["y"], "3");
    assert_eq!(head.fence().filled_at, epoch(5));
    let request = get(&["foo: 9"]);
    let names = [::http::header::HeaderName::from_static("foo")];
    assert_eq!(head.vary(), &VaryKey::of(names, &request));
    let rules = Rules::default();
    let sent = answer(&request, &head, DeltaSeconds::ZERO, Some(4), "b", &rules);
    assert_eq!(sent.body, AnswerBody::Full);
}

#[test]
fn a_304_that_names_none_of_several_is_asked_again() {
    let one = variant("1", &["etag: \"a\""]);
    let two = variant("2", &["etag: \"b\""]);
    for (stored, lines) in [
        (&[held(&one), held(&two)][..], &[][..]),
        (&[held(&one), held(&two)], &["etag: \"c\""]),
        (&[held(&one), dropped(&two)], &["etag: \"b\""]),
    ] {
        let among = not_modified(stored, lines);
        assert!(matches!(among.said, OnResponse::AskAgain), "{among:?}");
    }
    // Asked about one alone, it can mean no other; but that one is for another request.
    let among = not_modified(&[held(&one)], &[]);
    assert!(matches!(among.said, OnResponse::AskAgain), "{among:?}");
}

#[test]
fn another_answer_is_about_the_selected_one() {
    let nine = variant("9", &["etag: \"n\"", "cache-control: stale-if-error=99"]);
    let one = variant("1", &["etag: \"a\""]);
    let head = ResponseHead {
        status: StatusCode::BAD_GATEWAY,
        fields: &fields(&[]),
    };
    let stored = [held(&one), held(&nine)];
    let rules = Rules::default();
    let among = on_response_among(&get(&["foo: 9"]), head, &stored, &fill(), &rules);
    assert_eq!(among.place, Some(1));
    assert!(matches!(among.said, OnResponse::ServeStale { .. }));
    let among = on_response_among(&get(&["foo: 2"]), head, &stored, &fill(), &rules);
    assert_eq!(among.place, None);
    assert!(matches!(among.said, OnResponse::Pass(_)));
    assert_eq!(fill().exchange.received_at, NOON);
}

/// What is decided when all that is known of `stored` is that it is there.
fn unread(request: &RequestFacts, stored: &[Held<'_>]) -> Decision {
    let known = stored.iter().fold(VariantList::default(), |list, held| {
        list.with(held.head, after(999), NOON)
    });
    let verdict = |variant: &Variant| {
        let of = |held: &&Held<'_>| held.head.vary() == variant.vary();
        stored
            .iter()
            .find(of)
            .map_or(Verdict::Untouched, |held| held.verdict)
    };
    decide_unread(request, &known, verdict, after(9))
}

#[test]
fn what_is_known_and_not_read_is_offered_as_if_it_had_been_read() {
    let one = variant("1", &["etag: \"a\""]);
    let two = variant(
        "2",
        &["etag: W/\"b\"", "date: Sat, 21 Nov 2026 12:00:01 GMT"],
    );
    let same = variant("3", &["etag: \"a\""]);
    let plain = variant("4", &[]);
    let part = [FRESH, VARY, "etag: \"p\"", "content-range: bytes 0-4/9"];
    let part = store_with(&get(&["foo: 5"]), 206, &part, &Rules::default()).unwrap();
    for stored in [
        &[held(&one), held(&two), held(&same), held(&plain)][..],
        &[held(&one), dropped(&two)],
        &[dropped(&one), dropped(&two)],
        &[held(&plain), held(&part)],
    ] {
        for lines in [
            &["foo: 9"][..],
            &["foo: 9", "range: bytes=0-1"],
            &["foo: 9", "if-none-match: \"x\""],
            &["foo: 9", "cache-control: no-store"],
        ] {
            let request = get(lines);
            let (unread, read) = (unread(&request, stored), decided(&request, stored).said);
            match (&unread, &read) {
                (Decision::Validate(unread), Decision::Validate(read)) => {
                    assert_eq!(
                        (unread.because, &unread.fields),
                        (read.because, &read.fields)
                    );
                }
                _ => assert_eq!(word(&unread), word(&read), "{lines:?}"),
            }
        }
    }
}

#[test]
fn what_would_be_for_the_request_or_is_kept_no_longer_is_not_offered() {
    let one = variant("1", &["etag: \"a\""]);
    let stored = [held(&one)];
    assert_eq!(word(&unread(&get(&["foo: 1"]), &stored)), "vary-miss");
    let known = VariantList::default().with(&one, after(9), NOON);
    let decided = decide_unread(&get(&["foo: 2"]), &known, |_| Verdict::Untouched, after(9));
    assert_eq!(word(&decided), "vary-miss");
}

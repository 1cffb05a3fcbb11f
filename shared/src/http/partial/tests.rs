use ::http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use ::http::{Method, StatusCode};

use super::*;
use crate::http::support::{NOON, after, fields, fill, get, request_as, seconds, store_with};
use crate::http::{
    Decision, Fill, ForwardAs, OnResponse, RequestFacts, ResponseHead, Rules, ValidationRequest,
    decide, on_response,
};
use crate::outcome::ForwardReason;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const FRESH: &str = "cache-control: max-age=60";
const TAG: &str = "etag: \"a\"";

fn stored(status: u16, lines: &[&str]) -> StoredResponse {
    store_with(&get(&[]), status, lines, &Rules::default()).unwrap()
}

fn part(range: &str) -> StoredResponse {
    stored(206, &[FRESH, TAG, &format!("content-range: bytes {range}")])
}

/// Where a stored response begins and ends, and of how many bytes.
fn extent(stored: &StoredResponse) -> (u64, Option<u64>, Option<u64>) {
    match stored.extent() {
        Extent::Complete { length } => (0, length.map(|length| length - 1), length),
        Extent::Partial { range, complete } => (range.first, Some(range.last), complete),
    }
}

#[test]
fn what_came_of_a_body_says_what_is_stored() {
    // RFC 9111 §3.3
    use BodyEnd::{BrokenOff, Whole};
    let long = &[FRESH, "content-length: 10"][..];
    let unsized_ = &[FRESH][..];
    let range = &[FRESH, "content-range: bytes 4-9/20"][..];
    let open = &[FRESH, "content-range: bytes 4-9/*"][..];
    for (status, lines, received, end, expected) in [
        (200, long, 10, Whole, Ok((0, Some(9), Some(10)))),
        (200, long, 10, BrokenOff, Ok((0, Some(9), Some(10)))),
        (200, long, 4, BrokenOff, Ok((0, Some(3), Some(10)))),
        (200, long, 4, Whole, Ok((0, Some(3), Some(10)))),
        (200, long, 0, BrokenOff, Err(NotStored::Truncated)),
        (200, long, 11, Whole, Err(NotStored::Length)),
        (200, unsized_, 7, Whole, Ok((0, Some(6), Some(7)))),
        (200, unsized_, 7, BrokenOff, Ok((0, Some(6), None))),
        (200, unsized_, 0, BrokenOff, Err(NotStored::Truncated)),
        (404, long, 4, BrokenOff, Err(NotStored::Truncated)),
        (206, range, 6, Whole, Ok((4, Some(9), Some(20)))),
        (206, range, 5, BrokenOff, Ok((4, Some(8), Some(20)))),
        (206, range, 5, Whole, Err(NotStored::Length)),
        (206, range, 7, Whole, Err(NotStored::Length)),
        (206, open, 5, BrokenOff, Ok((4, Some(8), None))),
    ] {
        let result = stored(status, lines).after_body(received, end);
        let what = result.as_ref().map(extent).map_err(Clone::clone);
        assert_eq!(what, expected, "{status} {lines:?} {received} {end:?}");
    }
}

#[test]
fn a_part_of_a_200_is_stored_as_a_206() {
    let lines = [FRESH, TAG, "content-length: 10"];
    let part = stored(200, &lines).after_body(4, BodyEnd::BrokenOff);
    let part = part.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.fields()[CONTENT_RANGE], "bytes 0-3/10");
    assert_eq!(part.fields()[CONTENT_LENGTH], "4");
    let endless = stored(200, &[FRESH]).after_body(4, BodyEnd::BrokenOff);
    let endless = endless.unwrap();
    assert_eq!(endless.fields()[CONTENT_RANGE], "bytes 0-3/*");
}

#[test]
fn a_part_that_is_neither_fresh_nor_can_be_completed_is_not_kept() {
    for (lines, kept) in [
        (&["cache-control: no-cache", TAG][..], true),
        (&["cache-control: max-age=0", TAG], true),
        (&["cache-control: max-age=0", "etag: W/\"a\""], false),
        (&["cache-control: max-age=1", "etag: W/\"a\""], true),
    ] {
        let result = stored(200, lines).after_body(4, BodyEnd::BrokenOff);
        assert_eq!(result.is_ok(), kept, "{lines:?}");
    }
}

#[test]
fn a_part_takes_no_place_of_what_is_fresh_and_has_more() {
    let complete = stored(200, &[FRESH, TAG, "content-length: 10"]);
    let (small, large) = (part("0-3/10"), part("0-5/10"));
    let other = stored(206, &[FRESH, "content-range: bytes 0-1/10"]);
    for (newer, older, verdict, at, expected) in [
        (&small, &complete, Verdict::Untouched, 59, false),
        (&small, &complete, Verdict::Untouched, 60, true),
        (&small, &complete, Verdict::Softened, 0, true),
        (&small, &complete, Verdict::Dropped, 0, true),
        (&complete, &complete, Verdict::Untouched, 0, true),
        (&complete, &large, Verdict::Untouched, 0, true),
        (&small, &large, Verdict::Untouched, 0, false),
        (&large, &small, Verdict::Untouched, 0, true),
        (&small, &large, Verdict::Dropped, 0, true),
        (&other, &large, Verdict::Untouched, 0, true),
    ] {
        let now = after(at);
        assert_eq!(newer.may_replace(older, verdict, now), expected, "{at}");
    }
}

#[test]
fn parts_of_the_same_bytes_become_one() {
    // RFC 9111 §3.4
    let piece = |source, first, last| Piece {
        source,
        bytes: ByteRange { first, last },
    };
    let own = |first, last| piece(Source::Stored, first, last);
    let new = |first, last| piece(Source::Newer, first, last);
    for (one, other, expected) in [
        (
            "0-4/10",
            "5-9/10",
            Some(("complete 10", vec![own(0, 4), new(0, 4)])),
        ),
        (
            "5-9/10",
            "0-4/10",
            Some(("complete 10", vec![new(0, 4), own(0, 4)])),
        ),
        (
            "0-4/10",
            "3-9/10",
            Some(("complete 10", vec![own(0, 4), new(2, 6)])),
        ),
        (
            "3-9/10",
            "0-4/10",
            Some(("complete 10", vec![new(0, 2), own(0, 6)])),
        ),
        (
            "2-3/10",
            "0-9/10",
            Some(("complete 10", vec![new(0, 1), own(0, 1), new(4, 9)])),
        ),
        ("2-7/10", "3-4/10", Some(("bytes 2-7/10", vec![own(0, 5)]))),
        (
            "0-4/*",
            "5-6/*",
            Some(("bytes 0-6/*", vec![own(0, 4), new(0, 1)])),
        ),
        (
            "0-4/*",
            "5-9/10",
            Some(("complete 10", vec![own(0, 4), new(0, 4)])),
        ),
        (
            "0-4/10",
            "5-6/*",
            Some(("bytes 0-6/10", vec![own(0, 4), new(0, 1)])),
        ),
        ("0-4/10", "6-9/10", None),
        ("0-4/10", "5-9/11", None),
        ("0-4/7", "5-8/*", None),
    ] {
        let combined = combine(&part(one), &part(other));
        let what = combined.map(|combined| {
            let text = match combined.head.extent() {
                Extent::Complete { length } => format!("complete {}", length.unwrap()),
                Extent::Partial { range, complete } => range.content_range(complete),
            };
            (text, combined.pieces)
        });
        let expected = expected.map(|(text, pieces)| (text.to_owned(), pieces));
        assert_eq!(what, expected, "{one} and {other}");
    }
}

#[test]
fn only_a_strong_validator_of_both_lets_them_combine() {
    // RFC 9111 §3.4, RFC 9110 §8.8.2.2
    let old = "last-modified: Sat, 21 Nov 2026 11:00:00 GMT";
    let now = "last-modified: Sat, 21 Nov 2026 12:00:00 GMT";
    let date = "date: Sat, 21 Nov 2026 12:00:00 GMT";
    for (one, other, combines) in [
        (&[TAG][..], &[TAG][..], true),
        (&[TAG, old], &[TAG], true),
        (&["etag: W/\"a\""], &["etag: W/\"a\""], false),
        (&[TAG], &["etag: \"b\""], false),
        (&[TAG], &["x: y"], false),
        (&["x: y"], &[TAG], false),
        (&["x: y"], &["x: y"], false),
        (&[old, date], &[old, date], true),
        (&[now, date], &[now, date], false),
        (&[old, date], &[now, date], false),
    ] {
        let with = |range: &str, lines: &[&str]| {
            let mut all = vec![FRESH, range];
            all.extend(lines);
            stored(206, &all)
        };
        let one = with("content-range: bytes 0-4/10", one);
        let other = with("content-range: bytes 5-9/10", other);
        assert_eq!(combine(&one, &other).is_some(), combines, "{other:?}");
    }
}

#[test]
fn the_combination_has_the_fields_of_both_and_the_newer_ones_where_they_differ() {
    // RFC 9111 §3.2, §3.4
    let older = stored(
        206,
        &[FRESH, TAG, "content-range: bytes 0-4/10", "a: 1", "b: 1"],
    );
    let newer = stored(
        206,
        &[FRESH, TAG, "content-range: bytes 5-9/10", "a: 2", "a: 3"],
    );
    let head = combine(&older, &newer).unwrap().head;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.fields()[CONTENT_LENGTH], "10");
    assert!(!head.fields().contains_key(CONTENT_RANGE));
    let lines: Vec<_> = head.fields().get_all("a").iter().collect();
    assert_eq!(lines, ["2", "3"]);
    assert_eq!(head.fields()["b"], "1");
}

#[test]
fn a_newer_part_freshens_a_complete_response_of_the_same_bytes() {
    // RFC 9111 §3.4
    let complete = stored(200, &[FRESH, TAG, "content-length: 10"]);
    let combined = combine(&complete, &part("2-3/10")).unwrap();
    let bytes = ByteRange { first: 0, last: 9 };
    let source = Source::Stored;
    assert_eq!(combined.pieces, [Piece { source, bytes }]);
    assert_eq!(combined.head.extent(), complete.extent());
}

#[test]
fn pieces_are_cut_to_what_is_asked_for() {
    let combined = combine(&part("2-4/10"), &part("0-9/10")).unwrap();
    let cut = |first, last| -> Vec<_> {
        let bytes = ByteRange { first, last };
        let pieces = combined.cut(bytes).into_iter();
        pieces
            .map(|piece| (piece.source, piece.bytes.first, piece.bytes.last))
            .collect()
    };
    assert_eq!(cut(0, 1), [(Source::Newer, 0, 1)]);
    assert_eq!(cut(3, 3), [(Source::Stored, 1, 1)]);
    assert_eq!(
        cut(1, 6),
        [
            (Source::Newer, 1, 1),
            (Source::Stored, 0, 2),
            (Source::Newer, 5, 6)
        ]
    );
}

/// What is asked of the origin for what `stored` lacks.
fn completion(request: &RequestFacts, stored: &StoredResponse) -> Option<(String, String)> {
    match decide(
        request,
        Some(stored),
        Verdict::Untouched,
        NOON,
        &Rules::default(),
    ) {
        Decision::Complete(completion) => {
            assert_eq!(completion.because, ForwardReason::Partial);
            let text = |name: &str| completion.fields[name].to_str().unwrap().to_owned();
            Some((text("range"), text("if-range")))
        }
        Decision::Forward(ForwardReason::Partial) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_part_lacks_is_asked_for_if_one_range_can_say_it() {
    // RFC 9111 §3.3
    for (own, lines, expected) in [
        ("0-4/10", &[][..], Some("bytes=5-")),
        ("0-4/*", &[], Some("bytes=5-")),
        ("5-9/10", &[], Some("bytes=0-4")),
        ("5-9/*", &[], None),
        ("2-4/10", &[], None),
        ("0-4/10", &["range: bytes=2-7"], Some("bytes=5-7")),
        ("0-4/10", &["range: bytes=5-7"], None),
        ("5-9/10", &["range: bytes=2-4"], None),
        ("0-4/10", &["range: bytes=6-7"], None),
        ("0-4/10", &["range: bytes=3-"], Some("bytes=5-9")),
        ("0-4/*", &["range: bytes=3-"], Some("bytes=5-")),
        ("0-4/10", &["range: bytes=-7"], Some("bytes=5-9")),
        ("0-4/*", &["range: bytes=-7"], None),
        ("5-6/10", &["range: bytes=2-5"], Some("bytes=2-4")),
        ("5-6/10", &["range: bytes=2-3"], None),
        ("5-6/10", &["range: bytes=2-9"], None),
        ("5-9/10", &["range: bytes=2-9"], Some("bytes=2-4")),
        ("0-4/10", &["range: bytes=2-7,9-9"], None),
        (
            "0-4/10",
            &["range: bytes=2-7", "if-range: \"b\""],
            Some("bytes=5-"),
        ),
        ("0-4/10", &["range: bytes=20-30"], None),
        ("0-4/10", &["if-none-match: \"x\""], None),
    ] {
        let asked = completion(&get(lines), &part(own));
        let range = asked.as_ref().map(|(range, _)| &**range);
        assert_eq!(range, expected, "{own} {lines:?}");
        assert!(asked.is_none_or(|(_, if_range)| if_range == "\"a\""));
    }
    let head = request_as(&Method::HEAD, &[], &Rules::default());
    assert_eq!(completion(&head, &part("0-4/10")), None);
}

#[test]
fn nothing_is_completed_without_a_strong_validator() {
    // RFC 9111 §3.4, RFC 9110 §13.1.5
    let range = "content-range: bytes 0-4/10";
    let old = "last-modified: Sat, 21 Nov 2026 11:00:00 GMT";
    for (lines, expected) in [
        (&[FRESH, range][..], None),
        (&[FRESH, range, "etag: W/\"a\"", old], None),
        (&[FRESH, range, old], Some("Sat, 21 Nov 2026 11:00:00 GMT")),
        (&[FRESH, range, old, TAG], Some("\"a\"")),
    ] {
        let asked = completion(&get(&[]), &stored(206, lines));
        let if_range = asked.as_ref().map(|(_, if_range)| &**if_range);
        assert_eq!(if_range, expected, "{lines:?}");
    }
    let only_cached = get(&["cache-control: only-if-cached"]);
    let part = part("0-4/10");
    let rules = Rules::default();
    let decision = decide(&only_cached, Some(&part), Verdict::Untouched, NOON, &rules);
    assert!(matches!(decision, Decision::GatewayTimeout));
}

/// What becomes of an answer to the completion of `stored` for `request`.
fn completed(
    request: &RequestFacts,
    stored: &StoredResponse,
    status: u16,
    lines: &[&str],
    verdict: Verdict,
) -> OnResponse {
    let rules = Rules::default();
    let completion = CompletionRequest::of(request, stored).unwrap();
    let fill = Fill {
        asked: ForwardAs::Completion(&completion),
        ..fill()
    };
    let head = ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        fields: &fields(lines),
    };
    on_response(request, head, Some(stored), verdict, &fill, &rules)
}

#[test]
fn an_answer_to_a_completion_completes_replaces_or_is_asked_for_again() {
    use Verdict::{Dropped, Untouched};
    let tail = "content-range: bytes 5-9/10";
    for (status, lines, verdict, expected) in [
        (206, &[TAG, tail][..], Untouched, "complete"),
        (
            206,
            &[TAG, "content-range: bytes 3-9/10"],
            Untouched,
            "complete",
        ),
        (206, &[TAG, tail], Dropped, "again"),
        (206, &["etag: \"b\"", tail], Untouched, "again"),
        (206, &[tail], Untouched, "again"),
        (
            206,
            &[TAG, "content-range: bytes 5-7/10"],
            Untouched,
            "again",
        ),
        (
            206,
            &[TAG, "content-range: bytes 6-9/10"],
            Untouched,
            "again",
        ),
        (206, &[TAG, tail, "content-length: 4"], Untouched, "again"),
        (
            206,
            &[TAG, tail, "cache-control: no-store"],
            Untouched,
            "again",
        ),
        (
            206,
            &[TAG, "content-type: multipart/byteranges"],
            Untouched,
            "again",
        ),
        (416, &["content-range: bytes */5"], Untouched, "again"),
        (412, &[TAG], Untouched, "again"),
        (304, &[TAG], Untouched, "again"),
        (200, &[FRESH, "etag: \"b\""], Untouched, "store"),
        (200, &[FRESH, "etag: \"b\""], Dropped, "store"),
        (404, &["x: y"], Untouched, "pass"),
        (503, &["x: y"], Untouched, "pass"),
    ] {
        let what = match completed(&get(&[]), &part("0-4/10"), status, lines, verdict) {
            OnResponse::Complete(combined) => {
                assert_eq!(combined.head.status(), StatusCode::OK);
                assert_eq!(combined.head.lifetime(), seconds(60));
                "complete"
            }
            OnResponse::AskAgain => "again",
            OnResponse::Store(_) => "store",
            OnResponse::Pass(_) => "pass",
            other => panic!("{other:?}"),
        };
        assert_eq!(what, expected, "{status} {lines:?} {verdict:?}");
    }
}

#[test]
fn a_completed_range_may_still_be_a_part() {
    let request = get(&["range: bytes=2-6"]);
    let lines = [TAG, "content-range: bytes 5-6/10"];
    let stored = part("0-4/10");
    match completed(&request, &stored, 206, &lines, Verdict::Untouched) {
        OnResponse::Complete(combined) => {
            assert_eq!(extent(&combined.head), (0, Some(6), Some(10)));
            assert_eq!(extent(&combined.newer), (5, Some(6), Some(10)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_of_a_newer_part_is_combined_anew() {
    let stored = part("0-4/10");
    let lines = [TAG, "content-range: bytes 5-9/10"];
    let OnResponse::Complete(combined) =
        completed(&get(&[]), &stored, 206, &lines, Verdict::Untouched)
    else {
        panic!("it completes");
    };
    let left = combined.newer.after_body(2, BodyEnd::BrokenOff).unwrap();
    let again = combine(&stored, &left).unwrap();
    assert_eq!(extent(&again.head), (0, Some(6), Some(10)));
}

#[test]
fn a_part_that_the_client_asked_for_joins_what_is_stored() {
    let rules = Rules::default();
    let request = get(&["range: bytes=5-9", "cache-control: no-cache"]);
    for (lines, stored_lines, combines) in [
        (&[TAG, "content-range: bytes 5-9/10"][..], TAG, true),
        (&[TAG, "content-range: bytes 6-9/10", FRESH], TAG, false),
        (&["content-range: bytes 5-9/10", FRESH], TAG, false),
    ] {
        let stored = stored(206, &[FRESH, stored_lines, "content-range: bytes 0-4/10"]);
        let fill = Fill {
            asked: ForwardAs::Client,
            ..fill()
        };
        let head = ResponseHead {
            status: StatusCode::PARTIAL_CONTENT,
            fields: &fields(lines),
        };
        match on_response(
            &request,
            head,
            Some(&stored),
            Verdict::Untouched,
            &fill,
            &rules,
        ) {
            OnResponse::Combine(combined) => {
                assert!(combines, "{lines:?}");
                assert_eq!(combined.head.status(), StatusCode::OK);
            }
            OnResponse::Store(part) => {
                assert!(!combines, "{lines:?}");
                assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_part_is_validated_whole_and_freshened_as_a_part() {
    let stored = stored(
        206,
        &[
            "cache-control: max-age=0",
            TAG,
            "content-range: bytes 0-4/10",
        ],
    );
    let request = get(&["range: bytes=1-2"]);
    let rules = Rules::default();
    let decision = decide(&request, Some(&stored), Verdict::Untouched, NOON, &rules);
    assert!(matches!(decision, Decision::Validate(_)), "{decision:?}");
    let validation = ValidationRequest::of(&stored, ForwardReason::Stale).unwrap();
    let fill = Fill {
        asked: ForwardAs::Validation(&validation),
        ..fill()
    };
    let head = ResponseHead {
        status: StatusCode::NOT_MODIFIED,
        fields: &fields(&[TAG, FRESH]),
    };
    match on_response(
        &request,
        head,
        Some(&stored),
        Verdict::Untouched,
        &fill,
        &rules,
    ) {
        OnResponse::Freshen(freshened) => {
            assert_eq!(freshened.extent(), stored.extent());
            assert_eq!(freshened.fields()[CONTENT_RANGE], "bytes 0-4/10");
        }
        other => panic!("{other:?}"),
    }
}

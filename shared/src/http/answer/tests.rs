use super::*;
use crate::http::support::{get, request_as, seconds, store_with, stored};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn page() -> StoredResponse {
    stored(&[
        "cache-control: max-age=60",
        "etag: \"a\"",
        "content-type: text/plain",
        "content-encoding: br",
        "content-length: 100",
        "vary: x",
    ])
}

fn answer_to(request: &RequestFacts, length: Option<u64>) -> Answer {
    answer(
        request,
        &page(),
        seconds(5),
        length,
        "BOUNDARY",
        &Rules::default(),
    )
}

#[test]
fn a_plain_get_gets_the_whole() {
    let whole = answer_to(&get(&[]), Some(100));
    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(whole.fields["age"], "5");
    assert_eq!(whole.fields["content-length"], "100");
    assert_eq!(whole.body, AnswerBody::Full);
    let head = request_as(&Method::HEAD, &["range: bytes=0-1"], &Rules::default());
    let head = answer_to(&head, Some(100));
    assert_eq!((head.status, head.body), (StatusCode::OK, AnswerBody::None));
    assert_eq!(head.fields["content-length"], "100");
}

#[test]
fn a_not_modified_says_nothing_of_the_body() {
    // RFC 9110 §15.4.5; and conditions come before ranges (§13.2.2).
    let request = get(&["if-none-match: \"a\"", "range: bytes=0-1"]);
    let answer = answer_to(&request, Some(100));
    assert_eq!(
        (answer.status, answer.body),
        (StatusCode::NOT_MODIFIED, AnswerBody::None)
    );
    for name in ["etag", "vary", "date", "cache-control", "age"] {
        assert!(answer.fields.contains_key(name), "{name}");
    }
    for name in ["content-length", "content-type", "content-encoding"] {
        assert!(!answer.fields.contains_key(name), "{name}");
    }
}

#[test]
fn one_range_is_cut() {
    // RFC 9110 §15.3.7.1
    let answer = answer_to(&get(&["range: bytes=10-"]), Some(100));
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.fields["content-range"], "bytes 10-99/100");
    assert_eq!(answer.fields["content-length"], "90");
    assert_eq!(answer.fields["content-type"], "text/plain");
    assert_eq!(
        answer.body,
        AnswerBody::Range(ByteRange {
            first: 10,
            last: 99
        })
    );
    let unknown = answer_to(&get(&["range: bytes=10-"]), None);
    assert_eq!(
        (unknown.status, unknown.body),
        (StatusCode::OK, AnswerBody::Full)
    );
}

#[test]
fn several_ranges_become_parts_whose_length_is_told() {
    // RFC 9110 §14.6, §15.3.7.2
    let answer = answer_to(&get(&["range: bytes=0-0,-2"]), Some(100));
    assert_eq!(
        answer.fields["content-type"],
        "multipart/byteranges; boundary=BOUNDARY"
    );
    let AnswerBody::Multipart { parts, end } = &answer.body else {
        panic!("{:?}", answer.body);
    };
    let mut text = String::new();
    for (head, range) in parts {
        text.push_str(std::str::from_utf8(head).unwrap());
        text.extend((range.first..=range.last).map(|_| '.'));
    }
    text.push_str(std::str::from_utf8(end).unwrap());
    let expected = "\r\n--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/100\r\n\r\n.\
         \r\n--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 98-99/100\r\n\r\n..\
         \r\n--BOUNDARY--\r\n";
    assert_eq!(text, expected);
    assert_eq!(
        answer.fields["content-length"],
        expected.len().to_string().as_str()
    );
}

#[test]
fn what_is_beyond_the_end_is_not_satisfiable() {
    // RFC 9110 §15.5.17
    let answer = answer_to(&get(&["range: bytes=100-"]), Some(100));
    assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(answer.fields["content-range"], "bytes */100");
    assert_eq!(answer.fields["content-length"], "0");
    assert_eq!(answer.body, AnswerBody::None);
}

#[test]
fn a_stored_part_is_cut_where_its_bytes_are() {
    let rules = Rules {
        partial: crate::http::PartialRule::Store,
        ..Rules::default()
    };
    let request = get(&["range: bytes=12-13"]);
    let lines = [
        "cache-control: max-age=60",
        "content-range: bytes 10-19/100",
        "content-length: 10",
    ];
    let stored = store_with(&request, 206, &lines, &rules).unwrap();
    let answer = answer(&request, &stored, seconds(0), Some(10), "B", &rules);
    assert_eq!(answer.fields["content-range"], "bytes 12-13/100");
    assert_eq!(answer.fields["content-length"], "2");
    assert_eq!(
        answer.body,
        AnswerBody::Range(ByteRange { first: 2, last: 3 })
    );
}

#[test]
fn what_has_just_come_goes_on_with_the_fields_that_are_not_stored() {
    // RFC 9111 §5.1, §5.2.2.4
    let lines = [
        "cache-control: max-age=60, no-cache=\"set-cookie\"",
        "set-cookie: a=b",
        "age: 7",
        "connection: x-hop",
        "x-hop: 1",
        "surrogate-key: k",
        "etag: \"a\"",
    ];
    let rules = Rules::default();
    let stored = stored(&lines);
    assert!(!stored.fields().contains_key("set-cookie"));
    let fields = crate::http::support::fields(&lines);
    let whole = answer_new(&get(&[]), &stored, &fields, None, "b", &rules);
    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(whole.fields["set-cookie"], "a=b");
    assert_eq!(whole.fields["age"], "7");
    for name in ["connection", "x-hop", "surrogate-key"] {
        assert!(!whole.fields.contains_key(name), "{name}");
    }
    let request = get(&["if-none-match: \"a\""]);
    let none = answer_new(&request, &stored, &fields, None, "b", &rules);
    assert_eq!(none.status, StatusCode::NOT_MODIFIED);
    let made = answer_new(&get(&[]), &stored, &HeaderMap::new(), None, "b", &rules);
    assert!(!made.fields.contains_key("age"));
}

#[test]
fn refusals_do_not_carry_the_lifetime_of_what_is_stored() {
    let lines = [
        "cache-control: max-age=60",
        "cdn-cache-control: max-age=60",
        "expires: Sat, 21 Nov 2026 13:00:00 GMT",
        "etag: \"a\"",
    ];
    let stored = stored(&lines);
    let rules = Rules::default();
    for (line, status) in [
        ("range: bytes=100-", StatusCode::RANGE_NOT_SATISFIABLE),
        ("if-match: \"b\"", StatusCode::PRECONDITION_FAILED),
    ] {
        let answer = answer(&get(&[line]), &stored, seconds(9), Some(100), "b", &rules);
        assert_eq!(answer.status, status);
        assert_eq!(answer.fields["cache-control"], "no-store");
        for name in ["expires", "cdn-cache-control", "age"] {
            assert!(!answer.fields.contains_key(name), "{name}");
        }
    }
}

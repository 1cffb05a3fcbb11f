use super::*;
use crate::http::Rules;
use crate::http::support::{get, store_with, stored};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn sample() -> StoredResponse {
    let request = get(&["accept-encoding: br", "foo: 1"]);
    let lines = [
        "cache-control: max-age=60, stale-while-revalidate=30, must-revalidate",
        "etag: W/\"a\u{e9}\"",
        "last-modified: Sun, 06 Nov 1994 08:49:37 GMT",
        "age: 3",
        "vary: Accept-Encoding, bar",
        "surrogate-key: product:1",
        "terrace-epoch: 0000000000000007-9",
        "x-a: 1",
        "x-a: \u{e9}",
        "content-length: 12",
    ];
    store_with(&request, 203, &lines, &Rules::default()).unwrap()
}

fn part(range: &str) -> StoredResponse {
    let range = format!("content-range: bytes {range}");
    let lines = ["cache-control: max-age=60", &range];
    store_with(&get(&["range: bytes=2-4"]), 206, &lines, &Rules::default()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits = |byte: &u8| {
        [byte >> 4, byte & 0xf].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
    };
    bytes.iter().flat_map(digits).collect()
}

#[test]
fn layout_is_pinned() {
    let golden = include_str!("../../../../tests/vectors/http_head_v2.hex");
    let mut lines = golden.lines();
    for head in [sample(), part("2-4/9"), part("2-4/*")] {
        assert_eq!(Some(&*hex(&head.encode_head())), lines.next());
    }
}

#[test]
fn heads_of_version_1_are_read() {
    let golden = include_str!("../../../../tests/vectors/http_head_v1.hex");
    let mut lines = golden.lines().map(bytes);
    for mut head in [sample(), part("2-4/9")] {
        head.when_disconnected = DeltaSeconds::ZERO;
        let bytes = lines.next().unwrap();
        assert_eq!(StoredResponse::decode_head(&bytes), Ok(head));
    }
}

#[test]
fn a_head_is_read_back() {
    for head in [
        sample(),
        stored(&["cache-control: max-age=60"]),
        part("2-4/9"),
        part("2-4/*"),
    ] {
        let bytes = head.encode_head();
        assert_eq!(StoredResponse::decode_head(&bytes), Ok(head));
    }
}

#[test]
fn every_cut_and_every_changed_byte_is_an_error_or_another_head_never_a_panic() {
    let bytes = sample().encode_head();
    for length in 0..bytes.len() {
        assert!(
            StoredResponse::decode_head(&bytes[..length]).is_err(),
            "{length}"
        );
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(
        StoredResponse::decode_head(&longer),
        Err(DecodeError::TrailingBytes)
    );
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            // Field names are read without regard to case, so that a changed case is the same head.
            let _ = StoredResponse::decode_head(&changed);
        }
    }
    let mut unknown = bytes;
    unknown[2] = 9;
    assert_eq!(
        StoredResponse::decode_head(&unknown),
        Err(DecodeError::UnknownVersion(9))
    );
}

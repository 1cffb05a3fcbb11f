//! Fields that are malformed, contradictory or far too long, from origins and from clients.

use e2e::rfc::wire::Fields;
use e2e::rfc::{Answer, Driver, Then};

use crate::{Site, at_the_edge, at_the_shield, cacheable, raw};

/// Values that no parser expects.
const ODD: [&[u8]; 14] = [
    b"",
    b",",
    b";;;===,,,",
    b"\"",
    b"\"\\",
    b"=\"a\\\"",
    b"\xff\xfe\x80",
    b"caf\xc3\xa9",
    b"max-age=\xe9",
    b"99999999999999999999999999999999999999",
    b"-99999999999999999999999999999999999999",
    b"1e309",
    b"(((((((((((((((((((((((((((((((((((((((((((",
    b"\t\t \t",
];

/// What a cache reads of responses.
const OF_RESPONSES: [&str; 27] = [
    "Cache-Control",
    "CDN-Cache-Control",
    "Terrace-Cache-Control",
    "Surrogate-Control",
    "Age",
    "Date",
    "Expires",
    "Last-Modified",
    "ETag",
    "Vary",
    "Pragma",
    "Connection",
    "Content-Range",
    "Content-Location",
    "Content-Type",
    "Content-Encoding",
    "Location",
    "Set-Cookie",
    "Surrogate-Key",
    "Cache-Tag",
    "Cache-Groups",
    "Cache-Group-Invalidation",
    "Cache-Status",
    "No-Vary-Search",
    "Terrace-Epoch",
    "Accept-Ranges",
    "Warning",
];

/// What a cache reads of requests.
const OF_REQUESTS: [&str; 19] = [
    "Cache-Control",
    "Pragma",
    "If-None-Match",
    "If-Modified-Since",
    "If-Match",
    "If-Unmodified-Since",
    "If-Range",
    "Range",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Cookie",
    "Connection",
    "Forwarded",
    "X-Forwarded-Host",
    "Via",
    "TE",
    "Terrace-After",
    "Foo",
];

#[tokio::test]
async fn the_edge_passes_odd_response_fields_on_and_goes_on() {
    at_the_edge(odd_fields_of_responses_break_nothing).await;
}

#[tokio::test]
async fn the_shield_passes_odd_response_fields_on_and_goes_on() {
    at_the_shield(odd_fields_of_responses_break_nothing).await;
}

#[tokio::test]
async fn the_edge_answers_requests_with_odd_fields_and_goes_on() {
    at_the_edge(odd_fields_of_requests_break_nothing).await;
}

#[tokio::test]
async fn the_shield_answers_requests_with_odd_fields_and_goes_on() {
    at_the_shield(odd_fields_of_requests_break_nothing).await;
}

#[tokio::test]
async fn the_edge_takes_fields_with_nul_for_no_http() {
    at_the_edge(fields_with_nul_are_refused).await;
}

#[tokio::test]
async fn the_shield_takes_fields_with_nul_for_no_http() {
    at_the_shield(fields_with_nul_are_refused).await;
}

#[tokio::test]
async fn the_edge_answers_no_range_bomb_with_more_than_the_whole() {
    at_the_edge(range_bombs_cost_no_more_than_the_whole).await;
}

#[tokio::test]
async fn the_shield_answers_no_range_bomb_with_more_than_the_whole() {
    at_the_shield(range_bombs_cost_no_more_than_the_whole).await;
}

#[tokio::test]
async fn the_edge_bears_fields_that_are_far_too_long() {
    at_the_edge(long_fields_break_nothing).await;
}

#[tokio::test]
async fn the_shield_bears_fields_that_are_far_too_long() {
    at_the_shield(long_fields_break_nothing).await;
}

async fn odd_fields_of_responses_break_nothing<D: Driver>(site: &Site<'_, D>) {
    for name in OF_RESPONSES {
        for (number, value) in ODD.iter().enumerate() {
            let page = site.page(&format!("{name}-{number}"));
            page.answers([odd(name, value, "one"), odd(name, value, "two")]);
            for _ in 0..2 {
                let got = page.get(&[]).await;
                let shown = value.escape_ascii();
                assert_eq!(got.head.status(), 200, "{name}: {shown}");
                let body = got.body.bytes;
                assert!(body == b"one" || body == b"two", "{name}: {shown}");
            }
        }
    }
    site.is_well("odd-responses").await;
}

async fn odd_fields_of_requests_break_nothing<D: Driver>(site: &Site<'_, D>) {
    for name in OF_REQUESTS {
        let page = site.page(name);
        page.answers([cacheable("stored")]);
        page.get(&[]).await;
        page.hit().await;
        for value in ODD {
            page.answers([cacheable("stored"), cacheable("stored")]);
            let got = page.get(&[(name, value)]).await;
            let status = got.head.status();
            let shown = value.escape_ascii();
            assert!(
                matches!(status, 200 | 400 | 504),
                "{name}: {shown}: {status}"
            );
            if status == 200 {
                assert_eq!(got.body.bytes, b"stored", "{name}: {shown}");
            }
        }
        page.answers([]);
        assert_eq!(page.hit().await.body.bytes, b"stored", "{name}");
    }
}

async fn fields_with_nul_are_refused<D: Driver>(site: &Site<'_, D>) {
    for (number, value) in [&b"a\0b"[..], b"\0", b"a\x01b", b"a\x7fb"]
        .iter()
        .enumerate()
    {
        let page = site.page(&format!("response-{number}"));
        page.answers([odd("X-Odd", value, "odd"), odd("X-Odd", value, "odd")]);
        let got = page.get(&[]).await;
        let shown = value.escape_ascii();
        // Refused, or with something harmless in its place; NUL itself never goes on (RFC 9110 §5.5).
        let passed = got.head.fields.all("x-odd").concat();
        assert!(!passed.contains(&0), "{shown}");
        assert!(matches!(got.head.status(), 200 | 502), "{shown}");

        let page = site.page(&format!("request-{number}"));
        page.answers([cacheable("one")]);
        if let Ok(got) = site.cache.send(&page.request(&[("X-Odd", value)])).await {
            assert!(matches!(got.head.status(), 200 | 400), "{shown}");
        }
        for asked in page.script.asked() {
            let passed = asked.fields.all("x-odd").concat();
            assert!(!passed.contains(&0), "{shown} went on");
        }
    }
    site.is_well("nul").await;
}

async fn range_bombs_cost_no_more_than_the_whole<D: Driver>(site: &Site<'_, D>) {
    const LENGTH: usize = 200_000;
    let page = site.page("bomb");
    page.answers([cacheable(&"x".repeat(LENGTH))]);
    page.get(&[]).await;
    page.hit().await;
    page.answers([]);
    let all_overlap = "0-,".repeat(1_500);
    let ends_overlap = "-199999,".repeat(500);
    let tiny: String = (0..1_000).map(|at| format!("{at}-{at},")).collect();
    let backwards: String = (0..900)
        .rev()
        .map(|at| format!("{}-{},", at * 2, at * 2))
        .collect();
    let nested: String = (0..14).map(|at| format!("{at}-{},", LENGTH - at)).collect();
    for (name, ranges) in [
        ("all overlap", &all_overlap),
        ("ends overlap", &ends_overlap),
        ("tiny", &tiny),
        ("backwards", &backwards),
        ("nested", &nested),
    ] {
        let range = format!("bytes={ranges}");
        let got = page
            .get(&[("Range", range.trim_end_matches(',').as_bytes())])
            .await;
        let (status, length) = (got.head.status(), got.body.bytes.len());
        assert!(matches!(status, 200 | 206 | 416 | 431), "{name}: {status}");
        assert!(
            length <= LENGTH + 4_096,
            "{name}: {length} bytes for one of {LENGTH}"
        );
    }
    assert_eq!(page.asked_times(), 0, "a bomb went on to the origin");
    assert_eq!(page.hit().await.body.bytes.len(), LENGTH);
}

async fn long_fields_break_nothing<D: Driver>(site: &Site<'_, D>) {
    let long = "x".repeat(60 << 10);
    let many = "a,".repeat(20_000);
    let lines = "X-Line: 1\r\n".repeat(400);
    for (name, fields) in [
        ("value", format!("X-Long: {long}\r\n")),
        ("list", format!("Vary: {many}\r\n")),
        ("directives", format!("Cache-Control: {many}no-store\r\n")),
        (
            "targeted",
            format!("CDN-Cache-Control: {many}max-age=5\r\n"),
        ),
        ("tag", format!("ETag: \"{long}\"\r\n")),
        (
            "keys",
            format!("Surrogate-Key: {}\r\n", "key ".repeat(15_000)),
        ),
        (
            "groups",
            format!("Cache-Groups: {}\"z\"\r\n", "\"g\", ".repeat(10_000)),
        ),
        ("connection", format!("Connection: {many}close\r\n")),
        ("lines", lines),
    ] {
        let page = site.page(name);
        let head = format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 3\r\n{fields}\r\n"
        );
        let answer = || raw(&head, b"one", Then::Next);
        page.answers([answer(), answer(), answer(), answer()]);
        for _ in 0..2 {
            let got = page.get(&[]).await;
            let status = got.head.status();
            assert!(matches!(status, 200 | 502), "{name}: {status}");
            if status == 200 {
                assert_eq!(got.body.bytes, b"one", "{name}");
            }
        }
    }
    let page = site.page("request");
    page.answers([cacheable("one"), cacheable("one"), cacheable("one")]);
    for (name, value) in [
        ("X-Long", &long),
        ("If-None-Match", &many),
        ("Cookie", &long),
    ] {
        let status = page.get(&[(name, value.as_bytes())]).await.head.status();
        assert!(matches!(status, 200 | 400 | 413 | 431), "{name}: {status}");
    }
    let target = format!("/bad/long/{long}");
    let request = e2e::rfc::Sent {
        target,
        ..page.request(&[])
    };
    let status = site.cache.send(&request).await.unwrap().head.status();
    assert!(matches!(status, 400 | 404 | 414 | 431), "{status}");
    site.is_well("long").await;
}

/// 200 with this content, an hour's freshness and one odd field.
fn odd(name: &str, value: &[u8], body: &str) -> Answer {
    let mut fields: Fields = [
        ("Cache-Control", b"max-age=3600".as_slice()),
        ("Content-Length", body.len().to_string().as_bytes()),
        (name, value),
    ]
    .into_iter()
    .collect();
    if name == "Cache-Control" {
        fields.0.remove(0);
    }
    Answer::Bytes {
        head: e2e::rfc::origin::head_bytes("HTTP/1.1 200 OK", &fields),
        body: body.as_bytes().to_vec(),
        then: Then::Next,
    }
}

//! Requests that are no HTTP, or that two readers could understand differently.

use e2e::rfc::{Connection, Driver, Sent};

use crate::{Site, at_the_edge, at_the_shield, cacheable};

#[tokio::test]
async fn the_edge_refuses_what_is_no_request() {
    at_the_edge(what_is_no_request_is_refused).await;
}

#[tokio::test]
async fn the_shield_refuses_what_is_no_request() {
    at_the_shield(what_is_no_request_is_refused).await;
}

#[tokio::test]
async fn the_edge_refuses_paths_that_can_be_read_in_two_ways() {
    at_the_edge(ambiguous_paths_are_refused).await;
}

#[tokio::test]
async fn the_shield_refuses_paths_that_can_be_read_in_two_ways() {
    at_the_shield(ambiguous_paths_are_refused).await;
}

async fn what_is_no_request_is_refused<D: Driver>(site: &Site<'_, D>) {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(2 << 20));
    for (name, bytes) in [
        (
            "garbage",
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        ),
        ("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no version", b"GET /\r\n\r\n"),
        ("other version", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
        (
            "space in a name",
            b"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n",
        ),
        ("space behind a name", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n"),
        ("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "two lengths",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        (
            "odd length",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        ),
        (
            "no chunk",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        ),
        ("far too long", long.as_bytes()),
    ] {
        let mut connection = Connection::open(site.cache.authority()).await.unwrap();
        // The server may have closed before all was sent.
        let _ = connection.send_bytes(bytes).await;
        if let Ok((_, head)) = connection.read_heads().await {
            let status = head.status();
            assert!((400..=505).contains(&status), "{name}: {status}");
        }
    }
    site.is_well("garbage").await;
}

async fn ambiguous_paths_are_refused<D: Driver>(site: &Site<'_, D>) {
    let page = site.page("ambiguous");
    for target in [
        "/bad/ambiguous/a/%2e%2e/x",
        "/bad/ambiguous/a/../x",
        "/bad/ambiguous/%2F/x",
        "/bad/ambiguous/%5c/x",
        "/bad/ambiguous/%00",
        "/bad/ambiguous/%0d%0aX-Injected:%201",
        "/bad/ambiguous/%zz",
        "/bad/ambiguous/%",
    ] {
        page.answers([cacheable("one")]);
        let request = Sent {
            target: target.to_owned(),
            ..page.request(&[])
        };
        let got = site.cache.send(&request).await.unwrap();
        let status = got.head.status();
        // Refused, or sent on as it came, or as the one thing that everybody takes it for.
        assert!(matches!(status, 200 | 400), "{target}: {status}");
        for asked in page.script.asked() {
            let known = [target, "/bad/ambiguous/x"];
            assert!(
                known.contains(&&*asked.target),
                "{target}: {}",
                asked.target
            );
            assert!(!asked.fields.has("x-injected"), "{target}");
        }
    }
    site.is_well("ambiguous").await;
}

//! Requests that two readers could understand differently, and those that are too much.

use e2e::{RawUpstream, Shield};

async fn status_of(shield: &Shield, request: &str) -> String {
    let mut client = shield.connect().await;
    client.send(request).await;
    let head = client.head().await;
    head.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn requests_that_could_be_smuggled_are_refused_and_never_forwarded() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    for fields in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "content-length: 4\r\ncontent-length: 5",
        "content-length: 4, 5",
        "content-length: +4",
        "content-length: 0x4",
        "content-length : 4",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        "transfer-encoding : chunked",
        "x: y\r\n folded: z",
        "x: a\rb",
        "x: a\0b",
    ] {
        let request = format!("POST /x HTTP/1.1\r\nhost: a.example\r\n{fields}\r\n\r\n0\r\n\r\n");
        assert_eq!(status_of(&shield, &request).await, "400", "{fields:?}");
    }
    let http_1_0 = "POST /x HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(status_of(&shield, http_1_0).await, "400");
    // None of these has reached the upstream: the next request there is this one.
    let mut client = shield.connect().await;
    client
        .send("GET /clean HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let (_origin, head) = upstream.request().await;
    assert!(head.starts_with("GET /clean HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_request_behind_an_ambiguous_one_is_not_looked_at() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let all = client.rest().await;
    assert!(all.starts_with("HTTP/1.1 400 "), "{all}");
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
}

#[tokio::test]
async fn the_host_must_be_one_and_only_one() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    for fields in [
        "",
        "host: \r\n",
        "host: a.example\r\nhost: b.example\r\n",
        "host: user@a.example\r\n",
        "host: a.example/path\r\n",
        "host: a b\r\n",
    ] {
        let request = format!("GET /x HTTP/1.1\r\n{fields}\r\n");
        assert_eq!(status_of(&shield, &request).await, "400", "{fields:?}");
    }
}

#[tokio::test]
async fn an_absolute_target_names_the_host() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("GET http://b.example/x?y HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let (_origin, head) = upstream.request().await;
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: b.example\r\n"), "{head}");
    assert!(!head.contains("a.example"), "{head}");
}

#[tokio::test]
async fn paths_that_are_resolved_by_some_are_refused() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    for (method, fields) in [("GET", ""), ("POST", ""), ("GET", upgrade)] {
        let request = format!("{method} /a/../b HTTP/1.1\r\nhost: a.example\r\n{fields}\r\n");
        assert_eq!(
            status_of(&shield, &request).await,
            "400",
            "{method} {fields}"
        );
    }
    for path in ["/a/../b", "/a/%2e%2e/b", "/a%2fb", "/a%5cb", "/a%00"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a.example\r\n\r\n");
        assert_eq!(status_of(&shield, &request).await, "400", "{path}");
    }
}

#[tokio::test]
async fn a_request_that_comes_back_is_told_so() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let (_origin, head) = upstream.request().await;
    let sent_on = head.lines().find(|line| line.starts_with("cdn-loop: "));
    let sent_on = sent_on.unwrap_or_else(|| panic!("{head}"));
    let request = format!("GET /x HTTP/1.1\r\nhost: a.example\r\n{sent_on}\r\n\r\n");
    assert_eq!(status_of(&shield, &request).await, "508");
    let other = "GET /y HTTP/1.1\r\nhost: a.example\r\ncdn-loop: terrace; id=0, other\r\n\r\n";
    let mut client = shield.connect().await;
    client.send(other).await;
    let (_origin, head) = upstream.request().await;
    assert!(
        head.contains("\r\ncdn-loop: terrace; id=0, other\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_client_of_http_1_0_need_not_name_a_host() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start_with(&upstream.url, &["--upstream-host", "inner.example"]).await;
    let mut client = shield.connect().await;
    client.send("GET /x HTTP/1.0\r\n\r\n").await;
    let (_origin, head) = upstream.request().await;
    assert!(head.contains("\r\nhost: inner.example\r\n"), "{head}");
    assert!(head.contains("\r\nvia: 1.0 terrace\r\n"), "{head}");
}

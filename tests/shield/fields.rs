//! The fields that a proxy adds, changes and takes out.

use e2e::{RawUpstream, Shield};

#[tokio::test]
async fn the_upstream_learns_of_whom_and_of_what_it_is_asked() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send(concat!(
            "GET /x HTTP/1.1\r\nHost: A.example:8000\r\n",
            "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authorization: Basic x\r\n",
            "Via: 1.1 before\r\nX-Forwarded-For: 192.0.2.1\r\n",
            "Forwarded: for=evil\r\nX-Forwarded-Host: evil\r\nX-Original-URL: /evil\r\n",
            "X-End: to-end\r\n\r\n",
        ))
        .await;
    let (_origin, head) = upstream.request().await;
    for line in [
        "host: A.example:8000",
        "via: 1.1 before\r\nvia: 1.1 terrace",
        "x-forwarded-for: 192.0.2.1, 127.0.0.1",
        "x-forwarded-host: a.example:8000",
        "x-forwarded-proto: http",
        "forwarded: for=127.0.0.1;host=\"a.example:8000\";proto=http",
        "x-end: to-end",
    ] {
        let line = format!("\r\n{line}\r\n").to_ascii_lowercase();
        assert!(
            head.to_ascii_lowercase().contains(&line),
            "{line} is not in {head}"
        );
    }
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-authorization",
        "evil",
        "connection",
    ] {
        assert!(
            !head.to_ascii_lowercase().contains(gone),
            "{gone} is in {head}"
        );
    }
}

#[tokio::test]
async fn the_client_gets_what_is_meant_for_it_alone() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let _origin = upstream
        .answer("HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nvia: 1.1 behind\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 2\r\n\r\nok")
        .await;
    let head = client.head().await;
    assert!(
        head.contains("\r\nvia: 1.1 behind\r\nvia: 1.1 terrace\r\n"),
        "{head}"
    );
    assert!(
        head.contains("\r\nset-cookie: a\r\nset-cookie: b\r\n"),
        "{head}"
    );
    assert!(
        !head.contains("x-hop") && !head.contains("keep-alive"),
        "{head}"
    );
}

#[tokio::test]
async fn the_upstream_can_be_asked_for_another_host() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start_with(&upstream.url, &["--upstream-host", "inner.example"]).await;
    let mut client = shield.connect().await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let (_origin, head) = upstream.request().await;
    assert!(head.contains("\r\nhost: inner.example\r\n"), "{head}");
    assert!(
        head.contains("\r\nx-forwarded-host: a.example\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn methods_that_nobody_knows_are_passed_on() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    for method in ["M-SEARCH", "TRACE", "REPORT", "DELETE", "OPTIONS"] {
        let mut client = shield.connect().await;
        client
            .send(format!("{method} /x HTTP/1.1\r\nhost: a.example\r\n\r\n"))
            .await;
        let (mut origin, head) = upstream.request().await;
        assert!(
            head.starts_with(&format!("{method} /x HTTP/1.1\r\n")),
            "{head}"
        );
        origin
            .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "), "{method}");
    }
}

#[tokio::test]
async fn a_question_about_the_server_itself_is_passed_on_as_it_is() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("OPTIONS * HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let (_origin, head) = upstream.request().await;
    assert!(head.starts_with("OPTIONS * HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: a.example\r\n"), "{head}");
}

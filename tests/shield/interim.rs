//! Interim answers, expectations and trailers: what goes before and behind.

use e2e::{RawUpstream, Shield};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";

#[tokio::test]
async fn interim_answers_reach_the_client_before_the_final_one() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    // Twice on one connection: nothing of the first exchange is left over.
    for body in ["one", "two"] {
        client
            .send("GET /hints HTTP/1.1\r\nhost: a.example\r\n\r\n")
            .await;
        let (mut origin, _) = upstream.request().await;
        origin.send("HTTP/1.1 102 Processing\r\n\r\n").await;
        assert_eq!(client.head().await, "HTTP/1.1 102 Processing\r\n\r\n");
        origin.send(HINTS).await;
        assert_eq!(client.head().await, HINTS);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncache-control: no-store\r\n\r\n{body}"
        );
        origin.send(answer).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(client.take(3).await, body);
    }
}

#[tokio::test]
async fn an_interim_answer_right_before_the_final_one_is_not_lost() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("GET /hints HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let (mut origin, _) = upstream.request().await;
    origin
        .send(format!(
            "{HINTS}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        ))
        .await;
    assert_eq!(client.head().await, HINTS);
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn clients_of_http_1_0_get_no_interim_answers() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("GET /hints HTTP/1.0\r\nhost: a.example\r\n\r\n")
        .await;
    let (mut origin, _) = upstream.request().await;
    origin
        .send(format!(
            "{HINTS}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        ))
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
}

const EXPECTING: &str =
    "POST /upload HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn the_client_is_told_to_go_on_when_the_upstream_wants_the_body() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client.send(EXPECTING).await;
    let (mut origin, head) = upstream.request().await;
    assert!(head.contains("expect: 100-continue\r\n"), "{head}");
    assert_eq!(client.at_hand(), "", "nobody has asked for the body yet");
    origin.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(origin.take(5).await, "hello");
    origin.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 204 "));
}

#[tokio::test]
async fn an_upstream_that_turns_the_body_away_never_gets_it() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client.send(EXPECTING).await;
    let (mut origin, _) = upstream.request().await;
    origin
        .send("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 417 "), "{head}");
    assert_eq!(
        origin.rest().await,
        "",
        "the connection is of no use any more"
    );
}

#[tokio::test]
async fn an_upstream_that_ignores_the_expectation_gets_the_body_after_a_while() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client.send(EXPECTING).await;
    let (mut origin, _) = upstream.request().await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(origin.take(5).await, "hello");
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("POST /t HTTP/1.1\r\nhost: a.example\r\nte: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    client.send("2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n").await;
    let (mut origin, head) = upstream.request().await;
    assert!(head.contains("te: trailers\r\n"), "{head}");
    let body = origin.until("\r\n\r\n").await;
    assert!(body.ends_with("0\r\nx-sum: 1\r\n\r\n"), "{body:?}");
    origin
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n2\r\nok\r\n0\r\nx-end: 2\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.contains("trailer: x-end\r\n"), "{head}");
    let body = client.until("\r\n\r\n").await;
    assert!(body.ends_with("0\r\nx-end: 2\r\n\r\n"), "{body:?}");
}

#[tokio::test]
async fn trailers_come_through_a_miss() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    for fields in ["cache-control: no-store", "cache-control: max-age=60"] {
        let mut client = shield.connect().await;
        client
            .send("GET /t HTTP/1.1\r\nhost: a.example\r\nte: trailers\r\n\r\n")
            .await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{fields}\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n2\r\nok\r\n0\r\nx-end: 2\r\n\r\n"
        );
        let _origin = upstream.answer(&answer).await;
        client.head().await;
        let body = client.until("\r\n\r\n").await;
        assert!(
            body.ends_with("0\r\nx-end: 2\r\n\r\n"),
            "{fields}: {body:?}"
        );
    }
}

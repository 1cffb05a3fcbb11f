//! Other protocols: passed plainly, or not at all.

use e2e::{RawUpstream, Shield};

#[tokio::test]
async fn after_an_upgrade_bytes_go_both_ways_untouched() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("GET /socket HTTP/1.1\r\nhost: a.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n")
        .await;
    let (mut origin, head) = upstream.request().await;
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("sec-websocket-key: k\r\n"), "{head}");
    origin
        .send("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: a\r\n\r\nfirst")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    assert_eq!(client.take(5).await, "first");
    for text in ["GET / HTTP/1.1\r\n\r\n", "\0\u{1}\u{2}"] {
        client.send(text).await;
        assert_eq!(origin.take(text.len()).await, text);
        origin.send(text).await;
        assert_eq!(client.take(text.len()).await, text);
    }
    drop(origin);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_upgrade_that_the_upstream_refuses_is_answered_plainly() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("GET /socket HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    let _origin = upstream
        .answer("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 403 "));
    assert_eq!(client.take(2).await, "no");
}

#[tokio::test]
async fn http_2_is_not_tunnelled_past_the_cache() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n")
        .await;
    let (mut origin, head) = upstream.request().await;
    assert!(!head.contains("upgrade"), "{head}");
    assert!(!head.contains("http2-settings"), "{head}");
    origin
        .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn connect_is_refused_with_a_sentence() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    let sentence = client.until("\n").await;
    assert!(sentence.contains("no forward proxy"), "{sentence}");
}

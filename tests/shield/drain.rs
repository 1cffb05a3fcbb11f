//! Ending: what is under way is finished, and nothing new begins.

use e2e::{RawUpstream, Shield, wait_until};
use tokio::net::TcpStream;

#[tokio::test]
async fn what_is_under_way_is_finished_after_it_is_told_to_end() {
    let upstream = RawUpstream::start().await;
    let mut shield = Shield::start(&upstream.url).await;
    let mut resting = shield.connect().await;
    let mut client = shield.connect().await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let (mut origin, _) = upstream
        .answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
        .await;
    client.head().await;
    assert_eq!(client.take(5).await, "hello");
    shield.terminate().await;
    wait_until("nobody listens any more", async || {
        TcpStream::connect(shield.address())
            .await
            .is_err()
            .then_some(())
    })
    .await;
    assert_eq!(resting.rest().await, "", "a connection at rest is closed");
    origin.send("world").await;
    assert_eq!(client.rest().await, "world");
    assert!(shield.ended().await.success());
}

#[tokio::test]
async fn it_does_not_wait_for_ever() {
    let upstream = RawUpstream::start().await;
    let mut shield = Shield::start_with(&upstream.url, &["--drain-seconds", "1"]).await;
    let mut client = shield.connect().await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let (_origin, _) = upstream
        .answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
        .await;
    client.head().await;
    shield.terminate().await;
    assert!(shield.ended().await.success());
    assert_eq!(client.rest().await, "hello");
}

//! How much a client may send, how long it may take, and how much memory that costs.

use e2e::{RawConnection, RawUpstream, Shield, wait_until};

const MEBIBYTE: usize = 1 << 20;

#[tokio::test]
async fn heads_that_are_too_long_or_have_too_many_fields_are_refused() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    for fields in [
        format!("x: {}\r\n", "y".repeat(100_000)),
        format!("x: {}\r\n", "y".repeat(1_000)).repeat(100),
        (0..200).map(|number| format!("x{number}: y\r\n")).collect(),
    ] {
        let mut client = shield.connect().await;
        // It may close before it has taken everything.
        let _ = client
            .try_send(format!(
                "GET /x HTTP/1.1\r\nhost: a.example\r\n{fields}\r\n"
            ))
            .await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    }
}

#[tokio::test]
async fn bodies_that_are_too_long_are_refused_at_once_or_when_they_turn_out_to_be() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start_with(&upstream.url, &["--max-body-mib", "1"]).await;
    let mut client = shield.connect().await;
    client
        .send("POST /x HTTP/1.1\r\nhost: a.example\r\ncontent-length: 2000000\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");

    let mut client = shield.connect().await;
    client
        .send("POST /x HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let (mut origin, _) = upstream.request().await;
    let drained = tokio::spawn(async move { origin.rest().await.len() });
    let chunk = format!("80000\r\n{}\r\n", "x".repeat(MEBIBYTE / 2));
    for _ in 0..3 {
        let _ = client.try_send(&chunk).await;
    }
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    let passed = drained.await.unwrap();
    assert!(passed < MEBIBYTE + 4_096, "{passed} bytes have gone on");
}

#[tokio::test]
async fn a_client_that_is_too_slow_with_its_head_or_rests_for_too_long_is_let_go() {
    let upstream = RawUpstream::start().await;
    let arguments = [
        "--header-timeout-seconds",
        "1",
        "--idle-timeout-seconds",
        "1",
    ];
    let shield = Shield::start_with(&upstream.url, &arguments).await;
    for begun in ["", "GET /x HTTP/1.1\r\nhost: a.exa"] {
        let mut client = shield.connect().await;
        client.send(begun).await;
        assert_eq!(client.rest().await, "", "{begun:?}");
    }
    let mut client = shield.connect().await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let _origin = upstream.answer("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn memory_stays_flat_while_large_bodies_go_both_ways() {
    const SIZE: usize = 300 * MEBIBYTE;
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send(format!(
            "POST /up HTTP/1.1\r\nhost: a.example\r\ncontent-length: {SIZE}\r\n\r\n"
        ))
        .await;
    let (mut origin, _) = upstream.request().await;
    pour(&mut client, &mut origin, SIZE).await;
    origin
        .send(format!(
            "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: {SIZE}\r\n\r\n"
        ))
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    pour(&mut origin, &mut client, SIZE).await;

    // One that may be stored, were it not so large.
    client
        .send("GET /down HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    origin.head().await;
    origin
        .send(format!(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {SIZE}\r\n\r\n"
        ))
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    pour(&mut origin, &mut client, SIZE).await;
    let peak = shield.peak_memory();
    assert!(peak < 100 * (MEBIBYTE as u64), "{peak} bytes at the most");
}

#[tokio::test]
async fn a_slow_client_holds_the_upstream_back_instead_of_filling_memory() {
    const SIZE: usize = 100 * MEBIBYTE;
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let mut client = shield.connect().await;
    client
        .send("GET /down HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let (mut origin, _) = upstream.request().await;
    origin
        .send(format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n"))
        .await;
    // The client reads nothing: sooner or later nothing more is taken.
    let block = vec![b'x'; MEBIBYTE];
    let mut taken = 0;
    wait_until("the upstream is held back", async || {
        let sending = origin.try_send(&block);
        match tokio::time::timeout(std::time::Duration::from_secs(2), sending).await {
            Ok(sent) => {
                sent.unwrap();
                taken += 1;
                assert!(taken < 90, "everything was taken");
                None
            }
            Err(_) => Some(()),
        }
    })
    .await;
    let peak = shield.peak_memory();
    assert!(peak < 60 * (MEBIBYTE as u64), "{peak} bytes at the most");
}

async fn pour(from: &mut RawConnection, to: &mut RawConnection, size: usize) {
    let block = vec![b'x'; MEBIBYTE];
    let (sent, taken) = tokio::join!(
        async {
            for _ in 0..size / MEBIBYTE {
                from.send(&block).await;
            }
            size
        },
        to.skip(size),
    );
    assert_eq!(sent, taken);
}

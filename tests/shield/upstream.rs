//! An upstream that is slow, breaks off, closes its connections, or speaks HTTP/2.

use e2e::{Content, RawUpstream, Shield, TestOrigin};
use http::Method;

#[tokio::test]
async fn an_upstream_that_does_not_begin_to_answer_is_a_504() {
    let upstream = RawUpstream::start().await;
    let arguments = ["--upstream-first-byte-timeout-seconds", "1"];
    let shield = Shield::start_with(&upstream.url, &arguments).await;
    let answer = shield.get("/x").await;
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("within 1 s"), "{}", answer.text());
    assert!(
        answer.cache_status().starts_with("Terrace; fwd="),
        "{}",
        answer.cache_status()
    );
    assert!(!answer.is_hit());
}

#[tokio::test]
async fn a_body_that_stalls_ends_the_connection() {
    let upstream = RawUpstream::start().await;
    let arguments = ["--upstream-read-timeout-seconds", "1"];
    let shield = Shield::start_with(&upstream.url, &arguments).await;
    for (framing, came) in [
        ("content-length: 10\r\n\r\nhello", "hello"),
        (
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "5\r\nhello\r\n",
        ),
    ] {
        // The second time it is asked again: what broke off was not stored.
        for _ in 0..2 {
            let mut client = shield.connect().await;
            client
                .send("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n")
                .await;
            let answer = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{framing}");
            let (mut origin, _) = upstream.answer(&answer).await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
            assert_eq!(client.rest().await, came);
            assert_eq!(origin.rest().await, "");
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_made_to_look_whole() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    for framing in [
        "content-length: 10\r\n\r\nhello",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "transfer-encoding: chunked\r\n\r\nff\r\nhello",
    ] {
        for _ in 0..2 {
            let mut client = shield.connect().await;
            client
                .send("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n")
                .await;
            let answer = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{framing}");
            let (origin, _) = upstream.answer(&answer).await;
            client.head().await;
            client.until("hello").await;
            drop(origin);
            let rest = client.rest().await;
            assert!(!rest.contains("0\r\n\r\n"), "{framing:?}: {rest:?}");
        }
    }
}

#[tokio::test]
async fn more_body_than_its_length_says_is_not_taken_for_the_next_answer() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let mut client = shield.connect().await;
    client
        .send("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let _kept = upstream
        .answer(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{smuggled}"
        ))
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.take(2).await, "ok");
    client
        .send("GET /y HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    let _next = upstream
        .answer("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.take(4).await, "good");
}

#[tokio::test]
async fn what_is_no_http_is_a_502() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    for answer in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let mut client = shield.connect().await;
        client
            .send("POST /x HTTP/1.1\r\nhost: a.example\r\ncontent-length: 0\r\n\r\n")
            .await;
        let _origin = upstream.answer(answer).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{answer:?}: {head}");
    }
}

#[tokio::test]
async fn a_request_that_met_a_closing_connection_is_sent_again_if_it_may_be() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    for (request, again) in [
        ("GET /a HTTP/1.1\r\nhost: a.example\r\n\r\n", true),
        ("DELETE /a HTTP/1.1\r\nhost: a.example\r\n\r\n", true),
        (
            "POST /a HTTP/1.1\r\nhost: a.example\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
        (
            "PUT /a HTTP/1.1\r\nhost: a.example\r\ncontent-length: 1\r\n\r\nx",
            false,
        ),
    ] {
        // A connection that has been used and rests.
        let mut client = shield.connect().await;
        client
            .send("GET /first HTTP/1.1\r\nhost: a.example\r\n\r\n")
            .await;
        let (mut origin, _) = upstream
            .answer("HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 2\r\n\r\nok")
            .await;
        client.head().await;
        client.take(2).await;
        client.send(request).await;
        // The same connection: its request comes, and it closes without an answer.
        origin.head().await;
        drop(origin);
        if again {
            let (mut origin, head) = upstream.request().await;
            assert!(head.contains(" /a HTTP/1.1"), "{head}");
            origin.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 204 "), "{request:?}: {head}");
        } else {
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 502 "), "{request:?}: {head}");
        }
    }
}

#[tokio::test]
async fn a_new_connection_that_closes_without_an_answer_is_not_tried_again() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    // The connection that was opened at the start is used up first.
    let mut client = shield.connect().await;
    client
        .send("GET /a HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .await;
    drop(upstream.request().await);
    drop(upstream.request().await);
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn requests_over_http_2_are_answered_like_others() {
    use http_body_util::{BodyExt as _, Full};
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;

    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let request = http::Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}/x", shield.address()))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::from("hello"))
        .unwrap();
    let asked = tokio::spawn(async move { client.request(request).await.unwrap() });
    let (mut origin, head) = upstream.request().await;
    assert!(head.starts_with("POST /x HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("\r\nhost: {}\r\n", shield.address())),
        "{head}"
    );
    assert!(head.contains("\r\ncookie: a=1; b=2\r\n"), "{head}");
    assert!(head.contains("\r\nvia: 2.0 terrace\r\n"), "{head}");
    assert_eq!(origin.take(5).await, "hello");
    origin
        .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    let response = asked.await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "ok"
    );
}

#[tokio::test]
async fn the_upstream_can_be_spoken_to_in_http_2() {
    // A shield takes HTTP/2 as it comes, so one stands behind the other.
    let origin = TestOrigin::start().await;
    origin.set(
        "/x",
        Content::new("hello", &[("cache-control", "no-store")]),
    );
    let behind = Shield::start(&origin.url).await;
    let url = format!("http://{}", behind.address());
    let shield = Shield::start_with(&url, &["--upstream-http2"]).await;
    for _ in 0..2 {
        let answer = shield.get("/x").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "hello"));
    }
    let via: Vec<_> = origin.requests("/x")[0]
        .get_all("via")
        .iter()
        .map(|line| line.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(via, ["1.1 terrace", "2.0 terrace"]);
}

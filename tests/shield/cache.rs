//! What is stored, and answered from the store.

use e2e::{Content, RawUpstream, RedisServer, Shield, TestOrigin, wait_until};
use http::Method;

const FRESH: (&str, &str) = ("cache-control", "max-age=600");

#[tokio::test]
async fn what_is_stored_is_not_asked_for_again() {
    let origin = TestOrigin::start().await;
    origin.set("/x", Content::new("hello", &[FRESH, ("etag", "\"1\"")]));
    let shield = Shield::start(&origin.url).await;
    let miss = shield.get("/x").await;
    assert!(!miss.is_hit(), "{}", miss.cache_status());
    let hit = shield.hit("/x").await;
    assert_eq!(hit.text(), "hello");
    assert_eq!(hit.field("via"), "1.1 terrace");
    assert!(!hit.field("age").is_empty());
    assert_eq!(origin.requests("/x").len(), 1);

    let head = shield.client.send(Method::HEAD, "/x", &[], "").await;
    assert!(head.is_hit(), "{}", head.cache_status());
    assert_eq!((head.field("content-length"), head.text()), ("5", ""));
    let fields = [("range", "bytes=1-3")];
    let range = shield.client.send(Method::GET, "/x", &fields, "").await;
    assert_eq!((range.status.as_u16(), range.text()), (206, "ell"));
    assert_eq!(range.field("content-range"), "bytes 1-3/5");
    let fields = [("if-none-match", "\"1\"")];
    let same = shield.client.send(Method::GET, "/x", &fields, "").await;
    assert_eq!(same.status, 304);
    assert_eq!(origin.requests("/x").len(), 1);
}

#[tokio::test]
async fn a_hit_on_a_kept_connection_is_answered_like_the_one_before() {
    let origin = TestOrigin::start().await;
    origin.set("/x", Content::new("hello", &[FRESH]));
    let shield = Shield::start(&origin.url).await;
    shield.hit("/x").await;
    let mut client = shield.connect().await;
    // All at once: pipelined requests are answered in order.
    let request = "GET /x HTTP/1.1\r\nhost: HOST\r\n\r\n".replace("HOST", shield.address());
    client.send(request.repeat(20)).await;
    for number in 0..20 {
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{number}: {head}");
        assert!(head.contains("Terrace; hit"), "{number}: {head}");
        assert_eq!(client.take(5).await, "hello");
    }
}

#[tokio::test]
async fn an_unsafe_request_makes_what_it_changes_unusable() {
    let origin = TestOrigin::start().await;
    origin.set("/x", Content::new("hello", &[FRESH]));
    let shield = Shield::start(&origin.url).await;
    // Methods that nobody knows are unsafe too (RFC 9110 §9.2.1, RFC 9111 §4.4).
    for (asked, method) in [(1, "POST"), (2, "M-SEARCH")] {
        shield.hit("/x").await;
        let before = origin.requests("/x").len();
        assert_eq!(before, 2 * asked - 1);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(shield.client.send(method, "/x", &[], "").await.status, 200);
        assert!(!shield.get("/x").await.is_hit());
    }
}

#[tokio::test]
async fn interim_answers_pass_through_a_miss_and_are_not_stored() {
    let upstream = RawUpstream::start().await;
    let shield = Shield::start(&upstream.url).await;
    let request = "GET /hints HTTP/1.1\r\nhost: a.example\r\n\r\n";
    let mut client = shield.connect().await;
    client.send(request).await;
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
    let (mut origin, _) = upstream.request().await;
    origin.send(hints).await;
    assert_eq!(client.head().await, hints);
    origin
        .send("HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ncontent-length: 2\r\n\r\nok")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(client.take(2).await, "ok");
    wait_until("it is stored", async || {
        client.send(request).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(!head.contains("link: "), "{head}");
        client.take(2).await;
        head.contains("Terrace; hit").then_some(())
    })
    .await;
}

#[tokio::test]
async fn stale_answers_stand_in_for_an_upstream_that_is_gone() {
    let origin = TestOrigin::start().await;
    let fields = [
        ("cache-control", "max-age=0, stale-if-error=600"),
        ("etag", "\"1\""),
    ];
    origin.set("/x", Content::new("hello", &fields));
    let shield = Shield::start(&origin.url).await;
    assert_eq!(shield.get("/x").await.text(), "hello");
    wait_until("it is stored", async || {
        shield.get("/x").await;
        let requests = origin.requests("/x");
        requests.last()?.contains_key("if-none-match").then_some(())
    })
    .await;
    origin.stop().await;
    let stale = shield.get("/x").await;
    assert_eq!((stale.status.as_u16(), stale.text()), (200, "hello"));
    let said = stale.cache_status();
    assert!(said.contains("origin-unreachable"), "{said}");
    assert_eq!(shield.get("/other").await.status, 502);
}

#[tokio::test]
async fn surrogate_keys_are_for_the_edge_alone() {
    let origin = TestOrigin::start().await;
    origin.set(
        "/x",
        Content::new("hello", &[FRESH, ("surrogate-key", "product:1")]),
    );
    let shield = Shield::start(&origin.url).await;
    assert_eq!(shield.hit("/x").await.field("surrogate-key"), "");
    let shield = Shield::start_with(&origin.url, &["--expose-surrogate-keys"]).await;
    assert_eq!(shield.hit("/x").await.field("surrogate-key"), "product:1");
}

#[tokio::test]
async fn a_policy_says_what_the_upstream_does_not() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    let text =
        "version = 1\n\n[[routes]]\npath = \"/api/*\"\nclass = \"api\"\nedge_seconds = 600\n";
    std::fs::write(policy.path(), text).unwrap();
    let origin = TestOrigin::start().await;
    origin.set("/api/x", Content::new("hello", &[]));
    origin.set("/x", Content::new("hello", &[]));
    let file = policy.path().to_str().unwrap();
    let shield = Shield::start_with(&origin.url, &["--policy", file]).await;
    shield.hit("/api/x").await;
    assert!(!shield.get("/x").await.is_hit());
    assert!(!shield.get("/x").await.is_hit());
}

#[tokio::test]
async fn shields_share_what_they_store_and_go_on_without_redis() {
    let origin = TestOrigin::start().await;
    origin.set("/x", Content::new("hello", &[FRESH]));
    let mut redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str(), "--upstream-host", "inner.example"];
    let one = Shield::start_with(&origin.url, &arguments).await;
    let other = Shield::start_with(&origin.url, &arguments).await;
    let fields = [("host", "a.example")];
    let ask = async |shield: &Shield| shield.client.send(Method::GET, "/x", &fields, "").await;
    ask(&one).await;
    wait_until("the other has it from Redis", async || {
        ask(&other).await.is_hit().then_some(())
    })
    .await;
    redis.kill().await;
    for shield in [&one, &other] {
        let answer = ask(shield).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "hello"));
    }
    origin.set("/y", Content::new("new", &[]));
    assert_eq!(one.get("/y").await.text(), "new");
}

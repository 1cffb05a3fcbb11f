//! What goes wrong is answered clearly, and nothing is lost by it.

use e2e::{
    Content, Edge, PRODUCTS_TOKEN, PURGE_TOKEN, RedisServer, Shop, ShopOptions, TestOrigin,
    wait_until,
};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn purges_that_may_not_or_cannot_be_carried_out_change_nothing() {
    let origin = TestOrigin::start().await;
    let cached = [("cache-control", "max-age=600"), ("surrogate-key", "plans")];
    origin.set("/api/plans", Content::new("1", &cached));
    let edge = Edge::start(&origin.url).await;
    edge.hit("/api/plans").await;
    let status = edge.get("/.terrace/status").await.json();

    let everything = r#"{"everything":true}"#;
    let too_many = json!({ "keys": vec!["k"; 1_025] }).to_string();
    for (token, body, code, part) in [
        ("wrong", everything, 401, "token"),
        (PRODUCTS_TOKEN, everything, 403, "all"),
        (
            PRODUCTS_TOKEN,
            r#"{"surrogate_keys":["product:1","plans"]}"#,
            403,
            "surrogate-key:plans",
        ),
        (PURGE_TOKEN, "{", 400, "not understood"),
        (PURGE_TOKEN, "{}", 400, "names nothing"),
        (PURGE_TOKEN, r#"{"tags":["a"]}"#, 400, "tags"),
        (
            PURGE_TOKEN,
            r#"{"surrogate_keys":["ok","a b"]}"#,
            400,
            "surrogate_keys[1]",
        ),
        (
            PURGE_TOKEN,
            r#"{"everything":true,"mode":"warm"}"#,
            400,
            "warm",
        ),
        (PURGE_TOKEN, &too_many, 400, "1025"),
    ] {
        let answer = edge.purge_as(token, body).await;
        assert_eq!(answer.status, code, "{body}: {}", answer.text());
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(part), "{body}: {error}");
    }
    let bare = edge
        .client
        .send(Method::POST, "/.terrace/purge", &[], everything)
        .await;
    assert_eq!(bare.status, 401, "{}", bare.text());
    assert!(bare.field("www-authenticate").starts_with("Bearer"));
    let got = edge.get("/.terrace/purge").await;
    assert_eq!(got.status, 405, "{}", got.text());
    assert_eq!(got.field("allow"), "POST");
    assert_eq!(edge.get("/.terrace/nothing").await.status, 404);

    assert!(edge.get("/api/plans").await.is_hit());
    let after = edge.get("/.terrace/status").await.json();
    assert!(after["ledger_epoch"].is_string(), "{after}");
    assert_eq!(after["ledger_epoch"], status["ledger_epoch"], "{after}");
}

#[tokio::test]
async fn a_scoped_token_may_purge_its_own() {
    let origin = TestOrigin::start().await;
    let edge = Edge::start(&origin.url).await;
    let receipt = edge
        .purge_as(PRODUCTS_TOKEN, r#"{"surrogate_keys":["product:1"]}"#)
        .await;
    assert_eq!(receipt.status, 200, "{}", receipt.text());
    assert_eq!(receipt.json()["scopes"], 1);
}

#[tokio::test]
async fn unknown_routes_and_an_origin_that_is_down_are_said_plainly() {
    let origin = TestOrigin::start().await;
    let cached = [("cache-control", "max-age=0, stale-if-error=600")];
    origin.set("/api/plans", Content::new("kept", &cached));
    let edge = Edge::start(&origin.url).await;
    let unknown = edge.get("/api/nothing").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.text(), "no such path\n");
    assert_eq!(edge.get("/api/plans").await.text(), "kept");
    wait_until("it is stored", async || {
        let status = edge.get("/.terrace/status").await.json();
        (status["counters"]["stored"].as_u64()? > 0).then_some(())
    })
    .await;

    origin.stop().await;
    let kept = edge.get("/api/plans").await;
    assert_eq!(
        kept.text(),
        "kept",
        "stale is better than nothing: {}",
        kept.cache_status()
    );
    let down = edge.get("/api/other").await;
    assert_eq!(down.status, 502, "{}", down.text());
    assert!(down.text().contains("origin"), "{}", down.text());
    assert!(
        !down.cache_status().contains("stored"),
        "{}",
        down.cache_status()
    );
}

#[tokio::test]
async fn an_edge_without_an_origin_says_so() {
    let edge = Edge::start_with(&[("ORIGIN", "")]).await;
    let answer = edge.get("/api/plans").await;
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("ORIGIN"), "{}", answer.text());
}

#[tokio::test]
async fn surrogate_keys_that_cannot_be_kept_are_refused_aloud() {
    let origin = TestOrigin::start().await;
    let long = "k".repeat(1_025);
    let fields = [("cache-control", "max-age=600"), ("surrogate-key", &*long)];
    origin.set("/api/plans", Content::new("1", &fields));
    let edge = Edge::start(&origin.url).await;
    for _ in 0..2 {
        let answer = edge.get("/api/plans").await;
        assert_eq!(answer.text(), "1");
        let status = answer.cache_status();
        assert!(!answer.is_hit(), "{status}");
        assert!(status.contains("surrogate"), "{status}");
    }
}

#[tokio::test]
async fn redis_may_go_and_come_back_and_callers_always_get_answers() {
    let mut redis = RedisServer::start().await;
    let url = redis.url();
    let shop = Shop::start(ShopOptions {
        redis: Some(&url),
        ..ShopOptions::default()
    })
    .await;
    let old = shop.price(7).await;
    redis.kill().await;
    assert_eq!(shop.price(7).await, old, "memory or the database answers");
    assert_eq!(
        shop.client.get("/api/products/8").await.status,
        200,
        "so does the database for the rest"
    );

    // A purge that cannot be made durable is refused, not half done.
    let refused = shop
        .client
        .post("/api/products/7/price", &[], &json!({ "cents": old + 1 }))
        .await;
    assert_eq!(refused.status, 500);

    redis.restart().await;
    wait_until("purges work again", async || {
        let answer = shop
            .client
            .post("/api/products/7/price", &[], &json!({ "cents": old + 2 }))
            .await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(shop.price(7).await, old + 2);
    shop.stop().await;
}

#[tokio::test]
async fn garbage_in_redis_is_a_miss_that_is_counted() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let shop = Shop::start(ShopOptions {
        redis: Some(&url),
        ..ShopOptions::default()
    })
    .await;
    let keys_before = redis.command("SET product:v1:9 garbage").await;
    assert_eq!(keys_before.as_deref(), Some("+OK\r\n"));
    assert_eq!(shop.client.get("/api/products/9").await.status, 200);
    let stats = shop.stats("product").await;
    assert_eq!(stats["corrupt_entries_total"], 1, "{stats}");
    shop.stop().await;
}

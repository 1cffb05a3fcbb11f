//! Purges at the shield, and who may.

use e2e::{Content, PURGE_TOKEN, Shield, TestOrigin};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn without_tokens_nobody_may_and_the_rest_works() {
    let origin = TestOrigin::start().await;
    origin.set("/x", Content::new("hello", &[]));
    let shield = Shield::start_without_tokens(&origin.url).await;
    let answer = shield.purge(&json!({ "everything": true })).await;
    assert_eq!(answer.status, 403);
    let said = answer.json();
    assert!(
        said["error"].as_str().unwrap().contains("no tokens"),
        "{said}"
    );
    assert!(
        said["hint"].as_str().unwrap().contains("terrace token"),
        "{said}"
    );
    let purge = Method::from_bytes(b"PURGE").unwrap();
    assert_eq!(shield.client.send(purge, "/x", &[], "").await.status, 403);
    assert_eq!(shield.get("/.terrace/stats").await.status, 403);
    assert_eq!(shield.get("/x").await.text(), "hello");
}

#[tokio::test]
async fn tokens_open_what_they_are_for() {
    let origin = TestOrigin::start().await;
    let shield = Shield::start(&origin.url).await;
    let anonymous = shield.client.post("/.terrace/purge", &[], &json!({})).await;
    assert_eq!(anonymous.status, 401);
    assert!(anonymous.field("www-authenticate").starts_with("Bearer"));
    assert_eq!(shield.get("/.terrace/stats").await.status, 401);
    assert_eq!(
        shield
            .purge_products(&json!({ "everything": true }))
            .await
            .status,
        403
    );
    let bearer = format!("Bearer {PURGE_TOKEN}");
    let fields = [("authorization", bearer.as_str())];
    let stats = shield
        .client
        .send(Method::GET, "/.terrace/stats", &fields, "")
        .await;
    assert_eq!(stats.json()["cache"]["purges_total"], 0);

    for (body, part) in [
        (json!({}), "names nothing"),
        (json!({ "tags": ["x"] }), "unknown field `tags`"),
    ] {
        let answer = shield.purge(&body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(part), "{}", answer.text());
    }
    let wrong = shield
        .client
        .send(Method::GET, "/.terrace/purge", &fields, "")
        .await;
    assert_eq!((wrong.status.as_u16(), wrong.field("allow")), (405, "POST"));
    assert_eq!(shield.get("/.terrace/nothing").await.status, 404);
    assert!(origin.requests("/.terrace/nothing").is_empty());
}

const FRESH: (&str, &str) = ("cache-control", "max-age=600");

#[tokio::test]
async fn a_purge_of_a_surrogate_key_reaches_what_carries_it_and_gives_a_receipt() {
    let origin = TestOrigin::start().await;
    origin.set(
        "/1",
        Content::new("one", &[FRESH, ("surrogate-key", "product:1 list")]),
    );
    origin.set(
        "/2",
        Content::new("two", &[FRESH, ("surrogate-key", "product:2 list")]),
    );
    let shield = Shield::start(&origin.url).await;
    shield.hit("/1").await;
    shield.hit("/2").await;
    let receipt = shield
        .purge_products(&json!({ "surrogate_keys": ["product:1"] }))
        .await;
    assert_eq!(receipt.status, 200, "{}", receipt.text());
    let receipt = receipt.json();
    assert_eq!(
        (&receipt["mode"], &receipt["scopes"]),
        (&json!("hard"), &json!(1))
    );
    assert_eq!(receipt["tiers"][0]["tier"], "memory");
    assert!(receipt["visible_by_ms"].is_u64(), "{receipt}");
    assert!(!shield.get("/1").await.is_hit());
    assert!(shield.get("/2").await.is_hit());
}

#[tokio::test]
async fn the_purge_method_reaches_a_url() {
    let origin = TestOrigin::start().await;
    origin.set("/x?a=1", Content::new("hello", &[FRESH]));
    origin.set("/x?a=2", Content::new("hello", &[FRESH]));
    let shield = Shield::start(&origin.url).await;
    shield.hit("/x?a=1").await;
    shield.hit("/x?a=2").await;
    let bearer = format!("Bearer {PURGE_TOKEN}");
    let fields = [("authorization", bearer.as_str())];
    let purge = || Method::from_bytes(b"PURGE").unwrap();
    let receipt = shield.client.send(purge(), "/x?a=1", &fields, "").await;
    assert_eq!(receipt.status, 200, "{}", receipt.text());
    assert_eq!(receipt.json()["mode"], "hard");
    assert!(!shield.get("/x?a=1").await.is_hit());
    assert!(shield.get("/x?a=2").await.is_hit());

    let soft = [fields[0], ("fastly-soft-purge", "1")];
    let done = shield.client.send(purge(), "/x?a=2", &soft, "").await;
    assert_eq!(done.json()["status"], "ok", "{}", done.text());
    assert!(done.field("terrace-receipt").contains(r#""mode":"soft""#));
    assert_eq!(origin.requests("/x?a=1").len(), 2);
}

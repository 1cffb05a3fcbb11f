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

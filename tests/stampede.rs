//! Many clients that want the same at once, and one question to the origin.

use std::sync::Arc;

use e2e::{Answer, Content, Edge, TestOrigin, wait_until};
use tokio::task::JoinSet;

async fn all_at_once(edge: &Arc<Edge>, path: &'static str, clients: usize) -> Vec<Answer> {
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let edge = Arc::clone(edge);
        asking.spawn(async move { edge.get(path).await });
    }
    asking.join_all().await
}

#[tokio::test]
async fn of_many_cold_requests_one_asks_the_origin() {
    let origin = TestOrigin::start().await;
    let hold = origin.hold("/api/plans");
    let cached = [("cache-control", "max-age=600")];
    origin.set("/api/plans", Content::new("plans", &cached));
    let edge = Arc::new(Edge::start(&origin.url).await);

    let first = {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { edge.get("/api/plans").await })
    };
    hold.arrived().await;
    let others = {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { all_at_once(&edge, "/api/plans", 31).await })
    };
    wait_until("all others wait", async || {
        let status = edge.get("/.terrace/status").await.json();
        (status["counters"]["waited"].as_u64()? >= 31).then_some(())
    })
    .await;
    hold.release();

    let first = first.await.unwrap();
    assert!(first.cache_status().contains("stored"), "{first:?}");
    for answer in others.await.unwrap() {
        assert_eq!(answer.text(), "plans");
        let said = answer.cache_status();
        assert!(said.contains("fwd=uri-miss; collapsed"), "{said}");
    }
    assert_eq!(origin.requests("/api/plans").len(), 1);
}

#[tokio::test]
async fn who_waited_across_a_purge_is_not_given_what_was_asked_for_before_it() {
    let origin = TestOrigin::start().await;
    let hold = origin.hold("/api/plans");
    let cached = [("cache-control", "max-age=600"), ("surrogate-key", "plans")];
    origin.set("/api/plans", Content::new("old", &cached));
    let edge = Arc::new(Edge::start(&origin.url).await);

    let leader = {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { edge.get("/api/plans").await })
    };
    hold.arrived().await;
    origin.set("/api/plans", Content::new("new", &cached));
    let follower = {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { edge.get("/api/plans").await })
    };
    let receipt = edge
        .purge(&serde_json::json!({ "surrogate_keys": ["plans"] }))
        .await;
    assert_eq!(receipt.status, 200, "{}", receipt.text());
    hold.release();
    assert_eq!(leader.await.unwrap().text(), "old");
    hold.arrived().await;
    hold.release();
    assert_eq!(follower.await.unwrap().text(), "new");
}

#[tokio::test]
async fn who_waited_across_a_soft_purge_is_told_that_the_answer_is_stale() {
    let origin = TestOrigin::start().await;
    let hold = origin.hold("/api/plans");
    let cached = [
        ("cache-control", "max-age=600, stale-while-revalidate=600"),
        ("surrogate-key", "plans"),
    ];
    origin.set("/api/plans", Content::new("old", &cached));
    let edge = Arc::new(Edge::start(&origin.url).await);

    let leader = {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { edge.get("/api/plans").await })
    };
    hold.arrived().await;
    let follower = {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { edge.get("/api/plans").await })
    };
    wait_until("the other waits", async || {
        let status = edge.get("/.terrace/status").await.json();
        (status["counters"]["waited"].as_u64()? >= 1).then_some(())
    })
    .await;
    let purge = serde_json::json!({ "surrogate_keys": ["plans"], "mode": "soft" });
    let receipt = edge.purge(&purge).await;
    assert_eq!(receipt.status, 200, "{}", receipt.text());
    hold.release();
    hold.release(); // for the refresh behind the stale answer
    leader.await.unwrap();
    let answer = follower.await.unwrap();
    let said = answer.cache_status();
    assert!(
        said.contains("fwd=uri-miss; collapsed; ttl=") && said.contains("soft-purge"),
        "{said}"
    );
    assert_eq!(answer.text(), "old");
}

#[tokio::test]
async fn what_cannot_be_stored_is_waited_for_once_and_then_no_more() {
    let origin = TestOrigin::start().await;
    let private = [("cache-control", "private")];
    origin.set("/api/me", Content::new("me", &private));
    let edge = Arc::new(Edge::start(&origin.url).await);
    assert_eq!(edge.get("/api/me").await.text(), "me");

    // Both are held back at the origin at the same time: neither waits for the other.
    let hold = origin.hold("/api/me");
    let asking = {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { all_at_once(&edge, "/api/me", 2).await })
    };
    hold.arrived().await;
    hold.arrived().await;
    hold.release();
    hold.release();
    for answer in asking.await.unwrap() {
        assert_eq!(answer.text(), "me");
    }
    assert_eq!(origin.requests("/api/me").len(), 3);
    let status = edge.get("/.terrace/status").await.json();
    assert_eq!(status["counters"]["waited"], 0, "{status}");
}

#[tokio::test]
async fn a_response_near_its_end_is_refreshed_behind_its_answer() {
    let origin = TestOrigin::start().await;
    let path = "/api/reports/sales";
    // As the policy has it for reports: when 80 % of the lifetime are over.
    let cached = [("cache-control", "max-age=3600"), ("age", "3000")];
    origin.set(path, Content::new("old", &cached));
    let edge = Edge::start(&origin.url).await;
    assert_eq!(edge.hit(path).await.text(), "old");
    origin.set(
        path,
        Content::new("new", &[("cache-control", "max-age=3600")]),
    );
    wait_until("the new one is there", async || {
        let answer = edge.get(path).await;
        assert!(answer.cache_status().contains("; hit"), "{answer:?}");
        (answer.text() == "new").then_some(())
    })
    .await;
    // What has come is not near its end.
    let asked = origin.requests(path).len();
    assert_eq!(edge.get(path).await.text(), "new");
    assert_eq!(origin.requests(path).len(), asked);
}

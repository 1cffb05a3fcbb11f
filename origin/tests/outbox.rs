//! Purges on their way to the edges through a real Redis: durable, in order, whoever sends them.

mod edge_server;
mod support;

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use edge_server::EdgeServer;
use http::StatusCode;
use serde_json::Value;
use support::{RedisServer, wait_until};
use terrace_origin::{Cache, Edge, Epoch, Policy, Purge, Receipt, Redis};
use terrace_shared::purge::wire::{PurgeState, PurgedTier, TierReceipt};
use terrace_shared::purge::{Incarnation, PurgeMode, Sequence};
use terrace_shared::time::{Milliseconds, TimestampMillis};

const LONG: Duration = Duration::from_secs(20);

fn taken(_: &Value) -> Response {
    let epoch = Epoch {
        incarnation: Incarnation::from_random(7),
        sequence: Sequence::new(12),
    };
    let receipt = Receipt {
        epoch,
        mode: PurgeMode::Hard,
        scopes: 1,
        purged_at_ms: TimestampMillis::default(),
        visible_by_ms: None,
        tiers: vec![TierReceipt {
            tier: PurgedTier::Edge,
            name: None,
            state: PurgeState::Done,
            bound_ms: Milliseconds::new(3_000),
            epoch: None,
            detail: None,
        }],
        again_at_ms: None,
        token: None,
    };
    axum::Json(receipt).into_response()
}

fn down(_: &Value) -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// One process that shares this Redis, and tells these edges.
async fn process(server: &RedisServer, edges: &[(&str, &EdgeServer)]) -> Cache {
    let redis = Redis::connect(server.url()).await.expect("Redis answers");
    let mut builder = Cache::builder(Policy::default()).redis(redis);
    for (name, edge) in edges {
        builder = builder.edge(Edge::named(*name, &edge.url, "t"));
    }
    builder.build().await.expect("built")
}

/// What an edge was told, in order: surrogate keys, or `*` for everything.
fn told(edge: &EdgeServer) -> Vec<String> {
    let names = |call: edge_server::Call| {
        if call.body["everything"] == true {
            return vec!["*".to_owned()];
        }
        let keys = call.body["surrogate_keys"].as_array().into_iter().flatten();
        keys.filter_map(|key| Some(key.as_str()?.to_owned()))
            .collect()
    };
    edge.calls().into_iter().flat_map(names).collect()
}

/// Waits until these edges, new to the ledger, have been purged whole: what is purged later is told by its name.
async fn purged_whole(edges: &[&EdgeServer]) {
    wait_until("new edges are purged whole, once", async || {
        edges.iter().all(|edge| told(edge) == ["*"])
    })
    .await;
}

/// The state of each edge, by name.
fn edges(receipt: &Receipt) -> Vec<(&str, PurgeState)> {
    let tiers = receipt.tiers.iter();
    tiers
        .filter(|tier| tier.tier == PurgedTier::Edge)
        .map(|tier| (tier.name.as_deref().unwrap_or_default(), tier.state))
        .collect()
}

#[tokio::test]
async fn a_purge_by_a_process_that_knows_no_edge_reaches_every_edge_that_another_knows() {
    let server = RedisServer::start().await;
    let (eu, us) = (
        EdgeServer::answering(taken).await,
        EdgeServer::answering(taken).await,
    );
    let _sender = process(&server, &[("eu", &eu), ("us", &us)]).await;
    purged_whole(&[&eu, &us]).await;
    let other = process(&server, &[]).await;
    for key in ["a", "b"] {
        let purge = Purge::surrogate_key(key);
        let receipt = other.purge_wait(purge, LONG).await.expect("taken");
        assert_eq!(
            edges(&receipt),
            [("eu", PurgeState::Done), ("us", PurgeState::Done)]
        );
        assert!(receipt.visible_by_ms.is_some(), "{receipt:?}");
    }
    assert_eq!(
        (told(&eu), told(&us)),
        (told(&us), ["*", "a", "b"].map(str::to_owned).to_vec())
    );
}

#[tokio::test]
async fn an_edge_that_was_down_is_told_in_order_by_whoever_is_left_and_delays_no_other() {
    let server = RedisServer::start().await;
    let (eu, us) = (
        EdgeServer::answering(taken).await,
        EdgeServer::answering(taken).await,
    );
    let first = process(&server, &[("eu", &eu), ("us", &us)]).await;
    purged_whole(&[&eu, &us]).await;
    first
        .purge_wait(Purge::surrogate_key("before"), LONG)
        .await
        .expect("taken");
    eu.answer(down);
    let receipt = first.purge(Purge::surrogate_key("a")).await.expect("taken");
    assert_eq!(
        edges(&receipt),
        [("eu", PurgeState::Pending), ("us", PurgeState::Done)]
    );
    let detail = receipt.tiers.iter().find_map(|tier| tier.detail.as_deref());
    assert!(
        detail.is_some_and(|detail| detail.contains("503")),
        "{detail:?}"
    );
    first
        .purge(Purge::surrogate_key("b").soft())
        .await
        .expect("taken");
    first.purge(Purge::surrogate_key("c")).await.expect("taken");
    assert!(eu.calls().len() > 2, "it was tried");
    drop(first);

    eu.answer(taken);
    let second = process(&server, &[("eu", &eu), ("us", &us)]).await;
    let receipt = second
        .purge_wait(Purge::surrogate_key("d"), LONG)
        .await
        .expect("taken");
    assert_eq!(
        edges(&receipt),
        [("eu", PurgeState::Done), ("us", PurgeState::Done)]
    );
    let mut names = told(&eu);
    names.dedup(); // the attempts while it was down
    assert_eq!(names, ["*", "before", "a", "b", "c", "d"]);
    assert_eq!(told(&us), ["*", "before", "a", "b", "c", "d"]);
}

#[tokio::test]
async fn several_processes_send_each_purge_once() {
    let server = RedisServer::start().await;
    let eu = EdgeServer::answering(taken).await;
    let mut caches = Vec::new();
    for _ in 0..3 {
        caches.push(process(&server, &[("eu", &eu)]).await);
    }
    purged_whole(&[&eu]).await;
    let mut purges = tokio::task::JoinSet::new();
    for number in 0..60 {
        let cache = caches[number % 3].clone();
        purges.spawn(async move {
            let purge = Purge::surrogate_key(format!("k{number}"));
            cache.purge_wait(purge, LONG).await.expect("taken")
        });
    }
    for receipt in purges.join_all().await {
        assert_eq!(edges(&receipt), [("eu", PurgeState::Done)]);
    }
    let mut names = told(&eu);
    assert_eq!(names.len(), 61, "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 61);
    let places = eu.calls();
    let places = places.iter().filter_map(|call| {
        let epoch: Epoch = call.body["origin_epoch"].as_str()?.parse().ok()?;
        Some(epoch.sequence)
    });
    assert!(places.is_sorted(), "in the ledger's order");
}

#[tokio::test]
async fn whatever_redis_loses_the_edge_is_purged_whole_and_told_each_purge_afterwards() {
    let server = RedisServer::start().await;
    let eu = EdgeServer::answering(taken).await;
    let cache = process(&server, &[("eu", &eu)]).await;
    cache
        .purge_wait(Purge::surrogate_key("a"), LONG)
        .await
        .expect("taken");
    for lost in [
        &["DEL", "terrace:{default}:outbox:v1"][..],
        &["DEL", "terrace:{default}:edges:v1"],
        &["DEL", "terrace:{default}:ledger:v2"],
        &["FLUSHALL"],
    ] {
        eu.answer(down);
        cache
            .purge(Purge::surrogate_key("lost"))
            .await
            .expect("taken");
        let _: Option<redis::Value> = server.call(lost).await;
        let before = told(&eu).iter().filter(|name| *name == "*").count();
        eu.answer(taken);
        wait_until("the edge is purged whole", async || {
            told(&eu).iter().filter(|name| *name == "*").count() > before
        })
        .await;
        let receipt = cache.purge_wait(Purge::surrogate_key("after"), LONG).await;
        let receipt = receipt.expect("taken");
        assert_eq!(edges(&receipt), [("eu", PurgeState::Done)], "{lost:?}");
        assert_eq!(
            told(&eu).last().map(String::as_str),
            Some("after"),
            "{lost:?}"
        );
    }
}

#[tokio::test]
async fn what_every_edge_has_taken_leaves_the_outbox() {
    let server = RedisServer::start().await;
    let eu = EdgeServer::answering(taken).await;
    let cache = process(&server, &[("eu", &eu)]).await;
    let mut purges = tokio::task::JoinSet::new();
    for number in 0..600 {
        let cache = cache.clone();
        purges.spawn(async move {
            cache
                .purge(Purge::surrogate_key(format!("k{number}")))
                .await
                .expect("taken")
        });
    }
    purges.join_all().await;
    cache
        .purge_wait(Purge::surrogate_key("last"), LONG)
        .await
        .expect("taken");
    let letters: Option<u64> = server.call(&["XLEN", "terrace:{default}:outbox:v1"]).await;
    assert!(letters.is_some_and(|letters| letters <= 200), "{letters:?}");
    assert!(
        eu.calls().len() < 600,
        "neighbours go together: {} calls",
        eu.calls().len()
    );
}

#[tokio::test]
async fn a_second_purge_outlives_the_process_that_asked_for_it() {
    let server = RedisServer::start().await;
    let eu = EdgeServer::answering(taken).await;
    let asking = process(&server, &[]).await;
    let purge = Purge::surrogate_key("a").again_after(Duration::from_secs(3));
    let receipt = asking.purge(purge).await.expect("taken");
    assert!(
        receipt.again_at_ms > Some(receipt.purged_at_ms),
        "{receipt:?}"
    );
    assert_eq!(receipt.tiers[0].detail, None);
    drop(asking);
    let other = process(&server, &[("eu", &eu)]).await;
    wait_until("another carries it out", async || {
        told(&eu).contains(&"a".to_owned())
    })
    .await;
    let sequence = other.epoch().map(|epoch| epoch.sequence.as_u64());
    assert_eq!(sequence, Some(2));
    wait_until("it is struck off", async || {
        server.call(&["ZCARD", "terrace:{default}:again:v1"]).await == Some(0)
    })
    .await;
    assert_eq!(
        told(&eu),
        ["*", "a"],
        "the first purge was before this edge was known"
    );
    let call = eu.calls().remove(1);
    assert_eq!(call.body.get("after_ms"), None);
    assert_eq!(
        (&*call.path, &*call.authorization),
        ("/.terrace/purge", "Bearer t")
    );
}

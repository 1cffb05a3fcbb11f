//! Purges at the edge, before an origin whose answers the test decides.

use e2e::{Answer, Content, Edge, TestOrigin, wait_until};
use serde_json::json;

const CACHED: [(&str, &str); 2] = [
    ("cache-control", "max-age=600"),
    ("surrogate-key", "plans region:TX"),
];

async fn edge_with(path: &str, body: &str, fields: &[(&str, &str)]) -> (TestOrigin, Edge) {
    let origin = TestOrigin::start().await;
    origin.set(path, Content::new(body, fields));
    let edge = Edge::start(&origin.url).await;
    (origin, edge)
}

#[tokio::test]
async fn a_fill_under_way_does_not_survive_a_purge() {
    let (origin, edge) = edge_with("/api/plans", "old", &CACHED).await;
    let hold = origin.hold("/api/plans");
    // The origin has decided on its old answer, and holds it.
    let client = edge.client.clone();
    let filling = tokio::spawn(async move { client.get("/api/plans").await });
    hold.arrived().await;

    origin.set("/api/plans", Content::new("new", &CACHED));
    origin.stop_holding("/api/plans");
    let receipt = edge
        .purge(&json!({ "surrogate_keys": ["region:TX"] }))
        .await;
    assert_eq!(receipt.status, 200, "{}", receipt.text());
    hold.release();

    // The request that began before the purge may see the old answer; nobody after it may.
    assert_eq!(filling.await.unwrap().text(), "old");
    let after = edge.get("/api/plans").await;
    assert_eq!(after.text(), "new", "{}", after.cache_status());
    assert_eq!(edge.hit("/api/plans").await.text(), "new");
}

#[tokio::test]
async fn a_validation_under_way_does_not_survive_a_purge() {
    let fields = [
        ("cache-control", "max-age=600"),
        ("etag", "\"1\""),
        ("surrogate-key", "plans"),
    ];
    let (origin, edge) = edge_with("/api/plans", "old", &fields).await;
    assert_eq!(edge.hit("/api/plans").await.text(), "old");
    edge.purge(&json!({ "surrogate_keys": ["plans"], "mode": "soft" }))
        .await;

    let hold = origin.hold("/api/plans");
    origin.set(
        "/api/plans",
        Content {
            status: 304,
            ..Content::new("", &fields)
        },
    );
    let client = edge.client.clone();
    let validating = tokio::spawn(async move {
        client
            .send(
                http::Method::GET,
                "/api/plans",
                &[("cache-control", "no-cache")],
                "",
            )
            .await
    });
    hold.arrived().await;
    origin.set("/api/plans", Content::new("new", &fields));
    origin.stop_holding("/api/plans");
    edge.purge(&json!({ "surrogate_keys": ["plans"] })).await;
    hold.release();

    // The 304 speaks of what has been purged meanwhile: the origin is asked again.
    assert_eq!(validating.await.unwrap().text(), "new");
    assert_eq!(edge.get("/api/plans").await.text(), "new");
}

/// A response of which there may be one for each language.
const BY_LANGUAGE: [(&str, &str); 4] = [
    ("cache-control", "max-age=600"),
    ("etag", "\"1\""),
    ("surrogate-key", "plans"),
    ("vary", "accept-language"),
];

async fn get_in(edge: &Edge, language: &str) -> Answer {
    let fields = [("accept-language", language)];
    let client = &edge.client;
    client
        .send(http::Method::GET, "/api/plans", &fields, "")
        .await
}

/// The entity tags that the origin was offered with a request.
fn offered(origin: &TestOrigin, request: usize) -> Option<http::HeaderValue> {
    let requests = origin.requests("/api/plans");
    requests[request].get("if-none-match").cloned()
}

#[tokio::test]
async fn a_variant_that_the_origin_picks_does_not_survive_a_purge() {
    let (origin, edge) = edge_with("/api/plans", "old", &BY_LANGUAGE).await;
    assert_eq!(edge.hit("/api/plans").await.text(), "old");
    let hold = origin.hold("/api/plans");
    origin.set(
        "/api/plans",
        Content {
            status: 304,
            ..Content::new("", &BY_LANGUAGE)
        },
    );
    let picking = async { get_in(&edge, "de").await };
    let purging = async {
        hold.arrived().await;
        origin.set("/api/plans", Content::new("new", &BY_LANGUAGE));
        origin.stop_holding("/api/plans");
        edge.purge(&json!({ "surrogate_keys": ["plans"] })).await;
        hold.release();
    };
    let (picked, ()) = tokio::join!(picking, purging);

    // The 304 speaks of what has been purged meanwhile: the origin is asked again.
    assert_eq!(picked.text(), "new", "{}", picked.cache_status());
    assert_eq!(offered(&origin, 1).unwrap(), "\"1\"");
    assert_eq!(offered(&origin, 2), None);
    assert_eq!(get_in(&edge, "de").await.text(), "new");
    assert_eq!(edge.get("/api/plans").await.text(), "new");
}

#[tokio::test]
async fn what_was_purged_is_not_offered_to_the_origin_for_other_requests() {
    let (origin, edge) = edge_with("/api/plans", "old", &BY_LANGUAGE).await;
    assert_eq!(edge.hit("/api/plans").await.text(), "old");
    get_in(&edge, "de").await;
    assert_eq!(offered(&origin, 1).unwrap(), "\"1\"");
    edge.purge(&json!({ "surrogate_keys": ["plans"] })).await;
    let answer = get_in(&edge, "fr").await;
    assert_eq!(offered(&origin, 2), None, "{}", answer.cache_status());
}

#[tokio::test]
async fn every_scope_reaches_a_stored_response_and_others_do_not() {
    let (origin, edge) = edge_with("/api/plans/7?zip=1", "1", &CACHED).await;
    let host = edge.client.base().trim_start_matches("http://").to_owned();
    let mut version = 1;
    for (purge, reaches) in [
        (json!({ "surrogate_keys": ["region:TX"] }), true),
        (json!({ "surrogate_keys": ["region:NY"] }), false),
        (
            json!({ "urls": [format!("http://{host}/api/plans/7?zip=1")] }),
            true,
        ),
        (json!({ "urls": ["/api/plans/7?zip=1"] }), true),
        (json!({ "urls": ["/api/plans/7"] }), false),
        (json!({ "prefixes": ["/api/plans/"] }), true),
        (json!({ "prefixes": ["/api/p"] }), true),
        (json!({ "prefixes": ["/api/x"] }), false),
        (json!({ "patterns": ["/api/*/7?*"] }), true),
        (json!({ "hosts": [host] }), true),
        (json!({ "hosts": ["example.com"] }), false),
        (json!({ "everything": true }), true),
        (json!({ "everything": true, "mode": "soft" }), true),
    ] {
        edge.hit("/api/plans/7?zip=1").await;
        version += 1;
        origin.set(
            "/api/plans/7?zip=1",
            Content::new(&version.to_string(), &CACHED),
        );
        let receipt = edge.purge(&purge).await;
        assert_eq!(receipt.status, 200, "{}", receipt.text());
        // A soft purge may be served stale while it is refreshed, once.
        wait_until(&format!("{purge} shows"), async || {
            let shown = edge.get("/api/plans/7?zip=1").await.text() == version.to_string();
            (shown == reaches).then_some(())
        })
        .await;
        if !reaches {
            edge.purge(&json!({ "everything": true })).await;
        }
    }
}

#[tokio::test]
async fn a_soft_purge_serves_stale_within_grace_and_refreshes_behind_it() {
    let fields = [
        ("cache-control", "max-age=600, stale-while-revalidate=600"),
        ("surrogate-key", "plans"),
    ];
    let (origin, edge) = edge_with("/api/plans", "old", &fields).await;
    assert_eq!(edge.hit("/api/plans").await.text(), "old");
    origin.set("/api/plans", Content::new("new", &fields));
    edge.purge(&json!({ "surrogate_keys": ["plans"], "mode": "soft" }))
        .await;
    let stale = edge.get("/api/plans").await;
    assert_eq!(stale.text(), "old", "{}", stale.cache_status());
    assert!(stale.is_hit(), "{}", stale.cache_status());
    wait_until("the refresh behind it has come", async || {
        (edge.get("/api/plans").await.text() == "new").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_produced_under_an_older_origin_position_is_not_kept() {
    let epoch = |sequence| format!("00000000000000aa-{sequence}");
    let (old_epoch, new_epoch) = (epoch(4), epoch(5));
    let at = |epoch: &str, body: &str| {
        let mut content = Content::new(body, &CACHED);
        content.fields.push(("terrace-epoch".into(), epoch.into()));
        content
    };
    let origin = TestOrigin::start().await;
    let edge = Edge::start(&origin.url).await;
    edge.purge(&json!({ "surrogate_keys": ["region:TX"], "origin_epoch": new_epoch }))
        .await;
    // An instance that has not heard of the purge answers after it.
    origin.set("/api/plans", at(&old_epoch, "old"));
    assert_eq!(edge.get("/api/plans").await.text(), "old");
    origin.set("/api/plans", at(&new_epoch, "new"));
    assert_eq!(edge.get("/api/plans").await.text(), "new");
    assert_eq!(edge.hit("/api/plans").await.text(), "new");
}

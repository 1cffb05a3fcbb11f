//! Purges on their way to a Cloudflare zone, before a server that answers as Cloudflare's API does.

mod edge_server;

use std::time::{Duration, Instant};

use axum::response::{IntoResponse as _, Response};
use edge_server::EdgeServer;
use http::StatusCode;
use serde_json::{Value, json};
use terrace_origin::{Cache, CloudflareZone, Policy, Purge};
use terrace_shared::purge::wire::{PurgeState, PurgedTier};

const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

fn done(_: &Value) -> Response {
    axum::Json(json!({ "success": true, "errors": [], "messages": [], "result": { "id": ZONE } }))
        .into_response()
}

fn refused(status: StatusCode, code: u32, message: &str) -> Response {
    let errors = json!([{ "code": code, "message": message }]);
    let body = json!({ "success": false, "errors": errors, "messages": [], "result": null });
    (status, axum::Json(body)).into_response()
}

async fn cache(api: &EdgeServer) -> Cache {
    let zone = CloudflareZone::new(ZONE, "s3cret").api(format!("{}/client/v4", api.url));
    Cache::builder(Policy::default())
        .cloudflare_zone(zone.bound(Duration::from_secs(7)))
        .build()
        .await
        .expect("built")
}

#[tokio::test]
async fn a_zone_is_purged_in_the_words_of_its_api() {
    let api = EdgeServer::answering(done).await;
    let cache = cache(&api).await;
    let purge = Purge::surrogate_keys((0..150).map(|number| format!("k{number}")))
        .and(Purge::host("img.example.com"));
    let receipt = cache.purge(purge).await.expect("taken");
    let zone = receipt.tiers.last().expect("the zone");
    assert_eq!(
        (zone.tier, zone.state),
        (PurgedTier::Edge, PurgeState::Done)
    );
    assert_eq!(zone.name.as_deref(), Some(&*format!("cloudflare:{ZONE}")));
    assert_eq!((zone.bound_ms.as_u64(), zone.epoch), (7_000, None));
    let calls = api.calls();
    assert_eq!(calls.len(), 3, "{calls:?}");
    for call in &calls {
        assert_eq!(call.path, format!("/client/v4/zones/{ZONE}/purge_cache"));
        assert_eq!(call.authorization, "Bearer s3cret");
    }
    assert_eq!(calls[1].body["tags"].as_array().map(Vec::len), Some(50));
    assert_eq!(calls[2].body, json!({ "hosts": ["img.example.com"] }));
}

#[tokio::test]
async fn a_zone_that_has_had_enough_is_left_alone_for_as_long_as_it_says() {
    let api = EdgeServer::answering(|_| {
        let limit = "Please consider throttling your request speed";
        let mut busy = refused(StatusCode::TOO_MANY_REQUESTS, 971, limit);
        let two_seconds = http::HeaderValue::from_static("2");
        busy.headers_mut().insert("retry-after", two_seconds);
        busy
    })
    .await;
    let cache = cache(&api).await;
    let began = Instant::now();
    let receipt = cache.purge(Purge::surrogate_key("a")).await.expect("taken");
    let zone = receipt.tiers.last().expect("the zone");
    assert_eq!(zone.state, PurgeState::Pending);
    let detail = zone.detail.as_deref().unwrap_or_default();
    api.answer(done);
    assert!(
        detail.contains("Cloudflare answered 429") && detail.contains("971"),
        "{detail}"
    );
    let receipt = cache.purge_wait(Purge::surrogate_key("b"), Duration::from_secs(20));
    assert!(receipt.await.expect("taken").visible_by_ms.is_some());
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    // What waited meanwhile goes in one call.
    assert_eq!(
        api.calls().last().expect("calls").body,
        json!({ "tags": ["a", "b"] })
    );
}

#[tokio::test]
async fn what_a_zone_refuses_to_understand_becomes_everything() {
    let api = EdgeServer::answering(|body| {
        if body.get("tags").is_some() {
            return refused(StatusCode::BAD_REQUEST, 1_140, "Unable to purge tags");
        }
        done(body)
    })
    .await;
    let cache = cache(&api).await;
    let receipt = cache.purge(Purge::surrogate_key("a")).await.expect("taken");
    assert!(receipt.visible_by_ms.is_some(), "{receipt:?}");
    assert_eq!(api.calls()[1].body, json!({ "purge_everything": true }));
}

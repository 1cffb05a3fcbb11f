//! The layer around axum routers: nested ones, several routes, surrogate keys as a part of a response.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Path;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, Request};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use terrace_origin::http::{CacheLayer, SurrogateKeys};
use terrace_origin::{Cache, Policy, Purge};
use tower::ServiceExt;

const FRESH: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "max-age=60")];

async fn product(Path(number): Path<u32>) -> impl IntoResponse {
    (
        SurrogateKeys::of([format!("product:{number}")]),
        FRESH,
        format!("product {number}"),
    )
}

async fn answer(app: &Router, request: Request<Body>) -> (String, String) {
    let response = app.clone().oneshot(request).await.expect("infallible");
    let said = response.headers()["cache-status"]
        .to_str()
        .expect("text")
        .to_owned();
    let body = to_bytes(response.into_body(), 1 << 10)
        .await
        .expect("a body");
    (String::from_utf8(body.to_vec()).expect("text"), said)
}

async fn ask(app: &Router, path: &str) -> (String, String) {
    answer(
        app,
        Request::get(path).body(Body::empty()).expect("a request"),
    )
    .await
}

#[tokio::test]
async fn routes_of_nested_routers_are_kept_apart() {
    let cache = Cache::builder(Policy::default())
        .build()
        .await
        .expect("a cache");
    let layer = CacheLayer::new(cache.clone());
    let nested = |text: &'static str| {
        Router::new()
            .route("/x", get(async move || (FRESH, text)))
            .layer(layer.clone())
    };
    let app = Router::new()
        .nest("/a", nested("a"))
        .nest("/b", nested("b"))
        .route("/product/{number}", get(product))
        .route("/change", post(async || [("location", "/a/x")]))
        .layer(layer);
    for path in ["/a/x", "/b/x"] {
        for _ in 0..2 {
            assert_eq!(ask(&app, path).await.0, &path[1..2]);
        }
        assert!(ask(&app, path).await.1.starts_with("Terrace; hit"));
    }
    for number in [1, 2, 1] {
        let (text, _) = ask(&app, &format!("/product/{number}")).await;
        assert_eq!(text, format!("product {number}"));
    }
    let purged = cache.purge(Purge::surrogate_key("product:1")).await;
    assert!(purged.is_ok());
    assert!(ask(&app, "/product/1").await.1.contains("fwd=miss"));
    assert!(ask(&app, "/product/2").await.1.starts_with("Terrace; hit"));
    let change = Request::post("/change")
        .body(Body::empty())
        .expect("a request");
    assert!(answer(&app, change).await.1.contains("fwd=method"));
    assert!(ask(&app, "/a/x").await.1.contains("fwd=miss"));
}

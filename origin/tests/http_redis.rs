//! The layer over a real Redis: what one process stores, the others find, and what one purges, they do not.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use support::{RedisServer, wait_until};
use terrace_origin::http::{CacheLayer, CacheService};
use terrace_origin::{Cache, Policy, Purge, Redis};
use terrace_shared::policy::{LedgerPolicy, OnLedgerLag, PathPattern, Route, RouteClass};
use terrace_shared::time::DeltaSeconds;
use tower::{BoxError, ServiceExt};
use tower_layer::Layer;

/// One process, whose service answers how often it was asked.
#[derive(Clone)]
struct Process {
    cache: Cache,
    service: CacheService<Counting>,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Counting(Arc<AtomicUsize>);

impl tower_service::Service<Request<Empty<Bytes>>> for Counting {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<Full<Bytes>>, BoxError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let language = request.headers().get("accept-language");
        let language = language.map_or("", |language| language.to_str().expect("text"));
        let mut response = Response::new(Full::from(format!("{number}{language}")));
        for (name, value) in [
            ("cache-control", "max-age=600"),
            ("surrogate-key", "product:42"),
            ("vary", "accept-language"),
        ] {
            let value = value.parse().expect("a value");
            response.headers_mut().insert(name, value);
        }
        std::future::ready(Ok(response))
    }
}

impl Process {
    async fn start(server: &RedisServer) -> Self {
        let redis = Redis::connect(server.url()).await.expect("it runs");
        let mut route = Route::new(PathPattern::all(), RouteClass::OriginHeaders);
        route.purge_bound = DeltaSeconds::seconds(2);
        route.on_ledger_lag = OnLedgerLag::Revalidate;
        let policy = Policy::default()
            .with_ledger(LedgerPolicy::default())
            .with_route(route);
        let built = Cache::builder(policy).redis(redis).build().await;
        let cache = built.expect("a cache");
        let asked = Arc::new(AtomicUsize::new(0));
        let layer = CacheLayer::new(cache.clone());
        Self {
            service: layer.layer(Counting(asked.clone())),
            cache,
            asked,
        }
    }

    async fn get(&self, language: &str) -> (String, String) {
        let request = Request::get("http://a.example/x")
            .header("accept-language", language)
            .body(Empty::new())
            .expect("a request");
        let response = self.service.clone().oneshot(request).await;
        let response = response.expect("an answer");
        let said = response.headers()["cache-status"].to_str();
        let said = said.expect("text").to_owned();
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        (text, said)
    }
}

#[tokio::test]
async fn what_one_process_stores_the_others_find_until_one_purges_it() {
    let server = RedisServer::start().await;
    let (one, two) = (Process::start(&server).await, Process::start(&server).await);
    assert_eq!(one.get("de").await.0, "1de");
    assert_eq!(one.get("en").await.0, "2en");
    one.cache.flush().await;
    for (language, text) in [("de", "1de"), ("en", "2en")] {
        let (got, said) = two.get(language).await;
        assert_eq!(got, text);
        assert!(
            said.starts_with("Terrace; hit") && said.contains("redis"),
            "{said}"
        );
    }
    assert_eq!(two.asked.load(Ordering::SeqCst), 0);

    let receipt = one.cache.purge(Purge::surrogate_key("product:42")).await;
    let epoch = receipt.expect("taken").epoch;
    wait_until("the other process has the purge", async || {
        two.cache.epoch() == Some(epoch)
    })
    .await;
    assert_eq!(
        two.get("de").await.0,
        "1de",
        "asked anew, for the first time"
    );
    assert_eq!(two.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn when_redis_is_gone_the_service_is_asked_and_nobody_waits_for_redis() {
    let mut server = RedisServer::start().await;
    let process = Process::start(&server).await;
    assert_eq!(process.get("de").await.0, "1de");
    assert!(process.get("de").await.1.starts_with("Terrace; hit"));
    server.kill();
    wait_until("the view is known to be too old", async || {
        process.get("de").await.1.contains("ledger-lag")
    })
    .await;
    let asked = process.asked.load(Ordering::SeqCst);
    let (text, said) = process.get("de").await;
    assert!(
        said.contains("fwd=stale") && !said.contains("; hit"),
        "{said}"
    );
    assert_eq!(text, format!("{}de", asked + 1));

    server.restart().await;
    wait_until("it is stored again", async || {
        process.get("de").await.1.starts_with("Terrace; hit")
    })
    .await;
    tokio::time::timeout(Duration::from_secs(10), process.cache.flush())
        .await
        .expect("no write hangs");
}

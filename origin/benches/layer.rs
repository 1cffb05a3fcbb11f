//! What the layer costs: a hit beside the bare service that it stands in front of.

use std::convert::Infallible;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use terrace_origin::http::CacheLayer;
use terrace_origin::{Cache, Policy};
use tokio::runtime::Runtime;
use tower::{Service, ServiceExt};
use tower_layer::Layer;

fn hits(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = runtime.block_on(Cache::builder(Policy::default()).build());
    let layer = CacheLayer::new(cache.expect("a cache"));
    let body = Bytes::from(vec![b'a'; 1 << 10]);
    let bare = tower::service_fn(move |_: Request<Empty<Bytes>>| {
        let mut response = Response::new(Full::new(body.clone()));
        for (name, value) in [
            ("cache-control", "max-age=3600"),
            ("content-type", "text/plain"),
            ("etag", "\"1\""),
        ] {
            let value = http::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let request = || {
        Request::get("/1k")
            .header("host", "a.example")
            .header("accept", "*/*")
            .header("user-agent", "bench")
            .body(Empty::<Bytes>::new())
            .expect("a request")
    };
    let mut layered = layer.layer(bare.clone());
    runtime.block_on(async {
        let first = layered.clone().oneshot(request()).await.expect("an answer");
        first.into_body().collect().await.expect("a body");
    });
    let mut bare = bare;
    let _entered = runtime.enter();
    criterion.bench_function("layer/bare", |bencher| {
        bencher.iter(|| futures_util::FutureExt::now_or_never(bare.call(black_box(request()))));
    });
    criterion.bench_function("layer/hit", |bencher| {
        bencher.iter(|| futures_util::FutureExt::now_or_never(layered.call(black_box(request()))));
    });
}

criterion_group!(benches, hits);
criterion_main!(benches);

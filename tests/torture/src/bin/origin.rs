//! A service to be tortured: `get_or_fill` and `CacheLayer` over memory, Redis and the edge.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use terrace_origin::http::CacheLayer;
use terrace_origin::{
    After, ByteCount, Cache, Edge, Namespace, Policy, PurgeRequest, Redis, ShiftedClock,
    TokenSecrets, key,
};
use terrace_shared::http::Exposure;
use terrace_shared::time::Milliseconds;
use terrace_torture::checker::Label;
use terrace_torture::http::label_of;
use terrace_torture::names::Key;
use terrace_torture::source::SourceClient;
use terrace_torture::{TOKEN_SECRET, VIEW_FIELD};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// A service to be tortured.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// The Redis that holds values and the ledger.
    #[arg(long)]
    redis: String,
    /// The versioned source.
    #[arg(long)]
    source: SocketAddr,
    /// The edge that purges are sent on to.
    #[arg(long)]
    edge: String,
    /// What the edge knows this service by.
    #[arg(long)]
    edge_token: String,
    /// A rule of the ledger to be broken.
    #[arg(long = "break")]
    broken: Option<String>,
}

struct Service {
    cache: Cache,
    clock: ShiftedClock,
    values: Namespace<u64>,
    source: SourceClient,
    /// The pages behind the layer, for reads that come in batches.
    pages: Router,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    terrace_torture::sabotage(arguments.broken.as_deref());
    let policy = Policy::from_toml(include_str!("../../policy.toml")).expect("a policy");
    let clock = ShiftedClock::default();
    let redis = Redis::lazy(&arguments.redis).expect("the URL of a Redis");
    let cache = Cache::builder(policy)
        .memory(ByteCount::mebibytes(16))
        .redis(redis)
        .edge(Edge::new(&arguments.edge, &arguments.edge_token))
        .shifted_clock(&clock)
        .token_secrets(TokenSecrets::parse(TOKEN_SECRET).expect("a secret"))
        .build()
        .await
        .expect("a cache");
    let source = SourceClient::of(arguments.source);
    let layer = CacheLayer::new(cache.clone()).surrogate_keys(Exposure::Send);
    let pages = Router::new()
        .route("/api/t/{group}/{key}", get(page))
        .with_state(source.clone())
        .layer(layer);
    let service = Arc::new(Service {
        values: cache.namespace("torture").expect("in the policy"),
        cache,
        clock,
        source: source.clone(),
        pages: pages.clone(),
    });
    let own = Router::new()
        .route("/value/{key}", get(value))
        .route("/many", get(many))
        .route("/torture/purge", post(purge))
        .route("/torture/clock", post(shift_clock))
        .route("/torture/edge", get(edge))
        .with_state(service.clone());
    let router = Router::new()
        .route("/api/d/{group}/{key}", get(page))
        .with_state(source)
        .merge(own)
        .merge(pages)
        .layer(middleware::from_fn_with_state(service, share_and_part));

    let listener = TcpListener::bind(arguments.listen).await.expect("a port");
    println!(
        r#"{{"url":"http://{}"}}"#,
        listener.local_addr().expect("bound")
    );
    let stopped = async {
        let mut rest = Vec::new();
        // Whether it closes or breaks, nobody holds the other end any more.
        let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await
        .expect("served");
}

/// A page that the layer, or only the edge, caches: its version, with a validator.
async fn page(
    State(source): State<SourceClient>,
    Path((_, key)): Path<(u16, usize)>,
    fields: HeaderMap,
) -> Response {
    let Some(key) = Key::at(key) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(version) = source.read(key).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let tag = format!("\"{version}\"");
    let known = fields.get(header::IF_NONE_MATCH);
    let mut response = if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        version.to_string().into_response()
    };
    let field = |text: &str| HeaderValue::from_str(text).expect("visible ASCII");
    let fields = response.headers_mut();
    fields.insert(
        header::CACHE_CONTROL,
        field("max-age=20, stale-while-revalidate=20"),
    );
    fields.insert(header::ETAG, field(&tag));
    fields.insert("surrogate-key", field(&key.surrogate_keys().join(" ")));
    response
}

/// A value of the namespace, no older than what the request's tokens name.
async fn value(
    State(service): State<Arc<Service>>,
    Path(key): Path<usize>,
    fields: HeaderMap,
) -> Response {
    let Some(key) = Key::at(key) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let after = service.cache.after(&fields);
    match service.value(key, &after).await {
        Some((version, label)) => {
            let mut response = version.to_string().into_response();
            let said = match label {
                Label::Current => "get_or_fill; hit",
                Label::Stale => "get_or_fill; hit; ttl=-1",
            };
            let said = HeaderValue::from_static(said);
            response.headers_mut().insert("cache-status", said);
            response
        }
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// Which keys are read at once: the first of them, and how many.
#[derive(Deserialize)]
struct Many {
    first: usize,
    count: usize,
}

/// Reads of many keys, each by `get_or_fill` and through the layer: a line for each, with two words, which are a
/// version, `~` before one that is labelled stale, or a hyphen for none.
async fn many(State(service): State<Arc<Service>>, Query(many): Query<Many>) -> String {
    let keys = (many.first..many.first + many.count).filter_map(Key::at);
    let (service, none) = (&*service, &After::default());
    let reads = keys.map(|key| async move {
        let (value, page) = tokio::join!(service.value(key, none), service.page(key));
        format!("{} {}\n", word(value), word(page))
    });
    join_all(reads).await.concat()
}

fn word(read: Option<(u64, Label)>) -> String {
    match read {
        Some((version, Label::Current)) => version.to_string(),
        Some((version, Label::Stale)) => format!("~{version}"),
        None => "-".to_owned(),
    }
}

impl Service {
    /// Which process this is, where its view of the ledger stands, and how old that is.
    fn view(&self) -> HeaderValue {
        let ledger = self.cache.stats().ledger;
        let epoch = ledger.epoch.map(|epoch| epoch.to_string());
        let age = ledger.view_age_ms.map(Milliseconds::as_u64);
        let id = std::process::id();
        let text = format!(
            "process {id} at {} seen {age:?} ms ago",
            epoch.unwrap_or_default()
        );
        HeaderValue::from_str(&text).expect("visible ASCII")
    }

    async fn value(&self, key: Key, after: &After) -> Option<(u64, Label)> {
        let source = self.source.clone();
        let parts = key!(group: key.group(), key: key.index());
        let values = self.values.after(after);
        let read = values.answer_or_refresh(&parts, move |_| async move { source.read(key).await });
        let answer = read.await.ok()?;
        let label = match answer.stale {
            Some(_) => Label::Stale,
            None => Label::Current,
        };
        Some((*answer.value, label))
    }

    async fn page(&self, key: Key) -> Option<(u64, Label)> {
        let request = Request::builder()
            .uri(key.path())
            .header(header::HOST, HOST)
            .body(Body::empty())
            .expect("a request");
        let response = self.pages.clone().oneshot(request).await;
        let response = response.unwrap_or_else(|never: Infallible| match never {});
        if response.status() != StatusCode::OK {
            return None;
        }
        let said = response.headers().get_all("cache-status").iter();
        let said: Vec<_> = said.filter_map(|line| line.to_str().ok()).collect();
        let label = label_of(&said.join(", "));
        let body = response.into_body().collect().await.ok()?.to_bytes();
        let version = std::str::from_utf8(&body).ok()?.parse().ok()?;
        Some((version, label))
    }
}

/// The host of every page.
const HOST: &str = "pages.internal";

async fn purge(State(service): State<Arc<Service>>, Json(request): Json<PurgeRequest>) -> Response {
    match service.cache.purge(request).await {
        Ok(receipt) => Json(receipt).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// How the wall clock jumps.
#[derive(Deserialize)]
struct Jump {
    milliseconds: i64,
}

async fn shift_clock(State(service): State<Arc<Service>>, Query(jump): Query<Jump>) {
    let length = Milliseconds::new(jump.milliseconds.unsigned_abs());
    if jump.milliseconds < 0 {
        service.clock.set_back(length);
    } else {
        service.clock.set_forward(length);
    }
}

/// Up to where the edge has taken the purges of all processes, as the outbox in Redis has it.
async fn edge(State(service): State<Arc<Service>>) -> Response {
    let edges = service.cache.edges().await.unwrap_or_default();
    match edges.iter().find_map(|edge| edge.taken) {
        Some(taken) => taken.to_string().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Gives all requests one host, so that whoever asks shares what is stored; and ends a connection now and then, so
/// that whoever keeps them open comes to all processes in time. Each answer says who gave it, and how that one's view of
/// the ledger stood when it began.
async fn share_and_part(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let view = service.view();
    let host = HeaderValue::from_static(HOST);
    request.headers_mut().insert(header::HOST, host);
    let mut response = next.run(request).await;
    response.headers_mut().insert(VIEW_FIELD, view);
    if fastrand::u32(0..10) == 0 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

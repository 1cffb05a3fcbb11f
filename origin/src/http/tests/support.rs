//! A service that answers as it is told, and the layer in front of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, request};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use parking_lot::Mutex;
use terrace_shared::key::EncodedKey;
use terrace_shared::policy::Policy;
use terrace_shared::time::{DeltaSeconds, TimestampMillis};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;

use crate::clock::ManualClock;
use crate::http::store::Entry;
use crate::http::{BodyError, CacheBody, CacheLayer, CacheService, HttpStats};
use crate::ledger::{LocalLedger, PurgeLedger};
use crate::tests::{MapTier, secrets};
use crate::{Cache, Purge};

pub(super) const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// What several caches share, as several processes would.
pub(super) struct World {
    pub(super) clock: ManualClock,
    pub(super) tier: Option<Arc<MapTier>>,
    pub(super) ledger: Arc<dyn PurgeLedger>,
    policy: Policy,
}

/// One process: a cache, a layer, and a service behind it.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) cache: Cache,
    pub(super) origin: Origin,
    service: CacheService<Origin>,
}

/// A service that answers as it is told, and remembers what it was asked.
#[derive(Clone, Default)]
pub(super) struct Origin {
    script: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<request::Parts>>>,
}

/// What the service does about one request.
pub(super) enum Reply {
    /// It answers.
    Now(Response<TestBody>),
    /// It answers when it is told to.
    Later(oneshot::Receiver<Reply>),
    /// It fails.
    Fail,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the service is down")]
pub(super) struct Down;

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the body broke off")]
pub(super) struct Broken;

/// A body in chunks that a test sends when it wants to.
pub(super) struct TestBody {
    chunks: mpsc::UnboundedReceiver<Result<Frame<Bytes>, Broken>>,
    /// Told when the body goes.
    on_drop: Option<oneshot::Sender<()>>,
}

pub(super) type Chunks = mpsc::UnboundedSender<Result<Frame<Bytes>, Broken>>;

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) body: Result<String, BodyError>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::of(Policy::default())
    }

    pub(super) fn of(policy: Policy) -> Self {
        let clock = ManualClock::at(TimestampMillis::from_unix_millis(1_800_000_000_000));
        let ledger = LocalLedger::new(policy.ledger_limits(), &clock.clock());
        Self {
            tier: None,
            ledger: Arc::new(ledger),
            clock,
            policy,
        }
    }

    /// With a tier that processes share.
    pub(super) fn shared() -> Self {
        let tier = Some(Arc::new(MapTier::default()));
        Self {
            tier,
            ..Self::new()
        }
    }

    pub(super) fn with_ledger(self, ledger: Arc<dyn PurgeLedger>) -> Self {
        Self { ledger, ..self }
    }

    pub(super) fn process(&self) -> Process {
        self.process_with(|layer| layer)
    }

    pub(super) fn process_with(&self, change: impl FnOnce(CacheLayer) -> CacheLayer) -> Process {
        let tier = self.tier.clone().map(|tier| tier as _);
        let cache = Cache::builder(self.policy.clone())
            .clock(&self.clock)
            .token_secrets(secrets())
            .assemble(tier, self.ledger.clone(), None);
        let origin = Origin::default();
        let layer = change(CacheLayer::new(cache.clone()));
        Process {
            service: layer.layer(origin.clone()),
            cache,
            origin,
        }
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.clock.advance(DeltaSeconds::seconds(seconds));
    }
}

impl Process {
    /// The answer to a request, its body still to come.
    pub(super) async fn call(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<CacheBody<TestBody>>, Down> {
        self.service.clone().oneshot(request).await
    }

    pub(super) async fn ask(&self, request: Request<Empty<Bytes>>) -> Got {
        let response = self.call(request).await.expect("the service answers");
        read(response).await
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        self.ask(get(path, &[])).await
    }

    pub(super) async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        self.ask(get(path, fields)).await
    }

    /// A request on a task of its own.
    pub(super) fn spawn(&self, request: Request<Empty<Bytes>>) -> JoinHandle<Got> {
        let process = self.clone();
        tokio::spawn(async move { process.ask(request).await })
    }

    pub(super) async fn purge(&self, purge: Purge) {
        self.cache.purge(purge).await.expect("taken");
    }

    /// What memory has for a path.
    pub(super) fn stored(&self, path: &str) -> Arc<Entry> {
        let key = EncodedKey::of(["http", "a.example", path, ""]);
        let variants = self.service.site().memory.get(&key).expect("stored");
        variants.as_slice()[0].clone()
    }

    pub(super) fn counted(&self) -> HttpStats {
        self.cache.stats().http
    }
}

impl Origin {
    /// Answers the next request that is not answered for yet.
    pub(super) fn answers(&self, status: u16, fields: &[(&str, &str)], body: &str) {
        self.replies(Reply::Now(response(status, fields, body)));
    }

    pub(super) fn replies(&self, reply: Reply) {
        self.script.lock().push_back(reply);
    }

    /// Answers the next request when it is told to.
    pub(super) fn waits(&self) -> oneshot::Sender<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.replies(Reply::Later(receiver));
        sender
    }

    /// How often it was asked.
    pub(super) fn calls(&self) -> usize {
        self.asked.lock().len()
    }

    /// The fields of the last request.
    pub(super) fn last_asked(&self) -> request::Parts {
        self.asked.lock().last().expect("it was asked").clone()
    }
}

impl Service<Request<Empty<Bytes>>> for Origin {
    type Response = Response<TestBody>;
    type Error = Down;
    type Future = Pin<Box<dyn Future<Output = Result<Response<TestBody>, Down>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Down>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        self.asked.lock().push(request.into_parts().0);
        let mut reply = self.script.lock().pop_front();
        Box::pin(async move {
            loop {
                reply = match reply {
                    Some(Reply::Now(response)) => return Ok(response),
                    Some(Reply::Later(later)) => later.await.ok(),
                    Some(Reply::Fail) => return Err(Down),
                    None => return Ok(response(500, &[], "nothing was said about this request")),
                };
            }
        })
    }
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.chunks.poll_recv(context)
    }
}

impl Got {
    /// What the cache says it has done.
    pub(super) fn said(&self) -> &str {
        self.field("cache-status")
    }

    pub(super) fn field(&self, name: &str) -> &str {
        let value = self.fields.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    pub(super) fn text(&self) -> &str {
        self.body.as_deref().expect("a whole body")
    }
}

/// The answer to `request`, in time.
pub(super) async fn in_time<T>(request: JoinHandle<T>) -> T {
    let limit = std::time::Duration::from_mins(1);
    let answered = tokio::time::timeout(limit, request).await;
    answered.expect("in time").expect("no panic")
}

pub(super) async fn read(response: Response<CacheBody<TestBody>>) -> Got {
    let (head, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| String::from_utf8(body.to_bytes().to_vec()).expect("text"));
    Got {
        status: head.status,
        fields: head.headers,
        body,
    }
}

pub(super) fn get(path: &str, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    request("GET", path, fields)
}

pub(super) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.parse().expect("a method");
    *request.uri_mut() = path.parse().expect("a path");
    *request.headers_mut() = header_map(fields);
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("a.example"));
    request
}

pub(super) fn response(status: u16, fields: &[(&str, &str)], body: &str) -> Response<TestBody> {
    let (chunks, response) = streamed(status, fields);
    send(&chunks, body);
    response
}

/// A response whose body comes as it is sent.
pub(super) fn streamed(status: u16, fields: &[(&str, &str)]) -> (Chunks, Response<TestBody>) {
    let (sender, chunks) = mpsc::unbounded_channel();
    let mut response = Response::new(TestBody {
        chunks,
        on_drop: None,
    });
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = header_map(fields);
    (sender, response)
}

/// The same, and word of when the body is let go.
pub(super) fn watched(
    status: u16,
    fields: &[(&str, &str)],
) -> (Chunks, oneshot::Receiver<()>, Response<TestBody>) {
    let (chunks, mut response) = streamed(status, fields);
    let (sender, gone) = oneshot::channel();
    response.body_mut().on_drop = Some(sender);
    (chunks, gone, response)
}

pub(super) fn send(chunks: &Chunks, text: &str) {
    if !text.is_empty() {
        let frame = Frame::data(Bytes::copy_from_slice(text.as_bytes()));
        let _ = chunks.send(Ok(frame));
    }
}

fn header_map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a name");
        map.append(name, value.parse().expect("a value"));
    }
    map
}

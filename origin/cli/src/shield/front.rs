//! What is done with a request before anything is cached: refusals, tunnels, and the way to the upstream.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use terrace_origin::http::{CacheLayer, ResponseFuture};
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::body::{Accounted, AnswerBody, ExchangeGuard, RequestBody, UpstreamBody};
use super::connection::Client;
use super::error::{Refused, UpstreamError};
use super::fields::{self, HostError};
use super::informational::InterimSender;
use super::limits::Limits;
use super::purge_api::PurgeApi;
use super::server::Alive;
use super::upgrade;
use super::upstream::{Ask, Upstream, Visitor};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The cache in front of the upstream.
    pub(crate) layer: CacheLayer,
    /// The upstream itself.
    pub(crate) upstream: Upstream,
    /// How much a client may send.
    pub(crate) limits: Limits,
    /// Terrace's own endpoints.
    pub(crate) own: PurgeApi,
}

/// The service of one connection.
#[derive(Debug)]
pub(crate) struct Front {
    shared: Arc<Shared>,
    client: Arc<Client>,
    alive: Alive,
}

type Answer = Response<AnswerBody>;
type Asking = ResponseFuture<UpstreamBody, UpstreamError>;

pin_project! {
    /// An answer on its way to the client.
    pub(crate) struct Answering {
        #[pin]
        step: Step,
        client: Arc<Client>,
        exchange: Option<ExchangeGuard>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step {
        Ready { answer: Option<Answer> },
        Asking { #[pin] asking: Asking },
        Aside { answering: Pin<Box<dyn Future<Output = Answer> + Send>> },
    }
}

impl Front {
    /// For the connection of `client`; `alive` holds the process up while it lasts.
    pub(crate) const fn new(shared: Arc<Shared>, client: Arc<Client>, alive: Alive) -> Self {
        Self {
            shared,
            client,
            alive,
        }
    }

    fn step(&self, request: Request<Incoming>) -> Step {
        match self.look_at(&request) {
            Ok(()) => {
                let (request, visitor) = self.read(request);
                self.go_on(request, visitor)
            }
            Err(refused) => Step::Ready {
                answer: Some(refused.answer()),
            },
        }
    }

    /// Whether anything is wrong with a request.
    fn look_at(&self, request: &Request<Incoming>) -> Result<(), Refused> {
        let fields = request.headers();
        if *request.method() == Method::CONNECT {
            return Err(Refused::Connect);
        }
        if fields.contains_key(TRANSFER_ENCODING) && self.client.is_ambiguous() {
            return Err(Refused::Ambiguous);
        }
        if self.shared.upstream.signature().has_looped(fields) {
            return Err(Refused::Looped);
        }
        let length = fields.get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.shared.limits.body_bytes) {
            return Err(Refused::BodyTooLarge);
        }
        match fields::named_host(request.uri(), fields, request.version()) {
            Ok(_) => Ok(()),
            // Only HTTP/1.1 asks for it (RFC 9112 §3.2).
            Err(HostError::Missing) if request.version() == Version::HTTP_10 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The request as it goes on, its body within the limit, and of whom it is.
    fn read(&self, mut request: Request<Incoming>) -> (Request<RequestBody>, Visitor) {
        let version = request.version();
        if version == Version::HTTP_2 {
            fields::join_cookies(request.headers_mut());
        }
        if version == Version::HTTP_10 && !request.headers().contains_key(HOST) {
            let host = self.shared.upstream.usual_host();
            request.headers_mut().insert(HOST, host);
        }
        let interim = (version == Version::HTTP_11).then(|| {
            let exchange = self.client.interim.begin();
            InterimSender::new(Arc::clone(&self.client), exchange)
        });
        let visitor = Visitor {
            peer: self.client.peer,
            interim,
        };
        let limit = self.shared.limits.body_bytes;
        let request = request.map(|body| RequestBody::of_client(body, limit));
        (request, visitor)
    }

    fn go_on(&self, request: Request<RequestBody>, visitor: Visitor) -> Step {
        let shared = &self.shared;
        if let Some(own) = shared.own.own(&request) {
            let shared = Arc::clone(shared);
            return Step::aside(async move { shared.own.answer(own, request).await });
        }
        if let Some(protocol) = upgrade::wanted(request.headers(), request.version()) {
            let (upstream, alive) = (shared.upstream.clone(), self.alive.clone());
            return Step::aside(upgrade::tunnel(upstream, request, visitor, protocol, alive));
        }
        if request.uri().path() == "*" {
            return Step::aside(past_the_cache(shared.upstream.clone(), request, visitor));
        }
        Step::Asking {
            asking: shared
                .layer
                .layer(shared.upstream.of(visitor))
                .call(request),
        }
    }
}

impl Step {
    fn aside(answering: impl Future<Output = Answer> + Send + 'static) -> Self {
        Self::Aside {
            answering: Box::pin(answering),
        }
    }
}

/// `OPTIONS *` asks for no resource, so that nothing of it can be stored (RFC 9110 §9.3.7).
async fn past_the_cache(
    upstream: Upstream,
    request: Request<RequestBody>,
    visitor: Visitor,
) -> Answer {
    match upstream.ask(request, visitor, Ask::Answer).await {
        Ok(response) => response.map(|body| AnswerBody::Upstream { body }),
        Err(error) => error.answer(),
    }
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Accounted<AnswerBody>>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        Answering {
            exchange: Some(ExchangeGuard::begin(Arc::clone(&self.client))),
            step: self.step(request),
            client: Arc::clone(&self.client),
        }
    }
}

impl Future for Answering {
    type Output = Result<Response<Accounted<AnswerBody>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.step.project() {
            StepProjection::Ready { answer } => answer.take().map_or(Poll::Pending, Poll::Ready),
            StepProjection::Asking { asking } => asking.poll(context).map(|asked| match asked {
                Ok(response) => response.map(|body| AnswerBody::Cached { body }),
                Err(error) => error.answer(),
            }),
            StepProjection::Aside { answering } => answering.as_mut().poll(context),
        };
        match (answer, this.exchange.take()) {
            (Poll::Ready(answer), Some(exchange)) => {
                this.client.interim.end();
                Poll::Ready(Ok(answer.map(|body| Accounted::new(body, exchange))))
            }
            (Poll::Pending | Poll::Ready(_), exchange) => {
                *this.exchange = exchange;
                this.client.interim.written_by(context.waker());
                Poll::Pending
            }
        }
    }
}

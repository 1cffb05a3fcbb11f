//! The bodies that pass through: the client's, the upstream's, and our own short ones.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use terrace_origin::http::CacheBody;
use tokio::time::{Sleep, sleep};

use super::connection::Client;
use super::expect::Gate;
use super::pool::Lease;

/// What a body's errors are to those who only pass them on.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A request's body. The default is none.
#[derive(Debug, Default)]
pub(crate) struct RequestBody(Option<ClientBody>);

/// A body that comes from a client.
#[derive(Debug)]
struct ClientBody {
    incoming: Incoming,
    left: u64,
    fate: BodyFate,
    gate: Option<Arc<Gate>>,
}

/// What has become of a request's body, for whoever waits for the answer to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyFate(Arc<Mutex<Fate>>);

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Fate {
    /// Frames of it that have gone on.
    pub(crate) frames: u64,
    /// Why it was not finished.
    pub(crate) broken: Option<BodyBroken>,
}

/// Why a request's body was not finished.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BodyBroken {
    /// It is longer than allowed.
    #[error("the body is longer than allowed")]
    TooLarge,
    /// The client broke off.
    #[error("the client broke off")]
    ByClient,
    /// The upstream has answered without it.
    #[error("the body is not wanted")]
    Unwanted,
}

impl RequestBody {
    /// The client's, at most `limit` bytes of it.
    pub(crate) fn of_client(incoming: Incoming, limit: u64) -> Self {
        if incoming.is_end_stream() {
            return Self(None);
        }
        Self(Some(ClientBody {
            incoming,
            left: limit,
            fate: BodyFate::default(),
            gate: None,
        }))
    }

    /// Whether there is none.
    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// What becomes of it; none if there is none.
    pub(crate) fn fate(&self) -> Option<BodyFate> {
        self.0.as_ref().map(|body| body.fate.clone())
    }

    /// Holds it back until `gate` opens.
    pub(crate) fn behind(&mut self, gate: Arc<Gate>) {
        if let Some(body) = &mut self.0 {
            body.gate = Some(gate);
        }
    }
}

impl BodyFate {
    /// What has become of it so far.
    pub(crate) fn so_far(&self) -> Fate {
        *self.0.lock()
    }

    fn breaks(&self, broken: BodyBroken) -> BodyBroken {
        self.0.lock().broken = Some(broken);
        broken
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyBroken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyBroken>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        if let Some(gate) = &body.gate {
            if let Err(unwanted) = ready!(gate.poll_open(context)) {
                return Poll::Ready(Some(Err(body.fate.breaks(unwanted))));
            }
            body.gate = None;
        }
        let frame = match ready!(Pin::new(&mut body.incoming).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                return Poll::Ready(Some(Err(body.fate.breaks(BodyBroken::ByClient))));
            }
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = body
            .left
            .checked_sub(u64::try_from(length).unwrap_or(u64::MAX))
        else {
            return Poll::Ready(Some(Err(body.fate.breaks(BodyBroken::TooLarge))));
        };
        body.left = left;
        body.fate.0.lock().frames += 1;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|body| body.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |body| body.incoming.size_hint())
    }
}

/// The body of the upstream's answer; its connection goes back to the pool with it.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    patience: Duration,
    /// Runs while more is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    /// Held for what it does when it is dropped, after `incoming`.
    _lease: Option<Lease>,
    /// Likewise.
    _gate: Option<GateGuard>,
}

/// Turns a request's body away when the answer to it is over.
#[derive(Debug)]
pub(crate) struct GateGuard(pub(crate) Arc<Gate>);

impl Drop for GateGuard {
    fn drop(&mut self) {
        self.0.turn_away();
    }
}

/// Why the body of an answer broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamBodyError {
    /// The upstream broke off.
    #[error("the upstream broke off within its answer")]
    Broken(#[from] hyper::Error),
    /// It went silent.
    #[error("the upstream has sent nothing for {seconds} s")]
    TimedOut {
        /// How long was waited.
        seconds: u64,
    },
}

impl UpstreamBody {
    /// What comes over a connection of the pool, which may pause for `patience`.
    pub(crate) const fn new(
        incoming: Incoming,
        patience: Duration,
        lease: Option<Lease>,
        gate: Option<GateGuard>,
    ) -> Self {
        Self {
            incoming,
            patience,
            timer: None,
            waiting: false,
            _lease: lease,
            _gate: gate,
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamBodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(context) {
            this.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(UpstreamBodyError::from)));
        }
        let patience = this.patience;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        if !this.waiting {
            this.waiting = true;
            timer.as_mut().reset(tokio::time::Instant::now() + patience);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(UpstreamBodyError::TimedOut {
            seconds: patience.as_secs(),
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

pin_project! {
    /// The body of an answer to the client.
    #[derive(Debug)]
    #[project = AnswerProjection]
    pub(crate) enum AnswerBody {
        /// A short one of our own.
        Whole { bytes: Option<Bytes> },
        /// The upstream's, past the cache.
        Upstream { body: UpstreamBody },
        /// The cache's.
        Cached { #[pin] body: CacheBody<UpstreamBody> },
    }
}

impl AnswerBody {
    /// These bytes.
    pub(crate) const fn whole(bytes: Bytes) -> Self {
        Self::Whole { bytes: Some(bytes) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            AnswerProjection::Whole { bytes } => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            AnswerProjection::Upstream { body } => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(BoxError::from))),
            AnswerProjection::Cached { body } => body
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(BoxError::from))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { bytes } => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Upstream { body } => body.is_end_stream(),
            Self::Cached { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { bytes } => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Upstream { body } => body.size_hint(),
            Self::Cached { body } => body.size_hint(),
        }
    }
}

pin_project! {
    /// An answer's body that keeps its exchange in the connection's books while it lasts.
    #[derive(Debug)]
    pub(crate) struct Accounted<B> {
        #[pin]
        body: B,
        exchange: ExchangeGuard,
    }
}

/// One exchange in the books of its connection.
#[derive(Debug)]
pub(crate) struct ExchangeGuard(Arc<Client>);

impl ExchangeGuard {
    /// It begins.
    pub(crate) fn begin(client: Arc<Client>) -> Self {
        client.activity.exchange_begins();
        Self(client)
    }
}

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        self.0.activity.exchange_ends();
    }
}

impl<B> Accounted<B> {
    /// This body, for this exchange.
    pub(crate) const fn new(body: B, exchange: ExchangeGuard) -> Self {
        Self { body, exchange }
    }
}

impl<B: Body> Body for Accounted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

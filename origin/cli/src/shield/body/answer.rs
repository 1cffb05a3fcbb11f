//! The body of an answer to the client.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use terrace_origin::http::CacheBody;

use super::super::connection::Client;
use super::UpstreamBody;

/// What a body's errors are to those who only pass them on.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

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

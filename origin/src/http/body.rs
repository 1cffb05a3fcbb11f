//! The body of an answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::BodyError;
use super::error::BoxError;

pin_project! {
    /// The body of an answer: bytes that are stored, or the body of the service, of type `B`.
    #[derive(Debug)]
    pub struct CacheBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = Projected]
    enum Kind<B> {
        Whole { bytes: Bytes },
        Service { #[pin] body: B },
    }
}

impl<B> CacheBody<B> {
    pub(super) const fn service(body: B) -> Self {
        let kind = Kind::Service { body };
        Self { kind }
    }

    pub(super) const fn whole(bytes: Bytes) -> Self {
        let kind = Kind::Whole { bytes };
        Self { kind }
    }
}

impl<B> Default for CacheBody<B> {
    fn default() -> Self {
        Self::whole(Bytes::new())
    }
}

impl<B> Body for CacheBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project().kind.project() {
            Projected::Whole { bytes } => {
                let rest = std::mem::take(bytes);
                Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))))
            }
            Projected::Service { body } => body
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(BodyError::service))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole { bytes } => bytes.is_empty(),
            Kind::Service { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { bytes } => SizeHint::with_exact(bytes.len() as u64),
            Kind::Service { body } => body.size_hint(),
        }
    }
}

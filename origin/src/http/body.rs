//! The body of an answer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::BodyError;
use super::error::BoxError;
use super::growing::Reader;

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
        Pieces { pieces: VecDeque<Bytes> },
        Growing { reader: Reader },
        Service { #[pin] body: B },
    }
}

impl<B> CacheBody<B> {
    pub(super) const fn service(body: B) -> Self {
        let kind = Kind::Service { body };
        Self { kind }
    }

    pub(super) const fn growing(reader: Reader) -> Self {
        let kind = Kind::Growing { reader };
        Self { kind }
    }

    pub(super) fn pieces(mut pieces: VecDeque<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        let kind = Kind::Pieces { pieces };
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
            Projected::Pieces { pieces } => {
                Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
            }
            Projected::Growing { reader } => reader.poll_frame(context),
            Projected::Service { body } => body
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(BodyError::service))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole { bytes } => bytes.is_empty(),
            Kind::Pieces { pieces } => pieces.is_empty(),
            Kind::Growing { reader } => reader.has_ended(),
            Kind::Service { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { bytes } => SizeHint::with_exact(bytes.len() as u64),
            Kind::Pieces { pieces } => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            Kind::Growing { reader } => reader
                .remaining()
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Kind::Service { body } => body.size_hint(),
        }
    }
}

//! A request's body on its way to the upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;

use super::super::expect::Gate;

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

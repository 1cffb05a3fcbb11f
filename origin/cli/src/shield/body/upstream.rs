//! The body of the upstream's answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::super::expect::Gate;
use super::super::pool::Lease;

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

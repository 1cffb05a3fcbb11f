//! `Expect: 100-continue`: the client's body waits until the upstream wants it (RFC 9110 §10.1.1).

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::HeaderMap;
use http::header::EXPECT;
use parking_lot::Mutex;

use super::body::BodyBroken;

/// How long an upstream may leave the expectation unanswered; then the body is sent all the same.
pub(crate) const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// Whether the client waits to be told before it sends its body.
pub(crate) fn expects_continue(fields: &HeaderMap) -> bool {
    fields
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Holds a body back until it is wanted, or turned away.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Awaited(Waker),
    Open,
    TurnedAway,
}

impl Gate {
    /// The upstream wants the body, or has not said that it does not.
    pub(crate) fn open(&self) {
        let mut state = self.0.lock();
        if !matches!(*state, State::TurnedAway) {
            state.become_and_wake(State::Open);
        }
    }

    /// The upstream has answered without it.
    pub(crate) fn turn_away(&self) {
        let mut state = self.0.lock();
        if !matches!(*state, State::Open) {
            state.become_and_wake(State::TurnedAway);
        }
    }

    /// Waits until it is open.
    pub(crate) fn poll_open(&self, context: &mut Context<'_>) -> Poll<Result<(), BodyBroken>> {
        let mut state = self.0.lock();
        match &*state {
            State::Open => Poll::Ready(Ok(())),
            State::TurnedAway => Poll::Ready(Err(BodyBroken::Unwanted)),
            State::Closed | State::Awaited(_) => {
                *state = State::Awaited(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl State {
    fn become_and_wake(&mut self, next: Self) {
        if let Self::Awaited(waker) = std::mem::replace(self, next) {
            waker.wake();
        }
    }
}

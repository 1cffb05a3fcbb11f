//! A circuit breaker: after several failures in a row, calls fail at once for a while.

use std::time::Duration;

use parking_lot::Mutex;
use terrace_shared::time::{Milliseconds, TimestampMillis};

use crate::backoff::Backoff;

/// Keeps a tier that is down from slowing everybody: closed while it answers, open after several
/// failures in a row, and half-open for one attempt when the pause is over.
#[derive(Debug)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug)]
struct State {
    failures: u32,
    open_until: Option<TimestampMillis>,
    backoff: Backoff,
}

/// What the breaker says to a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Admission {
    /// Go on, and report how it went.
    Try,
    /// Fail at once.
    Refuse,
}

/// What a failure did to the breaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Failure {
    /// It was counted.
    Counted,
    /// The breaker has opened because of it.
    Opened,
}

impl Breaker {
    /// Failures in a row after which it opens.
    const LIMIT: u32 = 5;

    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            failures: 0,
            open_until: None,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
        }))
    }

    /// Whether a call at `now`, on the steady clock, may go on; when the pause is over, one may at a time.
    pub(crate) fn admit(&self, now: TimestampMillis) -> Admission {
        let mut state = self.0.lock();
        match state.open_until {
            None => Admission::Try,
            Some(until) if now < until => Admission::Refuse,
            Some(_) => {
                let pause = state.backoff.last();
                state.open_until = Some(after(now, pause)); // the next attempt, if this one never reports
                Admission::Try
            }
        }
    }

    /// Notes that the tier answered.
    pub(crate) fn succeeded(&self) {
        let mut state = self.0.lock();
        state.failures = 0;
        state.open_until = None;
        state.backoff.reset();
    }

    /// Notes that the tier failed at `now`.
    pub(crate) fn failed(&self, now: TimestampMillis) -> Failure {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures < Self::LIMIT {
            return Failure::Counted;
        }
        let was_closed = state.open_until.is_none();
        let pause = state.backoff.next_pause();
        state.open_until = Some(after(now, pause));
        if was_closed {
            Failure::Opened
        } else {
            Failure::Counted
        }
    }

    /// Whether calls are refused now, or were until just now.
    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().open_until.is_some()
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

fn after(now: TimestampMillis, pause: Duration) -> TimestampMillis {
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    now.saturating_add(Milliseconds::new(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> TimestampMillis {
        TimestampMillis::from_unix_millis(millis)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_call_try_after_the_pause() {
        let breaker = Breaker::new();
        for _ in 0..4 {
            assert_eq!(breaker.failed(at(0)), Failure::Counted);
        }
        assert_eq!(breaker.admit(at(0)), Admission::Try);
        assert_eq!(breaker.failed(at(0)), Failure::Opened);
        assert_eq!(breaker.admit(at(0)), Admission::Refuse);
        assert_eq!(breaker.admit(at(100)), Admission::Try);
        assert_eq!(breaker.admit(at(100)), Admission::Refuse);
        breaker.succeeded();
        assert!(!breaker.is_open());
        assert_eq!(breaker.admit(at(100)), Admission::Try);
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let breaker = Breaker::new();
        for _ in 0..20 {
            for _ in 0..4 {
                assert_eq!(breaker.failed(at(0)), Failure::Counted);
            }
            breaker.succeeded();
        }
        assert_eq!(breaker.admit(at(0)), Admission::Try);
    }
}

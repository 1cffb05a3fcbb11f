//! The simulated clock: it moves from event to event, and nothing else reads another one.

use terrace_shared::time::{Milliseconds, TimestampMillis};

/// A moment of the simulated clock, in microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment(u64);

/// A length of simulated time, in microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Span(u64);

impl Moment {
    /// When simulations begin; views may be older than that.
    pub(crate) const BEGIN: Self = Self(1_000_000_000);

    /// The first microsecond of a wall clock's millisecond.
    pub(crate) const fn of(timestamp: TimestampMillis) -> Self {
        Self(timestamp.as_unix_millis().saturating_mul(1_000))
    }

    /// What a clock that counts milliseconds shows, as those of isolates do.
    pub(crate) const fn timestamp(self) -> TimestampMillis {
        TimestampMillis::from_unix_millis(self.0 / 1_000)
    }

    pub(crate) const fn after(self, length: Span) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    pub(crate) const fn before(self, length: Span) -> Self {
        Self(self.0.saturating_sub(length.0))
    }

    /// How long after `earlier` this is; nothing if it is not after it.
    pub(crate) const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) const fn micros(micros: u64) -> Self {
        Self(micros)
    }

    pub(crate) const fn millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self::millis(seconds.saturating_mul(1_000))
    }

    /// So many seconds, in whole microseconds; what is longer than a year counts as one.
    pub(crate) fn of_seconds(seconds: f64) -> Self {
        Self((seconds.clamp(0.0, 31_536_000.0) * 1e6) as u64)
    }

    pub(crate) const fn as_micros(self) -> u64 {
        self.0
    }

    pub(crate) fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This length `factor` times.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self::of_seconds(self.as_seconds() * factor)
    }

    pub(crate) const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl From<Milliseconds> for Span {
    fn from(length: Milliseconds) -> Self {
        Self::millis(length.as_u64())
    }
}

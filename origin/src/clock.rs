//! The only place that reads a clock.

#[cfg(any(test, feature = "test-util"))]
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};
use std::time::{SystemTime, UNIX_EPOCH};

use terrace_shared::time::{Milliseconds, TimestampMillis};

/// What the cache takes the time from: the system's clocks, or one moved by hand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    #[cfg(any(test, feature = "test-util"))]
    Manual(Arc<AtomicU64>),
    #[cfg(any(test, feature = "test-util"))]
    Shifted(Arc<AtomicI64>),
}

impl Clock {
    /// Wall time, which stored entries are written with because other processes read them too.
    pub(crate) fn now(&self) -> TimestampMillis {
        match &self.0 {
            Source::System => system_now(),
            #[cfg(any(test, feature = "test-util"))]
            Source::Manual(millis) => {
                TimestampMillis::from_unix_millis(millis.load(Ordering::Acquire))
            }
            #[cfg(any(test, feature = "test-util"))]
            Source::Shifted(by) => {
                let now = system_now().as_unix_millis();
                let shifted = now.saturating_add_signed(by.load(Ordering::Acquire));
                TimestampMillis::from_unix_millis(shifted)
            }
        }
    }

    /// Wall time that is not earlier than [`Self::now`], and later by a second at most: read much quicker. What it says
    /// is still young enough is; about anything else ask that.
    pub(crate) fn latest_now(&self) -> TimestampMillis {
        match &self.0 {
            Source::System => system::latest_now(),
            #[cfg(any(test, feature = "test-util"))]
            Source::Manual(_) | Source::Shifted(_) => self.now(),
        }
    }

    /// The same of both clocks, in place of [`Self::moment`].
    pub(crate) fn latest(&self) -> Moment {
        match &self.0 {
            Source::System => Moment {
                wall: system::latest_now(),
                steady: system::latest_steady(),
            },
            #[cfg(any(test, feature = "test-util"))]
            Source::Manual(_) | Source::Shifted(_) => self.moment(),
        }
    }

    /// Both clocks at once, for whatever must not be fooled when one of them jumps or stands still.
    pub(crate) fn moment(&self) -> Moment {
        match &self.0 {
            Source::System => Moment {
                wall: system_now(),
                steady: system::steady_now(),
            },
            #[cfg(any(test, feature = "test-util"))]
            Source::Manual(_) => Moment {
                wall: self.now(),
                steady: self.now(),
            },
            #[cfg(any(test, feature = "test-util"))]
            Source::Shifted(_) => Moment {
                wall: self.now(),
                steady: system::steady_now(),
            },
        }
    }
}

/// One moment on the wall clock and on the steady clock.
///
/// The wall clock jumps when it is set; the steady one stands still while the machine sleeps. An age
/// is the larger of both differences, so a view is never taken for younger than it is (R7).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Moment {
    pub(crate) wall: TimestampMillis,
    pub(crate) steady: TimestampMillis,
}

impl Moment {
    /// How long ago `earlier` was at most.
    pub(crate) fn saturating_since(self, earlier: Self) -> Milliseconds {
        let wall = self.wall.saturating_since(earlier.wall);
        let steady = self.steady.saturating_since(earlier.steady);
        wall.max(steady)
    }
}

fn system_now() -> TimestampMillis {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    TimestampMillis::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Linux's own clocks: the coarse ones stand where the last tick of the kernel found them.
#[cfg(target_os = "linux")]
mod system {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    use terrace_shared::time::{Milliseconds, TimestampMillis};

    /// Far more than these may be behind: a tick, and as long as a virtual processor stands still.
    const SLACK: Milliseconds = Milliseconds::new(1_000);

    pub(super) fn steady_now() -> TimestampMillis {
        at(clock_gettime(ClockId::Monotonic))
    }

    pub(super) fn latest_steady() -> TimestampMillis {
        at(clock_gettime(ClockId::MonotonicCoarse)).saturating_add(SLACK)
    }

    pub(super) fn latest_now() -> TimestampMillis {
        at(clock_gettime(ClockId::RealtimeCoarse)).saturating_add(SLACK)
    }

    fn at(time: Timespec) -> TimestampMillis {
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
        TimestampMillis::from_unix_millis(
            seconds
                .saturating_mul(1_000)
                .saturating_add(nanoseconds / 1_000_000),
        )
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::sync::OnceLock;
    use std::time::Instant;

    use terrace_shared::time::TimestampMillis;

    pub(super) fn steady_now() -> TimestampMillis {
        static START: OnceLock<Instant> = OnceLock::new();
        let since_start = START.get_or_init(Instant::now).elapsed();
        let millis = u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX);
        TimestampMillis::from_unix_millis(millis)
    }

    pub(super) fn latest_steady() -> TimestampMillis {
        steady_now()
    }

    pub(super) fn latest_now() -> TimestampMillis {
        super::system_now()
    }
}

/// A clock that stands still until it is moved, for tests of services that embed the cache.
#[cfg(any(test, feature = "test-util"))]
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

#[cfg(any(test, feature = "test-util"))]
impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: TimestampMillis) -> Self {
        Self(Arc::new(AtomicU64::new(now.as_unix_millis())))
    }

    /// Moves it on by `length`.
    pub fn advance(&self, length: impl Into<Milliseconds>) {
        self.0.fetch_add(length.into().as_u64(), Ordering::AcqRel);
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock(Source::Manual(self.0.clone()))
    }
}

/// The system's clocks, of which the wall clock can be set while the cache runs, as an operator or NTP may.
#[cfg(any(test, feature = "test-util"))]
#[derive(Clone, Debug, Default)]
pub struct ShiftedClock(Arc<AtomicI64>);

#[cfg(any(test, feature = "test-util"))]
impl ShiftedClock {
    /// Sets the wall clock forward by `length`.
    pub fn set_forward(&self, length: impl Into<Milliseconds>) {
        self.0.fetch_add(signed(length), Ordering::AcqRel);
    }

    /// Sets the wall clock back by `length`.
    pub fn set_back(&self, length: impl Into<Milliseconds>) {
        self.0.fetch_sub(signed(length), Ordering::AcqRel);
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock(Source::Shifted(self.0.clone()))
    }
}

#[cfg(any(test, feature = "test-util"))]
fn signed(length: impl Into<Milliseconds>) -> i64 {
    i64::try_from(length.into().as_u64()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use terrace_shared::time::DeltaSeconds;

    use super::*;

    #[test]
    fn an_age_is_the_larger_of_what_both_clocks_say() {
        let at = TimestampMillis::from_unix_millis;
        let earlier = Moment {
            wall: at(10_000),
            steady: at(1_000),
        };
        let slept = Moment {
            wall: at(90_000),
            steady: at(1_001),
        };
        let set_back = Moment {
            wall: at(1_000),
            steady: at(9_000),
        };
        assert_eq!(slept.saturating_since(earlier), Milliseconds::new(80_000));
        assert_eq!(set_back.saturating_since(earlier), Milliseconds::new(8_000));
    }

    #[test]
    fn a_shifted_clock_jumps_on_the_wall_and_goes_on_steadily() {
        let shifted = ShiftedClock::default();
        let clock = shifted.clock();
        let before = clock.moment();
        shifted.set_forward(DeltaSeconds::minutes(10));
        let ahead = clock.moment();
        let jumped = ahead.wall.saturating_since(before.wall);
        assert!(jumped >= Milliseconds::new(600_000), "{jumped:?}");
        assert!(ahead.steady.saturating_since(before.steady) < Milliseconds::new(600_000));
        shifted.set_back(DeltaSeconds::minutes(20));
        assert!(clock.now() < before.wall);
    }

    #[test]
    fn the_latest_moment_is_never_earlier_than_now_nor_later_by_more_than_a_second() {
        let clock = Clock::default();
        for _ in 0..10_000 {
            let before = clock.moment();
            let latest = clock.latest();
            assert!(latest.wall >= before.wall && latest.steady >= before.steady);
            let ahead = latest.saturating_since(clock.moment());
            assert!(ahead <= Milliseconds::new(1_000), "{ahead:?}");
        }
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let manual = ManualClock::at(TimestampMillis::from_unix_millis(5));
        let clock = manual.clock();
        assert_eq!(clock.now(), TimestampMillis::from_unix_millis(5));
        manual.advance(DeltaSeconds::seconds(2));
        assert_eq!(
            clock.moment().steady,
            TimestampMillis::from_unix_millis(2_005)
        );
    }
}

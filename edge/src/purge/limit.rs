//! How often a token may call: a bucket for each, refilled with time. Simulated time in the tests.

use terrace_shared::time::{Milliseconds, TimestampMillis};

use crate::env::number;
use crate::error::ConfigError;

/// How many calls a token may make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// Calls a second, in the long run. Default: 100.
    pub per_second: u64,
    /// Calls at once, after a pause. Default: 500.
    pub burst: u64,
}

/// What each token has left, and the refusals that the purge log has not been told of yet.
///
/// Kept in memory: an object that has just woken lets everybody begin anew.
#[derive(Debug)]
pub struct Buckets {
    limit: RateLimit,
    /// As many as there are tokens, which are few.
    buckets: Vec<(Box<str>, Bucket)>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a call.
    left: u64,
    filled_at: TimestampMillis,
    unlogged: u64,
    logged_at: Option<TimestampMillis>,
}

/// A call too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooMany {
    /// How long until one more is let pass.
    pub retry_after: Milliseconds,
    /// How many refusals the purge log is to be told of now; most of a flood share one line.
    pub to_log: u64,
}

impl RateLimit {
    const PER_SECOND: &'static str = "TERRACE_PURGE_CALLS_PER_SECOND";
    const BURST: &'static str = "TERRACE_PURGE_BURST";

    /// The limit in variables that `var` looks up; an empty one counts as not set.
    ///
    /// # Errors
    /// When a variable is no number from 1 to a million.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        const MOST: u64 = 1_000_000;
        let limit = |name, default| match var(name).filter(|given| !given.trim().is_empty()) {
            None => Ok(default),
            Some(given) => number(name, given, 1, MOST),
        };
        let default = Self::default();
        Ok(Self {
            per_second: limit(Self::PER_SECOND, default.per_second)?,
            burst: limit(Self::BURST, default.burst)?,
        })
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            per_second: 100,
            burst: 500,
        }
    }
}

impl Buckets {
    /// One call, in the unit of what is left.
    const CALL: u64 = 1_000;
    /// Most names that are remembered; full buckets are forgotten first.
    const MOST: usize = 1_024;
    /// How often a flood of refusals gets a line in the purge log.
    const LOG_EVERY: Milliseconds = Milliseconds::new(10_000);

    /// Full buckets for everybody.
    pub fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            buckets: Vec::new(),
        }
    }

    /// Takes one call of `name`'s.
    ///
    /// Gives the number of earlier refusals that the purge log has not been told of.
    ///
    /// # Errors
    /// When there is none left at `now`.
    pub fn take(&mut self, name: &str, now: TimestampMillis) -> Result<u64, TooMany> {
        let (rate, full) = (self.limit.per_second, self.limit.burst * Self::CALL);
        // So many thousandths of a call come back in a millisecond.
        let refilled = |bucket: &Bucket| {
            let passed = now.saturating_since(bucket.filled_at).as_u64();
            full.min(bucket.left.saturating_add(passed.saturating_mul(rate)))
        };
        let place = self.buckets.iter().position(|(other, _)| **other == *name);
        let place = place.unwrap_or_else(|| {
            if self.buckets.len() >= Self::MOST {
                let is_of_use = |bucket: &Bucket| refilled(bucket) < full || bucket.unlogged > 0;
                self.buckets.retain(|(_, bucket)| is_of_use(bucket));
            }
            let bucket = Bucket {
                left: full,
                filled_at: now,
                unlogged: 0,
                logged_at: None,
            };
            self.buckets.push((name.into(), bucket));
            self.buckets.len() - 1
        });
        let Some((_, bucket)) = self.buckets.get_mut(place) else {
            return Ok(0);
        };
        bucket.left = refilled(bucket);
        bucket.filled_at = bucket.filled_at.max(now);
        if let Some(left) = bucket.left.checked_sub(Self::CALL) {
            bucket.left = left;
            return Ok(std::mem::take(&mut bucket.unlogged));
        }
        bucket.unlogged += 1;
        let is_due = |at| now.saturating_since(at) >= Self::LOG_EVERY;
        let to_log = if bucket.logged_at.is_none_or(is_due) {
            bucket.logged_at = Some(now);
            std::mem::take(&mut bucket.unlogged)
        } else {
            0
        };
        let missing = Self::CALL - bucket.left;
        Err(TooMany {
            retry_after: Milliseconds::new(missing.div_ceil(rate)),
            to_log,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> TimestampMillis {
        TimestampMillis::from_unix_millis(milliseconds)
    }

    fn buckets(per_second: u64, burst: u64) -> Buckets {
        Buckets::new(RateLimit { per_second, burst })
    }

    /// How many of `calls` at once are let pass.
    fn passed(buckets: &mut Buckets, name: &str, calls: usize, now: u64) -> usize {
        (0..calls)
            .filter(|_| buckets.take(name, at(now)).is_ok())
            .count()
    }

    #[test]
    fn a_burst_passes_and_then_as_many_as_come_back() {
        let mut buckets = buckets(100, 500);
        for (now, calls, expected) in [
            (0, 600, 500),
            (9, 1, 0),
            (10, 2, 1),
            (1_010, 200, 100),
            (1_000_000, 600, 500),
        ] {
            assert_eq!(passed(&mut buckets, "ci", calls, now), expected, "{now}");
        }
    }

    #[test]
    fn each_name_has_its_own() {
        let mut buckets = buckets(1, 1);
        assert_eq!(passed(&mut buckets, "one", 2, 0), 1);
        assert_eq!(passed(&mut buckets, "other", 2, 0), 1);
    }

    #[test]
    fn who_comes_back_when_told_is_let_pass() {
        for (per_second, burst) in [(1, 1), (3, 2), (100, 500), (7_000, 1)] {
            let mut buckets = buckets(per_second, burst);
            let mut now = 0;
            let mut calls = 0;
            while calls < 1_000 {
                match buckets.take("ci", at(now)) {
                    Ok(_) => calls += 1,
                    Err(TooMany { retry_after, .. }) => {
                        assert!(retry_after.as_u64() > 0);
                        now += retry_after.as_u64();
                        assert!(buckets.take("ci", at(now)).is_ok(), "{per_second}/s {now}");
                        calls += 1;
                    }
                }
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_twice() {
        let mut buckets = buckets(1, 1);
        assert_eq!(passed(&mut buckets, "ci", 1, 10_000), 1);
        assert_eq!(passed(&mut buckets, "ci", 1, 5_000), 0);
        assert_eq!(passed(&mut buckets, "ci", 1, 10_999), 0);
        assert_eq!(passed(&mut buckets, "ci", 1, 11_000), 1);
    }

    #[test]
    fn a_flood_of_refusals_gets_few_lines_and_none_is_lost() {
        let mut buckets = buckets(1, 1);
        assert_eq!(buckets.take("ci", at(0)), Ok(0));
        let mut logged = 0;
        let mut lines = 0;
        for now in 1..=999 {
            let TooMany { to_log, .. } = buckets.take("ci", at(now)).unwrap_err();
            logged += to_log;
            lines += u64::from(to_log > 0);
        }
        assert_eq!((lines, logged), (1, 1));
        assert_eq!(buckets.take("ci", at(1_000)), Ok(998));
    }

    #[test]
    fn names_are_bounded_and_those_with_debts_are_kept() {
        let mut buckets = buckets(1, 1);
        for number in 0..Buckets::MOST {
            assert!(buckets.take(&number.to_string(), at(0)).is_ok());
        }
        assert!(buckets.take("0", at(500)).is_err());
        assert!(buckets.take("new", at(2_000)).is_ok());
        assert_eq!(buckets.buckets.len(), 1);
    }

    #[test]
    fn settings_are_numbers_or_an_error_that_names_them() {
        assert_eq!(
            RateLimit::from_vars(|_| None).unwrap(),
            RateLimit::default()
        );
        let set = |name: &str| (name == RateLimit::BURST).then(|| " 7 ".to_owned());
        assert_eq!(RateLimit::from_vars(set).unwrap().burst, 7);
        for bad in ["0", "x", "1000001"] {
            let error = RateLimit::from_vars(|_| Some(bad.to_owned())).unwrap_err();
            assert!(error.to_string().contains("TERRACE_PURGE_CALLS"), "{error}");
        }
    }
}

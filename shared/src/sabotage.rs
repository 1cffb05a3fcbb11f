//! Rules of the purge ledger that can be broken on purpose, to see that somebody notices.
//!
//! Without the feature `sabotage` nothing can be, and what asks is compiled to nothing. With it, nothing is broken
//! before [`break_rule`] is called, which only the torture does.

use std::str::FromStr;
#[cfg(feature = "sabotage")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A rule of the ledger, to be broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Rule {
    /// R1: the fence is read after the source has answered.
    FenceBeforeSource = 1,
    /// R5: requests join flights from before a purge, and take what those bring.
    JoinAfterPurge = 5,
    /// R6: positions of another history are compared by number.
    Incarnation = 6,
    /// R8: the edge is never told of a purge, and the receipt says that it was.
    ToldAtLeastOnce = 8,
    /// R9: the edge does not hold a response against the position that its origin produced it under.
    OriginEpoch = 9,
}

/// The text names no rule that can be broken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no rule that can be broken: R1, R5, R6, R8 and R9 are")]
pub struct RuleError(Box<str>);

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        match text {
            "R1" => Ok(Self::FenceBeforeSource),
            "R5" => Ok(Self::JoinAfterPurge),
            "R6" => Ok(Self::Incarnation),
            "R8" => Ok(Self::ToldAtLeastOnce),
            "R9" => Ok(Self::OriginEpoch),
            other => Err(RuleError(other.into())),
        }
    }
}

/// Breaks `rule`, in this process and from now on.
#[cfg(feature = "sabotage")]
pub fn break_rule(rule: Rule) {
    BROKEN.store(rule as u8, Ordering::Relaxed);
}

/// Whether `rule` is broken.
#[cfg(feature = "sabotage")]
pub fn breaks(rule: Rule) -> bool {
    BROKEN.load(Ordering::Relaxed) == rule as u8
}

/// Whether `rule` is broken, which none can be.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub const fn breaks(_rule: Rule) -> bool {
    false
}

#[cfg(feature = "sabotage")]
static BROKEN: AtomicU8 = AtomicU8::new(0);

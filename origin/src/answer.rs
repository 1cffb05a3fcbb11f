//! An answer, and where it came from.

use std::fmt;

use terrace_shared::purge::Epoch;
use terrace_shared::time::Milliseconds;

/// A value, and what the cache did to get it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Answer<V> {
    /// The value.
    pub value: V,
    /// Where it came from.
    pub source: Source,
    /// Why it is stale, if it is.
    pub stale: Option<StaleReason>,
    /// How old the view of the purge ledger is, if that is more than its bound (R7).
    pub ledger_lag: Option<LedgerLag>,
    /// Up to which purges the value is known to hold: no later one that has named it was heard of, and if it is stale
    /// because of a purge, this is before that. None if it was filled while there was no view of the ledger.
    ///
    /// What an HTTP handler sends as `Terrace-Epoch` (R9): of several answers, the earliest.
    pub epoch: Option<Epoch>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Source {
    /// This process's memory.
    Memory,
    /// Redis.
    Redis,
    /// The source: this request asked it.
    Filled,
    /// The source: another request asked it, and this one waited.
    Coalesced,
}

/// Why a stale answer was served.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum StaleReason {
    /// It is within grace, and is being filled again.
    Grace,
    /// The source failed, or did not answer in time.
    SourceFailed,
    /// The source takes longer than the policy's soft time-out; the fill goes on.
    SourceSlow,
}

/// How far behind the view of the purge ledger is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LedgerLag {
    /// It is this old.
    Beyond(Milliseconds),
    /// There has been none yet.
    Unknown,
}

impl<V> Answer<V> {
    /// The same answer with another value.
    pub fn map<W>(self, change: impl FnOnce(V) -> W) -> Answer<W> {
        Answer {
            value: change(self.value),
            source: self.source,
            stale: self.stale,
            ledger_lag: self.ledger_lag,
            epoch: self.epoch,
        }
    }
}

impl Source {
    /// Its word, for logs, headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Filled => "filled",
            Self::Coalesced => "coalesced",
        }
    }

    /// Whether a store had it.
    pub const fn is_hit(self) -> bool {
        matches!(self, Self::Memory | Self::Redis)
    }
}

impl StaleReason {
    /// Its word, for logs, headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grace => "grace",
            Self::SourceFailed => "source-failed",
            Self::SourceSlow => "source-slow",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for StaleReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for LedgerLag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beyond(age) => age.fmt(formatter),
            Self::Unknown => formatter.write_str("unknown"),
        }
    }
}

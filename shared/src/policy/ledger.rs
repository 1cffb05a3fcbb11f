//! The settings of the purge ledger.

use serde::{Deserialize, Serialize};

use crate::purge::LedgerLimits;
use crate::time::DeltaSeconds;

/// The purge ledger: `[ledger]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LedgerPolicy {
    /// Oldest view that a reader may act on: every reader sees a purge within this. Default: 5 s.
    pub bound: DeltaSeconds,
    /// How often a replica asks for news while it is used. Default: 1 s.
    pub refresh: DeltaSeconds,
    /// How long a purge matters, when that is not to follow from the lifetimes.
    pub horizon: Option<DeltaSeconds>,
    /// Scopes kept one by one. Default: 131,072.
    pub marks: usize,
    /// Patterns kept. Default: 1,024.
    pub patterns: usize,
}

/// What happens when a replica of the ledger is older than its bound (R7).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLedgerLag {
    /// Take stored entries for stale, and ask the source.
    #[default]
    Revalidate,
    /// Answer as if the replica were up to date.
    ServeStale,
    /// Answer with an error.
    Fail,
}

impl Default for LedgerPolicy {
    fn default() -> Self {
        let limits = LedgerLimits::default();
        Self {
            bound: DeltaSeconds::seconds(5),
            refresh: DeltaSeconds::seconds(1),
            horizon: None,
            marks: limits.marks,
            patterns: limits.patterns,
        }
    }
}

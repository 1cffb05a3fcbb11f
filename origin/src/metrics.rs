//! Everything that is counted, and the snapshot of it.
//!
//! Counters only grow. Names end in what they count; the labels are the tiers and the namespaces of the policy.

#![expect(
    clippy::struct_field_names,
    reason = "a counter's name ends in `_total`"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;
use terrace_shared::purge::Epoch;
use terrace_shared::time::{ByteCount, Milliseconds};

/// A count that many threads raise without taking a cache line from each other.
#[derive(Debug, Default)]
pub(crate) struct Counter([Shard; Self::SHARDS]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(AtomicU64);

impl Counter {
    const SHARDS: usize = 8;

    /// Counts one more.
    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub(crate) fn add(&self, more: u64) {
        thread_local! {
            static SHARD: Cell<usize> = {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % Counter::SHARDS)
            };
        }
        if let Some(shard) = self.0.get(SHARD.get()) {
            shard.0.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// How many there have been.
    pub(crate) fn total(&self) -> u64 {
        self.0
            .iter()
            .map(|shard| shard.0.load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

/// One struct of counters and one of their totals, with the same fields and docs.
macro_rules! counters {
    ($(#[$about:meta])* $counters:ident => $stats:ident { $($(#[$doc:meta])* $name:ident,)+ }) => {
        #[derive(Debug, Default)]
        pub(crate) struct $counters {
            $(pub(crate) $name: $crate::metrics::Counter,)+
        }

        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
        #[non_exhaustive]
        pub struct $stats {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl $counters {
            pub(crate) fn totals(&self) -> $stats {
                $stats { $($name: self.$name.total(),)+ }
            }
        }
    };
}

#[cfg(feature = "tower")]
pub(crate) use counters;

counters! {
    /// What happened in one namespace since the cache was built.
    NamespaceCounters => NamespaceStats {
        /// Answers from memory, fresh or not.
        memory_hits_total,
        /// Reads that memory had no usable entry for.
        memory_misses_total,
        /// Answers from Redis, fresh or not.
        redis_hits_total,
        /// Reads that Redis had no usable entry for.
        redis_misses_total,
        /// Calls to Redis that failed, or were not made because it is taken for down.
        redis_errors_total,
        /// Values in Redis that could not be read: cut, foreign, or under another key.
        corrupt_entries_total,
        /// Times that the source was asked.
        fills_total,
        /// Times that it answered with an error.
        fill_errors_total,
        /// Times that it took longer than the hard time-out.
        fill_timeouts_total,
        /// Fills whose value was purged before it could be stored.
        fills_outrun_total,
        /// Fills whose value was not stored for their surrogate keys: too many, or malformed.
        refused_surrogate_keys_total,
        /// Fills whose value could not be written as bytes.
        unencodable_values_total,
        /// Writes to Redis that were left out because too many were under way.
        redis_writes_skipped_total,
        /// Reads that waited for somebody else's fill and took its value.
        coalesced_total,
        /// Answers that were stale.
        stale_served_total,
        /// Fills of entries that were still fresh.
        early_refreshes_total,
        /// Reads while the view of the ledger was older than its bound.
        ledger_lagged_reads_total,
    }
}

counters! {
    /// What happened to the cache as a whole since it was built.
    CacheCounters => CacheStats {
        /// Purges that the ledger took.
        purges_total,
        /// Purges that it did not take.
        purge_errors_total,
        /// Requests with a token that was believed.
        tokens_heeded_total,
        /// Requests with a token that was not.
        tokens_ignored_total,
    }
}

counters! {
    /// What happened on the way to one edge since the cache was built.
    OutboxCounters => OutboxStats {
        /// Purges that it took from this process.
        delivered_total,
        /// Attempts of this process that failed.
        failed_attempts_total,
        /// Purges that became purges of everything: some were lost, or it did not understand one.
        widened_total,
    }
}

/// Everything that the cache counts, at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// By namespace; those that have been opened.
    pub namespaces: BTreeMap<String, NamespaceStats>,
    /// The cache as a whole.
    pub cache: CacheStats,
    /// The in-process tier.
    pub memory: MemoryStats,
    /// Redis, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<SharedTierStats>,
    /// This process's view of the purge ledger.
    pub ledger: LedgerStats,
    /// What came through [`CacheLayer`](crate::http::CacheLayer)s.
    #[cfg(feature = "tower")]
    pub http: crate::http::HttpStats,
    /// The way to each edge, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub edges: BTreeMap<String, EdgeStats>,
}

/// What the in-process tier holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Entries; may trail behind by a moment.
    pub entries: u64,
    /// Their bytes; may trail behind by a moment.
    pub bytes: ByteCount,
    /// Fills under way.
    pub flights: usize,
}

/// How Redis is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SharedTierStats {
    /// Whether its circuit breaker refuses calls now.
    pub breaker_open: bool,
    /// Times that its circuit breaker has opened.
    pub breaker_opened_total: u64,
}

/// Where this process's view of the purge ledger stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LedgerStats {
    /// Its position; none while there has been no view.
    pub epoch: Option<Epoch>,
    /// How old it may be.
    pub view_age_ms: Option<Milliseconds>,
}

/// What is on its way to one edge.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EdgeStats {
    /// Purges that it has not taken yet; none while another process sends to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Why it does not take the next one, as the last attempt went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// What this process has counted.
    #[serde(flatten)]
    pub counted: OutboxStats,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_adds_up_over_threads() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..1_000).for_each(|_| counter.add_one()));
            }
        });
        assert_eq!(counter.total(), 16_000);
    }
}

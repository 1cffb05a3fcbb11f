//! What the layer counts.

#![expect(
    clippy::struct_field_names,
    reason = "a counter's name ends in `_total`"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use serde::Serialize;
use terrace_shared::outcome::{ForwardReason, NotStored};
use terrace_shared::time::ByteCount;

use super::respond::Place;
use super::store::Memory;
use crate::metrics::counters;

counters! {
    /// What happened to requests that came through layers since the cache was built.
    HttpCounts => HttpTotals {
        /// Requests.
        requests_total,
        /// Answers from memory, fresh or not.
        memory_hits_total,
        /// Answers from Redis, fresh or not.
        redis_hits_total,
        /// Answers that were stale.
        stale_served_total,
        /// Answers that were fresh, and due to be refreshed behind them.
        early_refreshes_total,
        /// Requests that took the response of another one which was under way.
        coalesced_total,
        /// Responses that were stored.
        stored_total,
        /// Bytes of their bodies.
        stored_bytes_total,
        /// Stored responses that the service has said to be still right.
        freshened_total,
        /// Fills to which the service gave no answer: it failed, or took too long.
        failed_fills_total,
        /// Fills whose body came to its end too early.
        broken_fills_total,
        /// Fills whose response was purged before it could be stored.
        outrun_fills_total,
        /// Fills behind an answer.
        background_fills_total,
        /// Calls to Redis that failed, or were not made because it is taken for down.
        redis_errors_total,
        /// Writes to Redis that were left out because too many were under way.
        redis_writes_skipped_total,
        /// Entries in Redis that could not be read: cut, foreign, or of another URL.
        undecodable_total,
        /// Requests while the view of the ledger was older than their route's bound.
        ledger_lagged_requests_total,
        /// Unsafe requests whose invalidation the ledger did not take.
        failed_invalidations_total,
    }
}

/// What all layers of a cache count together.
#[derive(Debug, Default)]
pub(crate) struct HttpCounters {
    pub(super) counts: HttpCounts,
    pub(super) forwarded: ByReason,
    pub(super) not_stored: ByReason,
    memories: Mutex<Vec<Weak<Memory>>>,
}

/// Counts by a word of a closed set.
#[derive(Debug, Default)]
pub(super) struct ByReason(Mutex<BTreeMap<&'static str, u64>>);

/// What happened to requests that came through [`CacheLayer`](super::CacheLayer)s.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct HttpStats {
    /// The counts without labels.
    #[serde(flatten)]
    pub totals: HttpTotals,
    /// Requests that went on to the service, by why.
    pub forwarded_total: BTreeMap<&'static str, u64>,
    /// Responses that were not stored, by why.
    pub not_stored_total: BTreeMap<&'static str, u64>,
    /// URLs that memory has something for; may trail behind by a moment.
    pub memory_urls: u64,
    /// The bytes of that; may trail behind by a moment.
    pub memory_bytes: ByteCount,
}

impl HttpCounters {
    /// Counts what `memory` holds, as long as there is one.
    pub(super) fn watch(&self, memory: &Arc<Memory>) {
        let mut memories = self.memories.lock();
        memories.retain(|memory| memory.strong_count() > 0);
        memories.push(Arc::downgrade(memory));
    }

    /// Counts an answer from what is stored.
    pub(super) fn hit(&self, place: Place) {
        match place {
            Place::Memory => self.counts.memory_hits_total.add_one(),
            Place::Redis => self.counts.redis_hits_total.add_one(),
            Place::Nowhere => {}
        }
    }

    pub(super) fn forward(&self, reason: ForwardReason) {
        self.forwarded.add_one(reason.as_str());
    }

    pub(super) fn not_stored(&self, because: &NotStored) {
        self.not_stored.add_one(because.as_str());
    }

    pub(crate) fn stats(&self) -> HttpStats {
        let memories = self.memories.lock();
        let sizes = memories.iter().filter_map(Weak::upgrade);
        let (urls, bytes) = sizes.map(|memory| memory.size()).fold(
            (0_u64, 0_u64),
            |(urls, bytes), (more, size)| {
                (
                    urls.saturating_add(more),
                    bytes.saturating_add(size.as_u64()),
                )
            },
        );
        HttpStats {
            totals: self.counts.totals(),
            forwarded_total: self.forwarded.totals(),
            not_stored_total: self.not_stored.totals(),
            memory_urls: urls,
            memory_bytes: ByteCount::bytes(bytes),
        }
    }
}

impl ByReason {
    fn add_one(&self, word: &'static str) {
        let mut counts = self.0.lock();
        let count = counts.entry(word).or_default();
        *count = count.saturating_add(1);
    }

    fn totals(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}

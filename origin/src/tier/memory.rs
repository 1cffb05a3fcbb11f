//! The in-process tier: moka as a store, weighed in bytes.

use std::sync::Arc;

use foldhash::fast::RandomState;
use terrace_shared::time::ByteCount;

use crate::entry::Entry;

/// Entries of this process, by the key they have in Redis too.
///
/// Expiry and purges are not moka's business: its own lifetimes cost a clock read a hit, and its
/// `invalidate` loses against a fill under way. Whoever reads an entry judges it.
#[derive(Clone, Debug)]
pub(crate) struct MemoryTier(moka::sync::Cache<Arc<str>, Arc<Entry>, RandomState>);

impl MemoryTier {
    /// A tier of at most `capacity`.
    pub(crate) fn new(capacity: ByteCount) -> Self {
        Self(
            moka::sync::Cache::builder()
                .max_capacity(capacity.as_u64())
                .weigher(|_, entry: &Arc<Entry>| entry.weight)
                .build_with_hasher(RandomState::default()),
        )
    }

    /// The entry stored under `key`, whatever may be done with it.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.0.get(key)
    }

    /// Stores `entry` under `key`.
    pub(crate) fn put(&self, key: Arc<str>, entry: Arc<Entry>) {
        self.0.insert(key, entry);
    }

    /// Frees what `key` holds, because nobody may use it any more.
    pub(crate) fn free(&self, key: &str) {
        self.0.invalidate(key);
    }

    /// How many entries there are, and their bytes; both may trail behind by a moment.
    pub(crate) fn size(&self) -> (u64, ByteCount) {
        (
            self.0.entry_count(),
            ByteCount::bytes(self.0.weighted_size()),
        )
    }
}

//! This process's memory: stored responses, bounded in bytes.

use std::sync::Arc;

use foldhash::fast::RandomState;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;
use terrace_shared::http::VaryKey;
use terrace_shared::key::EncodedKey;
use terrace_shared::purge::Verdict;
use terrace_shared::time::{ByteCount, Milliseconds, Timestamp, TimestampMillis};

use super::{Entry, Kept, Variants};

/// Stored responses by their URLs' keys, the least useful dropped when they weigh too much together.
///
/// Like the tier of values, it neither expires nor purges: whoever reads an entry judges it.
#[derive(Debug)]
pub(in crate::http) struct Memory(Cache<EncodedKey, Arc<Variants>, RandomState>);

impl Memory {
    /// What a slot takes beside its entries: its key and moka's node.
    const A_SLOT: usize = 320;

    pub(in crate::http) fn new(capacity: ByteCount) -> Self {
        let weigh = |key: &EncodedKey, variants: &Arc<Variants>| {
            let weight = key.as_bytes().len() + variants.weight() + Self::A_SLOT;
            u32::try_from(weight).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(capacity.as_u64())
                .weigher(weigh)
                .build_with_hasher(RandomState::default()),
        )
    }

    /// What is stored under `key`, whatever may be done with it.
    pub(in crate::http) fn get(&self, key: &EncodedKey) -> Option<Arc<Variants>> {
        self.0.get(key)
    }

    /// Stores `entry` beside, or in the place of, what is there.
    pub(in crate::http) fn put(
        &self,
        key: &EncodedKey,
        entry: &Arc<Entry>,
        judge: impl Fn(&Arc<Entry>) -> Verdict,
        now: Timestamp,
    ) -> Kept {
        let done = self.0.entry_by_ref(key).and_compute_with(|slot| {
            let before = slot.map(moka::Entry::into_value).unwrap_or_default();
            match before.with(entry, judge, now) {
                Some(after) => Op::Put(Arc::new(after)),
                None => Op::Nop,
            }
        });
        match done {
            CompResult::Inserted(_) | CompResult::ReplacedWith(_) => Kept::Yes,
            CompResult::Unchanged(_) | CompResult::StillNone(_) | CompResult::Removed(_) => {
                Kept::No
            }
        }
    }

    /// Forgets what is stored under `key` for the requests of `vary`.
    pub(in crate::http) fn remove(&self, key: &EncodedKey, vary: &VaryKey) {
        self.0.entry_by_ref(key).and_compute_with(|slot| {
            let Some(before) = slot.map(moka::Entry::into_value) else {
                return Op::Nop;
            };
            let after = before.without(vary);
            if after.is_empty() {
                Op::Remove
            } else {
                Op::Put(Arc::new(after))
            }
        });
    }

    /// Forgets everything under `key`.
    pub(in crate::http) fn forget(&self, key: &EncodedKey) {
        self.0.invalidate(key);
    }

    /// How many URLs have something stored, and its bytes; both may trail behind by a moment.
    pub(in crate::http) fn size(&self) -> (u64, ByteCount) {
        (
            self.0.entry_count(),
            ByteCount::bytes(self.0.weighted_size()),
        )
    }
}

/// URLs whose last response was of no use to anybody else: their requests do not wait for one another.
#[derive(Debug)]
pub(in crate::http) struct Markers(Cache<EncodedKey, TimestampMillis, RandomState>);

impl Markers {
    /// Most that are kept.
    const MOST: u64 = 16_384;
    /// How long one counts.
    const LIFETIME: Milliseconds = Milliseconds::new(30_000);

    pub(in crate::http) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(Self::MOST)
                .build_with_hasher(RandomState::default()),
        )
    }

    /// Marks `key`.
    pub(in crate::http) fn set(&self, key: &EncodedKey, now: TimestampMillis) {
        self.0
            .insert(key.clone(), now.saturating_add(Self::LIFETIME));
    }

    /// Takes the mark away: something useful was stored.
    pub(in crate::http) fn clear(&self, key: &EncodedKey) {
        if self.0.contains_key(key) {
            self.0.invalidate(key);
        }
    }

    /// Whether `key` is marked.
    pub(in crate::http) fn has(&self, key: &EncodedKey, now: TimestampMillis) -> bool {
        self.0.get(key).is_some_and(|until| now < until)
    }
}

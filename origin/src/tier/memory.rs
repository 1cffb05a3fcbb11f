//! The in-process tier: moka as a store, weighed in bytes, behind a table of what is asked for most.

use std::sync::Arc;

use foldhash::fast::RandomState;
use terrace_shared::key::KeyParts;
use terrace_shared::time::{ByteCount, TimestampMillis};

use super::hot::HotTable;
use crate::entry::Entry;
use crate::space::Space;

/// Entries of this process, by the key they have in Redis too.
///
/// Expiry and purges are not moka's business: its own lifetimes cost a clock read a hit, and its
/// `invalidate` loses against a fill under way. Whoever reads an entry judges it.
#[derive(Debug)]
pub(crate) struct MemoryTier {
    store: moka::sync::Cache<Arc<str>, Arc<Entry>, RandomState>,
    hot: Arc<HotTable>,
}

impl MemoryTier {
    /// A tier of at most `capacity`.
    pub(crate) fn new(capacity: ByteCount) -> Self {
        let hot = Arc::new(HotTable::new());
        let table = hot.clone();
        let store = moka::sync::Cache::builder()
            .max_capacity(capacity.as_u64())
            .weigher(|_, entry: &Arc<Entry>| entry.weight)
            .eviction_listener(move |_, entry, _| table.retire(&entry))
            .build_with_hasher(RandomState::default());
        Self { store, hot }
    }

    /// The entry stored under `key`, whatever may be done with it.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.store.get(key)
    }

    /// What `read` makes of the entry whose key these parts make, if it is one of those asked for most: by far the
    /// quickest way to an entry, which once in each moment finds nothing where [`Self::get`] does.
    pub(crate) fn find_hot<R>(
        &self,
        space: &Arc<Space>,
        parts: &KeyParts,
        now: TimestampMillis,
        read: impl FnOnce(&Arc<Entry>) -> Option<R>,
    ) -> Option<R> {
        self.hot.find(space, parts, now, read)
    }

    /// Notes that `entry`, found under the key that these parts make, was asked for.
    pub(crate) fn note_hot(&self, space: &Arc<Space>, parts: &KeyParts, entry: &Arc<Entry>) {
        self.hot.note(space, parts, entry);
    }

    /// Stores `entry` under `key`.
    pub(crate) fn put(&self, key: Arc<str>, entry: Arc<Entry>) {
        self.store.insert(key, entry);
    }

    /// Frees what `key` holds, because nobody may use it any more.
    pub(crate) fn free(&self, key: &str) {
        self.store.invalidate(key);
    }

    /// How many entries there are, and their bytes; both may trail behind by a moment.
    pub(crate) fn size(&self) -> (u64, ByteCount) {
        (
            self.store.entry_count(),
            ByteCount::bytes(self.store.weighted_size()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::hot::tests::{entry, parts, space};

    const NOW: TimestampMillis = TimestampMillis::from_unix_millis(7);

    fn found(tier: &MemoryTier, space: &Arc<Space>, parts: &KeyParts) -> Option<Arc<Entry>> {
        let find = || tier.find_hot(space, parts, NOW, |entry| Some(entry.clone()));
        find().or_else(find)
    }

    #[test]
    fn what_is_found_quickly_is_what_the_store_has() {
        let (tier, space, parts) = (MemoryTier::new(ByteCount::mebibytes(1)), space(), parts(1));
        let found = || found(&tier, &space, &parts);
        let put = || {
            let entry = entry();
            tier.put("n:1".into(), entry.clone());
            let stored = tier.get("n:1").expect("stored");
            tier.note_hot(&space, &parts, &stored);
            entry
        };
        let one = put();
        assert!(found().is_some_and(|found| Arc::ptr_eq(&found, &one)));
        // Another one in its place, which nobody has asked for yet.
        tier.put("n:1".into(), entry());
        assert!(found().is_none());
        put();
        assert!(found().is_some());
        tier.free("n:1");
        assert!(found().is_none());
    }

    #[test]
    fn what_the_store_pushes_out_is_not_found() {
        let (tier, space) = (MemoryTier::new(ByteCount::kibibytes(64)), space());
        let mut noted = Vec::new();
        for id in 0..2_000 {
            let entry = entry();
            let key = format!("n:{id}");
            tier.put(key.as_str().into(), entry.clone());
            if let Some(stored) = tier.get(&key) {
                tier.note_hot(&space, &parts(id), &stored);
            }
            noted.push((id, key, entry));
        }
        tier.store.run_pending_tasks();
        let gone = noted.iter().filter(|(_, key, _)| tier.get(key).is_none());
        let mut count = 0;
        for (id, _, entry) in gone {
            count += 1;
            assert!(entry.is_retired(), "{id}");
            assert!(found(&tier, &space, &parts(*id)).is_none(), "{id}");
        }
        assert!(count > 1_000, "{count}");
    }
}

//! What memory is asked for most, found by the parts of its key: without making the key, and without asking moka.
//!
//! A table with two places for each hash. What stands in it stands in moka too: what moka has replaced, dropped or
//! pushed out is taken out here ([`HotTable::retire`]). Once in each tick of the clock an entry is not found on purpose:
//! so moka hears of every hit of what is asked for seldom, and of enough of the others to keep them.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use terrace_shared::key::KeyParts;
use terrace_shared::time::TimestampMillis;

use crate::entry::Entry;
use crate::space::Space;

/// The entries asked for most.
#[derive(Debug)]
pub(crate) struct HotTable {
    pairs: Box<[Pair]>,
    hasher: RandomState,
}

type Pair = [ArcSwapOption<Hot>; 2];

#[derive(Debug)]
struct Hot {
    hash: u64,
    space: Arc<Space>,
    parts: KeyParts,
    entry: Arc<Entry>,
    /// When moka last heard that it was asked for.
    heard_at: AtomicU64,
}

impl HotTable {
    /// It has room for twice as many entries.
    const PAIRS: usize = 2_048;

    /// Of so many entries that find no room one takes the place of another.
    const TAKEN_OVER: usize = 4;

    pub(crate) fn new() -> Self {
        let pair = || [ArcSwapOption::empty(), ArcSwapOption::empty()];
        Self {
            pairs: (0..Self::PAIRS).map(|_| pair()).collect(),
            hasher: RandomState::default(),
        }
    }

    /// What `read` makes of the entry with these parts, if it is here, and moka has heard of it at `now`.
    pub(crate) fn find<R>(
        &self,
        space: &Arc<Space>,
        parts: &KeyParts,
        now: TimestampMillis,
        read: impl FnOnce(&Arc<Entry>) -> Option<R>,
    ) -> Option<R> {
        let hash = self.hash(parts);
        for place in self.pair(hash)? {
            let held = place.load();
            let own = held.as_ref().filter(|hot| hot.is(hash, space, parts));
            if let Some(hot) = own {
                return if hot.is_heard_at(now) {
                    read(&hot.entry)
                } else {
                    None
                };
            }
        }
        None
    }

    /// Notes that moka had `entry` under the key that these parts make.
    pub(crate) fn note(&self, space: &Arc<Space>, parts: &KeyParts, entry: &Arc<Entry>) {
        let hash = self.hash(parts);
        let Some(place) = self.place_for(hash, space, parts) else {
            return;
        };
        if place
            .load()
            .as_ref()
            .is_some_and(|hot| Arc::ptr_eq(&hot.entry, entry))
        {
            return;
        }
        // Known to the entry before it can be found: whichever of this and `retire` comes last takes it out.
        entry.note_hot(hash);
        place.store(Some(Arc::new(Hot {
            hash,
            space: space.clone(),
            parts: parts.clone(),
            entry: entry.clone(),
            heard_at: AtomicU64::new(0),
        })));
        if entry.is_retired() {
            self.take_out(hash, entry);
        }
    }

    /// Notes that moka has let go of `entry`, for another one or for room.
    pub(crate) fn retire(&self, entry: &Arc<Entry>) {
        if let Some(hash) = entry.retire() {
            self.take_out(hash, entry);
        }
    }

    /// Its own place, or a free one, or one that is taken over.
    fn place_for(
        &self,
        hash: u64,
        space: &Arc<Space>,
        parts: &KeyParts,
    ) -> Option<&ArcSwapOption<Hot>> {
        let pair = self.pair(hash)?;
        let is_own = |place: &&ArcSwapOption<Hot>| {
            place
                .load()
                .as_ref()
                .is_some_and(|hot| hot.is(hash, space, parts))
        };
        let is_free = |place: &&ArcSwapOption<Hot>| place.load().is_none();
        // Those that are asked for seldom shall not push out those that are asked for often.
        let taken_over = || pair.get(fastrand::usize(..2 * Self::TAKEN_OVER));
        let own = pair.iter().find(is_own);
        own.or_else(|| pair.iter().find(is_free))
            .or_else(taken_over)
    }

    fn take_out(&self, hash: u64, entry: &Arc<Entry>) {
        for place in self.pair(hash).into_iter().flatten() {
            let held = place.load();
            if held
                .as_ref()
                .is_some_and(|hot| Arc::ptr_eq(&hot.entry, entry))
            {
                place.compare_and_swap(&*held, None);
            }
        }
    }

    /// Of the values alone: the names are the same for most of those that are compared.
    fn hash(&self, parts: &KeyParts) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for (_, value) in parts {
            hasher.write(value.as_bytes());
        }
        hasher.finish()
    }

    fn pair(&self, hash: u64) -> Option<&Pair> {
        let place = usize::try_from(hash % self.pairs.len() as u64).ok()?;
        self.pairs.get(place)
    }
}

impl Hot {
    /// Whether moka has heard of it at `now`, or else is about to.
    fn is_heard_at(&self, now: TimestampMillis) -> bool {
        let now = now.as_unix_millis();
        let heard = self.heard_at.load(Ordering::Relaxed) == now;
        if !heard {
            self.heard_at.store(now, Ordering::Relaxed);
        }
        heard
    }

    fn is(&self, hash: u64, space: &Arc<Space>, parts: &KeyParts) -> bool {
        self.hash == hash && Arc::ptr_eq(&self.space, space) && self.parts == *parts
    }
}

#[cfg(test)]
pub(super) mod tests {
    use terrace_shared::policy::KeySpace;
    use terrace_shared::purge::{EntryScopes, Epoch, Fence, Incarnation, Sequence};

    use super::*;
    use crate::entry::Lifetime;
    use crate::metrics::NamespaceCounters;
    use crate::space::Codec;

    pub(in crate::tier) fn space() -> Arc<Space> {
        Arc::new(Space {
            policy: KeySpace::new("n", "n:{id}[:{page}]").expect("a template"),
            codec: Codec::of::<u32>(),
            counters: NamespaceCounters::default(),
        })
    }

    pub(in crate::tier) fn entry() -> Arc<Entry> {
        let epoch = Epoch {
            incarnation: Incarnation::from_random(1),
            sequence: Sequence::ZERO,
        };
        let scopes = EntryScopes::of_key("n", "n:1", []);
        let lifetime = Lifetime::default();
        Arc::new(Entry::new(None, lifetime, Fence::at(epoch), scopes, 0))
    }

    pub(in crate::tier) fn parts(id: u32) -> KeyParts {
        KeyParts::new().with("id", id)
    }

    const NOW: TimestampMillis = TimestampMillis::from_unix_millis(7);

    fn found(table: &HotTable, space: &Arc<Space>, parts: &KeyParts) -> Option<Arc<Entry>> {
        let find = || table.find(space, parts, NOW, |entry| Some(entry.clone()));
        find().or_else(find)
    }

    fn is(found: Option<Arc<Entry>>, entry: &Arc<Entry>) -> bool {
        found.is_some_and(|found| Arc::ptr_eq(&found, entry))
    }

    #[test]
    fn an_entry_is_found_by_its_own_namespace_and_parts_alone() {
        let (table, here, there) = (HotTable::new(), space(), space());
        let entry = entry();
        table.note(&here, &parts(1), &entry);
        assert!(is(found(&table, &here, &parts(1)), &entry));
        assert!(found(&table, &there, &parts(1)).is_none());
        assert!(found(&table, &here, &parts(2)).is_none());
        // The same values, under other names.
        let page = KeyParts::new().with("page", 1);
        assert_eq!(table.hash(&page), table.hash(&parts(1)));
        assert!(found(&table, &here, &page).is_none());
    }

    #[test]
    fn what_memory_has_let_go_of_is_not_found_whichever_was_first() {
        let (table, space) = (HotTable::new(), space());
        let one = entry();
        table.note(&space, &parts(1), &one);
        table.retire(&one);
        assert!(found(&table, &space, &parts(1)).is_none());
        assert_eq!(Arc::strong_count(&one), 1, "its memory is free");
        let other = entry();
        table.retire(&other);
        table.note(&space, &parts(1), &other);
        assert!(found(&table, &space, &parts(1)).is_none());
        assert_eq!(Arc::strong_count(&other), 1);
    }

    #[test]
    fn an_entry_takes_the_place_of_the_one_before_it_and_does_not_go_with_it() {
        let (table, space) = (HotTable::new(), space());
        let (old, new) = (entry(), entry());
        table.note(&space, &parts(1), &old);
        table.note(&space, &parts(1), &new);
        table.retire(&old);
        assert!(is(found(&table, &space, &parts(1)), &new));
    }

    #[test]
    fn of_more_than_there_is_room_for_most_stay() {
        let (table, space) = (HotTable::new(), space());
        let pair = |id: u32| table.hash(&parts(id)) % HotTable::PAIRS as u64;
        let mut rivals = (0..).filter(|id| pair(*id) == pair(0));
        let entries: Vec<_> = rivals.by_ref().take(2).map(|id| (id, entry())).collect();
        for (id, entry) in &entries {
            table.note(&space, &parts(*id), entry);
        }
        let stay = |(id, entry): &(u32, Arc<Entry>)| is(found(&table, &space, &parts(*id)), entry);
        assert!(entries.iter().all(stay));
        // Each of these has a chance of one in four; that none of a hundred gets a place has one of 10^12.
        let rival = rivals.next().expect("there are more");
        (0..100).for_each(|_| table.note(&space, &parts(rival), &entry()));
        assert!(found(&table, &space, &parts(rival)).is_some());
    }

    #[test]
    fn moka_hears_once_in_each_moment_of_what_is_asked_for() {
        let (table, space) = (HotTable::new(), space());
        table.note(&space, &parts(1), &entry());
        for now in [7, 8, 20] {
            let now = TimestampMillis::from_unix_millis(now);
            let found =
                [(); 4].map(|()| table.find(&space, &parts(1), now, |_| Some(())).is_some());
            assert_eq!(found, [false, true, true, true]);
        }
    }
}

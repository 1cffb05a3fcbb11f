//! A stored value in this process's memory, and what may be done with it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use terrace_shared::purge::{EntryScopes, Fence, Verdict};
use terrace_shared::time::{Milliseconds, TimestampMillis};

use crate::ledger::{Judged, Standing};

/// A value of any type, as memory holds it; none says that the source had none.
pub(crate) type Value = Option<Arc<dyn Any + Send + Sync>>;

/// The value as a `T`; none if it is of another type.
#[expect(
    clippy::option_option,
    reason = "whether it is known, and whether there is one"
)]
pub(crate) fn typed<T: Send + Sync + 'static>(value: &Value) -> Option<Option<Arc<T>>> {
    match value {
        None => Some(None),
        Some(value) => value.clone().downcast::<T>().ok().map(Some),
    }
}

/// A stored value with its lifetime and what purges it answers to.
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) lifetime: Lifetime,
    /// Its size in memory, in bytes.
    pub(crate) weight: u32,
    standing: Standing,
    scopes: EntryScopes,
    /// Where memory's quick table may have it: the hash of its key's parts, or zero.
    hot: AtomicU64,
    /// Whether memory has let go of it.
    retired: AtomicBool,
}

/// From when to when an entry may be used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Lifetime {
    /// When its fill began.
    pub(crate) created_at: TimestampMillis,
    /// Until when it is fresh; at that moment it is stale.
    pub(crate) fresh_until: TimestampMillis,
    /// Until when it may be served stale at all; at that moment it may not.
    pub(crate) stale_until: TimestampMillis,
    /// How long the fill took.
    pub(crate) load_duration: Milliseconds,
}

/// What may be done with an entry now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Condition {
    /// Serve it.
    Fresh,
    /// Serve it only where the policy allows stale answers.
    Stale,
    /// Act as if it were not there.
    Gone,
}

impl Entry {
    pub(crate) fn new(
        value: Value,
        lifetime: Lifetime,
        fence: Fence,
        scopes: EntryScopes,
        payload_bytes: usize,
    ) -> Self {
        let names = scopes.name().len() * 2 + size_of_val(scopes.fingerprints());
        let weight = payload_bytes + names + Self::OVERHEAD;
        Self {
            value,
            lifetime,
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            standing: Standing::new(fence),
            scopes,
            hot: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// The same entry, filled since the view was in `generation`: nothing it could answer to is newer.
    pub(crate) fn begun_in(self, generation: u64) -> Self {
        Self {
            standing: self.standing.begun_in(generation),
            ..self
        }
    }

    /// What an entry costs beyond its value, its names and its scopes: itself, its key and moka's node.
    const OVERHEAD: usize = size_of::<Self>() + 192;

    /// Notes where memory's quick table is about to have it.
    pub(crate) fn note_hot(&self, hash: u64) {
        self.hot.store(hash, Ordering::SeqCst);
    }

    /// Notes that memory has let go of it, and says where its quick table may have it.
    pub(crate) fn retire(&self) -> Option<u64> {
        self.retired.store(true, Ordering::SeqCst);
        Some(self.hot.load(Ordering::SeqCst)).filter(|hash| *hash != 0)
    }

    /// Whether memory has let go of it.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// What may be done with it at `now`, given what the ledger says; equality is stale (RFC 9111 §4.2).
    pub(crate) fn condition(&self, verdict: Verdict, now: TimestampMillis) -> Condition {
        self.lifetime.condition(verdict, now)
    }
}

impl Judged for Entry {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn scopes(&self) -> &EntryScopes {
        &self.scopes
    }
}

impl Lifetime {
    /// What may be done at `now` with whatever lives this long.
    pub(crate) fn condition(&self, verdict: Verdict, now: TimestampMillis) -> Condition {
        match verdict {
            Verdict::Untouched if now < self.fresh_until => Condition::Fresh,
            Verdict::Untouched | Verdict::Softened if now < self.stale_until => Condition::Stale,
            Verdict::Untouched | Verdict::Softened | Verdict::Dropped => Condition::Gone,
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("name", &self.scopes.name())
            .field("lifetime", &self.lifetime)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_stale_exactly_at_the_end_of_its_freshness_and_gone_at_the_end_of_its_grace() {
        let at = TimestampMillis::from_unix_millis;
        let lifetime = Lifetime {
            created_at: at(0),
            fresh_until: at(60),
            stale_until: at(90),
            load_duration: Milliseconds::new(1),
        };
        for (verdict, now, condition) in [
            (Verdict::Untouched, 59, Condition::Fresh),
            (Verdict::Untouched, 60, Condition::Stale),
            (Verdict::Untouched, 89, Condition::Stale),
            (Verdict::Untouched, 90, Condition::Gone),
            (Verdict::Softened, 1, Condition::Stale),
            (Verdict::Softened, 90, Condition::Gone),
            (Verdict::Dropped, 1, Condition::Gone),
        ] {
            assert_eq!(
                lifetime.condition(verdict, at(now)),
                condition,
                "{verdict:?} {now}"
            );
        }
    }
}

//! What is stored: responses with their bodies, the variants of a URL under one key.

mod bytes;
mod memory;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::bytes::Bytes;
use terrace_shared::http::{StoredResponse, VaryKey};
use terrace_shared::purge::{EntryScopes, Fence, Verdict};
use terrace_shared::time::{Timestamp, TimestampMillis};

pub(super) use self::memory::{Markers, Memory};
pub(super) use self::shared::{SharedStore, key_text};
use crate::ledger::{Judged, Standing};

/// A stored response with its body.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) head: StoredResponse,
    pub(super) body: Bytes,
    standing: Standing,
    /// Before this moment it is not refreshed behind an answer again: the last attempt has failed.
    not_before: AtomicU64,
}

/// The stored responses of one URL, each for other requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Variants(Box<[Arc<Entry>]>);

/// What became of a response that was to be stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kept {
    /// It is there.
    Yes,
    /// What is there is worth more: it is complete and fresh, and the other one a part.
    No,
}

impl Entry {
    pub(super) fn new(head: StoredResponse, body: Bytes) -> Self {
        Self {
            standing: Standing::new(*head.fence()),
            head,
            body,
            not_before: AtomicU64::new(0),
        }
    }

    /// The same body under another head.
    pub(super) fn with_head(&self, head: StoredResponse) -> Self {
        Self::new(head, self.body.clone())
    }

    /// Which purges it had seen when it was filled: what a copy of it carries too (R1).
    pub(super) const fn filled_under(&self) -> &Fence {
        self.head.fence()
    }

    /// What it takes in memory, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        let fields: usize = self
            .head
            .fields()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + Self::A_FIELD)
            .sum();
        let scopes = self.head.scopes();
        let names = scopes.name().len() + size_of_val(scopes.fingerprints());
        self.body.len() + fields + names + size_of::<Self>()
    }

    /// What a field takes besides its text: its place in the map.
    const A_FIELD: usize = 64;

    /// Whether it may be refreshed behind an answer at `now`.
    pub(super) fn is_refreshable(&self, now: TimestampMillis) -> bool {
        now.as_unix_millis() >= self.not_before.load(Ordering::Relaxed)
    }

    /// Leaves the service alone until `moment`: it could not refresh this.
    pub(super) fn rest_until(&self, moment: TimestampMillis) {
        self.not_before
            .store(moment.as_unix_millis(), Ordering::Relaxed);
    }
}

impl Judged for Entry {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn scopes(&self) -> &EntryScopes {
        self.head.scopes()
    }
}

impl Variants {
    /// More are not kept: the oldest makes room.
    const MOST: usize = 64;

    pub(super) fn as_slice(&self) -> &[Arc<Entry>] {
        &self.0
    }

    /// These and `entry`, which replaces what is stored for the same requests, unless that is worth more.
    ///
    /// Those that the ledger has dropped make room.
    pub(super) fn with(
        &self,
        entry: &Arc<Entry>,
        judge: impl Fn(&Arc<Entry>) -> Verdict,
        now: Timestamp,
    ) -> Option<Self> {
        let mut kept = Vec::with_capacity(self.0.len() + 1);
        for other in &self.0 {
            let verdict = judge(other);
            let same = other.head.vary() == entry.head.vary();
            if same && verdict != Verdict::Dropped {
                if !entry.head.may_replace(&other.head, verdict, now) {
                    return None;
                }
            } else if !same && verdict != Verdict::Dropped {
                kept.push(other.clone());
            }
        }
        if kept.len() >= Self::MOST {
            let date = |entry: &Arc<Entry>| entry.head.exchange().received_at;
            let oldest = (0..kept.len()).min_by_key(|at| kept.get(*at).map(date));
            if let Some(oldest) = oldest {
                kept.swap_remove(oldest);
            }
        }
        kept.push(entry.clone());
        Some(Self(kept.into()))
    }

    /// These without what is stored for the same requests.
    pub(super) fn without(&self, vary: &VaryKey) -> Self {
        let others = self.0.iter().filter(|other| other.head.vary() != vary);
        Self(others.cloned().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn weight(&self) -> usize {
        self.0.iter().map(|entry| entry.weight()).sum()
    }
}

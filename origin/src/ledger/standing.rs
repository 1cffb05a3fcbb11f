//! How a stored entry stands with the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_shared::purge::{EntryScopes, Epoch, Fence, Sequence};

/// The purges that a stored entry has seen, as far as it has been judged.
#[derive(Debug)]
pub(crate) struct Standing {
    fence: Fence,
    /// How far along the ledger it has been judged untouched; its fence counts as lifted to there (R2).
    lifted_to: AtomicU64,
    /// The generation of the view in which it was judged untouched last.
    judged_in: AtomicU64,
}

/// What the ledger judges when it is read (R3).
pub(crate) trait Judged {
    /// How it stands.
    fn standing(&self) -> &Standing;

    /// What it answers to.
    fn scopes(&self) -> &EntryScopes;
}

impl Standing {
    /// Of an entry that has not been judged yet.
    pub(crate) const fn new(fence: Fence) -> Self {
        Self {
            fence,
            lifted_to: AtomicU64::new(0),
            judged_in: AtomicU64::new(u64::MAX),
        }
    }

    /// Of an entry that was filled since the view was in `generation`: nothing it could answer to is newer.
    pub(crate) fn begun_in(self, generation: u64) -> Self {
        self.judged_in.store(generation, Ordering::Release);
        self
    }

    /// Which purges it had seen when it was filled: what a copy of it carries too (R1).
    pub(crate) const fn filled_under(&self) -> Fence {
        self.fence
    }

    /// Which purges it has seen, lifted as far as it has been judged.
    pub(crate) fn fence(&self) -> Fence {
        let lifted_to = Sequence::new(self.lifted_to.load(Ordering::Acquire));
        let mut fence = self.fence;
        fence.filled_at.sequence = fence.filled_at.sequence.max(lifted_to);
        fence
    }

    /// Notes that it was judged untouched at `epoch`, in the view's `generation`.
    pub(crate) fn lift(&self, epoch: Epoch, generation: u64) {
        self.lifted_to
            .fetch_max(epoch.sequence.as_u64(), Ordering::AcqRel);
        self.judged_in.store(generation, Ordering::Release);
    }

    /// The generation in which it was judged untouched last.
    pub(crate) fn judged_in(&self) -> u64 {
        self.judged_in.load(Ordering::Relaxed)
    }
}

impl<J: Judged> Judged for Arc<J> {
    fn standing(&self) -> &Standing {
        (**self).standing()
    }

    fn scopes(&self) -> &EntryScopes {
        (**self).scopes()
    }
}

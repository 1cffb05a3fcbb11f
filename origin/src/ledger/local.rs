//! The ledger of a process that shares nothing: the embedded default.

use std::sync::Arc;

use terrace_shared::purge::token::Wanted;
use terrace_shared::purge::{Epoch, Incarnation, LedgerLimits, Purge};
use terrace_shared::time::Milliseconds;

use super::{Appended, BoxFuture, PurgeLedger, ReplicaState, View};
use crate::clock::Clock;
use crate::error::LedgerError;

/// A ledger in memory, of which this process is the authority.
#[derive(Debug)]
pub(crate) struct LocalLedger(Arc<View>);

impl LocalLedger {
    /// A ledger that begins a new history.
    pub(crate) fn new(limits: LedgerLimits, clock: &Clock) -> Self {
        let incarnation = Incarnation::from_random(fastrand::u64(..));
        Self(Arc::new(View::authority(
            incarnation,
            limits,
            clock.moment(),
        )))
    }
}

impl PurgeLedger for LocalLedger {
    fn view(&self) -> &Arc<View> {
        &self.0
    }

    fn append(&self, purge: Purge) -> BoxFuture<'_, Result<Appended, LedgerError>> {
        let now = purge.at.timestamp();
        let epoch = self.0.change(|replica| {
            let ledger = replica.ledger_mut()?;
            ledger.append(purge);
            Some(ledger.epoch())
        });
        self.0.compact(now);
        let appended = epoch.map(|epoch| Appended {
            epoch,
            replica: ReplicaState::Applied,
        });
        Box::pin(async move { appended.ok_or(LedgerError::NoLedger) })
    }

    fn shared_within(&self) -> Option<Milliseconds> {
        None
    }

    fn met_later(&self, _epoch: Epoch) {} // this view is the authority: nothing is ahead of it

    fn catch_up<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, ()> {
        self.0.note_gone(wanted); // for the same reason, what it does not know of is another history's
        Box::pin(std::future::ready(()))
    }
}

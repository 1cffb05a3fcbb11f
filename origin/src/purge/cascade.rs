//! A purge's way through the tiers: the ledger first, then the edges, and later perhaps the same again (R8).

use std::sync::Arc;

use terrace_shared::purge::Purge;
use terrace_shared::time::Milliseconds;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::again::{self, Agenda, EntryId};
use super::outbox::Outbox;
use crate::clock::Clock;
use crate::error::{AgendaError, LedgerError};
use crate::ledger::{Appended, PurgeLedger};

/// Everything that a purge goes through.
pub(crate) struct Cascade {
    carrier: Arc<Carrier>,
    agenda: Arc<dyn Agenda>,
    nudge: Arc<Notify>,
    task: Option<AbortHandle>,
}

/// What carries a purge to the ledger and the edges.
pub(crate) struct Carrier {
    pub(crate) ledger: Arc<dyn PurgeLedger>,
    pub(crate) outbox: Option<Outbox>,
    pub(crate) clock: Clock,
}

impl Cascade {
    /// A cascade whose second purges wait in `agenda`; within a Tokio runtime, they are carried out.
    pub(crate) fn start(carrier: Carrier, agenda: Arc<dyn Agenda>) -> Self {
        let (carrier, nudge) = (Arc::new(carrier), Arc::<Notify>::default());
        let task = tokio::runtime::Handle::try_current().ok().map(|runtime| {
            let kept = again::keep(agenda.clone(), carrier.clone(), nudge.clone());
            runtime.spawn(kept).abort_handle()
        });
        Self {
            carrier,
            agenda,
            nudge,
            task,
        }
    }

    /// Has the ledger take `purge`, and the edges told of it.
    pub(crate) async fn append(&self, purge: Purge) -> Result<Appended, LedgerError> {
        self.carrier.append(purge).await
    }

    /// Writes down that `purge` is to be carried out once more after `after`.
    pub(crate) async fn schedule(
        &self,
        purge: &Purge,
        after: Milliseconds,
    ) -> Result<EntryId, AgendaError> {
        let entry = self.agenda.add(purge, after).await?;
        self.nudge.notify_one();
        Ok(entry)
    }

    /// Strikes off a second purge whose first was refused; one that stays purges too much, and nothing else.
    pub(crate) async fn unschedule(&self, entry: &EntryId) {
        let _ = self.agenda.strike(entry).await;
    }

    /// What a receipt has to say of how a second purge is kept.
    pub(crate) fn remark(&self) -> Option<&'static str> {
        self.agenda.remark()
    }

    pub(crate) fn outbox(&self) -> Option<&Outbox> {
        self.carrier.outbox.as_ref()
    }
}

impl Drop for Cascade {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Carrier {
    async fn append(&self, purge: Purge) -> Result<Appended, LedgerError> {
        match &self.outbox {
            Some(outbox) => outbox.append(&*self.ledger, purge).await,
            None => self.ledger.append(purge).await,
        }
    }

    /// The same purge once more, as of now.
    pub(super) async fn purge_again(&self, purge: Purge) -> Result<Appended, LedgerError> {
        let at = self.clock.now();
        self.append(Purge { at, ..purge }).await
    }
}

//! Purges on their way to the edges: in the ledger's order, at least once, for as long as it takes (R8).
//!
//! With Redis, the script that gives a purge its place in the ledger puts it into the outbox's stream in the
//! same moment, so nothing lies between the two that a crash could fall into. For each edge one process at a
//! time sends: it holds a claim of some seconds, reads the stream after the edge's own mark, tells the edge,
//! and notes the new mark. Whoever purges looks at that mark to say how far the edge is. Where letters are
//! missing (too many waited, Redis lost them, the ledger began another history), the edge is told to purge
//! everything. Without Redis, the letters wait in this process, and are lost with it.

mod journal;
mod memory;
mod plan;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod relay;

use std::sync::Arc;
use std::time::Duration;

use terrace_shared::purge::wire::{PurgeRequest, PurgeState, PurgedTier, TierReceipt};
use terrace_shared::purge::{Epoch, Purge};
use terrace_shared::time::Milliseconds;
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;

use self::journal::Journal;
pub(crate) use self::journal::Progress;
pub(crate) use self::memory::MemoryJournal;
use self::relay::{Relay, RelayHandle, RelayState};
use super::target::PurgeTarget;
use crate::error::LedgerError;
use crate::ledger::{Appended, PurgeLedger};
use crate::metrics::EdgeStats;

/// The way from the ledger to the edges.
pub(crate) struct Outbox {
    journal: Arc<dyn Journal>,
    keeping: Keeping,
    relays: Vec<RelayHandle>,
    tasks: Vec<AbortHandle>,
}

/// Where purges wait.
enum Keeping {
    /// In Redis, where the ledger's own script puts them.
    #[cfg(feature = "redis")]
    Shared,
    /// In this process, which puts them there one after the other.
    Here {
        journal: MemoryJournal,
        turn: Mutex<()>,
    },
}

/// One more edge: what it is called, and how it is told.
pub(crate) struct Recipient {
    pub(crate) name: Arc<str>,
    pub(crate) target: Box<dyn PurgeTarget>,
}

/// How long an edge is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// Until its first attempt has come to something, and at most a second.
    FirstAttempt,
    /// Until it has taken the purge, and at most so long.
    Within(Duration),
}

impl Outbox {
    /// Longest wait of a purge for its first attempt.
    const FIRST_ATTEMPT: Duration = Duration::from_secs(1);

    /// The bound of an edge that has not said its own yet.
    const USUAL_BOUND: Milliseconds = Milliseconds::new(5_000);

    /// An outbox in this process, beside a ledger that stands at `ledger`. Call it within a Tokio runtime.
    pub(crate) fn in_process(ledger: Epoch, recipients: Vec<Recipient>) -> Self {
        let names = recipients
            .iter()
            .map(|recipient| recipient.name.to_string());
        let journal = MemoryJournal::new(ledger, names);
        let keeping = Keeping::Here {
            journal: journal.clone(),
            turn: Mutex::new(()),
        };
        let (_, news) = watch::channel(0);
        Self::start(Arc::new(journal), keeping, recipients, &news)
    }

    /// An outbox in Redis; `news` moves whenever this process learns of a purge.
    #[cfg(feature = "redis")]
    pub(crate) fn shared(
        journal: redis::RedisJournal,
        recipients: Vec<Recipient>,
        news: &watch::Receiver<u64>,
    ) -> Self {
        Self::start(Arc::new(journal), Keeping::Shared, recipients, news)
    }

    fn start(
        journal: Arc<dyn Journal>,
        keeping: Keeping,
        recipients: Vec<Recipient>,
        news: &watch::Receiver<u64>,
    ) -> Self {
        let (mut relays, mut tasks) = (Vec::new(), Vec::new());
        for Recipient { name, target } in recipients {
            let (relay, handle) = Relay::new(name, journal.clone(), target, news.clone());
            tasks.push(tokio::spawn(relay.run()).abort_handle());
            relays.push(handle);
        }
        Self {
            journal,
            keeping,
            relays,
            tasks,
        }
    }

    /// Has `ledger` take `purge`, and the edges told of it.
    ///
    /// # Errors
    /// When the ledger does not take it; then no edge is told.
    pub(crate) async fn append(
        &self,
        ledger: &dyn PurgeLedger,
        purge: Purge,
    ) -> Result<Appended, LedgerError> {
        let appended = match &self.keeping {
            #[cfg(feature = "redis")]
            Keeping::Shared => ledger.append(purge).await?,
            Keeping::Here { journal, turn } => {
                let request = PurgeRequest::from_purge(&purge);
                let _turn = turn.lock().await; // purges wait in the order of their places
                let appended = ledger.append(purge).await?;
                journal.push(appended.epoch, request);
                appended
            }
        };
        for relay in &self.relays {
            relay.nudge();
        }
        Ok(appended)
    }

    /// What each edge says of the purge at `epoch`, once it was waited for.
    ///
    /// # Cancel safety
    /// Dropped early, nothing is lost but the answer.
    pub(crate) async fn receipts(&self, epoch: Epoch, patience: Patience) -> Vec<TierReceipt> {
        let longest = match patience {
            Patience::FirstAttempt => Self::FIRST_ATTEMPT,
            Patience::Within(longest) => longest,
        };
        if self.relays.is_empty() {
            return self.receipts_of_others(epoch, patience, longest).await;
        }
        let _hurry: Vec<_> = self.relays.iter().map(RelayHandle::hurry).collect();
        let all_told = async {
            for relay in &self.relays {
                let is_over = |state: &RelayState| patience.is_over(state);
                relay.until_taken(epoch, is_over).await;
            }
        };
        // Too late or not: the receipts say how far each of them is.
        let _ = tokio::time::timeout(longest, all_told).await;
        let receipt = |relay: &RelayHandle| {
            let state = relay.state.borrow();
            receipt(&relay.edge, &state, epoch, self.unless_the_process_ends())
        };
        self.relays.iter().map(receipt).collect()
    }

    /// What the edges say that only other processes send to.
    async fn receipts_of_others(
        &self,
        epoch: Epoch,
        patience: Patience,
        longest: Duration,
    ) -> Vec<TierReceipt> {
        const LOOK: Duration = Duration::from_millis(50);
        let deadline = tokio::time::Instant::now() + longest;
        loop {
            // Unreadable, nothing can be said of them.
            let edges = self.edges().await.unwrap_or_default();
            let states = edges.into_iter().map(|(edge, progress)| {
                let state = RelayState {
                    progress,
                    ..RelayState::default()
                };
                (edge, state)
            });
            let states: Vec<_> = states.collect();
            let is_enough =
                |state: &RelayState| state.progress.has_taken(epoch) || patience.is_over(state);
            if states.iter().all(|(_, state)| is_enough(state))
                || tokio::time::Instant::now() >= deadline
            {
                let besides = self.unless_the_process_ends();
                let receipts = states
                    .iter()
                    .map(|(edge, state)| receipt(edge, state, epoch, besides));
                return receipts.collect();
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How far each edge has come, by name, the ones that only other processes send to among them.
    pub(crate) async fn edges(&self) -> Result<Vec<(String, Progress)>, String> {
        let edges = self.journal.edges().await;
        let mut edges = edges.map_err(|error| error.to_string())?;
        edges.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(edges)
    }

    /// What each edge's relay counts, by the edge's name.
    pub(crate) fn stats(&self) -> impl Iterator<Item = (String, EdgeStats)> {
        self.relays.iter().map(|relay| {
            let seen = relay.state.borrow();
            let stats = EdgeStats {
                waiting: seen.waiting,
                failing: seen.progress.failing.clone(),
                counted: relay.counters.totals(),
            };
            (relay.edge.to_string(), stats)
        })
    }

    /// What a receipt of a purge that waits here has to say besides.
    const fn unless_the_process_ends(&self) -> &'static str {
        match self.keeping {
            #[cfg(feature = "redis")]
            Keeping::Shared => "",
            Keeping::Here { .. } => "; it waits in this process, and is lost if that ends",
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        // Another process goes on at once; if this one cannot say so any more, then when the claims run out.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let journal = self.journal.clone();
            let edges: Vec<_> = self.relays.iter().map(|relay| relay.edge.clone()).collect();
            runtime.spawn(async move {
                for edge in edges {
                    let _ = journal.release(&edge).await;
                }
            });
        }
    }
}

impl Patience {
    fn is_over(self, state: &RelayState) -> bool {
        match self {
            Self::FirstAttempt => state.progress.failing.is_some() || state.unreadable.is_some(),
            Self::Within(_) => false,
        }
    }
}

fn receipt(edge: &str, state: &RelayState, epoch: Epoch, besides: &str) -> TierReceipt {
    let progress = &state.progress;
    let taken = progress.has_taken(epoch);
    let reason = || {
        let failing = progress.failing.as_ref().or(state.unreadable.as_ref());
        let reason = failing.map_or("the edge has not answered yet", String::as_str);
        format!("{reason}{besides}")
    };
    TierReceipt {
        tier: PurgedTier::Edge,
        name: Some(edge.to_owned()),
        state: if taken {
            PurgeState::Done
        } else {
            PurgeState::Pending
        },
        bound_ms: progress.bound_ms.unwrap_or(Outbox::USUAL_BOUND),
        epoch: progress.edge_epoch.filter(|_| taken),
        detail: (!taken).then(reason),
    }
}

#[cfg(test)]
mod tests;

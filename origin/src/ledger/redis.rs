//! The ledger in Redis: one key, one script call a purge, and a replica in each process (§2.1).
//!
//! Purges come by three ways: the answer to one's own, pub/sub within a millisecond, and a question about
//! every second, which also says how old the view is (R7). Pub/sub may lose messages; the question does not.
//!
//! One name is one order: all purges of a ledger go through one key, on one slot of a cluster. Caches of different
//! names are the shards; they know nothing of one another's purges. The key holds a snapshot, which some replica
//! writes now and then, and the records after it: a process that starts, or has slept, takes both, in pages.
//!
//! What all of it survives, and how (R6): an evicted or emptied key is another incarnation. Where the servers demand
//! all of their replicas (`min-replicas-to-write`), a purge has its receipt only once they have it, and no view is
//! confirmed by a master that they do not follow: a fail-over loses nothing that anybody was promised. Where they
//! demand none, one that lost the last records is noticed by the chain of hashes over them, and an old copy that came
//! back by the list of incarnations that each history comes after, as soon as anybody asks who knows better.

mod page;
mod replica;
mod scripts;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use terrace_shared::policy::Policy;
use terrace_shared::purge::token::Wanted;
use terrace_shared::purge::{Epoch, Purge};
use terrace_shared::time::Milliseconds;
use tokio::task::AbortHandle;

use self::replica::Replica;
pub(crate) use self::scripts::{ledger_key, outbox_key};
use self::tail::{Relation, Told};
use super::{Appended, BoxFuture, PurgeLedger, ReplicaState, View};
use crate::clock::Clock;
use crate::error::LedgerError;
use crate::tier::redis::Redis;

/// The ledger that processes share.
pub(crate) struct RedisLedger {
    replica: Arc<Replica>,
    tasks: [AbortHandle; 2],
}

impl RedisLedger {
    /// Longest wait for the first view.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// The ledger of this name; the first view is waited for, as long as Redis may take to answer.
    pub(crate) async fn start(redis: &Redis, name: &str, policy: &Policy, clock: &Clock) -> Self {
        let replica = Arc::new(Replica::new(redis, name, policy, clock));
        // The loop tries again, or goes on with what is still to come.
        let _ = tokio::time::timeout(Self::PATIENCE, replica.catch_up()).await;
        let tasks = [
            tokio::spawn(replica.clone().keep_asking()).abort_handle(),
            tokio::spawn(replica.clone().keep_listening()).abort_handle(),
        ];
        Self { replica, tasks }
    }

    async fn append_now(&self, purge: Purge) -> Result<Appended, LedgerError> {
        let replica = &*self.replica;
        let place = replica.append(&purge.encode()).await?;
        let epoch = Epoch {
            incarnation: place.incarnation,
            sequence: place.sequence,
        };
        let state = match replica.take(Told { place, purge }) {
            Relation::Next | Relation::Known => {
                replica.view().vouch(epoch);
                ReplicaState::Applied
            }
            Relation::Unclear => replica.catch_up_to(&place).await, // others have purged meanwhile
        };
        Ok(Appended {
            epoch,
            replica: state,
        })
    }
}

impl Drop for RedisLedger {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl PurgeLedger for RedisLedger {
    fn view(&self) -> &Arc<View> {
        self.replica.view()
    }

    fn append(&self, purge: Purge) -> BoxFuture<'_, Result<Appended, LedgerError>> {
        Box::pin(self.append_now(purge))
    }

    fn shared_within(&self) -> Option<Milliseconds> {
        Some(self.replica.bound())
    }

    fn met_later(&self, epoch: Epoch) {
        self.replica.met_later(epoch);
    }

    fn catch_up<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, ()> {
        Box::pin(self.replica.catch_up_with(wanted))
    }
}

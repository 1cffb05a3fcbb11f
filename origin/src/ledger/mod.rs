//! The origin's purge ledger: who gives purges their places, and this process's view of it (§2.1).

mod local;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod standing;
mod view;

use std::pin::Pin;
use std::sync::Arc;

use terrace_shared::purge::token::Wanted;
use terrace_shared::purge::{Epoch, Purge};
use terrace_shared::time::Milliseconds;

pub(crate) use self::local::LocalLedger;
pub(crate) use self::standing::{Judged, Standing};
pub(crate) use self::view::{Began, View};
use crate::error::LedgerError;

/// A future of a trait object's.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A purge that the ledger has taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Appended {
    /// Its place.
    pub(crate) epoch: Epoch,
    /// Whether this process's replica has it already.
    pub(crate) replica: ReplicaState,
}

/// Whether this process's own reads are judged by a purge already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReplicaState {
    /// They are.
    Applied,
    /// They will be, once the replica has caught up.
    Behind,
}

/// Where purges become durable before anybody is told (R8).
pub(crate) trait PurgeLedger: Send + Sync {
    /// This process's view of it.
    fn view(&self) -> &Arc<View>;

    /// Gives `purge` its place, and applies it to this process's view.
    fn append(&self, purge: Purge) -> BoxFuture<'_, Result<Appended, LedgerError>>;

    /// Longest time until every process that shares this ledger judges by a purge; none if nobody shares it.
    fn shared_within(&self) -> Option<Milliseconds>;

    /// Notes that an entry was met which was filled at `epoch`, further along than the view: the view is
    /// behind, or the ledger has lost its tail (R6).
    fn met_later(&self, epoch: Epoch);

    /// Brings this process's view up to the purges that tokens name, by one question at most (R10).
    ///
    /// When the answer does not come in time, or does not reach that far, the view says so: [`View::reach`].
    fn catch_up<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, ()>;
}

//! The cache: namespaces, purges, and how it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use terrace_shared::policy::Policy;
use terrace_shared::purge::Epoch;
use terrace_shared::purge::token::After;
use terrace_shared::purge::wire::{PurgeState, PurgedTier, Receipt, TierReceipt};
use terrace_shared::time::Milliseconds;

use crate::config::CacheBuilder;
use crate::engine::Engine;
use crate::error::{LedgerError, NamespaceError, PurgeError};
use crate::ledger::ReplicaState;
use crate::metrics::{LedgerStats, MemoryStats, Stats};
use crate::namespace::Namespace;
use crate::purge::Purge;
use crate::purge::again::EntryId;
use crate::purge::outbox::{Outbox, Patience};

/// A cache in this process, over Redis if there is one, whose purges reach the edge if there is one.
///
/// Cheap to clone; the last clone to go stops what runs in the background.
#[derive(Clone)]
pub struct Cache(Arc<Engine>);

impl Cache {
    /// Begins to build a cache that follows `policy`.
    pub fn builder(policy: Policy) -> CacheBuilder {
        CacheBuilder::new(policy)
    }

    pub(crate) const fn from_engine(engine: Arc<Engine>) -> Self {
        Self(engine)
    }

    pub(crate) const fn engine(&self) -> &Arc<Engine> {
        &self.0
    }

    /// The namespace of this name in the policy, with values of type `T`.
    ///
    /// # Errors
    /// When the policy does not know it, or it is in use with values of another type.
    pub fn namespace<T>(&self, name: &str) -> Result<Namespace<T>, NamespaceError>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let space = self.0.spaces.open::<T>(name)?;
        Ok(Namespace::new(self.clone(), space))
    }

    /// Carries out a purge: the ledger takes it, this process judges by it at once, other processes
    /// within the bound, and each edge is told until it has taken it (R8).
    ///
    /// The edges' first attempts are waited for, at most a second; what has not taken the purge by then is
    /// pending in the receipt, and the attempts go on, with Redis even if this process ends.
    ///
    /// # Errors
    /// When the purge names nothing or something that cannot be named, and when the ledger does not take
    /// it; then nobody was told.
    ///
    /// # Cancel safety
    /// Dropped early, it may or may not have been taken; purging again does no harm.
    pub async fn purge(&self, purge: impl Into<Purge>) -> Result<Receipt, PurgeError> {
        self.carry_out(purge.into(), Patience::FirstAttempt).await
    }

    /// Like [`purge`](Self::purge), and waits until each edge has taken it, but at most `longest`.
    ///
    /// # Errors
    /// As [`purge`](Self::purge). Edges that have not taken it in time are no error: the receipt has no
    /// `visible_by_ms` then, and says which are pending and why.
    ///
    /// # Cancel safety
    /// As [`purge`](Self::purge).
    pub async fn purge_wait(
        &self,
        purge: impl Into<Purge>,
        longest: Duration,
    ) -> Result<Receipt, PurgeError> {
        self.carry_out(purge.into(), Patience::Within(longest))
            .await
    }

    async fn carry_out(&self, purge: Purge, patience: Patience) -> Result<Receipt, PurgeError> {
        let engine = &*self.0;
        let purged_at = engine.clock.now();
        let request = purge.into_request();
        let after = request.after_ms;
        let purge = request.into_purge(purged_at)?;
        let (mode, scopes) = (purge.mode, purge.scopes.len());
        let again = self.schedule(&purge, after).await?;
        let appended = match engine.cascade.append(purge).await {
            Ok(appended) => appended,
            Err(error) => {
                engine.counters.purge_errors_total.add_one();
                // Where the first may have been carried out, the second has to be.
                if let (Some(entry), false) = (again, error.may_have_been_taken()) {
                    engine.cascade.unschedule(&entry).await;
                }
                return Err(PurgeError::Ledger(error));
            }
        };
        engine.counters.purges_total.add_one();
        let remark = again.and(engine.cascade.remark());
        let mut tiers = vec![memory_receipt(appended.replica, remark)];
        tiers.extend(engine.ledger.shared_within().map(|bound_ms| TierReceipt {
            tier: PurgedTier::Redis,
            name: None,
            state: PurgeState::Done,
            bound_ms,
            epoch: Some(appended.epoch),
            detail: None,
        }));
        if let Some(outbox) = engine.cascade.outbox() {
            tiers.extend(outbox.receipts(appended.epoch, patience).await);
        }
        let all_done = tiers.iter().all(|tier| tier.state == PurgeState::Done);
        let bound = tiers.iter().map(|tier| tier.bound_ms).max();
        let visible_by = engine.clock.now().saturating_add(bound.unwrap_or_default());
        Ok(Receipt {
            epoch: appended.epoch,
            mode,
            scopes,
            purged_at_ms: purged_at,
            visible_by_ms: all_done.then_some(visible_by),
            tiers,
            again_at_ms: after.map(|after| purged_at.saturating_add(after)),
            token: None,
        }
        .with_token(engine.token_secrets.as_ref()))
    }

    /// What a request asks for by its tokens, in `Terrace-After` or in the cookie of a
    /// [`SessionCookie`](crate::SessionCookie): for [`Namespace::after`].
    ///
    /// What is forged, malformed, or more than eight, is ignored and counted; so is everything, if the cache was
    /// built without secrets.
    pub fn after(&self, fields: &HeaderMap) -> After {
        self.0.presented(fields).after
    }

    /// Writes the second purge down before the first is carried out: so it is not lost between the two.
    async fn schedule(
        &self,
        purge: &terrace_shared::purge::Purge,
        after: Option<Milliseconds>,
    ) -> Result<Option<EntryId>, PurgeError> {
        let Some(after) = after else {
            return Ok(None);
        };
        let scheduled = self.0.cascade.schedule(purge, after).await;
        let entry = scheduled.map_err(|error| {
            self.0.counters.purge_errors_total.add_one();
            PurgeError::Again(error)
        })?;
        Ok(Some(entry))
    }

    /// How far each edge has come: with Redis, also those that only other processes send to.
    ///
    /// # Errors
    /// When the outbox in Redis does not answer.
    pub async fn edges(&self) -> Result<Vec<EdgeState>, LedgerError> {
        let Some(outbox) = self.0.cascade.outbox() else {
            return Ok(Vec::new());
        };
        let edges = outbox.edges().await;
        let edges = edges.map_err(|reason| LedgerError::Unreachable { reason })?;
        let edges = edges.into_iter().map(|(name, progress)| EdgeState {
            name,
            taken: progress.cursor.map(|cursor| cursor.epoch),
            bound: progress.bound_ms,
            failing: progress.failing,
        });
        Ok(edges.collect())
    }

    /// Brings this process's view up to the purges that a request's tokens name, by one question of at most two
    /// seconds, and says where it stands then, as [`epoch`](Self::epoch) does.
    ///
    /// An HTTP handler calls it in the place of `epoch`: so the edge knows that its response is from after those
    /// purges. Nothing is asked if nothing is missing.
    ///
    /// # Cancel safety
    /// Dropped early, the view stays where it is.
    pub async fn catch_up(&self, after: &After) -> Option<Epoch> {
        self.0.catch_up(after).await;
        self.epoch()
    }

    /// Where this process's view of the purge ledger stands; none while there has been none.
    ///
    /// An HTTP handler reads it BEFORE it begins to produce a response, and sends it as `Terrace-Epoch`
    /// ([`EPOCH_FIELD`](terrace_shared::purge::wire::EPOCH_FIELD)), so that the edge does not keep a
    /// response that a purge has overtaken (R9). Where an answer may be stale, [`Answer::epoch`](crate::Answer::epoch)
    /// says more: a purge that made it stale is later than it.
    pub fn epoch(&self) -> Option<Epoch> {
        self.0.view().epoch()
    }

    /// The policy that it follows.
    pub fn policy(&self) -> &Policy {
        self.0.spaces.policy()
    }

    /// Everything that has been counted, at this moment.
    pub fn stats(&self) -> Stats {
        let engine = &*self.0;
        let (entries, bytes) = engine.memory.size();
        Stats {
            namespaces: engine.spaces.totals(),
            cache: engine.counters.totals(),
            memory: MemoryStats {
                entries,
                bytes,
                flights: engine.flights.len(),
            },
            redis: engine.shared.as_ref().map(|shared| shared.stats()),
            ledger: LedgerStats {
                epoch: engine.view().epoch(),
                view_age_ms: engine.view().age(&engine.clock),
            },
            #[cfg(feature = "tower")]
            http: engine.http.stats(),
            edges: engine
                .cascade
                .outbox()
                .into_iter()
                .flat_map(Outbox::stats)
                .collect(),
        }
    }

    /// Waits until the writes to Redis that are under way have been tried, as before an orderly end.
    pub async fn flush(&self) {
        let all = u32::try_from(Engine::MOST_WRITES).unwrap_or(u32::MAX);
        // An error means that the semaphore is closed, which it never is.
        drop(self.0.writes.acquire_many(all).await);
    }
}

/// How far one edge has come.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EdgeState {
    /// What it is called.
    pub name: String,
    /// The origin ledger's place up to which it has taken every purge; none if that is not known.
    pub taken: Option<Epoch>,
    /// The bound that it gave with the last purge it took.
    pub bound: Option<Milliseconds>,
    /// Why it does not take the next one, as the last attempt went.
    pub failing: Option<String>,
}

impl EdgeState {
    /// Whether it has taken the purge at `epoch` of the origin's ledger, and all before it.
    pub fn has_taken(&self, epoch: Epoch) -> bool {
        self.taken.is_some_and(|taken| {
            taken.incarnation == epoch.incarnation && taken.sequence >= epoch.sequence
        })
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cache")
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

fn memory_receipt(replica: ReplicaState, remark: Option<&str>) -> TierReceipt {
    let (state, detail) = match replica {
        ReplicaState::Applied => (PurgeState::Done, remark),
        ReplicaState::Behind => (
            PurgeState::Pending,
            Some("this process's view of the ledger has yet to catch up"),
        ),
    };
    TierReceipt {
        tier: PurgedTier::Memory,
        name: None,
        state,
        bound_ms: Milliseconds::default(),
        epoch: None,
        detail: detail.map(str::to_owned),
    }
}

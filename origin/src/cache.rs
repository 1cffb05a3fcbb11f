//! The cache: namespaces, purges, and how it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use terrace_shared::policy::Policy;
use terrace_shared::purge::Epoch;
use terrace_shared::purge::token::After;
use terrace_shared::purge::wire::{PurgeRequest, PurgeState, PurgedTier, Receipt, TierReceipt};
use terrace_shared::time::Milliseconds;

use crate::config::CacheBuilder;
use crate::engine::Engine;
use crate::error::{NamespaceError, PurgeError};
use crate::ledger::ReplicaState;
use crate::metrics::{EdgeStats, LedgerStats, MemoryStats, Stats};
use crate::namespace::Namespace;
use crate::purge::Purge;
use crate::purge::outbox::Delivery;

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
    /// within the bound, and the edge is told until it has taken it (R8).
    ///
    /// The edge's first attempt is waited for, at most a second; if it has not taken the purge by then,
    /// the receipt says so, and the attempts go on.
    ///
    /// # Errors
    /// When the purge names nothing or something that cannot be named, and when the ledger does not take
    /// it; then nobody was told.
    ///
    /// # Cancel safety
    /// Dropped early, it may or may not have been taken; purging again does no harm.
    pub async fn purge(&self, purge: impl Into<Purge>) -> Result<Receipt, PurgeError> {
        let engine = &*self.0;
        let purged_at = engine.clock.now();
        let purge = purge.into().into_request().into_purge(purged_at)?;
        let (mode, scopes) = (purge.mode, purge.scopes.len());
        let mut request = PurgeRequest::from_purge(&purge);
        let appended = engine.ledger.append(purge).await.map_err(|error| {
            engine.counters.purge_errors_total.add_one();
            PurgeError::Ledger(error)
        })?;
        engine.counters.purges_total.add_one();
        let mut tiers = vec![memory_receipt(appended.replica)];
        tiers.extend(engine.ledger.shared_within().map(|bound_ms| TierReceipt {
            tier: PurgedTier::Redis,
            name: None,
            state: PurgeState::Done,
            bound_ms,
            epoch: Some(appended.epoch),
            detail: None,
        }));
        if let Some(outbox) = &engine.outbox {
            request.origin_epoch = Some(appended.epoch);
            tiers.push(edge_receipt(outbox.tell(request).await));
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
            again_at_ms: None,
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
            edge: engine.outbox.as_ref().map(|outbox| {
                let counts = outbox.counts();
                EdgeStats {
                    outbox_depth: counts.depth.load(Ordering::Relaxed),
                    delivered_total: counts.delivered.load(Ordering::Relaxed),
                    failed_attempts_total: counts.failed_attempts.load(Ordering::Relaxed),
                    widened_total: counts.widened.load(Ordering::Relaxed),
                }
            }),
        }
    }

    /// Waits until the writes to Redis that are under way have been tried, as before an orderly end.
    pub async fn flush(&self) {
        let all = u32::try_from(Engine::MOST_WRITES).unwrap_or(u32::MAX);
        // An error means that the semaphore is closed, which it never is.
        drop(self.0.writes.acquire_many(all).await);
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

fn memory_receipt(replica: ReplicaState) -> TierReceipt {
    let (state, detail) = match replica {
        ReplicaState::Applied => (PurgeState::Done, None),
        ReplicaState::Behind => (
            PurgeState::Pending,
            Some("this process's view of the ledger has yet to catch up".to_owned()),
        ),
    };
    TierReceipt {
        tier: PurgedTier::Memory,
        name: None,
        state,
        bound_ms: Milliseconds::default(),
        epoch: None,
        detail,
    }
}

fn edge_receipt(delivery: Delivery) -> TierReceipt {
    /// The edge's bound, as long as it has not said it itself.
    const USUAL_BOUND: Milliseconds = Milliseconds::new(5_000);
    match delivery {
        Delivery::Taken(receipt) => {
            let bounds = receipt.tiers.iter().map(|tier| tier.bound_ms);
            TierReceipt {
                tier: PurgedTier::Edge,
                name: None,
                state: PurgeState::Done,
                bound_ms: bounds.max().unwrap_or(USUAL_BOUND),
                epoch: Some(receipt.epoch),
                detail: None,
            }
        }
        Delivery::Pending(reason) => TierReceipt {
            tier: PurgedTier::Edge,
            name: None,
            state: PurgeState::Pending,
            bound_ms: USUAL_BOUND,
            epoch: None,
            detail: Some(reason),
        },
    }
}

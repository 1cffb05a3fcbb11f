//! A cache whose tiers and source do what they are told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use terrace_shared::policy::{EarlyRefresh, KeySpace, Policy};
use terrace_shared::purge::token::TokenSecrets;
use terrace_shared::time::{DeltaSeconds, Milliseconds, TimestampMillis};
use tokio::sync::oneshot;

use crate::clock::ManualClock;
use crate::error::TierError;
use crate::ledger::{BoxFuture, LocalLedger, PurgeLedger};
use crate::metrics::{NamespaceStats, SharedTierStats};
use crate::tier::SharedTier;
use crate::{Cache, Namespace};

pub(super) const NAMESPACE: &str = "plan";

/// A shared tier in memory, with a switch for how it fails.
#[derive(Debug, Default)]
pub(crate) struct MapTier {
    pub(crate) stored: Mutex<HashMap<String, Vec<u8>>>,
    fault: Mutex<Fault>,
    pub(crate) calls: AtomicUsize,
}

/// How the tier fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Before anything is done.
    Down,
    /// After it is done: the answer is lost.
    AfterPersisting,
}

impl MapTier {
    pub(crate) fn fail(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    fn call<R>(
        &self,
        act: impl FnOnce(&mut HashMap<String, Vec<u8>>) -> R,
    ) -> Result<R, TierError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match *self.fault.lock() {
            Fault::None => Ok(act(&mut self.stored.lock())),
            Fault::Down => Err(TierError::Failed),
            Fault::AfterPersisting => {
                act(&mut self.stored.lock());
                Err(TierError::Failed)
            }
        }
    }
}

impl SharedTier for MapTier {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, TierError>> {
        Box::pin(async move { self.call(|stored| stored.get(key).cloned()) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        _lifetime: Milliseconds,
    ) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(async move {
            self.call(|stored| {
                stored.insert(key.to_owned(), bytes);
            })
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(async move {
            self.call(|stored| {
                stored.remove(key);
            })
        })
    }

    fn stats(&self) -> SharedTierStats {
        SharedTierStats::default()
    }
}

/// What several caches share, as several processes would.
pub(super) struct World {
    pub(super) clock: ManualClock,
    pub(super) tier: Arc<MapTier>,
    pub(super) ledger: Arc<dyn PurgeLedger>,
    policy: Policy,
}

impl World {
    /// A minute in memory, ten in Redis, no grace, no chance; `change` says what is different.
    pub(super) fn new(change: impl FnOnce(&mut KeySpace)) -> Self {
        let clock = ManualClock::at(TimestampMillis::from_unix_millis(1_800_000_000_000));
        let policy = policy(change);
        let ledger = LocalLedger::new(policy.ledger_limits(), &clock.clock());
        Self {
            tier: Arc::new(MapTier::default()),
            ledger: Arc::new(ledger),
            clock,
            policy,
        }
    }

    pub(super) fn with_ledger(self, ledger: Arc<dyn PurgeLedger>) -> Self {
        Self { ledger, ..self }
    }

    /// One more process.
    pub(super) fn process(&self) -> Process {
        let cache = Cache::builder(self.policy.clone())
            .clock(&self.clock)
            .token_secrets(secrets())
            .assemble(Some(self.tier.clone()), self.ledger.clone(), None);
        let plans = cache.namespace(NAMESPACE).expect("the policy has it");
        Process { cache, plans }
    }
}

/// One process.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) cache: Cache,
    pub(super) plans: Namespace<String>,
}

impl Process {
    pub(super) fn counted(&self) -> NamespaceStats {
        self.cache.stats().namespaces[NAMESPACE]
    }
}

/// What signs the tokens of all processes.
pub(crate) fn secrets() -> TokenSecrets {
    TokenSecrets::parse("what signs tokens here").expect("long enough")
}

pub(super) fn policy(change: impl FnOnce(&mut KeySpace)) -> Policy {
    let mut space = KeySpace::new(NAMESPACE, "plan:{id}").expect("a template");
    space.lifetimes.memory = Some(DeltaSeconds::minutes(1));
    space.lifetimes.redis = Some(DeltaSeconds::minutes(10));
    space.grace = DeltaSeconds::ZERO;
    space.jitter_percent = 0;
    space.early_refresh = EarlyRefresh::Off;
    change(&mut space);
    Policy::default().with_key_space(space)
}

/// A source that says when it is asked, and answers when it is told to.
pub(super) struct Gate {
    pub(super) asked: oneshot::Receiver<()>,
    pub(super) answer: oneshot::Sender<Result<String, SourceError>>,
}

/// The source's end of a [`Gate`].
pub(super) struct GatedSource {
    asked: oneshot::Sender<()>,
    answer: oneshot::Receiver<Result<String, SourceError>>,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the source is down")]
pub(super) struct SourceError;

impl Gate {
    pub(super) fn new() -> (Self, GatedSource) {
        let (asked_sender, asked) = oneshot::channel();
        let (answer, answer_receiver) = oneshot::channel();
        let source = GatedSource {
            asked: asked_sender,
            answer: answer_receiver,
        };
        (Self { asked, answer }, source)
    }

    /// Lets the source answer.
    pub(super) fn open(self, answer: &str) {
        let _ = self.answer.send(Ok(answer.to_owned()));
    }
}

impl GatedSource {
    pub(super) async fn ask(self) -> Result<String, SourceError> {
        let _ = self.asked.send(());
        self.answer.await.unwrap_or(Err(SourceError))
    }
}

/// Lets everything that can go on go on, on a runtime of one thread.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

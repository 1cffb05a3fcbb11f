//! Building a cache.

use std::path::Path;
use std::sync::Arc;

use terrace_shared::policy::Policy;
use terrace_shared::purge::token::TokenSecrets;
use terrace_shared::time::ByteCount;
use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::error::{BuildError, PolicyFileError};
use crate::flight::Flights;
use crate::ledger::{LocalLedger, PurgeLedger};
use crate::metrics::CacheCounters;
use crate::purge::edge::{Edge, EdgeClient};
use crate::purge::outbox::Outbox;
use crate::space::Spaces;
use crate::tier::SharedTier;
use crate::tier::memory::MemoryTier;
#[cfg(feature = "redis")]
use crate::tier::redis::Redis;

/// Reads the policy in the `terrace.toml` at `path`.
///
/// # Errors
/// When the file cannot be read, or anything is wrong with it: all of it, each with its line.
pub fn load_policy(path: impl AsRef<Path>) -> Result<Policy, PolicyFileError> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(|source| PolicyFileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    Policy::from_toml(&text).map_err(|source| PolicyFileError::Invalid {
        path: path.to_owned(),
        source,
    })
}

/// A cache to be built. Everything but the policy has a default that works.
#[derive(Debug)]
#[must_use = "nothing is built before `build` is called"]
pub struct CacheBuilder {
    policy: Policy,
    clock: Clock,
    memory: ByteCount,
    name: String,
    #[cfg(feature = "redis")]
    redis: Option<Redis>,
    edge: Option<Edge>,
    token_secrets: Option<TokenSecrets>,
}

impl CacheBuilder {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            clock: Clock::default(),
            memory: ByteCount::mebibytes(64),
            name: "default".to_owned(),
            #[cfg(feature = "redis")]
            redis: None,
            edge: None,
            token_secrets: None,
        }
    }

    /// Most bytes that entries take in this process's memory. Default: 64 MiB.
    pub fn memory(mut self, capacity: ByteCount) -> Self {
        self.memory = capacity;
        self
    }

    /// The Redis that holds values, and the purge ledger, for all processes of this name.
    ///
    /// Default: none; then nothing is shared, and the ledger is this process's own.
    #[cfg(feature = "redis")]
    pub fn redis(mut self, redis: Redis) -> Self {
        self.redis = Some(redis);
        self
    }

    /// The edge that purges are sent on to. Default: none.
    pub fn edge(mut self, edge: Edge) -> Self {
        self.edge = Some(edge);
        self
    }

    /// The name of the purge ledger that processes share in Redis: one for each policy. Default: `default`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What signs the tokens of receipts, the same as at the edge (its secret `TERRACE_TOKEN_SECRET`): a reader who
    /// presents one is answered by nothing older than its purge (R10).
    ///
    /// Default: none; then receipts have no token, and those that requests present are ignored.
    pub fn token_secrets(mut self, secrets: TokenSecrets) -> Self {
        self.token_secrets = Some(secrets);
        self
    }

    /// A clock to be moved by hand, in place of the system's. Default: the system's.
    #[cfg(any(test, feature = "test-util"))]
    pub fn clock(mut self, clock: &crate::clock::ManualClock) -> Self {
        self.clock = clock.clock();
        self
    }

    /// The system's clocks with a wall clock that can be set. Default: the system's.
    #[cfg(any(test, feature = "test-util"))]
    pub fn shifted_clock(mut self, clock: &crate::clock::ShiftedClock) -> Self {
        self.clock = clock.clock();
        self
    }

    /// Builds the cache, and starts what runs in the background. Call it within a Tokio runtime.
    ///
    /// With a Redis, the first view of the purge ledger is waited for, at most two seconds; without one,
    /// nothing is stored until there is.
    ///
    /// # Errors
    /// When the edge cannot be one.
    pub async fn build(self) -> Result<Cache, BuildError> {
        let outbox = match &self.edge {
            Some(edge) => Some(Outbox::to(EdgeClient::new(edge)?)),
            None => None,
        };
        let (shared, ledger) = self.shared().await;
        Ok(self.assemble(shared, ledger, outbox))
    }

    pub(crate) fn assemble(
        self,
        shared: Option<Arc<dyn SharedTier>>,
        ledger: Arc<dyn PurgeLedger>,
        outbox: Option<Outbox>,
    ) -> Cache {
        let bound = self.policy.ledger().bound.into();
        Cache::from_engine(Arc::new(Engine {
            clock: self.clock,
            memory: MemoryTier::new(self.memory),
            shared,
            ledger,
            flights: Arc::new(Flights::new()),
            counters: CacheCounters::default(),
            bound,
            writes: Arc::new(Semaphore::new(Engine::MOST_WRITES)),
            outbox,
            token_secrets: self.token_secrets,
            spaces: Spaces::new(self.policy),
            #[cfg(feature = "tower")]
            http: Arc::default(),
        }))
    }

    #[cfg(feature = "redis")]
    async fn shared(&self) -> (Option<Arc<dyn SharedTier>>, Arc<dyn PurgeLedger>) {
        use crate::ledger::redis::RedisLedger;
        use crate::tier::redis::RedisTier;

        let Some(redis) = &self.redis else {
            return (None, self.local());
        };
        let ledger = RedisLedger::start(redis, &self.name, &self.policy, &self.clock).await;
        let tier = RedisTier::new(redis.clone(), self.clock.clone());
        (Some(Arc::new(tier)), Arc::new(ledger))
    }

    #[cfg(not(feature = "redis"))]
    #[expect(clippy::unused_async, reason = "with Redis it waits")]
    async fn shared(&self) -> (Option<Arc<dyn SharedTier>>, Arc<dyn PurgeLedger>) {
        (None, self.local())
    }

    fn local(&self) -> Arc<dyn PurgeLedger> {
        Arc::new(LocalLedger::new(self.policy.ledger_limits(), &self.clock))
    }
}

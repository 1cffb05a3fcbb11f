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
use crate::purge::again::{Agenda, MemoryAgenda};
use crate::purge::cascade::{Carrier, Cascade};
use crate::purge::cloudflare::{CloudflareZone, ZoneClient};
use crate::purge::edge::{Edge, EdgeClient};
use crate::purge::outbox::{Outbox, Recipient};
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
    token_secrets: Option<TokenSecrets>,
    edges: Vec<Edge>,
    zones: Vec<CloudflareZone>,
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
            token_secrets: None,
            edges: Vec::new(),
            zones: Vec::new(),
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

    /// An edge that purges are sent on to; called again, one more. Each goes at its own pace. Default: none.
    ///
    /// With a Redis, any of the processes that name an edge sends to it, one at a time, and purges of those
    /// that name none are sent too. An edge that is new to the ledger is purged whole once. One that nobody
    /// names any more is forgotten after a day; until then it is pending where a process names no edge itself.
    pub fn edge(mut self, edge: Edge) -> Self {
        self.edges.push(edge);
        self
    }

    /// A Cloudflare zone whose own cache is purged too, through Cloudflare's API. Default: none.
    pub fn cloudflare_zone(mut self, zone: CloudflareZone) -> Self {
        self.zones.push(zone);
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
    /// When an edge or a zone cannot be one, or two have one name.
    pub async fn build(self) -> Result<Cache, BuildError> {
        let recipients = self.recipients()?;
        let (shared, ledger) = self.shared().await;
        let outbox = self.outbox(&*ledger, recipients);
        Ok(self.assemble(shared, ledger, outbox))
    }

    pub(crate) fn assemble(
        self,
        shared: Option<Arc<dyn SharedTier>>,
        ledger: Arc<dyn PurgeLedger>,
        outbox: Option<Outbox>,
    ) -> Cache {
        let bound = self.policy.ledger().bound.into();
        let carrier = Carrier {
            ledger: ledger.clone(),
            outbox,
            clock: self.clock.clone(),
        };
        let cascade = Cascade::start(carrier, self.agenda());
        Cache::from_engine(Arc::new(Engine {
            clock: self.clock,
            memory: MemoryTier::new(self.memory),
            shared,
            ledger,
            flights: Arc::new(Flights::new()),
            counters: CacheCounters::default(),
            bound,
            writes: Arc::new(Semaphore::new(Engine::MOST_WRITES)),
            token_secrets: self.token_secrets,
            cascade,
            spaces: Spaces::new(self.policy),
            #[cfg(feature = "tower")]
            http: Arc::default(),
        }))
    }

    fn recipients(&self) -> Result<Vec<Recipient>, BuildError> {
        let mut recipients = Vec::<Recipient>::new();
        let mut add = |recipient: Recipient| {
            if recipients.iter().any(|other| other.name == recipient.name) {
                let name = recipient.name.to_string();
                return Err(BuildError::SameName { name });
            }
            recipients.push(recipient);
            Ok(())
        };
        for edge in &self.edges {
            let client = EdgeClient::new(edge)?;
            add(Recipient {
                name: client.name().into(),
                target: Box::new(client),
            })?;
        }
        for zone in &self.zones {
            let client = ZoneClient::new(zone)?;
            add(Recipient {
                name: client.name().into(),
                target: Box::new(client),
            })?;
        }
        Ok(recipients)
    }

    /// The way to the edges. One in Redis is looked at even by a process that sends to none itself.
    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unused_self, reason = "with Redis it matters")
    )]
    fn outbox(&self, ledger: &dyn PurgeLedger, recipients: Vec<Recipient>) -> Option<Outbox> {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            use crate::purge::outbox::redis::RedisJournal;

            let journal = RedisJournal::new(redis, &self.name);
            let news = ledger.view().news();
            return Some(Outbox::shared(journal, recipients, &news));
        }
        let epoch = ledger.view().epoch()?;
        (!recipients.is_empty()).then(|| Outbox::in_process(epoch, recipients))
    }

    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unused_self, reason = "with Redis it matters")
    )]
    fn agenda(&self) -> Arc<dyn Agenda> {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            use crate::purge::again::redis::RedisAgenda;

            return Arc::new(RedisAgenda::new(redis, &self.name));
        }
        Arc::new(MemoryAgenda::default())
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

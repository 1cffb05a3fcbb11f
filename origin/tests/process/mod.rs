//! One process: a cache over a Redis that others share.

use std::sync::Arc;

use terrace_origin::{Answer, Cache, Namespace, Policy, Redis, Source, key};
use terrace_shared::policy::{EarlyRefresh, KeySpace, OnLedgerLag};
use terrace_shared::time::DeltaSeconds;

use crate::support::RedisServer;

/// The error of a source that has none.
pub(crate) type Unfailing = std::convert::Infallible;

/// One process that shares this Redis with others.
pub(crate) struct Process {
    pub(crate) cache: Cache,
    pub(crate) plans: Namespace<String>,
}

/// A Redis of any shape.
pub(crate) trait Reachable {
    /// Its address.
    fn url(&self) -> String;
}

impl Reachable for RedisServer {
    fn url(&self) -> String {
        self.url()
    }
}

impl Process {
    pub(crate) async fn start(server: &impl Reachable) -> Self {
        Self::with(server, OnLedgerLag::Revalidate).await
    }

    pub(crate) async fn with(server: &impl Reachable, on_ledger_lag: OnLedgerLag) -> Self {
        let redis = Redis::connect(server.url()).await.expect("Redis answers");
        Self::over(redis, on_ledger_lag).await
    }

    pub(crate) async fn over(redis: Redis, on_ledger_lag: OnLedgerLag) -> Self {
        let mut space = KeySpace::new("plan", "plan:{id}").expect("a template");
        space.lifetimes.memory = Some(DeltaSeconds::minutes(10));
        space.lifetimes.redis = Some(DeltaSeconds::minutes(10));
        space.early_refresh = EarlyRefresh::Off;
        space.grace = DeltaSeconds::ZERO;
        space.on_ledger_lag = on_ledger_lag;
        let policy = Policy::default().with_key_space(space);
        let cache = Cache::builder(policy)
            .redis(redis)
            .build()
            .await
            .expect("built");
        let plans = cache.namespace("plan").expect("the policy has it");
        Self { cache, plans }
    }

    /// Reads plan `id`; the source says `answer` if it is asked.
    pub(crate) async fn ask(&self, id: u32, answer: &str) -> Answer<Arc<String>> {
        let fill = async |fill: terrace_origin::Fill| {
            fill.surrogate_key("region:TX");
            Ok::<_, Unfailing>(answer.to_owned())
        };
        let answered = self
            .plans
            .answer_or_fill(&key!(id: id), fill)
            .await
            .expect("an answer");
        self.cache.flush().await;
        answered
    }

    pub(crate) async fn source(&self, id: u32) -> Source {
        self.ask(id, "filled").await.source
    }
}

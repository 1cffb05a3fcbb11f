//! What the services of one layer share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;
use terrace_shared::http::{Exposure, NoVarySearch, StoredResponse};
use terrace_shared::intake::{Intake, Learned, Routes, SearchRules};
use terrace_shared::key::EncodedKey;

use super::layer::Config;
use super::observe::HttpCounters;
use super::share::Landing;
use super::store::{Markers, Memory, SharedStore};
use super::visit::Visit;
use crate::Cache;
use crate::engine::Engine;
use crate::flight::Flights;
use crate::ledger::Began;

/// On a request that comes from this layer: below it, the same layer has no part in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mark(u64);

/// What the services of one layer share.
#[derive(Debug)]
pub(super) struct Site {
    number: u64,
    cache: Cache,
    pub(super) config: Config,
    pub(super) routes: Routes,
    pub(super) memory: Arc<Memory>,
    pub(super) shared: Option<SharedStore>,
    pub(super) markers: Markers,
    pub(super) flights: Arc<Flights<Began, Landing>>,
    /// Bytes that fills hold before they are stored.
    pub(super) filling: AtomicU64,
    search: RwLock<SearchRules>,
    /// Whether any rule for queries was ever learned.
    has_learned: AtomicBool,
}

impl Site {
    /// Most paths whose rules for queries are remembered.
    const MOST_RULES: usize = 4_096;

    pub(super) fn new(cache: &Cache, config: Config) -> Self {
        let engine = cache.engine();
        let memory = Arc::new(Memory::new(config.memory));
        engine.http.watch(&memory);
        let shared = engine
            .shared
            .as_ref()
            .map(|tier| SharedStore::new(tier.clone(), engine.writes.clone(), engine.http.clone()));
        let policy = cache.policy().clone();
        Self {
            number: fastrand::u64(..),
            routes: Routes::exposing(policy, config.surrogate_keys),
            cache: cache.clone(),
            config,
            memory,
            shared,
            markers: Markers::new(),
            flights: Arc::new(Flights::new()),
            filling: AtomicU64::new(0),
            search: RwLock::new(SearchRules::with_capacity(Self::MOST_RULES)),
            has_learned: AtomicBool::new(false),
        }
    }

    /// What requests to the service are marked with.
    pub(super) const fn mark(&self) -> Mark {
        Mark(self.number)
    }

    pub(super) fn engine(&self) -> &Engine {
        self.cache.engine()
    }

    pub(super) fn counters(&self) -> &HttpCounters {
        &self.engine().http
    }

    /// What a fill that begins now begins with (R1).
    pub(super) fn begin(&self) -> Began {
        let engine = self.engine();
        engine.view().begin(&engine.clock)
    }

    /// Whether answers say under which epoch they were made (R9).
    pub(super) const fn shows_epochs(&self) -> bool {
        match self.config.surrogate_keys {
            Exposure::Send => true,
            Exposure::Strip => false,
        }
    }

    /// Puts the request under what responses of its path have said about queries; the key that it had before, if
    /// that was another.
    pub(super) fn put_under_search_rule(&self, intake: &mut Intake) -> Option<EncodedKey> {
        if !self.has_learned.load(Ordering::Acquire) {
            return None;
        }
        let rules = self.search.read();
        let rule = rules.lookup(intake.target.host(), intake.target.path())?;
        let key = intake.key_under(rule);
        Some(std::mem::replace(&mut intake.key, key))
    }

    /// The key that a response to `visit` is stored under; what it says about queries is learned.
    pub(super) fn key_of(&self, visit: &Visit, head: &StoredResponse) -> EncodedKey {
        let rule = NoVarySearch::of(head.fields());
        if rule.is_some() || self.has_learned.load(Ordering::Acquire) {
            let target = &visit.intake.target;
            let learned = self
                .search
                .write()
                .learn(target.host(), target.path(), rule.as_ref());
            if learned == Learned::Changed {
                self.has_learned.store(true, Ordering::Release);
            }
        }
        match rule {
            None => visit.plain_key().clone(),
            Some(rule) => visit.intake.key_under(&rule),
        }
    }
}

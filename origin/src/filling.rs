//! A fill from its beginning to what is stored of it.

use std::sync::Arc;
use std::time::Duration;

use terrace_shared::key::{KeyParts, SurrogateKeys};
use terrace_shared::purge::{EntryScopes, Epoch, Fence, Incarnation, Sequence, Verdict};
use terrace_shared::sabotage::{self, Rule};
use terrace_shared::stored::{Codec, Compression, Content, Envelope};
use terrace_shared::time::{Milliseconds, TimestampMillis};

use crate::ask::Ask;
use crate::engine::{Engine, Landing, Names};
use crate::entry::{Entry, Value};
use crate::fill::{Fill, Filled};
use crate::flight::Lead;
use crate::ledger::Began;
use crate::space::Space;

/// A fill under way: dropping it frees the key for others.
#[must_use]
pub(crate) struct Filling {
    engine: Arc<Engine>,
    space: Arc<Space>,
    key: Arc<str>,
    began: Began,
    fill: Fill,
    lead: Option<Lead<Began, Landing>>,
}

/// A fill that came to nothing.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// The source's own error.
    Source(E),
    /// The source took longer than this.
    TimedOut(Milliseconds),
}

impl Filling {
    /// Begins a fill. The fence is read here, before the source is asked (R1).
    pub(crate) fn begin(
        engine: &Arc<Engine>,
        ask: &Ask,
        parts: &KeyParts,
        lead: Option<Lead<Began, Landing>>,
    ) -> Self {
        let began = engine.view().begin(&engine.clock);
        let keys = ask.space.policy.surrogate_keys(parts).ok();
        if engine.holds_fresh(ask) {
            ask.space.counters.early_refreshes_total.add_one();
        }
        Self {
            engine: engine.clone(),
            space: ask.space.clone(),
            key: ask.key.clone(),
            began,
            fill: Fill::new(ask.key.clone(), began.epoch, keys),
            lead,
        }
    }

    /// What the caller's closure is given.
    pub(crate) fn handle(&self) -> Fill {
        self.fill.clone()
    }

    /// Waits for the source, at most `limit`, and stores what it answered.
    pub(crate) async fn run<T, X, E>(
        self,
        source: impl Future<Output = Result<X, E>>,
        limit: Option<Milliseconds>,
    ) -> Result<Arc<Entry>, Failure<E>>
    where
        T: Send + Sync + 'static,
        X: Filled<T>,
    {
        let counters = &self.space.counters;
        counters.fills_total.add_one();
        let answered = match limit {
            None => source.await,
            Some(limit) => {
                let longest = Duration::from_millis(limit.as_u64());
                let Ok(answered) = tokio::time::timeout(longest, source).await else {
                    counters.fill_timeouts_total.add_one();
                    return Err(Failure::TimedOut(limit));
                };
                answered
            }
        };
        match answered {
            Ok(filled) => {
                let value = filled.into_value().map(|value| Arc::new(value) as _);
                Ok(self.store(value))
            }
            Err(error) => {
                counters.fill_errors_total.add_one();
                Err(Failure::Source(error))
            }
        }
    }

    /// Stores the value where the policy and the ledger let it, and lands the flight.
    fn store(mut self, value: Value) -> Arc<Entry> {
        if sabotage::breaks(Rule::FenceBeforeSource) {
            self.began = self.engine.view().begin(&self.engine.clock);
        }
        let now = self.engine.clock.now();
        let counters = &self.space.counters;
        let (keys, names) = match self.fill.names() {
            Some(keys) => (keys, Names::All),
            None => (SurrogateKeys::default(), Names::Some),
        };
        let scopes = EntryScopes::of_key(&self.space.policy.name, &self.key, &keys);
        let fence = self.began.fence().unwrap_or(NO_VIEW);
        let outrun = self.engine.view().verdict(&fence, &scopes) != Verdict::Untouched;
        let storable = match names {
            Names::Some => {
                counters.refused_surrogate_keys_total.add_one();
                false
            }
            Names::All if !self.fill.is_storable() || self.began.epoch.is_none() => false,
            Names::All if outrun => {
                counters.fills_outrun_total.add_one();
                false
            }
            Names::All => true,
        };
        let bytes = if storable {
            self.put_shared(&value, &fence, &scopes, now)
        } else {
            Some(0)
        };
        let created_at = self.began.at.wall;
        let memory = self.space.policy.lifetimes.memory;
        let lifetime = self.space.lifetime(memory, &value, created_at, now);
        let entry = Entry::new(
            value,
            lifetime.unwrap_or_default(),
            fence,
            scopes,
            bytes.unwrap_or_default(),
        );
        let entry = Arc::new(entry.begun_in(self.began.generation));
        if storable && lifetime.is_some() && bytes.is_some() {
            self.engine.memory.put(self.key.clone(), entry.clone());
        }
        if let Some(lead) = self.lead.take() {
            lead.land(Landing {
                entry: entry.clone(),
                names,
            });
        }
        entry
    }

    /// Sends the value on its way to the shared tier, and says how many bytes it has; none if it cannot be written.
    fn put_shared(
        &self,
        value: &Value,
        fence: &Fence,
        scopes: &EntryScopes,
        now: TimestampMillis,
    ) -> Option<usize> {
        let created_at = self.began.at.wall;
        let redis = self.space.policy.lifetimes.redis;
        let lifetime = self.space.lifetime(redis, value, created_at, now);
        let (Some(shared), Some(lifetime)) = (&self.engine.shared, lifetime) else {
            return self
                .space
                .codec
                .measure(value)
                .or_else(|| self.unencodable());
        };
        let payload = self
            .space
            .codec
            .encode(value)
            .or_else(|| self.unencodable())?;
        let envelope = Envelope {
            fence: *fence,
            scopes: scopes.clone(),
            content: if value.is_some() {
                Content::Value
            } else {
                Content::Negative
            },
            codec: Codec::Json,
            compression: Compression::None,
            created_at,
            fresh_until: lifetime.fresh_until,
            stale_until: lifetime.stale_until,
            load_duration: lifetime.load_duration,
        };
        let Ok(room) = self.engine.writes.clone().try_acquire_owned() else {
            self.space.counters.redis_writes_skipped_total.add_one();
            return Some(payload.len());
        };
        let bytes = envelope.encode(&payload);
        let (shared, space, key) = (shared.clone(), self.space.clone(), self.key.clone());
        let longest = lifetime.stale_until.saturating_since(now);
        tokio::spawn(async move {
            if shared.put(&key, bytes, longest).await.is_err() {
                space.counters.redis_errors_total.add_one();
            }
            drop(room);
        });
        Some(payload.len())
    }

    fn unencodable<R>(&self) -> Option<R> {
        self.space.counters.unencodable_values_total.add_one();
        None
    }
}

/// The fence of what was filled while there was no view: every purge is later than it, and it is never stored.
pub(crate) const NO_VIEW: Fence = Fence::at(Epoch {
    incarnation: Incarnation::from_random(0),
    sequence: Sequence::ZERO,
});

//! A namespace: typed reads of one key space.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use terrace_shared::key::{KeyError, KeyParts};
use terrace_shared::policy::KeySpace;
use terrace_shared::purge::Lag;
use terrace_shared::purge::token::After;
use terrace_shared::purge::wire::Receipt;
use terrace_shared::time::Milliseconds;

use crate::answer::{Answer, LedgerLag, Source, StaleReason};
use crate::ask::{Ask, Boarding, Found, Held, Served, Trust};
use crate::cache::Cache;
use crate::entry::{Entry, Value, typed};
use crate::error::{Error, PurgeError};
use crate::fill::{Fill, Filled};
use crate::filling::{Failure, Filling};
use crate::purge::Purge;
use crate::space::Space;

/// The entries of one `[keys.NAME]` of the policy, all of type `T`.
///
/// Cheap to clone; every clone and every [`Cache::namespace`] of the same name shares entries and fills.
pub struct Namespace<T> {
    cache: Cache,
    space: Arc<Space>,
    /// What its reader's tokens ask for; none if that is nothing.
    after: Option<Arc<After>>,
    values: PhantomData<fn() -> T>,
}

/// What a read has come to before anybody was asked.
enum Looked<A> {
    Answered(Answer<A>),
    Asking(Ask),
}

/// What a read has come to before its source is asked.
enum Entered<A> {
    Answered(Answer<A>),
    Filling(Ask, Filling),
}

impl<T: Send + Sync + 'static> Namespace<T> {
    pub(crate) fn new(cache: Cache, space: Arc<Space>) -> Self {
        Self {
            cache,
            space,
            after: None,
            values: PhantomData,
        }
    }

    /// The same namespace for a reader who presents tokens: nothing older than the purges that they name answers
    /// it, at once (R10).
    ///
    /// The purge ledger is asked first, once, if this process has not heard of them; if it does not answer within
    /// two seconds, the source does. No fill from before them is waited for, nor is an entry that is softly purged
    /// served while it is filled again. [`Cache::after`] reads the tokens of a request.
    #[must_use]
    pub fn after(&self, after: &After) -> Self {
        let after = Some(after).filter(|after| !after.is_empty());
        Self {
            after: after.cloned().map(Arc::new),
            ..self.clone()
        }
    }

    /// The value for `key`: from memory, from Redis, or from the source that `fill` asks.
    ///
    /// `fill` answers with a `T`, and the caller gets an `Arc<T>`; or with an `Option<T>`, whose `None` is
    /// cached too, and the caller gets an `Option<Arc<T>>`. However many ask at once, one fill is under way
    /// per key and process; the others wait for it. The closure may borrow: its future runs within this call.
    /// So whoever finds an entry that is within grace, and is the first to, waits for the fill, and
    /// everybody else is served the stale entry meanwhile; with [`get_or_refresh`](Self::get_or_refresh) nobody waits.
    ///
    /// # Errors
    /// The source's own error, or its time-out, when nothing stored may be served instead; a key that
    /// does not fit the template; and a view of the purge ledger that is too old, if the policy says so.
    /// A tier that fails is not among them.
    ///
    /// # Cancel safety
    /// Dropping the future drops the fill with it; one of those who wait for it fills in its place.
    pub async fn get_or_fill<X, E, F, Fut>(
        &self,
        key: &KeyParts,
        fill: F,
    ) -> Result<X::Answer, Error<E>>
    where
        X: Filled<T>,
        F: FnOnce(Fill) -> Fut,
        Fut: Future<Output = Result<X, E>>,
    {
        Ok(self.answer_or_fill(key, fill).await?.value)
    }

    /// As [`get_or_fill`](Self::get_or_fill), with where the value came from.
    ///
    /// # Errors
    /// As there.
    pub async fn answer_or_fill<X, E, F, Fut>(
        &self,
        key: &KeyParts,
        fill: F,
    ) -> Result<Answer<X::Answer>, Error<E>>
    where
        X: Filled<T>,
        F: FnOnce(Fill) -> Fut,
        Fut: Future<Output = Result<X, E>>,
    {
        if let Some(answer) = self.quick::<X>(key) {
            return Ok(answer);
        }
        let (ask, filling) = match self.enter::<X, E>(key).await? {
            Entered::Answered(answer) => return Ok(answer),
            Entered::Filling(ask, filling) => (ask, filling),
        };
        let source = fill(filling.handle());
        let filled = filling
            .run::<T, X, E>(source, self.space.policy.hard_timeout)
            .await;
        self.conclude::<X, E>(&ask, filled)
    }

    /// As [`get_or_fill`](Self::get_or_fill), with the fill on a task of its own.
    ///
    /// So an entry within grace, or due for an early refresh, is served at once while the fill goes on;
    /// a caller that gives up does not stop it; and a caller who waits longer than the policy's soft
    /// time-out is served what stale entry there is. The price is a future that borrows nothing.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// When `fill` does; this call, and those who wait for it, are the only ones to notice.
    ///
    /// # Cancel safety
    /// The fill goes on, and its value is stored.
    pub async fn get_or_refresh<X, E, F, Fut>(
        &self,
        key: &KeyParts,
        fill: F,
    ) -> Result<X::Answer, Error<E>>
    where
        X: Filled<T> + Send + 'static,
        E: Send + 'static,
        F: FnOnce(Fill) -> Fut,
        Fut: Future<Output = Result<X, E>> + Send + 'static,
    {
        Ok(self.answer_or_refresh(key, fill).await?.value)
    }

    /// As [`get_or_refresh`](Self::get_or_refresh), with where the value came from.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub async fn answer_or_refresh<X, E, F, Fut>(
        &self,
        key: &KeyParts,
        fill: F,
    ) -> Result<Answer<X::Answer>, Error<E>>
    where
        X: Filled<T> + Send + 'static,
        E: Send + 'static,
        F: FnOnce(Fill) -> Fut,
        Fut: Future<Output = Result<X, E>> + Send + 'static,
    {
        if let Some(answer) = self.quick::<X>(key) {
            return Ok(answer);
        }
        let (ask, filling) = match self.enter::<X, E>(key).await? {
            Entered::Answered(answer) => return Ok(answer),
            Entered::Filling(ask, filling) => (ask, filling),
        };
        let source = fill(filling.handle());
        // The caller's time-outs are for the caller; the fill itself may take longer, but not for ever.
        let limit = self.space.policy.hard_timeout;
        let longest = limit.map(|limit| Milliseconds::new(limit.as_u64().saturating_mul(10)));
        let task = tokio::spawn(filling.run::<T, X, E>(source, longest));
        if let Some(served) = self.cache.engine().serve_held(&ask, StaleReason::Grace) {
            return Ok(self.served::<X>(&ask, &served));
        }
        match ask.wait(task).await {
            Ok(Ok(filled)) => self.conclude::<X, E>(&ask, filled),
            Ok(Err(stopped)) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down: there will be no answer.
                Err(_) => self.timed_out::<X, E>(&ask, Milliseconds::default()),
            },
            Err(limit) => self.timed_out::<X, E>(&ask, limit),
        }
    }

    /// Purges the entry with this key, hard, on every tier and in every process.
    ///
    /// # Errors
    /// When the key does not fit the template, or the ledger does not take the purge.
    pub async fn purge(&self, key: &KeyParts) -> Result<Receipt, PurgeError> {
        let key = self.key(key).map_err(|source| PurgeError::Key {
            namespace: self.space.policy.name.to_string(),
            source,
        })?;
        self.cache.purge(Purge::key(key)).await
    }

    /// The key as it is written in Redis.
    ///
    /// # Errors
    /// When a part is missing, none of the template's, or the key becomes too long.
    pub fn key(&self, key: &KeyParts) -> Result<String, KeyError> {
        self.space.policy.key(key)
    }

    /// What the policy says of this namespace.
    pub fn policy(&self) -> &KeySpace {
        &self.space.policy
    }

    /// Answers from what is stored or from somebody else's fill, or begins one.
    async fn enter<X: Filled<T>, E>(&self, key: &KeyParts) -> Result<Entered<X::Answer>, Error<E>> {
        if let Some(after) = &self.after {
            self.cache.engine().catch_up(after).await;
        }
        let mut ask = match self.look::<X, E>(key)? {
            Looked::Answered(answer) => return Ok(Entered::Answered(answer)),
            Looked::Asking(ask) => ask,
        };
        let engine = self.cache.engine();
        let lead = match engine.board(&mut ask).await {
            Boarding::Served(served) => {
                return Ok(Entered::Answered(self.served::<X>(&ask, &served)));
            }
            Boarding::TimedOut(limit) => {
                return self.timed_out::<X, E>(&ask, limit).map(Entered::Answered);
            }
            Boarding::Lead(lead) => Some(lead),
            Boarding::Alone => None,
        };
        let filling = Filling::begin(engine, &ask, key, lead);
        Ok(Entered::Filling(ask, filling))
    }

    /// The answer of most reads: what memory is asked for most, if nothing at all stands against it.
    fn quick<X: Filled<T>>(&self, parts: &KeyParts) -> Option<Answer<X::Answer>> {
        let engine = self.cache.engine();
        if engine.view().lag(&engine.clock, engine.bound) != Lag::Within {
            return None; // what that means is for the policy to say
        }
        let after = self.after.as_deref();
        engine.look_in_hot(&self.space, parts, after, |entry| {
            self.memory_answer::<X>(entry, None)
        })
    }

    /// Looks into memory.
    fn look<X: Filled<T>, E>(&self, parts: &KeyParts) -> Result<Looked<X::Answer>, Error<E>> {
        let space = &self.space;
        let key = self.key(parts).map_err(|source| Error::Key {
            namespace: space.policy.name.to_string(),
            source,
        })?;
        let engine = self.cache.engine();
        let after = self.after.as_deref();
        let (trust, lag) = engine.trust(space, after).map_err(|lag| Error::LedgerLag {
            lag,
            bound: engine.bound,
        })?;
        let found = match trust {
            Trust::Stored => engine.look_in_memory(space, &key, after),
            Trust::SourceOnly => Found::Nothing,
        };
        let mut held = None;
        match found {
            Found::Fresh(entry) => {
                if let Some(answer) = self.memory_answer::<X>(&entry, lag) {
                    engine.memory.note_hot(space, parts, &entry);
                    return Ok(Looked::Answered(answer));
                }
            }
            Found::Wanting(entry) if accepts::<T, X>(&entry.value) => {
                held = Some(Held {
                    entry,
                    source: Source::Memory,
                });
            }
            Found::Wanting(_) | Found::Nothing => {}
        }
        if held.is_none() {
            space.counters.memory_misses_total.add_one();
        }
        Ok(Looked::Asking(Ask {
            space: space.clone(),
            key: key.into(),
            accepts: accepts::<T, X>,
            trust,
            after: self.after.clone(),
            held,
            lag,
        }))
    }

    /// The answer that memory's fresh entry is, counted.
    fn memory_answer<X: Filled<T>>(
        &self,
        entry: &Entry,
        ledger_lag: Option<LedgerLag>,
    ) -> Option<Answer<X::Answer>> {
        let value = answer_of::<T, X>(entry)?;
        self.space.counters.memory_hits_total.add_one();
        Some(Answer {
            value,
            source: Source::Memory,
            stale: None,
            ledger_lag,
            epoch: self.cache.engine().epoch_of(entry),
        })
    }

    fn conclude<X: Filled<T>, E>(
        &self,
        ask: &Ask,
        filled: Result<Arc<Entry>, Failure<E>>,
    ) -> Result<Answer<X::Answer>, Error<E>> {
        let error = match filled {
            Ok(entry) => {
                let served = Served {
                    entry,
                    source: Source::Filled,
                    stale: None,
                };
                return Ok(self.served::<X>(ask, &served));
            }
            Err(Failure::TimedOut(limit)) => Error::TimedOut { limit },
            Err(Failure::Source(error)) => Error::Fill(error),
        };
        match self
            .cache
            .engine()
            .serve_held(ask, StaleReason::SourceFailed)
        {
            Some(served) => Ok(self.served::<X>(ask, &served)),
            None => Err(error),
        }
    }

    fn timed_out<X: Filled<T>, E>(
        &self,
        ask: &Ask,
        limit: Milliseconds,
    ) -> Result<Answer<X::Answer>, Error<E>> {
        match self.cache.engine().serve_held(ask, StaleReason::SourceSlow) {
            Some(served) => Ok(self.served::<X>(ask, &served)),
            None => Err(Error::TimedOut { limit }),
        }
    }

    /// The answer that `served` is, counted.
    fn served<X: Filled<T>>(&self, ask: &Ask, served: &Served) -> Answer<X::Answer> {
        let counters = &self.space.counters;
        let held = ask.held.as_ref().map(|held| held.source);
        match (served.source, held) {
            (Source::Memory, _) => counters.memory_hits_total.add_one(),
            // Fresh ones were counted where they were found.
            (Source::Redis, Some(Source::Redis)) => counters.redis_hits_total.add_one(),
            (Source::Redis | Source::Filled | Source::Coalesced, _) => {}
        }
        if served.stale.is_some() {
            counters.stale_served_total.add_one();
        }
        Answer {
            value: answer_of::<T, X>(&served.entry)
                .expect("only entries that the caller accepts are held, joined or filled"),
            source: served.source,
            stale: served.stale,
            ledger_lag: ask.lag,
            epoch: self.cache.engine().epoch_of(&served.entry),
        }
    }
}

impl<T> Clone for Namespace<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            space: self.space.clone(),
            after: self.after.clone(),
            values: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Namespace<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Namespace")
            .field("name", &self.space.policy.name)
            .finish_non_exhaustive()
    }
}

fn answer_of<T: Send + Sync + 'static, X: Filled<T>>(entry: &Entry) -> Option<X::Answer> {
    X::answer(typed::<T>(&entry.value)?)
}

fn accepts<T: Send + Sync + 'static, X: Filled<T>>(value: &Value) -> bool {
    typed::<T>(value).is_some_and(|value| X::answer(value).is_some())
}

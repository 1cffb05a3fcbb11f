//! The fill: what a caller's closure is given, and what it may answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use terrace_shared::key::{SurrogateKey, SurrogateKeys};
use terrace_shared::purge::Epoch;

/// A fill under way: the closure that asks the source is given it, and may say more about the value.
///
/// Cheap to clone and free of borrows, so that the closure's future can be sent and spawned.
#[derive(Clone, Debug)]
pub struct Fill(Arc<State>);

#[derive(Debug)]
struct State {
    key: Arc<str>,
    epoch: Option<Epoch>,
    /// None once one was refused.
    surrogate_keys: Mutex<Option<SurrogateKeys>>,
    storable: AtomicBool,
}

impl Fill {
    pub(crate) fn new(
        key: Arc<str>,
        epoch: Option<Epoch>,
        surrogate_keys: Option<SurrogateKeys>,
    ) -> Self {
        Self(Arc::new(State {
            key,
            epoch,
            surrogate_keys: Mutex::new(surrogate_keys),
            storable: AtomicBool::new(true),
        }))
    }

    /// Names the value: a purge of this surrogate key reaches it.
    ///
    /// A malformed key, or one too many, makes the value unstorable (R12): the caller gets it, and
    /// `refused_surrogate_keys_total` counts it.
    pub fn surrogate_key(&self, key: impl AsRef<str>) -> &Self {
        let mut keys = self.0.surrogate_keys.lock();
        let added = keys
            .as_mut()
            .map(|keys| SurrogateKey::parse(key.as_ref()).and_then(|key| keys.insert(key)));
        if let Some(Err(_)) = added {
            *keys = None;
        }
        drop(keys);
        self
    }

    /// Names the value several times over.
    pub fn surrogate_keys<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> &Self {
        for key in keys {
            self.surrogate_key(key);
        }
        self
    }

    /// Keeps the value out of every tier; the caller and those who wait for this fill get it.
    pub fn do_not_store(&self) -> &Self {
        self.0.storable.store(false, Ordering::Release);
        self
    }

    /// The key, as it is written in Redis.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// Where this process's view of the purge ledger stood before the source was asked (R1).
    pub fn epoch(&self) -> Option<Epoch> {
        self.0.epoch
    }

    /// The surrogate keys; none if any was refused.
    pub(crate) fn names(&self) -> Option<SurrogateKeys> {
        self.0.surrogate_keys.lock().clone()
    }

    pub(crate) fn is_storable(&self) -> bool {
        self.0.storable.load(Ordering::Acquire)
    }
}

/// What a fill may answer: a `T`, or an `Option<T>` whose `None` is cached as a negative entry.
///
/// What the caller gets follows from it: `Arc<T>`, or `Option<Arc<T>>`.
pub trait Filled<T>: sealed::Sealed<T> {
    /// What the caller gets.
    type Answer;

    /// What is stored: none as a negative entry.
    fn into_value(self) -> Option<T>;

    /// What the caller gets for a stored value; none if it cannot be an answer, and the source is asked.
    fn answer(stored: Option<Arc<T>>) -> Option<Self::Answer>;
}

impl<T> Filled<T> for T {
    type Answer = Arc<T>;

    fn into_value(self) -> Option<T> {
        Some(self)
    }

    fn answer(stored: Option<Arc<T>>) -> Option<Arc<T>> {
        stored
    }
}

impl<T> Filled<T> for Option<T> {
    type Answer = Option<Arc<T>>;

    fn into_value(self) -> Self {
        self
    }

    fn answer(stored: Option<Arc<T>>) -> Option<Option<Arc<T>>> {
        Some(stored)
    }
}

mod sealed {
    pub trait Sealed<T> {}
    impl<T> Sealed<T> for T {}
    impl<T> Sealed<T> for Option<T> {}
}

//! The tier that processes share: responses as bytes under readable keys.
//!
//! A URL whose responses vary has a marker under its key, with the names of the request fields; each variant has
//! a key of its own.

use std::sync::Arc;

use ::http::header::HeaderName;
use terrace_shared::http::{RequestFacts, VaryKey};
use terrace_shared::key::EncodedKey;
use terrace_shared::time::{DeltaSeconds, Milliseconds, Timestamp};
use tokio::sync::Semaphore;

use super::Entry;
use super::bytes::{self, Slot};
use crate::error::TierError;
use crate::http::observe::HttpCounters;
use crate::tier::SharedTier;

/// Stored responses in the tier that processes share.
#[derive(Clone)]
pub(in crate::http) struct SharedStore {
    tier: Arc<dyn SharedTier>,
    /// Room for writes that nobody waits for.
    writes: Arc<Semaphore>,
    counters: Arc<HttpCounters>,
}

/// The key of a URL as it is written in the shared tier: readable, with a digest where cookies or a rule for
/// queries have a part in it.
pub(in crate::http) fn key_text(key: &EncodedKey) -> String {
    let parts: Vec<_> = key.parts().map(String::from_utf8_lossy).collect();
    match parts.as_slice() {
        [scheme, host, path_and_query, cookies] if cookies.is_empty() => {
            format!("{PREFIX}{scheme}://{host}{path_and_query}")
        }
        [scheme, host, path, ..] => {
            format!("{PREFIX}{scheme}://{host}{path}#{}", key.digest())
        }
        _ => format!("{PREFIX}#{}", key.digest()),
    }
}

/// What every key begins with: what it is of, and the version of this way of writing keys.
const PREFIX: &str = "http:1:";

/// The key of one variant. No URL has a `#` of its own.
fn variant_text(url: &str, vary: &VaryKey) -> String {
    let digest = EncodedKey::of([vary.to_bytes()]).digest();
    format!("{url}#vary:{digest}")
}

impl SharedStore {
    /// How long a vary marker is kept at least: it does no harm, and the next variant needs it.
    const MARKER: DeltaSeconds = DeltaSeconds::days(1);
    /// How long a response with a validator is kept after it can be served without asking.
    const VALIDATION: DeltaSeconds = DeltaSeconds::days(1);

    pub(in crate::http) const fn new(
        tier: Arc<dyn SharedTier>,
        writes: Arc<Semaphore>,
        counters: Arc<HttpCounters>,
    ) -> Self {
        Self {
            tier,
            writes,
            counters,
        }
    }

    /// What is stored for a request; a failure and what cannot be read are a miss, and counted.
    pub(in crate::http) async fn get(
        &self,
        key: &EncodedKey,
        facts: &RequestFacts,
    ) -> Option<Entry> {
        let url = key_text(key);
        let names = match self.slot(key, &url).await? {
            Slot::Response(entry) => return Some(*entry),
            Slot::Vary(names) => names,
        };
        let variant = variant_text(&url, &VaryKey::of(names, facts));
        match self.slot(key, &variant).await? {
            Slot::Response(entry) => Some(*entry),
            Slot::Vary(_) => {
                self.counters.counts.undecodable_total.add_one();
                None
            }
        }
    }

    async fn slot(&self, key: &EncodedKey, text: &str) -> Option<Slot> {
        let Ok(found) = self.tier.get(text).await else {
            self.counters.counts.redis_errors_total.add_one();
            return None;
        };
        let slot = bytes::decode(key, found?);
        if slot.is_err() {
            self.counters.counts.undecodable_total.add_one();
        }
        slot.ok()
    }

    /// Stores `entry`, behind whatever goes on.
    pub(in crate::http) fn put(&self, key: &EncodedKey, entry: &Arc<Entry>, now: Timestamp) {
        let Some(lifetime) = lifetime(entry, now) else {
            return;
        };
        let url = key_text(key);
        let vary = entry.head.vary();
        let names: Vec<HeaderName> = vary.names().cloned().collect();
        let marker = (!names.is_empty()).then(|| {
            let marker = bytes::encode_marker(key, names.iter());
            (url.clone(), marker, lifetime.max(Self::MARKER.into()))
        });
        let text = match &marker {
            Some(_) => variant_text(&url, vary),
            None => url,
        };
        let response = (text, bytes::encode_response(key, entry), lifetime);
        self.behind(async move |tier| {
            // The response first: a marker without its variant would be a detour.
            for (key, bytes, lifetime) in std::iter::once(response).chain(marker) {
                tier.put(&key, bytes, lifetime).await?;
            }
            Ok(())
        });
    }

    /// Forgets what is stored for the same requests as `entry`.
    pub(in crate::http) fn remove(&self, key: &EncodedKey, entry: &Entry) {
        let url = key_text(key);
        let vary = entry.head.vary();
        let text = if vary.names().next().is_some() {
            variant_text(&url, vary)
        } else {
            url
        };
        self.behind(async move |tier| tier.remove(&text).await);
    }

    /// Runs `write` on a task of its own, unless too many are under way.
    fn behind<W, F>(&self, write: W)
    where
        W: FnOnce(Arc<dyn SharedTier>) -> F + Send + 'static,
        F: Future<Output = Result<(), TierError>> + Send,
    {
        let Ok(room) = self.writes.clone().try_acquire_owned() else {
            self.counters.counts.redis_writes_skipped_total.add_one();
            return;
        };
        let (tier, counters) = (self.tier.clone(), self.counters.clone());
        tokio::spawn(async move {
            if write(tier).await.is_err() {
                counters.counts.redis_errors_total.add_one();
            }
            drop(room);
        });
    }
}

/// How long `entry` is kept; none if it is of no use any more.
fn lifetime(entry: &Entry, now: Timestamp) -> Option<Milliseconds> {
    let usable = entry.head.usable_until().saturating_since(now);
    let lifetime = if entry.head.has_validator() {
        usable.saturating_add(SharedStore::VALIDATION)
    } else {
        usable
    };
    (!lifetime.is_zero()).then(|| lifetime.into())
}

impl std::fmt::Debug for SharedStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SharedStore")
            .finish_non_exhaustive()
    }
}

//! The tiers that hold values: memory always, a shared one when there is one.

pub(crate) mod breaker;
mod hot;
pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;

use terrace_shared::time::Milliseconds;

use crate::error::TierError;
use crate::ledger::BoxFuture;
use crate::metrics::SharedTierStats;

/// A tier that processes share: bytes under readable keys, each with a lifetime of its own.
pub(crate) trait SharedTier: Send + Sync {
    /// What is stored under `key`.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, TierError>>;

    /// Stores `bytes` under `key` for `lifetime`.
    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        lifetime: Milliseconds,
    ) -> BoxFuture<'a, Result<(), TierError>>;

    /// Forgets what is stored under `key`.
    #[cfg_attr(
        not(feature = "tower"),
        expect(
            dead_code,
            reason = "values outlive what they are of; responses may not"
        )
    )]
    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), TierError>>;

    /// How it is.
    fn stats(&self) -> SharedTierStats;
}

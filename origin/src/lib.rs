//! An embeddable cache for backend services: memory, Redis, and the purges that keep them and the edge true.
//!
//! ```
//! # use terrace_shared::{policy::{KeySpace, Policy}, time::DeltaSeconds};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut space = KeySpace::new("plan_catalog", "plan_catalog:v{version}:plan_{plan_id}")?;
//! # space.lifetimes.memory = Some(DeltaSeconds::minutes(5));
//! # let policy = Policy::default().with_key_space(space);
//! use terrace_origin::{Cache, Purge, key};
//!
//! let cache = Cache::builder(policy).build().await?;
//! let plans = cache.namespace::<String>("plan_catalog")?;
//!
//! let plan = plans
//!     .get_or_fill(&key!(plan_id: 123), async |fill| {
//!         fill.surrogate_key("region:TX");
//!         Ok::<_, std::io::Error>("sunny".to_owned()) // ask the database here
//!     })
//!     .await?;
//! assert_eq!(*plan, "sunny");
//!
//! let receipt = cache.purge(Purge::surrogate_key("region:TX").soft()).await?;
//! assert!(receipt.visible_by_ms.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! A read goes through `namespace` (typed) and `engine` (not): memory, one flight per key, Redis, the
//! caller's own fill. What is found is judged by `ledger`, this process's view of what has been purged;
//! nothing is ever deleted to purge it. `purge` sends purges on to the edge, in order and until it takes them.

#![cfg_attr(
    not(feature = "redis"),
    expect(
        dead_code,
        reason = "nothing but Redis is shared, or elsewhere, so far"
    )
)]

mod answer;
mod ask;
mod backoff;
mod cache;
mod clock;
mod config;
mod engine;
mod entry;
mod error;
mod fill;
mod filling;
mod flight;
#[cfg(feature = "tower")]
pub mod http;
mod ledger;
mod metrics;
mod namespace;
mod purge;
mod session;
mod space;
mod tier;

pub use terrace_shared::key::{KeyError, KeyParts};
pub use terrace_shared::policy::Policy;
pub use terrace_shared::purge::Epoch;
pub use terrace_shared::purge::token::{After, TokenSecretError, TokenSecrets};
pub use terrace_shared::purge::wire::{PurgeRequest, Receipt};
pub use terrace_shared::time::ByteCount;

pub use crate::answer::{Answer, LedgerLag, Source, StaleReason};
pub use crate::cache::{Cache, EdgeState};
#[cfg(any(test, feature = "test-util"))]
pub use crate::clock::{ManualClock, ShiftedClock};
pub use crate::config::{CacheBuilder, load_policy};
#[cfg(feature = "redis")]
pub use crate::error::RedisError;
pub use crate::error::{
    AgendaError, BuildError, EdgeError, Error, LedgerError, NamespaceError, PolicyFileError,
    PurgeError,
};
pub use crate::fill::{Fill, Filled};
pub use crate::metrics::{
    CacheStats, EdgeStats, LedgerStats, MemoryStats, NamespaceStats, OutboxStats, SharedTierStats,
    Stats,
};
pub use crate::namespace::Namespace;
pub use crate::purge::Purge;
pub use crate::purge::cloudflare::CloudflareZone;
pub use crate::purge::edge::Edge;
pub use crate::session::SessionCookie;
#[cfg(feature = "redis")]
pub use crate::tier::redis::Redis;

/// The parts of a key: `key!(plan_id: "123", region: region)`.
///
/// Values are anything that can be displayed; a name given twice counts the last time.
#[macro_export]
macro_rules! key {
    ($($name:ident : $value:expr),* $(,)?) => {
        $crate::KeyParts::new()$(.with(::core::stringify!($name), $value))*
    };
}

#[cfg(test)]
mod tests;

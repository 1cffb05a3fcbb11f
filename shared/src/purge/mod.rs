//! The purge ledger: what has been purged, and what that means for a stored entry.
//!
//! A purge deletes nothing. It is a [`Record`] in a [`Ledger`]; every stored entry carries the
//! [`Fence`] it was filled under, and [`Ledger::verdict`] judges the entry when it is read. So a
//! fill that began before a purge can store its answer after it and still not be believed.
//!
//! The rules are numbered R1 to R12 where they are implemented; `ledger/tests.rs` proves them on
//! random schedules of fills, purges, lag and crashes, and proves that breaking one is noticed.

pub mod audit;
pub mod auth;
pub mod bulletin;
pub mod compat;
mod entry;
mod epoch;
mod ledger;
mod marks;
mod pattern;
pub mod refresh;
mod replica;
mod scope;
pub mod token;
pub mod wire;

pub use entry::{EntryScopes, Fingerprint};
pub use epoch::{Epoch, EpochError, Fence, Incarnation, Sequence};
pub use ledger::{ApplyError, Ledger, LedgerLimits, Record, Update, Verdict};
pub use pattern::Pattern;
pub use replica::{Lag, Replica};
pub use scope::{Purge, PurgeMode, Scope, ScopeError};

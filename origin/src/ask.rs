//! A read under way, what is found for it, and how it goes on.

use std::sync::Arc;
use std::time::Duration;

use terrace_shared::purge::token::After;
use terrace_shared::time::Milliseconds;

use crate::answer::{LedgerLag, Source, StaleReason};
use crate::engine::Landing;
use crate::entry::{Entry, Value};
use crate::flight::Lead;
use crate::ledger::Began;
use crate::space::Space;

/// A read under way.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) space: Arc<Space>,
    pub(crate) key: Arc<str>,
    /// Whether the caller can use a value; a negative entry is of no use to one that wants a `T`.
    pub(crate) accepts: fn(&Value) -> bool,
    pub(crate) trust: Trust,
    /// Nothing older than these purges is of use to the caller (R10).
    pub(crate) after: Option<Arc<After>>,
    /// What may be served while the entry is filled, or instead.
    pub(crate) held: Option<Held>,
    pub(crate) lag: Option<LedgerLag>,
}

/// An entry that is not served outright.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) entry: Arc<Entry>,
    pub(crate) source: Source,
}

/// Whether stored entries may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trust {
    /// They may.
    Stored,
    /// Only the source: the view of the ledger is too old to judge by (R7), or lacks a purge that a token names (R10).
    SourceOnly,
}

/// What is found for a key on one tier.
#[derive(Debug)]
pub(crate) enum Found {
    /// Serve it.
    Fresh(Arc<Entry>),
    /// Fill it again; meanwhile, or if that fails, it may do.
    Wanting(Arc<Entry>),
    /// There is none.
    Nothing,
}

/// An entry to be served, and how.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) entry: Arc<Entry>,
    pub(crate) source: Source,
    pub(crate) stale: Option<StaleReason>,
}

/// How a request that memory could not answer goes on.
#[derive(Debug)]
#[must_use]
pub(crate) enum Boarding {
    /// It is answered.
    Served(Served),
    /// It fills, for itself and for whoever follows.
    Lead(Lead<Began, Landing>),
    /// It fills for itself alone: those it followed have given up too often.
    Alone,
    /// It has followed for as long as the policy lets it wait.
    TimedOut(Milliseconds),
}

impl Ask {
    /// How long the caller waits for a fill: less if there is something to serve instead.
    pub(crate) fn patience(&self) -> Option<Milliseconds> {
        let Self { space, held, .. } = self;
        let soft = space.policy.soft_timeout.filter(|_| held.is_some());
        soft.or(space.policy.hard_timeout)
    }

    /// What `future` comes to.
    ///
    /// # Errors
    /// When the caller's patience ends before.
    pub(crate) async fn wait<F: Future>(&self, future: F) -> Result<F::Output, Milliseconds> {
        match self.patience() {
            None => Ok(future.await),
            Some(limit) => tokio::time::timeout(Duration::from_millis(limit.as_u64()), future)
                .await
                .map_err(|_| limit),
        }
    }
}

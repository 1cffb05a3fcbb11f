//! Somebody beyond this ledger who takes purges over: an edge, or a CDN's own purge API.

use std::time::Duration;

use terrace_shared::purge::Epoch;
use terrace_shared::purge::wire::PurgeRequest;
use terrace_shared::time::Milliseconds;

use crate::ledger::BoxFuture;

/// Somebody who takes purges over.
pub(crate) trait PurgeTarget: Send + Sync {
    /// Tells it of one purge; told twice, it is carried out once (R8).
    fn tell<'a>(&'a self, request: &'a PurgeRequest) -> BoxFuture<'a, Result<Taken, TellError>>;
}

/// What a target says of a purge that it has taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Taken {
    /// Its place in the target's own ledger, if it keeps one.
    pub(crate) epoch: Option<Epoch>,
    /// Longest time from now until each of its readers sees it.
    pub(crate) bound: Milliseconds,
}

/// A target that did not take a purge.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TellError {
    /// It could not be reached, or is not ready for it: try again.
    #[error("{reason}")]
    Later {
        /// What happened instead.
        reason: String,
        /// How long it wants to be left alone, if it said so.
        not_before: Option<Duration>,
    },
    /// It does not understand this purge, and never will.
    #[error("{reason}")]
    Never {
        /// What it said.
        reason: String,
    },
}

impl TellError {
    pub(crate) fn later(reason: impl Into<String>) -> Self {
        Self::Later {
            reason: reason.into(),
            not_before: None,
        }
    }
}

impl<T: PurgeTarget + ?Sized> PurgeTarget for Box<T> {
    fn tell<'a>(&'a self, request: &'a PurgeRequest) -> BoxFuture<'a, Result<Taken, TellError>> {
        (**self).tell(request)
    }
}

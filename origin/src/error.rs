//! What can go wrong, one enum for each question that can be answered with an error.

use std::path::PathBuf;

use terrace_shared::key::KeyError;
use terrace_shared::policy::PolicyErrors;
use terrace_shared::purge::wire::PurgeRequestError;
use terrace_shared::time::Milliseconds;

use crate::answer::LedgerLag;

/// A read that has no answer.
///
/// A tier that fails is never among the reasons: the source is asked, and the failure is counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// The key's parts do not fit the template of the namespace.
    #[error("the key does not fit namespace {namespace:?}")]
    Key {
        /// Which namespace.
        namespace: String,
        /// What does not fit.
        #[source]
        source: KeyError,
    },
    /// The source failed, and nothing stored may be served instead.
    #[error(transparent)]
    Fill(E),
    /// The source took longer than the policy's hard time-out, and nothing stored may be served instead.
    #[error("the source has not answered within {limit}")]
    TimedOut {
        /// The hard time-out.
        limit: Milliseconds,
    },
    /// The view of the purge ledger is too old, and the policy says to fail then (`on_ledger_lag = "fail"`).
    #[error("the view of the purge ledger is too old: {lag}, at most {bound} are allowed")]
    LedgerLag {
        /// How old.
        lag: LedgerLag,
        /// How old it may be.
        bound: Milliseconds,
    },
}

impl<E> Error<E> {
    /// The source's own error, if that is the reason.
    pub fn into_fill(self) -> Option<E> {
        match self {
            Self::Fill(error) => Some(error),
            Self::Key { .. } | Self::TimedOut { .. } | Self::LedgerLag { .. } => None,
        }
    }
}

/// A namespace that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// The policy does not know it.
    #[error("the policy has no [keys.{name}]; it has {known}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names that the policy has.
        known: String,
    },
    /// It is in use with values of another type.
    #[error("namespace {name:?} holds values of type {theirs}, not {ours}")]
    OtherType {
        /// Which namespace.
        name: String,
        /// The type it was first opened with.
        theirs: &'static str,
        /// The type asked for now.
        ours: &'static str,
    },
}

/// A policy file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("the policy {} cannot be read", path.display())]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It can be read, and something is wrong with it.
    #[error("the policy {} is not valid", path.display())]
    Invalid {
        /// Where it is.
        path: PathBuf,
        /// Everything that is wrong with it, a line each.
        #[source]
        source: PolicyErrors,
    },
}

/// A cache that cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The edge's address is none that purges can be sent to.
    #[error("the edge's address {url:?} cannot be used: {reason}")]
    Edge {
        /// The address that was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two edges have one name.
    #[error("two edges are called {name:?}: give each a name of its own with `Edge::named`")]
    SameName {
        /// The name.
        name: String,
    },
}

/// A Redis that cannot be used.
#[cfg(feature = "redis")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The address is not one of Redis.
    #[error(
        "{url:?} is no address of a Redis: redis://[user:password@]host[:port][/database], \
         redis+sentinel://host:port,host:port/master or redis+cluster://host:port,host:port is expected"
    )]
    Address {
        /// The address that was given, without its password.
        url: String,
        /// What is wrong with it.
        #[source]
        source: redis::RedisError,
    },
    /// Nobody answered as Redis does.
    #[error("Redis at {server} does not answer")]
    Unreachable {
        /// Where.
        server: String,
        /// What happened instead.
        #[source]
        source: redis::RedisError,
    },
}

/// A purge that was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// It names nothing, too much, or something that cannot be named. Nothing was purged.
    #[error("nothing was purged")]
    Request(#[from] PurgeRequestError),
    /// The key's parts do not fit the template of the namespace. Nothing was purged.
    #[error("nothing was purged: the key does not fit namespace {namespace:?}")]
    Key {
        /// Which namespace.
        namespace: String,
        /// What does not fit.
        #[source]
        source: KeyError,
    },
    /// It was to be carried out twice, and the second time could not be written down. Nothing was purged.
    #[error("nothing was purged: the second purge could not be written down")]
    Again(#[source] AgendaError),
    /// The ledger did not take it; no tier was told, the edge neither.
    #[error("{}", match .0 {
        LedgerError::Unconfirmed { .. } => "the purge may not have been carried out: purge again, which does no harm",
        LedgerError::Unreachable { .. } | LedgerError::Refused { .. } | LedgerError::NoLedger => "nothing was purged",
    })]
    Ledger(#[source] LedgerError),
}

/// A second purge that was not written down.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AgendaError {
    /// Where it is to be written down could not be reached, or did not answer.
    #[error("the second purge's place cannot be reached: {reason}")]
    Unreachable {
        /// What happened instead.
        reason: String,
    },
    /// Too many wait already.
    #[error("{most} second purges wait already, which is the most there may be: try again later")]
    Full {
        /// Most that may wait.
        most: usize,
    },
}

/// A ledger that did not take a purge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// It could not be asked.
    #[error("the purge ledger cannot be reached: {reason}")]
    Unreachable {
        /// Why not.
        reason: String,
    },
    /// It was asked, and the answer was lost.
    #[error("the purge ledger has not answered: {reason}")]
    Unconfirmed {
        /// What happened instead.
        reason: String,
    },
    /// It answered with an error.
    #[error("the purge ledger refused: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
    /// There is none.
    #[error("there is no purge ledger")]
    NoLedger,
}

impl LedgerError {
    /// Whether the ledger may have taken the purge all the same.
    pub(crate) const fn may_have_been_taken(&self) -> bool {
        match self {
            Self::Unconfirmed { .. } => true,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::NoLedger => false,
        }
    }
}

/// A shared tier's call that came to nothing; it is counted, and the source is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum TierError {
    /// Its circuit breaker is open.
    #[error("the tier is taken for down")]
    Refused,
    /// It failed.
    #[error("the tier failed")]
    Failed,
}

/// Why an edge did not take a purge that was sent to it directly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// Its address or token cannot be used.
    #[error(transparent)]
    Address(#[from] BuildError),
    /// It could not be reached, or did not take the purge.
    #[error(transparent)]
    Refused(#[from] crate::purge::target::TellError),
}

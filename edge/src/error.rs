//! What can go wrong at the edge, one type for each question that can fail.

use http::StatusCode;
use terrace_shared::http::Failure;
use terrace_shared::purge::auth::TokensError;
use terrace_shared::purge::token::TokenSecretError;
use terrace_shared::time::Milliseconds;

/// Why the worker's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The one variable that has no default.
    #[error(
        "the variable ORIGIN is not set: set it in wrangler.toml or with `wrangler deploy --var ORIGIN:https://…` to the URL of the origin"
    )]
    NoOrigin,
    /// An origin that is not `http://host` or `https://host`, with nothing but a path behind it.
    #[error(
        "the variable ORIGIN is {given:?}, a URL such as https://origin.example.com is expected"
    )]
    Origin {
        /// What was given.
        given: String,
    },
    /// A number that is none, or out of its range.
    #[error("the variable {name} is {given:?}, a number from {least} to {most} is expected")]
    Number {
        /// Which variable.
        name: &'static str,
        /// What was given.
        given: String,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// A switch that is neither on nor off.
    #[error("the variable {name} is {given:?}, on or off is expected")]
    Switch {
        /// Which variable.
        name: &'static str,
        /// What was given.
        given: String,
    },
    /// Tokens that are none.
    #[error("the secret TERRACE_PURGE_TOKENS cannot be used: {0}")]
    Tokens(#[from] TokensError),
    /// A secret that signs no tokens.
    #[error("the secret TERRACE_TOKEN_SECRET cannot be used: {0}")]
    TokenSecrets(#[from] TokenSecretError),
    /// A binding that `wrangler.toml` should name.
    #[error("the binding {name} is missing: wrangler.toml of this repository shows it")]
    Binding {
        /// Which binding.
        name: &'static str,
    },
    /// The policy that was built in; the build checks it, so this is a fault of the build.
    #[error("the policy that was built in cannot be read: {0}")]
    Policy(String),
}

/// Why the purge ledger's authority gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The platform could not reach it.
    #[error("the purge ledger could not be reached: {0}")]
    Unreachable(#[from] worker::Error),
    /// No answer in time.
    #[error("the purge ledger did not answer in time")]
    TimedOut,
    /// Another status than 200.
    #[error("the purge ledger answered with status {status}")]
    Refused {
        /// Which one.
        status: u16,
    },
    /// Bytes that are not what they should be.
    #[error("the purge ledger's answer is not understood")]
    NotUnderstood,
    /// The token has made too many calls; nothing was purged.
    #[error("the token has made too many calls, wait {} ms", retry_after.as_u64())]
    TooManyCalls {
        /// How long until one more is let pass.
        retry_after: Milliseconds,
    },
    /// As many purges as can be kept wait for their second time; nothing was purged.
    #[error("{pending} purges wait for their second time already, which is the most")]
    TooManyScheduled {
        /// How many wait.
        pending: usize,
    },
    /// The second time is further ahead than allowed; nothing was purged.
    #[error("after_ms is too long, at most {} are allowed", most.as_u64())]
    TooFarAhead {
        /// The furthest that is allowed.
        most: Milliseconds,
    },
}

/// Why the origin gave no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The platform could not reach it.
    #[error("the origin could not be reached: {0}")]
    Unreachable(#[from] worker::Error),
    /// No response head in time.
    #[error("the origin did not answer within {milliseconds} ms")]
    TimedOut {
        /// How long was waited.
        milliseconds: u64,
    },
    /// What is stored must not be used without the origin's word, and the origin cannot be reached.
    #[error("the origin, which must be asked, could not be reached")]
    MustAsk,
    /// A status that no response may have (RFC 9110 §15).
    #[error("the origin answered with status {status}, which is none")]
    Status {
        /// Which one.
        status: u16,
    },
    /// An answer that does not fit the question.
    #[error("the origin gave no answer that fits the question")]
    NoAnswer,
}

impl OriginError {
    /// What the engine calls it.
    pub const fn kind(&self) -> Failure {
        match self {
            Self::Unreachable(_) | Self::Status { .. } | Self::NoAnswer => Failure::Unreachable,
            Self::TimedOut { .. } | Self::MustAsk => Failure::TimedOut,
        }
    }

    /// The same as a time-out: a response that must be validated and cannot be is a 504 (RFC 9111 §5.2.2.2).
    #[must_use]
    pub fn as_timeout(self) -> Self {
        match self {
            Self::Unreachable(_) | Self::Status { .. } | Self::NoAnswer => Self::MustAsk,
            other @ (Self::TimedOut { .. } | Self::MustAsk) => other,
        }
    }

    /// The status for a client that nothing else can be sent to.
    pub const fn status(&self) -> StatusCode {
        match self.kind() {
            Failure::Unreachable => StatusCode::BAD_GATEWAY,
            Failure::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

//! Why a purge is not carried out; nothing was purged then, unless the error says otherwise.

use ::http::StatusCode;

use super::Dialect;
use crate::intake::TargetError;
use crate::purge::auth::{Forbidden, NotAuthenticated};
use crate::purge::wire::PurgeRequestError;
use crate::time::{ByteCount, Milliseconds};

/// Why a request of an API is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another method than the path takes.
    #[error("{method} is not understood here")]
    Method {
        /// The one that came.
        method: String,
        /// Those that are understood, as a field has them.
        allow: &'static str,
    },
    /// No such path among our own.
    #[error("there is no {path}")]
    NoSuchPath {
        /// The one that was asked for.
        path: String,
        /// What there is.
        hint: &'static str,
    },
    /// Nobody may purge here.
    #[error("nobody may: no tokens are configured")]
    NoTokens,
    /// No token, or none that is known.
    #[error(transparent)]
    NotAuthenticated(#[from] NotAuthenticated),
    /// The token may not ask for this.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Not a purge.
    #[error(transparent)]
    Request(#[from] PurgeRequestError),
    /// A batch of surrogate keys with something else in it.
    #[error("the body names more than surrogate_keys")]
    NotKeys,
    /// A URL that is none, or that two readers could understand differently.
    #[error(transparent)]
    Url(TargetError),
    /// The same in a list of them.
    #[error("{field}[{index}]: {source}")]
    ListedUrl {
        /// The field it stands in.
        field: &'static str,
        /// Its place in that field, from zero.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: TargetError,
    },
    /// A body that is said to be no JSON.
    #[error("the body is said to be {given:?}, JSON is expected")]
    ContentType {
        /// What it is said to be.
        given: String,
    },
    /// A body that nobody reads to its end.
    #[error("the purge is longer than {} bytes", limit.as_u64())]
    TooLong {
        /// How long one may be.
        limit: ByteCount,
    },
    /// A body that broke off.
    #[error("the purge ends before it should")]
    CutOff,
    /// More calls with one token than it may make.
    #[error("too many purges at once with this token")]
    TooMany {
        /// How long to wait.
        retry_after: Milliseconds,
    },
    /// As many purges as can be kept wait for their second time.
    #[error("{error}")]
    TooManyScheduled {
        /// How many wait.
        error: String,
    },
    /// Something that was asked for cannot be.
    #[error("{error}")]
    Query {
        /// What, and why.
        error: String,
        /// What could be.
        hint: &'static str,
    },
    /// What the operator has set up cannot be used.
    #[error("{error}")]
    Misconfigured {
        /// What is wrong with it.
        error: String,
    },
    /// The ledger did not answer that it has it.
    #[error("{error}")]
    NotTaken {
        /// What went wrong.
        error: String,
    },
}

impl Refusal {
    /// The status that goes with it.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Request(_)
            | Self::NotKeys
            | Self::Url(_)
            | Self::ListedUrl { .. }
            | Self::CutOff
            | Self::Query { .. } => StatusCode::BAD_REQUEST,
            Self::NotAuthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::NoTokens | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NoSuchPath { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Misconfigured { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotTaken { .. } | Self::TooManyScheduled { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// What to do about it, for a client of `dialect`.
    pub(super) const fn hint(&self, dialect: Dialect) -> &'static str {
        match self {
            Self::Method { .. } => "the Allow field names what is",
            Self::NoSuchPath { hint, .. } | Self::Query { hint, .. } => hint,
            Self::TooManyScheduled { .. } => {
                "nothing was purged; send it without after_ms, or later"
            }
            Self::NoTokens => "make one with `terrace token NAME`, and set TERRACE_PURGE_TOKENS",
            Self::NotAuthenticated(_) => match dialect {
                Dialect::Fastly => "send Fastly-Key and a token of TERRACE_PURGE_TOKENS",
                Dialect::Terrace | Dialect::Cloudflare => {
                    "send Authorization: Bearer and a token of TERRACE_PURGE_TOKENS"
                }
            },
            Self::Forbidden(_) => "nothing was purged; use a token that is allowed this",
            Self::Request(_) | Self::NotKeys | Self::ContentType { .. } => match dialect {
                Dialect::Terrace => {
                    r#"send JSON such as {"surrogate_keys":["product:42"],"mode":"soft"}"#
                }
                Dialect::Fastly => {
                    r#"send Surrogate-Key: product:42, or JSON such as {"surrogate_keys":["product:42"]}"#
                }
                Dialect::Cloudflare => r#"send JSON such as {"tags":["product:42"]}"#,
            },
            Self::Url(_) | Self::ListedUrl { .. } => {
                "a URL such as https://www.example.com/path?query is expected"
            }
            Self::TooLong { .. } => "send it in several calls",
            Self::CutOff => "send the body whole",
            Self::TooMany { .. } => {
                "nothing was purged; wait as long as Retry-After says, and name several things in a call"
            }
            Self::Misconfigured { .. } => "the operator has to set it right",
            Self::NotTaken { .. } => {
                "the purge may or may not have been taken: send it again, twice does no harm"
            }
        }
    }
}

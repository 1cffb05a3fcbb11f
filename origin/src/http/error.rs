//! What can go wrong with a body on its way to a client.

use std::sync::Arc;

/// Any error of a service's body.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A response's body that has come to its end too early.
///
/// Several clients may be sent one body, so that its error is shared.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The service's own body failed.
    #[error("the service's body broke off")]
    Service(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The service's body has another length than its head says.
    #[error("the body has {received} bytes and not {expected}, as its head says")]
    Length {
        /// How many bytes there were.
        received: u64,
        /// How many the head speaks of.
        expected: u64,
    },
    /// The fill was given up: it took too long, or its task was ended.
    #[error("the fill was given up")]
    GivenUp,
    /// This client reads too slowly for the others that are sent the same body.
    #[error("the client reads more slowly than those that share the body can wait")]
    TooSlow,
}

impl BodyError {
    pub(super) fn service(error: impl Into<BoxError>) -> Self {
        Self::Service(Arc::from(error.into()))
    }
}

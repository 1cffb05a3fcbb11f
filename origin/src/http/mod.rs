//! The cache in front of a service: a tower layer for axum and any hyper service.

mod act;
mod asked;
mod body;
mod error;
mod fill;
mod filler;
mod growing;
mod keys;
mod layer;
mod lookup;
mod observe;
mod outcome;
mod pass;
mod pump;
mod refusal;
mod respond;
mod service;
mod share;
mod site;
mod store;
mod visit;

pub use terrace_shared::http::Exposure;

pub use self::body::CacheBody;
pub use self::error::BodyError;
pub use self::keys::SurrogateKeys;
pub use self::layer::CacheLayer;
pub(crate) use self::observe::HttpCounters;
pub use self::observe::{HttpStats, HttpTotals};
pub use self::service::{CacheService, ResponseFuture};

#[cfg(test)]
mod tests;

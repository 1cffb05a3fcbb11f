//! The cache in front of a service: a tower layer for axum and any hyper service.

mod body;
mod error;
mod keys;
mod layer;
mod service;

pub use terrace_shared::http::Exposure;

pub use self::body::CacheBody;
pub use self::error::BodyError;
pub use self::keys::SurrogateKeys;
pub use self::layer::CacheLayer;
pub use self::service::{CacheService, ResponseFuture};

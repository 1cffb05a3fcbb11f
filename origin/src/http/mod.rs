//! The cache in front of a service: a tower layer for axum and any hyper service.
//!
//! ```
//! # use axum::body::Body;
//! # use axum::http::{Request, header::CACHE_CONTROL};
//! # use axum::{Extension, Router, routing::get};
//! # use tower::ServiceExt;
//! use terrace_origin::http::{CacheLayer, SurrogateKeys};
//! use terrace_origin::{Cache, Policy, Purge};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! async fn price() -> impl axum::response::IntoResponse {
//!     let keys = Extension(SurrogateKeys::of(["product:42"]));
//!     ([(CACHE_CONTROL, "max-age=60")], keys, "7.50")
//! }
//!
//! let cache = Cache::builder(Policy::default()).build().await?;
//! let app = Router::new()
//!     .route("/price", get(price))
//!     .layer(CacheLayer::new(cache.clone()));
//!
//! let ask = || app.clone().oneshot(Request::get("/price").body(Body::empty()).unwrap());
//! let said = |answer: &axum::response::Response| answer.headers()["cache-status"].clone();
//! let first = ask().await?;
//! assert_eq!(said(&first), "Terrace; fwd=uri-miss; fwd-status=200; stored; ttl=60");
//! # axum::body::to_bytes(first.into_body(), 9).await?;
//! assert_eq!(said(&ask().await?), "Terrace; hit; ttl=60; detail=\"memory\"");
//!
//! cache.purge(Purge::surrogate_key("product:42")).await?;
//! assert!(said(&ask().await?).to_str()?.starts_with("Terrace; fwd=miss"));
//! # Ok(())
//! # }
//! ```
//!
//! The response says how long it lives (`Cache-Control` and its kin), or the policy's route does. What is stored
//! is kept in this process's memory and in the cache's Redis, if it has one; one request for all that want the
//! same asks the service, and its answer streams to all of them at once. Every read is judged by the cache's purge
//! ledger, so that no fill that is under way can undo a purge.
//!
//! `service` is the life of a request, `fill` what happens when nothing stored can answer it, `filler` the task
//! that asks the service, `growing` a response on its way to many readers, `store` what is kept.

mod act;
mod asked;
mod body;
mod error;
mod fill;
mod filler;
mod growing;
mod keep;
mod keys;
mod layer;
mod lookup;
mod observe;
mod outcome;
mod pass;
mod post;
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

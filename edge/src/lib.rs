//! Terrace at the edge: a Cloudflare Worker that caches, streams and purges.
//!
//! Only the platform's events are here. A request's life is told in `serve`.

mod assets;
mod clock;
mod convert;
pub mod env;
pub mod error;
mod fill;
mod flight;
mod observe;
mod origin;
mod pass;
pub mod purge;
#[expect(missing_docs, reason = "what the platform's macro adds has none")]
mod purge_object;
mod refusal;
mod respond;
mod serve;
mod store;
mod visit;

pub use purge_object::PurgeObject;
use worker::{Context, Env, event, web_sys};

/// A request has come.
#[event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: Env,
    context: Context,
) -> worker::Result<web_sys::Response> {
    Ok(serve::serve(request, &env, context).await)
}

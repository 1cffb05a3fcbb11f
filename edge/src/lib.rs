//! Terrace at the edge: a Cloudflare Worker that caches, streams and purges.
//!
//! Only the platform's events are here. A request's life is told in `serve`.

mod ask;
mod assets;
mod clock;
mod convert;
pub mod env;
pub mod error;
mod fill;
mod flight;
mod observe;
mod origin;
mod parts;
mod pass;
mod promise;
pub mod purge;
#[expect(missing_docs, reason = "what the platform's macro adds has none")]
mod purge_object;
mod refusal;
mod respond;
mod search;
mod serve;
mod store;
mod visit;

pub use purge_object::PurgeObject;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{Context, Env, web_sys, worker_sys};

/// A request has come.
///
/// What `worker`'s own macro would make answers by a promise only; this one does so only where it must.
#[wasm_bindgen(skip_typescript)]
#[must_use]
pub fn fetch(request: web_sys::Request, env: Env, context: worker_sys::Context) -> JsValue {
    let context = Context::new(context);
    promise::value_or_promise(async move { serve::serve(request, &env, context).await.into() })
}

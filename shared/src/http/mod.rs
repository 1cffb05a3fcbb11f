//! What HTTP allows a cache to do (RFC 9110, RFC 9111), decided and only decided.
//!
//! A shell (the edge worker, the origin's tower layer) does the I/O and asks in this order:
//!
//! 1. [`RequestFacts::parse`] once per request.
//! 2. [`select`] among the stored responses of the URI, and the purge ledger's verdict on the selected one.
//! 3. [`decide`]: reuse it, validate it, forward, or give up.
//! 4. To reuse: [`answer`], which evaluates the client's conditions and ranges and gives ready-made fields.
//!    For what has just come: [`answer_new`].
//! 5. To ask the origin: [`request_fields`], then [`on_response`] or [`on_failure`]; after an unsafe
//!    method, [`invalidation`].
//!
//! Everything of a response that a decision needs is parsed when it is stored. Whatever is malformed
//! or contradictory leads towards asking the origin.

mod among;
mod answer;
mod cache_control;
pub mod conditional;
mod date;
mod failure;
mod fields;
mod freshen;
mod freshness;
mod head;
mod invalidate;
mod no_vary_search;
mod partial;
pub mod range;
mod request;
mod response;
mod reuse;
mod rules;
mod storable;
mod stored;
mod surrogate;
mod validator;
mod variants;
mod vary;

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod properties;
#[cfg(test)]
mod support;

pub use among::{Among, Held, decide_among, decide_unread, on_response_among};
pub use answer::{Answer, AnswerBody, answer, answer_new};
pub use failure::{Failure, OnFailure, on_failure};
pub use fields::{ForwardAs, pass_fields, remove_hop_by_hop, request_fields, response_fields};
pub use freshen::identified;
pub use invalidate::invalidation;
pub use no_vary_search::NoVarySearch;
pub use partial::{BodyEnd, Combined, CompletionRequest, Piece, Source, combine};
pub use request::RequestFacts;
pub use response::{Fill, OnResponse, ResponseHead, on_response};
pub use reuse::{Decision, ValidationRequest, decide};
pub use rules::{
    BrowserRule, CacheKind, ClientDirectives, Exposure, Heuristic, PartialRule, Rules,
    SetCookieRule, Targets, VaryRule,
};
pub use stored::{Exchange, Extent, Freshness, StoredResponse};
pub use validator::{EntityTag, Strength, TagCondition};
pub use variants::{Variant, VariantList};
pub(crate) use vary::weighted;
pub use vary::{Selection, VaryKey, select};

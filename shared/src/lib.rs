//! The rules of Terrace, pure: no clock, no I/O, no async, no randomness, and safe for wasm.
//!
//! Everything that must be the same at the edge and in the origin is decided here, once:
//! how entries are named ([`key`]), how long they live ([`policy`]), how a request comes in ([`intake`]), what HTTP allows ([`http`]),
//! and what has been purged ([`purge`]). `edge` and `origin` are the shells around it.

mod bytes;
mod decimal;
pub mod http;
pub mod intake;
pub mod key;
pub mod outcome;
pub mod policy;
pub mod purge;
pub mod sabotage;
pub mod stored;
pub mod time;

pub use bytes::DecodeError;

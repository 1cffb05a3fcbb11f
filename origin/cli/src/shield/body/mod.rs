//! The bodies that pass through: the client's, the upstream's, and our own short ones.

mod answer;
mod request;
mod upstream;

pub(crate) use answer::{Accounted, AnswerBody, ExchangeGuard};
pub(crate) use request::{BodyBroken, BodyFate, Fate, RequestBody};
pub(crate) use upstream::{GateGuard, UpstreamBody};

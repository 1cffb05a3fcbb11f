//! The engine under schedules that are played step by step: no sleeping, no Redis, faults on demand.

mod faults;
mod schedules;
mod serving;
mod support;

#[cfg(feature = "tower")]
pub(crate) use support::{Fault, MapTier, settle};

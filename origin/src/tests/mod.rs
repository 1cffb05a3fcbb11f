//! The engine under schedules that are played step by step: no sleeping, no Redis, faults on demand.

mod faults;
mod lagging;
mod schedules;
mod serving;
mod support;
mod tokens;

#[cfg(feature = "tower")]
pub(crate) use lagging::LaggingLedger;
#[cfg(feature = "tower")]
pub(crate) use support::{Fault, MapTier, secrets, settle};

//! The layer around a service that does what it is told, under schedules that are played step by step.

mod coalescing;
mod schedules;
mod serving;
mod streaming;
mod support;
mod tiers;
mod tokens;

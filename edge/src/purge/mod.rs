//! Purging at the edge: who may, where purges get their order, and what this isolate knows of them.

mod audit;
pub mod authority;
pub(crate) mod client;
pub(crate) mod compat;
pub mod desk;
pub(crate) mod handler;
pub mod limit;
pub mod order;
pub(crate) mod sharing;
mod view;

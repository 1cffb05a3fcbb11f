//! Purging at the edge: who may, where purges get their order, and what this isolate knows of them.

pub mod authority;
pub(crate) mod client;
pub(crate) mod compat;
pub(crate) mod handler;
mod view;

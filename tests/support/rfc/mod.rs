//! The RFC tables: what a client and an origin see of a cache, request by request, as data.
//!
//! [`mod@load`] reads the files in `tests/rfc` into a [`table`], [`run`] plays each case against a cache between a raw
//! client ([`wire`]) and an origin that answers by script ([`origin`]), and [`expect`] says what differs.
//! A [`driver`] is one place where the cache runs: the same files hold for all of them.

pub mod driver;
pub mod expect;
pub mod gaps;
pub mod load;
pub mod origin;
pub mod run;
pub mod table;
pub mod value;
pub mod wire;

mod cache_status;
mod client;

pub use client::{Connection, Received, Sent, exchange};
pub use driver::{Driver, EdgeDriver, Place, ShieldDriver};
pub use gaps::Gaps;
pub use load::{load, parse};
pub use origin::{Answer, Script, ScriptedOrigin, Then};
pub use run::{Report, run};
pub use table::Case;

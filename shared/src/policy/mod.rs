//! The policy: what `terrace.toml` says, read once and checked whole.
//!
//! `from_toml` (feature `toml`) reads the file and reports everything wrong with it, each with its line.
//! The edge's build script does that, and embeds the JSON form that serde gives; the edge itself reads
//! that back and needs no TOML. The JSON form is for one build: it has no versions of its own.

mod event;
#[cfg(feature = "toml")]
mod file;
mod key_space;
mod language;
mod ledger;
mod path;
mod query;
mod route;
mod whole;

pub use self::event::Event;
#[cfg(feature = "toml")]
pub use self::file::{PolicyError, PolicyErrors, Problem};
pub use self::key_space::{Adaptive, EarlyRefresh, Expiry, KeySpace, Lifetimes, Strategy};
pub use self::language::LanguageRule;
pub use self::ledger::{LedgerPolicy, OnLedgerLag};
pub(crate) use self::path::percent_decoded;
pub use self::path::{PathPattern, PathPatternError};
pub use self::query::{QueryNames, QueryOrder, QueryRule};
pub use self::route::{CookieRule, Immutable, OnCookie, Route, RouteClass, VaryRule};
pub use self::whole::Policy;

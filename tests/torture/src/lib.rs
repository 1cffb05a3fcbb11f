//! Torture: purges under faults, and a checker that holds every read against the receipts.
//!
//! A world of origin processes, a real Redis and data centres with the real worker stands around a versioned
//! [`source`] in this process. Writers write and purge, readers read everywhere, [`faults`] come by a seeded
//! schedule, and the [`checker`] knows from each receipt, on one monotonic clock, which readers must see it and from
//! when on. It knows nothing of how the caches work.

pub mod actors;
pub mod checker;
pub mod faults;
pub mod http;
pub mod names;
pub mod proxy;
pub mod report;
pub mod source;
pub mod topology;
pub mod world;

/// What signs the receipts' tokens, at the data centres and in the processes.
pub const TOKEN_SECRET: &str = "a secret of this world alone";

/// In this field, a process says who it is and how its view of the ledger stood when it began to answer. A data centre
/// passes on what the process said that it was filled from.
pub const VIEW_FIELD: &str = "torture-view";

/// Breaks the rule of this name for this process; without the feature `sabotage`, says that it cannot.
///
/// # Panics
/// When the rule cannot be broken.
pub fn sabotage(rule: Option<&str>) {
    let Some(rule) = rule else { return };
    #[cfg(feature = "sabotage")]
    terrace_shared::sabotage::break_rule(rule.parse().expect("a rule"));
    #[cfg(not(feature = "sabotage"))]
    panic!("{rule} cannot be broken: build with --features sabotage");
}

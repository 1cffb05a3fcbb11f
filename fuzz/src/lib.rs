//! What must hold for any bytes that a parser of Terrace is given.
//!
//! Each [`Target`] takes bytes, hands them to a parser in the way that strangers can, and panics when
//! something does not hold: besides never panicking itself, a parser reads back what it wrote, never makes
//! usable what a directive forbids, and stays within its bounds. `make fuzz` runs them under libFuzzer;
//! `tests/seeds.rs` runs each on its seeds, and on small changes of them, with every `cargo test`.

mod directives;
mod exchange;
mod fields;
mod keys;
mod message;
mod purges;
mod requests;
mod stored;

/// Something that must hold for any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// How it is called on the command line; its seeds lie in `seeds/` under this name.
    pub name: &'static str,
    /// Panics if it does not hold.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// All of them.
pub const TARGETS: [Target; 26] = [
    target("response-directives", directives::response),
    target("request-directives", directives::request),
    target("targeted-fields", directives::targeted),
    target("dates", fields::dates),
    target("ages", fields::ages),
    target("entity-tags", fields::entity_tags),
    target("vary", fields::vary),
    target("no-vary-search", fields::no_vary_search),
    target("surrogate-keys", fields::surrogate_keys),
    target("ranges", requests::ranges),
    target("if-range", requests::if_range),
    target("content-range", requests::content_range),
    target("urls", requests::urls),
    target("intake", requests::intake),
    target("exchange", exchange::exchange),
    target("stored-heads", stored::heads),
    target("variant-lists", stored::variant_lists),
    target("envelopes", stored::envelopes),
    target("ledger", purges::ledger),
    target("purge-requests", purges::requests),
    target("purge-calls", purges::calls),
    target("purge-log", purges::log),
    target("patterns", purges::patterns),
    target("tokens", purges::tokens),
    target("read-tokens", purges::read_tokens),
    target("key-templates", keys::templates),
    target("policies", keys::policies),
];

//! What this isolate has done since it started, as numbers in the status answer.
//!
//! Cloudflare runs many isolates, and ends them as it likes: these are for looking at one by hand.

use std::cell::Cell;

use serde::Serialize;

/// Something that is counted. A closed set: never a URL, a key or a surrogate key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(usize)]
pub(crate) enum Count {
    /// Requests that came to the cache's main path.
    Requests,
    /// Answered from isolate memory.
    MemoryHit,
    /// Answered from the Cache API.
    CacheApiHit,
    /// Answered with a stale response.
    StaleServed,
    /// Waited for another request that was asking the origin for the same.
    Waited,
    /// Asked of the origin.
    Forwarded,
    /// The origin did not answer, or not in time.
    OriginFailed,
    /// Validated with a 304.
    Freshened,
    /// Stored.
    Stored,
    /// Not stored, for a reason that `Cache-Status` names.
    NotStored,
    /// A stored response was found that a purge had named since.
    Purged,
    /// Stored metadata that could not be decoded: taken for a miss.
    Undecodable,
    /// A store that failed: taken for a miss.
    StoreFailed,
    /// Answered from the static assets.
    Asset,
    /// The view of the purge ledger was refreshed.
    LedgerRefreshed,
    /// The purge ledger's authority was asked for news.
    LedgerAsked,
    /// News of the purge ledger that another isolate had left were taken over.
    LedgerShared,
    /// The purge ledger could not be reached.
    LedgerUnreachable,
    /// Purges that this isolate passed on.
    PurgeAccepted,
    /// Purges that were refused.
    PurgeRefused,
    /// Requests with a token that is believed.
    TokensHeeded,
    /// Requests with a token that is not.
    TokensIgnored,
}

const KINDS: usize = Count::TokensIgnored as usize + 1;

thread_local! {
    static COUNTS: [Cell<u64>; KINDS] = const { [const { Cell::new(0) }; KINDS] };
}

/// Counts one more.
pub(crate) fn count(what: Count) {
    COUNTS.with(|counts| {
        if let Some(cell) = counts.get(what as usize) {
            cell.set(cell.get().saturating_add(1));
        }
    });
}

/// All counts of this isolate, by the names that the status answer gives them.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Counters {
    requests: u64,
    memory_hits: u64,
    cache_api_hits: u64,
    stale_served: u64,
    waited: u64,
    forwarded: u64,
    origin_failed: u64,
    freshened: u64,
    stored: u64,
    not_stored: u64,
    purged: u64,
    undecodable: u64,
    store_failed: u64,
    assets: u64,
    ledger_refreshed: u64,
    ledger_asked: u64,
    ledger_shared: u64,
    ledger_unreachable: u64,
    purges_accepted: u64,
    purges_refused: u64,
    tokens_heeded: u64,
    tokens_ignored: u64,
}

#[cfg(all(test, target_arch = "wasm32"))]
impl Counters {
    /// Stored entries that could not be decoded.
    pub(crate) fn undecodable(&self) -> u64 {
        self.undecodable
    }
}

/// What has been counted so far.
pub(crate) fn snapshot() -> Counters {
    let read = |what: Count| COUNTS.with(|counts| counts.get(what as usize).map_or(0, Cell::get));
    Counters {
        requests: read(Count::Requests),
        memory_hits: read(Count::MemoryHit),
        cache_api_hits: read(Count::CacheApiHit),
        stale_served: read(Count::StaleServed),
        waited: read(Count::Waited),
        forwarded: read(Count::Forwarded),
        origin_failed: read(Count::OriginFailed),
        freshened: read(Count::Freshened),
        stored: read(Count::Stored),
        not_stored: read(Count::NotStored),
        purged: read(Count::Purged),
        undecodable: read(Count::Undecodable),
        store_failed: read(Count::StoreFailed),
        assets: read(Count::Asset),
        ledger_refreshed: read(Count::LedgerRefreshed),
        ledger_asked: read(Count::LedgerAsked),
        ledger_shared: read(Count::LedgerShared),
        ledger_unreachable: read(Count::LedgerUnreachable),
        purges_accepted: read(Count::PurgeAccepted),
        purges_refused: read(Count::PurgeRefused),
        tokens_heeded: read(Count::TokensHeeded),
        tokens_ignored: read(Count::TokensIgnored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_own_number() {
        count(Count::Requests);
        count(Count::PurgeRefused);
        count(Count::PurgeRefused);
        let expected = Counters {
            requests: 1,
            purges_refused: 2,
            ..Counters::default()
        };
        assert_eq!(snapshot(), expected);
    }
}

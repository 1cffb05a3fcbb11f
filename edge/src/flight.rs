//! One question to the origin per key in this isolate, and the memory of what it is no use to wait for.
//!
//! A request must never await what another request has started: in production that cancels it. So who
//! waits looks, by timers of its own, at plain data.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use terrace_shared::time::{Milliseconds, TimestampMillis};
use worker::Delay;

use crate::clock;
use crate::observe::{self, Count};
use crate::store::StoreKey;

/// What a request that needs the origin is to do.
pub(crate) enum Turn {
    /// Ask; others wait until the claim is dropped.
    Lead(Claim),
    /// Another request has asked in the meantime: look up again.
    LookAgain,
    /// Ask, whatever others do.
    Alone,
}

/// The right to fill a key; dropping it lets the next request.
pub(crate) struct Claim(StoreKey);

thread_local! {
    static CLAIMS: RefCell<HashMap<StoreKey, TimestampMillis>> = RefCell::default();
    static UNSTORABLE: RefCell<HashMap<StoreKey, TimestampMillis>> = RefCell::default();
}

/// How long a request waits for another one, at most.
const PATIENCE: Milliseconds = Milliseconds::new(10_000);
/// How often it looks, to begin with; then less and less often, down to the second of the two.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(32));
/// For how long requests of a key whose response could not be stored do not wait for one another.
const UNSTORABLE_FOR: Milliseconds = Milliseconds::new(60_000);
/// Most claims, and most markers, that are kept; beyond, nobody waits.
const MOST: usize = 1_024;

/// Waits for whoever is filling `key` now, if anybody is and it is of use.
pub(crate) async fn turn(key: StoreKey) -> Turn {
    let began = clock::now();
    if is_unstorable(key, began) {
        return Turn::Alone;
    }
    if let Some(claim) = Claim::of(key, began) {
        return Turn::Lead(claim);
    }
    observe::count(Count::Waited);
    let (mut pause, longest) = PAUSES;
    while is_claimed(key, clock::now()) {
        if clock::now().saturating_since(began) >= PATIENCE {
            return Turn::Alone;
        }
        Delay::from(pause).await;
        pause = longest.min(pause * 2);
    }
    if is_unstorable(key, clock::now()) {
        Turn::Alone
    } else {
        Turn::LookAgain
    }
}

/// Lets a request ask at once that cannot use what another one began to ask for: its tokens name later purges (R5).
pub(crate) fn own_turn(key: StoreKey) -> Turn {
    own_turn_at(key, clock::now())
}

fn own_turn_at(key: StoreKey, now: TimestampMillis) -> Turn {
    Claim::of(key, now).map_or(Turn::Alone, Turn::Lead)
}

/// Notes that responses of `key` are of a kind that is not stored: a hit-for-miss marker.
pub(crate) fn note_unstorable(key: StoreKey, now: TimestampMillis) {
    UNSTORABLE.with_borrow_mut(|markers| {
        if markers.len() >= MOST {
            markers.retain(|_, at| now.saturating_since(*at) < UNSTORABLE_FOR);
        }
        if markers.len() < MOST {
            markers.insert(key, now);
        }
    });
}

/// Forgets the marker of `key`: a response of it was stored.
pub(crate) fn note_stored(key: StoreKey) {
    UNSTORABLE.with_borrow_mut(|markers| markers.remove(&key));
}

fn is_unstorable(key: StoreKey, now: TimestampMillis) -> bool {
    let noted = UNSTORABLE.with_borrow(|markers| markers.get(&key).copied());
    noted.is_some_and(|at| now.saturating_since(at) < UNSTORABLE_FOR)
}

fn is_claimed(key: StoreKey, now: TimestampMillis) -> bool {
    let claimed = CLAIMS.with_borrow(|claims| claims.get(&key).copied());
    claimed.is_some_and(|at| now.saturating_since(at) < Claim::LONGEST)
}

impl Claim {
    /// A claim that was not given back within this was cancelled: what runs behind an answer has 30 s
    /// (developers.cloudflare.com/workers/runtime-apis/context/#waituntil).
    const LONGEST: Milliseconds = Milliseconds::new(30_000);

    /// The claim to `key`, unless somebody has it or there are too many.
    pub(crate) fn of(key: StoreKey, now: TimestampMillis) -> Option<Self> {
        CLAIMS.with_borrow_mut(|claims| {
            let free = claims
                .get(&key)
                .is_none_or(|at| now.saturating_since(*at) >= Self::LONGEST);
            if claims.len() >= MOST {
                claims.retain(|_, at| now.saturating_since(*at) < Self::LONGEST);
            }
            if !free || claims.len() >= MOST {
                return None;
            }
            claims.insert(key, now);
            Some(Self(key))
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMS.with_borrow_mut(|claims| claims.remove(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> TimestampMillis {
        TimestampMillis::from_unix_millis(milliseconds)
    }

    #[test]
    fn a_key_has_one_claim_until_it_is_dropped_or_too_old() {
        let key = StoreKey::of(b"claimed");
        let claim = Claim::of(key, at(0)).unwrap();
        assert!(Claim::of(key, at(29_999)).is_none());
        assert!(is_claimed(key, at(29_999)));
        assert!(!is_claimed(key, at(30_000)));
        assert!(Claim::of(StoreKey::of(b"other"), at(1)).is_some());
        drop(claim);
        assert!(!is_claimed(key, at(1)));
        let again = Claim::of(key, at(1));
        assert!(again.is_some());
        let after_cancelled = Claim::of(key, at(30_001));
        assert!(after_cancelled.is_some());
    }

    #[test]
    fn a_request_with_a_token_asks_whoever_is_asking() {
        let key = StoreKey::of(b"own turn");
        let first = own_turn_at(key, at(0));
        assert!(matches!(first, Turn::Lead(_)));
        assert!(matches!(own_turn_at(key, at(1)), Turn::Alone));
    }

    #[test]
    fn claims_are_bounded_and_cancelled_ones_make_room() {
        let key = |number: usize| StoreKey::of(&number.to_be_bytes());
        let claims: Vec<_> = (0..MOST).filter_map(|n| Claim::of(key(n), at(0))).collect();
        assert_eq!(claims.len(), MOST);
        assert!(Claim::of(key(MOST), at(1)).is_none());
        assert!(Claim::of(key(MOST), at(30_000)).is_some());
    }

    #[test]
    fn a_marker_holds_for_a_while_or_until_something_is_stored() {
        let key = StoreKey::of(b"private");
        assert!(!is_unstorable(key, at(0)));
        note_unstorable(key, at(0));
        assert!(is_unstorable(key, at(59_999)));
        assert!(!is_unstorable(key, at(60_000)));
        note_stored(key);
        assert!(!is_unstorable(key, at(1)));
    }
}

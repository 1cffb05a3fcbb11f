//! One fill per key per process: whoever comes first leads, the others follow.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The fills under way, by key.
///
/// `B` is what a flight began with, which decides who may still join it; `L` is what it lands with.
#[derive(Debug)]
pub(crate) struct Flights<B, L> {
    slots: Mutex<HashMap<Arc<str>, Slot<B, L>, RandomState>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Slot<B, L> {
    number: u64,
    began: B,
    landing: watch::Receiver<Option<L>>,
}

/// What a request does about a key.
#[derive(Debug)]
#[must_use]
pub(crate) enum Role<B, L> {
    /// It fills, and the others wait for it.
    Lead(Lead<B, L>),
    /// Another one fills.
    Follow(Follow<L>),
}

/// The right and the duty to fill; dropping it (error, cancellation, panic) frees the key and tells
/// the followers that nothing will come.
#[derive(Debug)]
pub(crate) struct Lead<B, L> {
    flights: Arc<Flights<B, L>>,
    key: Arc<str>,
    number: u64,
    landing: watch::Sender<Option<L>>,
}

/// A place in the queue behind a leader.
#[derive(Debug)]
pub(crate) struct Follow<L> {
    landing: watch::Receiver<Option<L>>,
}

impl<B, L> Flights<B, L> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Mutex::new(HashMap::default()),
            next: AtomicU64::new(0),
        }
    }

    /// Joins the flight for `key` if `joinable` says so of what it began with (R5), or leads a new one.
    ///
    /// A flight that is not joined goes on for those who wait for it, and nobody else joins it.
    pub(crate) fn join(
        self: &Arc<Self>,
        key: &Arc<str>,
        began: B,
        joinable: impl FnOnce(&B) -> bool,
    ) -> Role<B, L> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(key)
            && joinable(&slot.began)
        {
            return Role::Follow(Follow {
                landing: slot.landing.clone(),
            });
        }
        let (sender, receiver) = watch::channel(None);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = Slot {
            number,
            began,
            landing: receiver,
        };
        slots.insert(key.clone(), slot);
        Role::Lead(Lead {
            flights: self.clone(),
            key: key.clone(),
            number,
            landing: sender,
        })
    }

    /// How many fills are under way.
    pub(crate) fn len(&self) -> usize {
        self.slots.lock().len()
    }
}

impl<B, L> Lead<B, L> {
    /// Hands the followers what they wait for, while the key stays taken: whoever joins from now on gets it at once.
    #[cfg(feature = "tower")]
    pub(crate) fn announce(&self, landing: L) {
        self.landing.send_replace(Some(landing));
    }

    /// Hands the followers what they wait for, and frees the key.
    pub(crate) fn land(self, landing: L) {
        // An error means that nobody waits.
        let _ = self.landing.send(Some(landing));
    }
}

impl<B, L> Drop for Lead<B, L> {
    fn drop(&mut self) {
        let mut slots = self.flights.slots.lock();
        // The slot may by now belong to a flight that began after a purge.
        if slots
            .get(&self.key)
            .is_some_and(|slot| slot.number == self.number)
        {
            slots.remove(&self.key);
        }
    }
}

impl<L: Clone> Follow<L> {
    /// What the leader landed with; none if it gave up.
    pub(crate) async fn landed(mut self) -> Option<L> {
        let landing = self.landing.wait_for(Option::is_some).await.ok()?;
        landing.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flights() -> (Arc<Flights<u64, u64>>, Arc<str>) {
        (Arc::new(Flights::new()), "k".into())
    }

    fn lead(role: Role<u64, u64>) -> Lead<u64, u64> {
        match role {
            Role::Lead(lead) => lead,
            Role::Follow(_) => panic!("expected to lead"),
        }
    }

    fn follow(role: Role<u64, u64>) -> Follow<u64> {
        match role {
            Role::Follow(follow) => follow,
            Role::Lead(_) => panic!("expected to follow"),
        }
    }

    #[tokio::test]
    async fn followers_get_what_the_leader_landed_with_and_the_key_is_free_again() {
        let (flights, key) = flights();
        let leader = lead(flights.join(&key, 1, |_| true));
        let follower = follow(flights.join(&key, 1, |_| true));
        leader.land(7);
        assert_eq!(follower.landed().await, Some(7));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn a_leader_that_is_dropped_frees_the_key_and_its_followers() {
        let (flights, key) = flights();
        let leader = lead(flights.join(&key, 1, |_| true));
        let follower = follow(flights.join(&key, 1, |_| true));
        drop(leader);
        assert_eq!(follower.landed().await, None);
        let _leader = lead(flights.join(&key, 1, |_| true));
    }

    #[tokio::test]
    async fn a_flight_that_may_not_be_joined_is_replaced_and_does_not_free_its_successor() {
        let (flights, key) = flights();
        let old = lead(flights.join(&key, 1, |_| true));
        let new = lead(flights.join(&key, 2, |began| *began == 2));
        old.land(1);
        let follower = follow(flights.join(&key, 2, |began| *began == 2));
        new.land(2);
        assert_eq!(follower.landed().await, Some(2));
        assert_eq!(flights.len(), 0);
    }
}

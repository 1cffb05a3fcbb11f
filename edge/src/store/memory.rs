//! This isolate's memory: small responses and vary markers, bounded in bytes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};
use terrace_shared::http::StoredResponse;
use terrace_shared::time::{ByteCount, Milliseconds, TimestampMillis};
use worker::js_sys::Uint8Array;

use super::marker::VaryMarker;
use super::{Entry, StoreKey, StoredBody};

/// Most that is kept; an isolate has 128 MB, wasm and streams in flight among them
/// (developers.cloudflare.com/workers/platform/limits).
const CAPACITY: ByteCount = ByteCount::mebibytes(16);

/// What memory keeps under a key.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// A response with its body.
    Response(Entry),
    /// The responses of this URL vary.
    Vary(Rc<VaryMarker>),
}

thread_local! {
    static SLOTS: RefCell<Bounded<Slot>> = RefCell::new(Bounded::new(CAPACITY));
    static INVALIDATED: RefCell<Invalidated> = RefCell::default();
}

/// What lies under `key`.
pub(crate) fn get(key: StoreKey) -> Option<Slot> {
    SLOTS.with_borrow(|slots| slots.get(key))
}

/// The response under `key`.
pub(crate) fn response(key: StoreKey) -> Option<Entry> {
    match get(key)? {
        Slot::Response(entry) => Some(entry),
        Slot::Vary(_) => None,
    }
}

/// The vary marker under a URL's key.
pub(crate) fn marker(key: StoreKey) -> Option<Rc<VaryMarker>> {
    match get(key)? {
        Slot::Response(_) => None,
        Slot::Vary(marker) => Some(marker),
    }
}

/// Keeps a response.
pub(crate) fn put(key: StoreKey, head: Rc<StoredResponse>, body: Uint8Array) {
    let bytes = u64::from(body.byte_length()) + weight_of(&head);
    let body = StoredBody::Memory(body);
    let slot = Slot::Response(Entry { head, body });
    SLOTS.with_borrow_mut(|slots| slots.put(key, slot, bytes));
}

/// Keeps a vary marker.
pub(crate) fn put_marker(key: StoreKey, marker: Rc<VaryMarker>) {
    let bytes = u64::try_from(marker.known().weight()).unwrap_or(u64::MAX);
    SLOTS.with_borrow_mut(|slots| slots.put(key, Slot::Vary(marker), bytes));
}

/// Forgets what lies under `key`.
pub(crate) fn remove(key: StoreKey) {
    SLOTS.with_borrow_mut(|slots| slots.remove(key));
}

/// Forgets what lies under a URL's key, and notes that fills which began before `now` are outdated.
pub(crate) fn invalidate(key: StoreKey, now: TimestampMillis) {
    remove(key);
    INVALIDATED.with_borrow_mut(|invalidated| invalidated.note(key, now));
}

/// Whether the URL of `key` was invalidated in this isolate at or after `moment`.
pub(crate) fn invalidated_since(key: StoreKey, moment: TimestampMillis) -> bool {
    INVALIDATED.with_borrow(|invalidated| invalidated.since(key, moment))
}

/// What a response's head takes, about.
fn weight_of(head: &StoredResponse) -> u64 {
    let fields: usize = head
        .fields()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 64)
        .sum();
    let scopes = head.scopes().name().len() + 8 * head.scopes().fingerprints().len();
    u64::try_from(fields + scopes).unwrap_or(u64::MAX)
}

/// Values by key, the least useful of them dropped when they weigh too much together.
struct Bounded<V>(Cache<StoreKey, Weighed<V>, ByBytes, BuildHasherDefault<FirstBytes>>);

#[derive(Clone)]
struct Weighed<V> {
    value: V,
    bytes: u64,
}

impl<V: Clone> Bounded<V> {
    /// What a slot takes beside its value, about.
    const OVERHEAD: u64 = 256;

    fn new(capacity: ByteCount) -> Self {
        Self(Cache::with(
            1_024,
            capacity.as_u64(),
            ByBytes,
            BuildHasherDefault::default(),
            DefaultLifecycle::default(),
        ))
    }

    fn get(&self, key: StoreKey) -> Option<V> {
        self.0.get(&key).map(|weighed| weighed.value.clone())
    }

    fn put(&mut self, key: StoreKey, value: V, bytes: u64) {
        let bytes = bytes.saturating_add(Self::OVERHEAD);
        self.0.insert(key, Weighed { value, bytes });
    }

    fn remove(&mut self, key: StoreKey) {
        self.0.remove(&key);
    }
}

#[derive(Clone)]
struct ByBytes;

impl<V> Weighter<StoreKey, Weighed<V>> for ByBytes {
    fn weight(&self, _: &StoreKey, value: &Weighed<V>) -> u64 {
        value.bytes
    }
}

/// Keys are hashes already; hashing them again would only cost time.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_be_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

/// The URLs that unsafe requests have invalidated of late, so that fills under way do not put them back.
#[derive(Default)]
struct Invalidated(VecDeque<(StoreKey, TimestampMillis)>);

impl Invalidated {
    /// Longer than a fill takes.
    const REMEMBERED: Milliseconds = Milliseconds::new(600_000);
    /// Most that are remembered; the oldest beyond are forgotten.
    const MOST: usize = 1_024;

    fn note(&mut self, key: StoreKey, now: TimestampMillis) {
        let outdated =
            |(_, at): &(StoreKey, TimestampMillis)| now.saturating_since(*at) > Self::REMEMBERED;
        while self.0.front().is_some_and(outdated) || self.0.len() >= Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((key, now));
    }

    fn since(&self, key: StoreKey, moment: TimestampMillis) -> bool {
        let newest = self.0.iter().rev().find(|(noted, _)| *noted == key);
        newest.is_some_and(|(_, at)| *at >= moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> StoreKey {
        StoreKey::of(&number.to_be_bytes())
    }

    #[test]
    fn memory_is_bounded_in_bytes_and_takes_nothing_larger_than_itself() {
        let mut slots = Bounded::new(ByteCount::kibibytes(64));
        for number in 0..1_000 {
            slots.put(key(number), number, 1_024);
        }
        assert!(slots.0.weight() <= ByteCount::kibibytes(64).as_u64());
        assert!(slots.0.len() > 20, "{}", slots.0.len());
        slots.put(key(5_000), 5_000, 1 << 20);
        assert_eq!(slots.get(key(5_000)), None);
    }

    #[test]
    fn what_was_put_last_under_a_key_is_there_until_it_is_removed() {
        let mut slots = Bounded::new(ByteCount::kibibytes(64));
        slots.put(key(1), "one", 10);
        slots.put(key(1), "two", 20);
        assert_eq!(slots.get(key(1)), Some("two"));
        slots.remove(key(1));
        assert_eq!(slots.get(key(1)), None);
    }

    #[test]
    fn a_fill_that_began_before_an_invalidation_is_outdated_and_a_later_one_is_not() {
        let at = TimestampMillis::from_unix_millis;
        let mut invalidated = Invalidated::default();
        invalidated.note(key(1), at(1_000));
        assert!(invalidated.since(key(1), at(999)));
        assert!(invalidated.since(key(1), at(1_000)));
        assert!(!invalidated.since(key(1), at(1_001)));
        assert!(!invalidated.since(key(2), at(0)));
        for number in 0..5_000 {
            invalidated.note(key(number), at(2_000));
        }
        assert_eq!(invalidated.0.len(), Invalidated::MOST);
        invalidated.note(key(9), at(10_000_000));
        assert_eq!(invalidated.0.len(), 1);
    }
}

//! Where responses are kept: in this isolate's memory, and in the data centre's Cache API.
//!
//! Neither is believed by itself: whatever comes out is judged by the purge ledger (R3).
//!
//! A URL whose responses vary has a [`VaryMarker`] under its own key, which knows the selecting request fields
//! and the most recent variants; each variant lies under a key made of the marker and its own fields' values.

pub(crate) mod cache_api;
mod marker;
pub(crate) mod memory;

use std::rc::Rc;

use http::HeaderMap;
use sha2::{Digest, Sha256};
use terrace_shared::http::{
    BodyEnd, Extent, RequestFacts, Selection, StoredResponse, VaryKey, select,
};
use terrace_shared::time::{ByteCount, DeltaSeconds, Timestamp, TimestampMillis};
use wasm_bindgen::JsValue;
use worker::js_sys::Uint8Array;
use worker::web_sys;

use self::marker::VaryMarker;
use crate::clock;
use crate::convert::{self, Read};
use crate::flight;
use crate::observe::{self, Count};
use crate::respond::Place;

/// Bodies up to this length are kept in isolate memory as well.
const LARGEST_IN_MEMORY: ByteCount = ByteCount::kibibytes(256);

/// Bodies up to this length are read before they are stored: there, only the end tells that nothing is missing.
const LARGEST_READ: ByteCount = ByteCount::mebibytes(1);

/// Bodies known to be longer than this are passed on without being stored.
///
/// The Cache API takes 512 MB, but a client slower than the store leaves the difference in the
/// isolate's 128 MB (developers.cloudflare.com/workers/platform/limits).
const LARGEST_STORED: ByteCount = ByteCount::mebibytes(32);

/// Longest body of unknown length that is stored.
///
/// Such a body is read to its end before it is stored: only that tells it from one that broke off.
const LARGEST_UNSIZED: ByteCount = ByteCount::mebibytes(8);

/// How long a response with a validator is kept although it may no longer be served unasked.
const KEPT_FOR_VALIDATION: DeltaSeconds = DeltaSeconds::days(1);

/// The name under which something is stored: a hash of the cache key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct StoreKey([u8; 32]);

/// A stored response with its body.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) head: Rc<StoredResponse>,
    pub(crate) body: StoredBody,
}

/// Where a stored body is.
#[derive(Clone, Debug)]
pub(crate) enum StoredBody {
    /// In JavaScript's memory: never copied into wasm.
    Memory(Uint8Array),
    /// Still to be read from the Cache API's response, under this key.
    CacheApi(web_sys::Response, StoreKey),
    /// Still to be read from the origin's response.
    Origin(web_sys::Response),
}

/// What a store has for a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// The response that was selected, if one was.
    pub(crate) entry: Option<Entry>,
    /// The marker of the URL, if its responses vary.
    pub(crate) marker: Option<Rc<VaryMarker>>,
}

impl StoreKey {
    /// The key of a response whose whole cache key is `key`.
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Where the body of an entry lies, if it streamed in under this name.
    fn body_at(self, name: &str) -> Self {
        let digest = Sha256::new().chain_update(self.0).chain_update(name);
        Self(digest.finalize().into())
    }

    fn to_hex(self) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl Found {
    /// The only response of a URL, if it is for this request.
    fn unvaried(entry: Entry, request: &RequestFacts) -> Self {
        Self {
            entry: Some(entry).filter(|entry| entry.is_for(request)),
            marker: None,
        }
    }
}

impl Entry {
    fn is_for(&self, request: &RequestFacts) -> bool {
        select(request, &[&self.head]) == Selection::Match(0)
    }

    /// The same body with another head.
    pub(crate) fn with_head(&self, head: Box<StoredResponse>) -> Self {
        Self {
            head: Rc::new(*head),
            body: self.body.clone(),
        }
    }

    /// The same entry for a second reader; a stream is split, and both must be read or cancelled.
    pub(crate) fn copy(&self) -> Option<Self> {
        let body = match &self.body {
            StoredBody::Memory(bytes) => StoredBody::Memory(bytes.clone()),
            StoredBody::CacheApi(response, key) => {
                StoredBody::CacheApi(response.clone().ok()?, *key)
            }
            StoredBody::Origin(response) => StoredBody::Origin(response.clone().ok()?),
        };
        Some(Self {
            head: Rc::clone(&self.head),
            body,
        })
    }
}

impl StoredBody {
    /// The store that it came from.
    pub(crate) const fn place(&self) -> Place {
        match self {
            Self::Memory(_) => Place::Memory,
            Self::CacheApi(..) => Place::CacheApi,
            Self::Origin(_) => Place::Nowhere,
        }
    }

    /// All of it, if it is not longer than `longest` and does not break off. What streams is read, and gone.
    pub(crate) async fn bytes(&self, longest: ByteCount) -> Option<Uint8Array> {
        let response = match self {
            Self::Memory(bytes) => return Some(bytes.clone()),
            Self::CacheApi(response, _) | Self::Origin(response) => response,
        };
        let read = convert::read(response.body(), longest).await.ok()??;
        match read.end {
            BodyEnd::Whole => Some(read.bytes),
            BodyEnd::BrokenOff => None,
        }
    }

    /// The response that it is still to be read from.
    pub(crate) const fn response(&self) -> Option<&web_sys::Response> {
        match self {
            Self::Memory(_) => None,
            Self::CacheApi(response, _) | Self::Origin(response) => Some(response),
        }
    }
}

/// What this isolate's memory has for `request`.
///
/// `is_dropped` tells what the ledger has dropped: of several that match, the most recent other one is taken.
pub(crate) fn look_up_memory(
    key: StoreKey,
    request: &RequestFacts,
    is_dropped: impl Fn(&StoredResponse) -> bool,
) -> Found {
    let marker = match memory::get(key) {
        None => return Found::default(),
        Some(memory::Slot::Response(entry)) => return Found::unvaried(entry, request),
        Some(memory::Slot::Vary(marker)) => marker,
    };
    let mut entry = None;
    let mut places = marker.places(key, request).peekable();
    while let Some(place) = places.next() {
        entry = memory::response(place).filter(|entry| entry.is_for(request));
        match &entry {
            Some(entry) if places.peek().is_some() && is_dropped(&entry.head) => {}
            // What is not here may be in the data centre, and is more recent than the rest.
            Some(_) | None => break,
        }
    }
    drop(places);
    let marker = Some(marker);
    Found { entry, marker }
}

/// What the data centre's Cache API has for `request`. A store that fails has nothing.
///
/// # Cancel safety
/// Nothing is lost: what was learned of the URL's variants stays in memory.
pub(crate) async fn look_up_cache_api(
    key: StoreKey,
    request: &RequestFacts,
    is_dropped: impl Fn(&StoredResponse) -> bool,
) -> Found {
    let marker = match cache_api::get(key).await {
        None => return Found::default(),
        Some(cache_api::Slot::Response(entry)) => return Found::unvaried(entry, request),
        Some(cache_api::Slot::Vary(marker)) => Rc::new(marker),
    };
    let marker = marker.merged(memory::marker(key).as_deref());
    memory::put_marker(key, Rc::clone(&marker));
    let mut entry = None;
    for place in marker.places(key, request) {
        match cache_api::get(place).await {
            Some(cache_api::Slot::Response(read)) if read.is_for(request) => {
                let dropped = is_dropped(&read.head);
                entry = Some(read);
                if !dropped {
                    break;
                }
            }
            Some(_) | None => {}
        }
    }
    let marker = Some(marker);
    Found { entry, marker }
}

/// What a 304 with these fields names among the variants of a URL, read from where it lies; what should lie there
/// and does not is struck off.
///
/// # Cancel safety
/// Nothing is lost.
pub(crate) async fn look_up_named(
    key: StoreKey,
    marker: &Rc<VaryMarker>,
    fields: &HeaderMap,
    is_dropped: impl Fn(&StoredResponse) -> bool,
) -> Option<Entry> {
    for variant in marker.known().named(fields) {
        let place = marker.place(key, variant.vary());
        let here = memory::response(place);
        let read = match here {
            Some(entry) => Some(entry),
            None => cache_api::response(place).await,
        };
        match read {
            Some(entry) if !is_dropped(&entry.head) => return Some(entry),
            Some(_) => {}
            None => strike(key, marker, variant.vary()).await,
        }
    }
    None
}

/// Whether a body of this extent is stored at all.
pub(crate) fn takes(stored: &StoredResponse) -> bool {
    length_of(stored).is_none_or(|length| length <= LARGEST_STORED.as_u64())
}

/// How many bytes the body has, if that is known.
pub(crate) fn length_of(stored: &StoredResponse) -> Option<u64> {
    match stored.extent() {
        Extent::Complete { length } => length,
        Extent::Partial { range, .. } => Some(range.length()),
    }
}

/// Stores `entry`, whose body is the origin's or a copy of what is stored already.
///
/// Stores nothing when the URL was invalidated since the origin was asked, at `asked_at`, and nothing that
/// `may_replace` does not let into the place of what is stored.
pub(crate) async fn put(
    key: StoreKey,
    marker: Option<Rc<VaryMarker>>,
    request: &RequestFacts,
    entry: Entry,
    asked_at: TimestampMillis,
    may_replace: impl Fn(&StoredResponse) -> bool,
) {
    let gathered = gather(entry).await;
    let Ok(Entry { head, body }) = gathered else {
        observe::count(Count::StoreFailed);
        return;
    };
    if !may_replace(&head) {
        observe::count(Count::NotStored);
        return;
    }
    let needed_until = kept_until(&head);
    let marker = marker.map(|marker| current(key, &marker));
    let now = clock::now().timestamp();
    let before = marker.as_ref();
    let marker =
        VaryMarker::with(before, &head, needed_until, now, convert::random_bits).map(Rc::new);
    let place = place_of(key, marker.as_deref(), &head);
    let is_current = || !memory::invalidated_since(key, asked_at);
    if let Some(marker) = marker.as_ref().filter(|_| is_current()) {
        // Before anything is waited for, so that what others store meanwhile is added to it.
        memory::put_marker(key, Rc::clone(marker));
    }
    let outcome = match body {
        StoredBody::Memory(bytes) => {
            let small = u64::from(bytes.byte_length()) <= LARGEST_IN_MEMORY.as_u64();
            if small && is_current() {
                memory::put(place, Rc::clone(&head), bytes.clone());
            }
            cache_api::put_bytes(place, &head, &bytes, needed_until).await
        }
        StoredBody::CacheApi(response, _) | StoredBody::Origin(response) => {
            memory::remove(place); // what it has is older
            cache_api::put(place, &head, &response, needed_until).await
        }
    };
    if outcome.is_err() || !is_current() {
        observe::count(Count::StoreFailed);
        memory::remove(place);
        cache_api::remove(place).await;
        return;
    }
    observe::count(Count::Stored);
    flight::note_stored(shared_place(key, marker.as_deref(), request));
    if let Some(marker) = marker {
        let marker = current(key, &marker);
        if cache_api::put_marker(key, &marker).await.is_err() {
            observe::count(Count::StoreFailed);
        }
        if !is_current() {
            cache_api::remove(key).await;
        }
    }
}

/// The entry with its body in memory if that is small, or if only its end can tell that it is whole; and
/// with what the head is good for now that the body has come.
async fn gather(entry: Entry) -> Result<Entry, JsValue> {
    let Some(response) = entry.body.response() else {
        return Ok(entry);
    };
    let length = length_of(&entry.head);
    let most = match length {
        Some(length) if length > LARGEST_READ.as_u64() => return Ok(entry),
        Some(length) => ByteCount::bytes(length),
        None => LARGEST_UNSIZED,
    };
    let read = convert::read(response.body(), most).await?;
    let Read { bytes, end } = read.ok_or("the body is longer than it should be")?;
    let head = (*entry.head).clone();
    let head = head
        .after_body(u64::from(bytes.byte_length()), end)
        .map_err(|because| because.as_str())?;
    Ok(Entry {
        head: Rc::new(head),
        body: StoredBody::Memory(bytes),
    })
}

/// Takes a response that came from the Cache API into this isolate's memory, if it is small enough.
///
/// Its body is read for that; the entry that comes back has it.
pub(crate) async fn promote(found: Found) -> Found {
    let Some(entry) = &found.entry else {
        return found;
    };
    let StoredBody::CacheApi(response, place) = &entry.body else {
        return found;
    };
    // The length that is stored, or else the one that the store gives.
    let length = length_of(&entry.head).or_else(|| {
        let text = response.headers().get("content-length").ok().flatten()?;
        text.parse().ok()
    });
    if length.is_none_or(|length| length > LARGEST_IN_MEMORY.as_u64()) {
        return found;
    }
    let Some(bytes) = entry.body.bytes(LARGEST_IN_MEMORY).await else {
        // The store broke off: as if it had had nothing.
        observe::count(Count::StoreFailed);
        return Found {
            entry: None,
            ..found
        };
    };
    memory::put(*place, Rc::clone(&entry.head), bytes.clone());
    Found {
        entry: Some(Entry {
            head: Rc::clone(&entry.head),
            body: StoredBody::Memory(bytes),
        }),
        marker: found.marker,
    }
}

/// Removes a stored response, here and in the data centre.
pub(crate) async fn forget(key: StoreKey, marker: Option<&Rc<VaryMarker>>, head: &StoredResponse) {
    let place = place_of(key, marker.map(|marker| &**marker), head);
    memory::remove(place);
    cache_api::remove(place).await;
    if let Some(marker) = marker {
        strike(key, marker, head.vary()).await;
    }
}

/// Takes what is for these requests off the list of what is known.
async fn strike(key: StoreKey, marker: &Rc<VaryMarker>, vary: &VaryKey) {
    let Some(rest) = current(key, marker).without(vary) else {
        return;
    };
    let rest = Rc::new(rest);
    memory::put_marker(key, Rc::clone(&rest));
    if cache_api::put_marker(key, &rest).await.is_err() {
        observe::count(Count::StoreFailed);
    }
}

/// What `marker` has become in this isolate since it was read.
fn current(key: StoreKey, marker: &Rc<VaryMarker>) -> Rc<VaryMarker> {
    let here = memory::marker(key).filter(|here| here.continues(marker));
    here.unwrap_or_else(|| Rc::clone(marker))
}

/// What requests that may share an answer have in common, as far as is known.
pub(crate) fn shared_place(
    key: StoreKey,
    marker: Option<&VaryMarker>,
    request: &RequestFacts,
) -> StoreKey {
    marker.map_or(key, |marker| marker.place_of(key, request))
}

/// Where a response lies: under the URL's key, or under that of its variant.
fn place_of(key: StoreKey, marker: Option<&VaryMarker>, head: &StoredResponse) -> StoreKey {
    marker.map_or(key, |marker| marker.place(key, head.vary()))
}

/// Removes what is stored under a URL's key, here and in the data centre, and keeps fills that are
/// under way in this isolate from putting it back.
pub(crate) async fn invalidate(key: StoreKey, now: TimestampMillis) {
    memory::invalidate(key, now);
    cache_api::remove(key).await;
}

/// Until when a response is kept: as long as it may be served stale, or validated.
fn kept_until(head: &StoredResponse) -> Timestamp {
    let usable = head.usable_until();
    if head.has_validator() {
        usable.saturating_add(KEPT_FOR_VALIDATION)
    } else {
        usable
    }
}

#[cfg(all(test, target_arch = "wasm32"))]
mod tests;

//! What the stores have for a request: what is listed leads to it, and what is read says itself whether it is right.

use std::rc::Rc;

use http::HeaderMap;
use terrace_shared::http::{RequestFacts, Selection, StoredResponse, VaryKey, select};

use super::marker::VaryMarker;
use super::{Entry, Found, StoreKey, cache_api, memory};
use crate::observe::{self, Count};

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
            Some(entry) if entry.head.is_whole() && !is_dropped(&entry.head) => return Some(entry),
            Some(_) => {}
            None => strike(key, marker, variant.vary()).await,
        }
    }
    None
}

/// Takes what is for these requests off the list of what is known, if this isolate still has it: what was
/// invalidated must not come back.
pub(super) async fn strike(key: StoreKey, marker: &Rc<VaryMarker>, vary: &VaryKey) {
    let here = memory::marker(key).filter(|here| here.continues(marker));
    let Some(rest) = here.and_then(|here| here.without(vary)) else {
        return;
    };
    let rest = Rc::new(rest);
    memory::put_marker(key, Rc::clone(&rest));
    if cache_api::put_marker(key, &rest).await.is_err() {
        observe::count(Count::StoreFailed);
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
}

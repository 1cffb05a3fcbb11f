//! The two stores together, over a Cache API of the test's own.

use futures_util::future::join;
use terrace_shared::time::Milliseconds;
use wasm_bindgen_test::wasm_bindgen_test;
use worker::js_sys;

use super::marker::tests::{fields, request, stored};
use super::*;

/// A Cache API that keeps what it is given, for ever.
fn install_cache() {
    js_sys::Function::new_no_args(
        "const kept = new Map();
         globalThis.Cache = class {
           async match(url) {
             const found = kept.get(url);
             return found && new Response(found.body, { headers: found.headers });
           }
           async put(url, response) {
             kept.set(url, { headers: [...response.headers], body: await response.arrayBuffer() });
           }
           async delete(url) { return kept.delete(url); }
         };
         globalThis.caches = { default: new Cache() };",
    )
    .call0(&JsValue::NULL)
    .unwrap();
}

/// What came so many seconds ago, for a request with this `Accept`.
fn entry(accept: &str, vary: &str, seconds_ago: u64) -> Entry {
    let now = clock::now().timestamp().as_unix_seconds();
    let since = marker::tests::NOW.as_unix_seconds();
    let head = stored(&[("accept", accept)], vary, now - seconds_ago - since);
    Entry {
        head: Rc::new(head),
        body: StoredBody::Memory(Uint8Array::from(accept.as_bytes())),
    }
}

/// Stores `entry` for such a request, which found this marker.
async fn put_for(key: StoreKey, marker: Option<Rc<VaryMarker>>, accept: &str, entry: Entry) {
    let request = request(&[("accept", accept)]);
    put(key, marker, &request, entry, clock::now(), |_| true).await;
}

/// What both stores have, one after the other, for a request with this `Accept`: their bodies.
async fn found(
    key: StoreKey,
    accept: &str,
    dropped: Option<&StoredResponse>,
) -> [Option<String>; 2] {
    let request = request(&[("accept", accept)]);
    let is_dropped = |head: &StoredResponse| Some(head) == dropped;
    let here = look_up_memory(key, &request, is_dropped).entry;
    let there = look_up_cache_api(key, &request, is_dropped).await.entry;
    let mut texts = [None, None];
    for (text, entry) in texts.iter_mut().zip([here, there]) {
        let Some(entry) = entry else { continue };
        let bytes = entry.body.bytes(ByteCount::kibibytes(1)).await.unwrap();
        *text = Some(String::from_utf8(bytes.to_vec()).unwrap());
    }
    texts
}

fn both(text: &str) -> [Option<String>; 2] {
    [Some(text.to_owned()), Some(text.to_owned())]
}

#[wasm_bindgen_test]
async fn of_the_responses_that_match_the_most_recent_that_is_not_dropped_is_taken() {
    install_cache();
    let key = StoreKey::of(b"most recent");
    let (one, all) = (entry("a", "accept", 9), entry("for all", "", 5));
    put_for(key, None, "a", one).await;
    put_for(key, memory::marker(key), "b", all.clone()).await;
    assert_eq!(found(key, "a", None).await, both("for all"));
    assert_eq!(found(key, "c", None).await, both("for all"));
    assert_eq!(found(key, "a", Some(&all.head)).await, both("a"));
    // The most recent one is not here: the other store is asked, before anything older is taken.
    memory::remove(place_of(key, memory::marker(key).as_deref(), &all.head));
    let in_cache_alone = [None, Some("for all".to_owned())];
    assert_eq!(found(key, "a", None).await, in_cache_alone);
    // It is nowhere any more.
    forget(key, memory::marker(key).as_ref(), &all.head).await;
    assert_eq!(found(key, "a", None).await, both("a"));
}

#[wasm_bindgen_test]
async fn variants_that_are_stored_at_once_are_both_known_in_both_stores() {
    install_cache();
    let key = StoreKey::of(b"at once");
    put_for(key, None, "a", entry("a", "accept", 3)).await;
    let before = memory::marker(key);
    let two = put_for(key, before.clone(), "b", entry("b", "accept", 2));
    let three = put_for(key, before, "c", entry("c", "accept", 1));
    join(two, three).await;
    let in_cache = match cache_api::get(key).await {
        Some(cache_api::Slot::Vary(marker)) => marker,
        _ => panic!("there is no marker"),
    };
    assert_eq!(Some(&in_cache), memory::marker(key).as_deref());
    for accept in ["a", "b", "c"] {
        let request = request(&[("accept", accept)]);
        assert_eq!(in_cache.known().matching(&request).count(), 1, "{accept}");
        assert_eq!(found(key, accept, None).await, both(accept));
    }
}

#[wasm_bindgen_test]
async fn what_a_304_names_is_read_back_and_what_is_gone_is_struck_off() {
    install_cache();
    let key = StoreKey::of(b"named");
    let (one, two) = (entry("a", "accept", 3), entry("b", "accept", 2));
    put_for(key, None, "a", one.clone()).await;
    put_for(key, memory::marker(key), "b", two.clone()).await;
    let named = async |etag: &str, dropped: Option<&StoredResponse>| {
        let marker = memory::marker(key).unwrap();
        let is_dropped = |head: &StoredResponse| Some(head) == dropped;
        let entry = look_up_named(key, &marker, &fields(&[("etag", etag)]), is_dropped).await;
        entry.map(|entry| entry.head)
    };
    assert_eq!(named("\"a\"", None).await.as_ref(), Some(&two.head));
    assert_eq!(
        named("\"a\"", Some(&two.head)).await.as_ref(),
        Some(&one.head)
    );
    assert_eq!(named("\"z\"", None).await, None);
    // In the data centre alone.
    let place = |entry: &Entry| place_of(key, memory::marker(key).as_deref(), &entry.head);
    memory::remove(place(&two));
    assert_eq!(named("\"a\"", None).await.as_ref(), Some(&two.head));
    // Nowhere: whoever asks next does not offer it.
    for entry in [&one, &two] {
        memory::remove(place(entry));
        cache_api::remove(place(entry)).await;
    }
    assert_eq!(named("\"a\"", None).await, None);
    assert_eq!(memory::marker(key).unwrap().known().weight(), 0);
    let Some(cache_api::Slot::Vary(in_cache)) = cache_api::get(key).await else {
        panic!("there is no marker");
    };
    assert_eq!(in_cache.known().weight(), 0);
}

#[wasm_bindgen_test]
async fn a_list_that_is_wrong_leads_to_nothing_that_is_for_another_request() {
    install_cache();
    let key = StoreKey::of(b"wrong");
    let one = entry("a", "accept", 1);
    put_for(key, None, "a", one.clone()).await;
    let place = place_of(key, memory::marker(key).as_deref(), &one.head);
    let other = entry("b", "accept", 1);
    let StoredBody::Memory(bytes) = &other.body else {
        panic!("{other:?}");
    };
    memory::put(place, Rc::clone(&other.head), bytes.clone());
    let until = kept_until(&other.head);
    cache_api::put_bytes(place, &other.head, bytes, until)
        .await
        .unwrap();
    assert_eq!(found(key, "a", None).await, [None, None]);
}

#[wasm_bindgen_test]
async fn what_was_invalidated_while_it_was_being_stored_is_not_found() {
    install_cache();
    let key = StoreKey::of(b"invalidated");
    put_for(key, None, "a", entry("a", "accept", 3)).await;
    let marker = memory::marker(key);
    let storing = put_for(key, marker, "b", entry("b", "accept", 2));
    let invalidating = invalidate(key, clock::now().saturating_add(Milliseconds::new(60_000)));
    join(storing, invalidating).await;
    for accept in ["a", "b"] {
        assert_eq!(found(key, accept, None).await, [None, None], "{accept}");
    }
}

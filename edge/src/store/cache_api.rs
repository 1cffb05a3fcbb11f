//! The data centre's Cache API, as a store of bytes: what is stored says of itself all that we must know.
//!
//! Each entry is a plain 200 with a lifetime that we choose, its true status and fields in one field of
//! ours. So the platform's own ideas about `Vary`, `Set-Cookie`, `Range`, conditions and freshness never
//! touch it: an expired entry could not be read at all, and stale ones are needed.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join;
use terrace_shared::http::StoredResponse;
use terrace_shared::http::range::ByteRange;
use terrace_shared::time::Timestamp;
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::{self, Promise, Reflect, Uint8Array};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys;

use super::marker::VaryMarker;
use super::{Entry, StoreKey, StoredBody};
use crate::clock;
use crate::convert;
use crate::observe::{self, Count};

/// What the Cache API keeps under a key.
pub(crate) enum Slot {
    /// A response with its body.
    Response(Entry),
    /// The responses of this URL vary.
    Vary(VaryMarker),
}

/// Field with a stored response's head, base64url without padding.
const HEAD: &str = "terrace-head";
/// Field that says where the body lies, if it streamed in.
const BODY_AT: &str = "terrace-body-at";
/// Field with a vary marker.
const VARY: &str = "terrace-vary";

/// What lies under `key`. A failure and what cannot be decoded are a miss, and counted.
pub(crate) async fn get(key: StoreKey) -> Option<Slot> {
    let Ok(found) = find(key).await else {
        observe::count(Count::StoreFailed);
        return None;
    };
    let found = found?;
    let Ok(place) = found.headers().get(BODY_AT) else {
        return None;
    };
    let slot = decode(key, found);
    if slot.is_none() {
        observe::count(Count::Undecodable);
    }
    match (slot?, place) {
        (Slot::Response(Entry { head, .. }), Some(place)) => {
            let place = key.body_at(&place);
            let body = StoredBody::CacheApi(find(place).await.ok()??, place);
            Some(Slot::Response(Entry { head, body }))
        }
        (slot, _) => Some(slot),
    }
}

/// The response under `key`.
pub(crate) async fn response(key: StoreKey) -> Option<Entry> {
    match get(key).await? {
        Slot::Response(entry) => Some(entry),
        Slot::Vary(_) => None,
    }
}

/// Keeps a response with a body of known length that streams in.
///
/// A store may keep what has come of one that broke off. So the body gets a place of its own, which nobody
/// is told of before all of it has flown.
pub(crate) async fn put(
    key: StoreKey,
    head: &Rc<StoredResponse>,
    response: &web_sys::Response,
    until: Timestamp,
) -> Result<(), JsValue> {
    let length = super::length_of(head).ok_or("how long the body is, is not known")?;
    let body = response.body().ok_or("there is no body")?;
    let (body, flow) = of_length(&body, length)?;
    let place = format!("{:016x}", convert::random_bits());
    let init = init_of(&[(BODY_AT, &place)], until)?;
    let entry = web_sys::Response::new_with_opt_readable_stream_and_init(Some(&body), &init)?;
    let (kept, flown) = join(keep(key.body_at(&place), &entry), JsFuture::from(flow)).await;
    kept.and(flown)?;
    let head = URL_SAFE_NO_PAD.encode(head.encode_head());
    let init = init_of(&[(HEAD, &head), (BODY_AT, &place)], until)?;
    let entry = web_sys::Response::new_with_opt_str_and_init(Some(""), &init)?;
    keep(key, &entry).await
}

/// `body` as a stream of exactly `length` bytes, and whether that many have flown
/// (developers.cloudflare.com/workers/runtime-apis/streams/transformstream/#fixedlengthstream).
fn of_length(
    body: &web_sys::ReadableStream,
    length: u64,
) -> Result<(web_sys::ReadableStream, Promise), JsValue> {
    let length = u32::try_from(length).map_err(|_| "the body is longer than any store takes")?;
    let constructor: js_sys::Function =
        Reflect::get(&js_sys::global(), &"FixedLengthStream".into())?.dyn_into()?;
    let fixed = Reflect::construct(&constructor, &js_sys::Array::of1(&length.into()))?;
    let pipe: js_sys::Function = Reflect::get(body, &"pipeTo".into())?.dyn_into()?;
    let flow = pipe.call1(body, &Reflect::get(&fixed, &"writable".into())?)?;
    let readable = Reflect::get(&fixed, &"readable".into())?;
    Ok((readable.dyn_into()?, flow.dyn_into()?))
}

/// Keeps a response with a body that is there.
pub(crate) async fn put_bytes(
    key: StoreKey,
    head: &Rc<StoredResponse>,
    body: &Uint8Array,
    until: Timestamp,
) -> Result<(), JsValue> {
    let head = URL_SAFE_NO_PAD.encode(head.encode_head());
    let init = init_of(&[(HEAD, &head)], until)?;
    let entry = web_sys::Response::new_with_opt_js_u8_array_and_init(Some(body), &init)?;
    keep(key, &entry).await
}

/// Keeps a vary marker.
pub(crate) async fn put_marker(key: StoreKey, marker: &VaryMarker) -> Result<(), JsValue> {
    let init = init_of(&[(VARY, &marker.to_text())], marker.needed_until())?;
    let entry = web_sys::Response::new_with_opt_str_and_init(Some(""), &init)?;
    keep(key, &entry).await
}

/// Bytes `range` of the body under `key`, if the platform cuts them; what it sends is the part alone.
pub(crate) async fn get_part(key: StoreKey, range: ByteRange) -> Option<web_sys::Response> {
    let part = find_part(key, range).await.ok()??;
    (part.status() == 206).then_some(part)
}

/// Forgets what lies under `key`, in this data centre. A failure is counted.
pub(crate) async fn remove(key: StoreKey) {
    let promise = open().map(|cache| cache.delete_with_str(&url(key)));
    let outcome = match promise {
        Ok(promise) => JsFuture::from(promise).await.map(|_| ()),
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        observe::count(Count::StoreFailed);
    }
}

fn open() -> Result<web_sys::Cache, JsValue> {
    let caches = Reflect::get(&js_sys::global(), &"caches".into())?;
    Reflect::get(&caches, &"default".into())?.dyn_into()
}

async fn find(key: StoreKey) -> Result<Option<web_sys::Response>, JsValue> {
    let found = JsFuture::from(open()?.match_with_str(&url(key))).await?;
    if found.is_undefined() {
        return Ok(None);
    }
    found.dyn_into().map(Some)
}

async fn find_part(key: StoreKey, range: ByteRange) -> Result<Option<web_sys::Response>, JsValue> {
    let headers = web_sys::Headers::new()?;
    headers.set("range", &format!("bytes={}-{}", range.first, range.last))?;
    let init = web_sys::RequestInit::new();
    init.set_headers(headers.as_ref());
    let request = web_sys::Request::new_with_str_and_init(&url(key), &init)?;
    let found = JsFuture::from(open()?.match_with_request(&request)).await?;
    if found.is_undefined() {
        return Ok(None);
    }
    found.dyn_into().map(Some)
}

async fn keep(key: StoreKey, entry: &web_sys::Response) -> Result<(), JsValue> {
    let promise = open()?.put_with_str(&url(key), entry);
    JsFuture::from(promise).await.map(|_| ())
}

/// The address of an entry: of no host that exists, and without anything of the request's.
fn url(key: StoreKey) -> String {
    format!("https://terrace.internal/v1/{}", key.to_hex())
}

fn init_of(fields: &[(&str, &str)], until: Timestamp) -> Result<web_sys::ResponseInit, JsValue> {
    let headers = web_sys::Headers::new()?;
    let lifetime = until.saturating_since(clock::now().timestamp());
    headers.set(
        "cache-control",
        &format!("public, max-age={}", lifetime.as_seconds().max(1)),
    )?;
    headers.set("content-type", "application/octet-stream")?;
    for (name, value) in fields {
        headers.set(name, value)?;
    }
    let init = web_sys::ResponseInit::new();
    init.set_headers(headers.as_ref());
    Ok(init)
}

fn decode(key: StoreKey, response: web_sys::Response) -> Option<Slot> {
    let headers = response.headers();
    if let Some(text) = headers.get(VARY).ok()? {
        return VaryMarker::from_text(&text).map(Slot::Vary);
    }
    let bytes = URL_SAFE_NO_PAD.decode(headers.get(HEAD).ok()??).ok()?;
    let head = Rc::new(StoredResponse::decode_head(&bytes).ok()?);
    let body = StoredBody::CacheApi(response, key);
    Some(Slot::Response(Entry { head, body }))
}

#[cfg(all(test, target_arch = "wasm32"))]
mod wasm_tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    /// Has the Cache API answer with these fields, whatever it is asked for.
    fn cache_answers(fields: &str) {
        js_sys::Function::new_no_args(&format!(
            "globalThis.Cache = class {{ async match() {{ return new Response('body', {{ headers: {fields} }}); }} }};
             globalThis.caches = {{ default: new Cache() }};"
        ))
        .call0(&JsValue::NULL)
        .unwrap();
    }

    #[wasm_bindgen_test]
    async fn what_cannot_be_decoded_is_a_miss_that_is_counted() {
        let before = observe::snapshot();
        let damaged = [
            "{}",
            "{ 'terrace-head': '' }",
            "{ 'terrace-head': '!!!' }",
            "{ 'terrace-head': 'AAAA' }",
            "{ 'terrace-head': '/////w' }",
            "{ 'terrace-vary': '' }",
            "{ 'terrace-vary': '9 ff 12 accept' }",
        ];
        for fields in damaged {
            cache_answers(fields);
            assert!(get(StoreKey::of(b"key")).await.is_none(), "{fields}");
        }
        let undecodable = observe::snapshot().undecodable() - before.undecodable();
        assert_eq!(undecodable, damaged.len() as u64);

        cache_answers("{ 'terrace-vary': '1 00000000000000ff 12 accept' }");
        assert!(matches!(
            get(StoreKey::of(b"key")).await,
            Some(Slot::Vary(_))
        ));
    }
}

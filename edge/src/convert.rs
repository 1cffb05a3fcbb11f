//! Between the platform's types and ours. Nothing here panics, whatever a field's value holds.

use std::borrow::Cow;

use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde::Serialize;
use terrace_shared::http::BodyEnd;
use terrace_shared::time::ByteCount;
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::{self, Array, JSON, Reflect, Uint8Array};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys;

/// The fields of a platform's header list, each line as one value.
///
/// The platform joins lines of one name by commas, but for `Set-Cookie`. A name or value that is
/// none is left out: the platform has checked them, so there is none.
pub(crate) fn header_map(headers: &web_sys::Headers) -> HeaderMap {
    // As one text, because each step over the border of wasm costs more than reading it.
    let text = JSON::stringify(&Array::from(headers)).map(String::from);
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = text
        .as_deref()
        .ok()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let mut fields = HeaderMap::with_capacity(2 * pairs.len());
    for (name, value) in pairs {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(&value_bytes(&value)),
        ) {
            fields.append(name, value);
        }
    }
    fields
}

/// These fields as pairs of name and value, which the platform takes for a header list.
pub(crate) fn js_headers(fields: &HeaderMap) -> Result<JsValue, JsValue> {
    to_js(&pairs(fields))
}

/// What the platform is to make a response of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseInit<'a> {
    status: u16,
    headers: Vec<(&'a str, Cow<'a, str>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encode_body: Option<&'a str>,
}

fn pairs(fields: &HeaderMap) -> Vec<(&str, Cow<'_, str>)> {
    let pair = |(name, value)| (HeaderName::as_str(name), value_text(value));
    fields.iter().map(pair).collect()
}

/// A plain value of JavaScript, made in one step.
fn to_js(value: &impl Serialize) -> Result<JsValue, JsValue> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    JSON::parse(&text)
}

/// The request's method; one that HTTP does not allow as a token is none.
pub(crate) fn method(request: &web_sys::Request) -> Option<Method> {
    Method::from_bytes(request.method().as_bytes()).ok()
}

/// A field value's bytes: the platform gives each byte as the character of that number.
fn value_bytes(text: &str) -> Vec<u8> {
    if text.is_ascii() {
        return text.as_bytes().to_vec();
    }
    let latin: Option<Vec<u8>> = text
        .chars()
        .map(|character| u8::try_from(u32::from(character)).ok())
        .collect();
    latin.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// A field value as the platform takes it: it writes text as UTF-8, so bytes that are UTF-8 arrive as they are.
///
/// Others are taken for Latin-1, and arrive as the same characters in UTF-8.
fn value_text(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

/// A response with this status, these fields and this body; the body's bytes are sent as they are.
///
/// `Content-Encoding` names how the bytes are coded already, so the platform must not code them again.
pub(crate) fn response(
    status: u16,
    fields: &HeaderMap,
    body: ResponseBody<'_>,
) -> Result<web_sys::Response, JsValue> {
    let init = ResponseInit {
        status,
        headers: pairs(fields),
        encode_body: fields.contains_key(CONTENT_ENCODING).then_some("manual"),
    };
    let init: web_sys::ResponseInit = to_js(&init)?.unchecked_into();
    match body {
        // The platform refuses a body for these, even an empty one.
        _ if matches!(status, 101 | 204 | 205 | 304) => {
            web_sys::Response::new_with_opt_str_and_init(None, &init)
        }
        ResponseBody::None => web_sys::Response::new_with_opt_str_and_init(None, &init),
        ResponseBody::Bytes(bytes) => {
            web_sys::Response::new_with_opt_js_u8_array_and_init(Some(bytes), &init)
        }
        ResponseBody::Stream(stream) => {
            web_sys::Response::new_with_opt_readable_stream_and_init(Some(stream), &init)
        }
        ResponseBody::Text(text) => web_sys::Response::new_with_opt_str_and_init(Some(text), &init),
    }
}

/// `response` with other fields; the platform codes its body as `Content-Encoding` says.
pub(crate) fn with_fields(
    response: &web_sys::Response,
    fields: &HeaderMap,
) -> Result<web_sys::Response, JsValue> {
    let init = web_sys::ResponseInit::new();
    init.set_status(response.status());
    init.set_headers(&js_headers(fields)?);
    web_sys::Response::new_with_opt_readable_stream_and_init(response.body().as_ref(), &init)
}

/// What a response carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ResponseBody<'a> {
    /// Nothing.
    None,
    /// Bytes that lie in JavaScript's memory.
    Bytes(&'a Uint8Array),
    /// A stream of the platform's, which never enters wasm.
    Stream(&'a web_sys::ReadableStream),
    /// Text of our own.
    Text(&'a str),
}

/// What was read of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    /// In JavaScript's memory.
    pub(crate) bytes: Uint8Array,
    /// How it came to its end.
    pub(crate) end: BodyEnd,
}

/// Reads a stream to its end; none if it is longer than `longest`.
///
/// # Errors
/// When the platform cannot read it at all.
pub(crate) async fn read(
    stream: Option<web_sys::ReadableStream>,
    longest: ByteCount,
) -> Result<Option<Read>, JsValue> {
    let mut chunks: Vec<Uint8Array> = Vec::new();
    let read = |chunks: &[Uint8Array], end| {
        let bytes = joined(chunks);
        Ok(Some(Read { bytes, end }))
    };
    let Some(stream) = stream else {
        return read(&chunks, BodyEnd::Whole);
    };
    let reader: web_sys::ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut length = 0_u64;
    loop {
        let Ok(step) = JsFuture::from(reader.read()).await else {
            return read(&chunks, BodyEnd::BrokenOff);
        };
        if Reflect::get(&step, &"done".into())?.is_truthy() {
            return read(&chunks, BodyEnd::Whole);
        }
        let chunk: Uint8Array = Reflect::get(&step, &"value".into())?.dyn_into()?;
        length += u64::from(chunk.byte_length());
        if length > longest.as_u64() {
            let _ = reader.cancel();
            return Ok(None);
        }
        chunks.push(chunk);
    }
}

/// These bytes one after the other.
pub(crate) fn joined(pieces: &[Uint8Array]) -> Uint8Array {
    if let [only] = pieces {
        return only.clone();
    }
    let length = pieces.iter().map(Uint8Array::byte_length).sum();
    let whole = Uint8Array::new_with_length(length);
    let mut at = 0;
    for piece in pieces {
        whole.set(piece, at);
        at += piece.byte_length();
    }
    whole
}

/// 64 bits of the platform's cryptographic randomness.
///
/// Without any, which no Worker is, the time and an address stand in.
pub(crate) fn random_bits() -> u64 {
    let bytes = Uint8Array::new_with_length(8);
    let drawn = Reflect::get(&js_sys::global(), &"crypto".into()).and_then(|crypto| {
        let function: js_sys::Function =
            Reflect::get(&crypto, &"getRandomValues".into())?.dyn_into()?;
        function.call1(&crypto, &bytes)
    });
    if drawn.is_err() {
        return js_sys::Math::random().to_bits() ^ js_sys::Date::now().to_bits();
    }
    let mut bits = [0; 8];
    bytes.copy_to(&mut bits);
    u64::from_be_bytes(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_text_that_writes_it() {
        for (bytes, text) in [
            (&b"plain"[..], "plain"),
            (b"a\xc3\xa9", "a\u{e9}"),
            (b"a\xe9", "a\u{e9}"),
            (b"\xff\x80", "\u{ff}\u{80}"),
        ] {
            let value = HeaderValue::from_bytes(bytes).unwrap();
            assert_eq!(value_text(&value), text);
        }
    }

    #[test]
    fn the_platforms_text_is_bytes_and_text_beyond_latin_is_utf_8() {
        assert_eq!(value_bytes("\u{c3}\u{a9}"), [0xc3, 0xa9]);
        assert_eq!(value_bytes("\u{e9}"), [0xe9]);
        assert_eq!(value_bytes("a\u{20ac}"), "a\u{20ac}".as_bytes());
    }
}

#[cfg(all(test, target_arch = "wasm32"))]
mod wasm_tests {
    use http::header::SET_COOKIE;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test]
    fn fields_go_to_the_platform_and_come_back() {
        let mut fields = HeaderMap::new();
        fields.append(
            SET_COOKIE,
            HeaderValue::from_static("a=1; Expires=Sat, 21 Nov 2026"),
        );
        fields.append(SET_COOKIE, HeaderValue::from_static("b=2"));
        fields.append("x-latin", HeaderValue::from_bytes(b"\xe9").unwrap());
        let headers = js_headers(&fields).unwrap();
        let headers = web_sys::Headers::new_with_str_sequence_sequence(&headers).unwrap();
        let back = header_map(&headers);
        assert_eq!(back, fields);
    }

    #[wasm_bindgen_test]
    async fn a_response_keeps_its_status_fields_and_bytes() {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let bytes = Uint8Array::from(&b"\x1f\x8bxyz"[..]);
        let made = response(203, &fields, ResponseBody::Bytes(&bytes)).unwrap();
        assert_eq!(made.status(), 203);
        assert_eq!(header_map(&made.headers()), fields);
        let read = read(made.body(), ByteCount::kibibytes(1)).await.unwrap();
        assert_eq!(read.unwrap().bytes.to_vec(), b"\x1f\x8bxyz");
    }

    #[wasm_bindgen_test]
    async fn a_body_longer_than_allowed_is_none() {
        let body = ResponseBody::Text("0123456789");
        let made = response(200, &HeaderMap::new(), body).unwrap();
        let read = read(made.body(), ByteCount::bytes(9)).await.unwrap();
        assert!(read.is_none());
    }

    #[wasm_bindgen_test]
    async fn statuses_without_body_can_be_made() {
        for status in [204, 304] {
            let body = Uint8Array::new_with_length(0);
            let body = ResponseBody::Bytes(&body);
            let made = response(status, &HeaderMap::new(), body).unwrap();
            assert_eq!(made.status(), status);
            let read = read(made.body(), ByteCount::bytes(0)).await.unwrap();
            assert_eq!(read.unwrap().bytes.byte_length(), 0);
        }
    }

    #[wasm_bindgen_test]
    fn pieces_are_joined_in_order() {
        let piece = |text: &str| Uint8Array::from(text.as_bytes());
        assert_eq!(
            joined(&[piece("a"), piece(""), piece("bc")]).to_vec(),
            b"abc"
        );
        assert_eq!(joined(&[]).byte_length(), 0);
    }

    #[wasm_bindgen_test]
    fn randomness_does_not_repeat_itself() {
        assert_ne!(random_bits(), random_bits());
    }
}

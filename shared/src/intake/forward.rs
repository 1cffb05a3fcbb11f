//! What of a request the origin may see.

use ::http::header::{HOST, HeaderName};
use ::http::{HeaderMap, HeaderValue};

use super::Target;

/// The fields as the origin may see them: nothing with which a client could steer it past the cache key.
#[must_use]
pub fn origin_fields(mut fields: HeaderMap, target: &Target) -> HeaderMap {
    for name in OVERRIDES {
        fields.remove(name);
    }
    fields.remove(HOST); // whoever asks sets it from the URL
    for (name, value) in [
        ("x-forwarded-host", target.host()),
        ("x-forwarded-proto", target.scheme()),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            fields.insert(HeaderName::from_static(name), value);
        }
    }
    fields
}

/// Request fields that make some origins answer for another host, path or method than the one in the key.
const OVERRIDES: [HeaderName; 16] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-http-host-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

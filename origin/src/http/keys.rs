//! Surrogate keys that a handler gives its response, as an extension.

use std::fmt;

use ::http::header::HeaderName;
use ::http::{HeaderValue, response};
use terrace_shared::key::SurrogateKey;

/// Surrogate keys of a response: a handler puts them into the response's extensions.
///
/// They count besides those in the response's fields. One that is no surrogate key (not visible ASCII, too
/// long, one too many) keeps the response from being stored, and `Cache-Status` says so (R12).
///
/// ```
/// use terrace_origin::http::SurrogateKeys;
///
/// let mut response = http::Response::new(());
/// response.extensions_mut().insert(SurrogateKeys::of(["product:42", "region:TX"]));
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SurrogateKeys(Vec<String>);

impl SurrogateKeys {
    /// No keys yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// These keys.
    pub fn of<K: fmt::Display>(keys: impl IntoIterator<Item = K>) -> Self {
        keys.into_iter().fold(Self::new(), Self::with)
    }

    /// One more key.
    #[must_use]
    pub fn with(mut self, key: impl fmt::Display) -> Self {
        self.0.push(key.to_string());
        self
    }

    /// The keys as they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponseParts for SurrogateKeys {
    type Error = std::convert::Infallible;

    /// Makes `(SurrogateKeys::of(["product:42"]), Json(product))` a response that carries the key.
    fn into_response_parts(
        self,
        mut parts: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// Puts the keys of the response's extension into its fields, where the engine reads them.
pub(super) fn into_fields(head: &mut response::Parts) {
    if let Some(keys) = head.extensions.remove::<SurrogateKeys>()
        && !keys.0.is_empty()
    {
        head.headers.append(FIELD, value_of(&keys));
    }
}

/// The field's value; one that nobody can read if a key is none, so that the engine refuses it aloud (R12).
fn value_of(keys: &SurrogateKeys) -> HeaderValue {
    let valid = keys.iter().all(|key| SurrogateKey::parse(key).is_ok());
    let text = if valid {
        keys.0.join(" ")
    } else {
        "\u{fffd}".to_owned()
    };
    HeaderValue::from_bytes(text.as_bytes()).expect("no byte is a control character")
}

const FIELD: HeaderName = HeaderName::from_static("surrogate-key");

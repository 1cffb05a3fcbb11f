//! Fastly's purge API (<https://www.fastly.com/documentation/reference/api/purging/>).
//!
//! Unlike there, a `PURGE` needs a token, a call may name 1,024 keys, and everything may be purged softly.

use std::borrow::Cow;

use ::http::header::HeaderName;
use ::http::{HeaderMap, StatusCode};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Answer, Asks, Dialect, Refusal, absolute};
use crate::policy::percent_decoded;
use crate::purge::Epoch;
use crate::purge::wire::{PurgeRequest, Receipt};

/// Request field with the token.
pub(super) const KEY: HeaderName = HeaderName::from_static("fastly-key");

/// Request field that makes a purge soft, whatever its value.
pub(super) const SOFT: HeaderName = HeaderName::from_static("fastly-soft-purge");

/// Request field with surrogate keys between spaces.
const KEYS: HeaderName = HeaderName::from_static("surrogate-key");

/// What a `POST` to this path asks for, if it is one of Fastly's.
pub(super) fn asks(path_and_query: &str) -> Option<Asks> {
    if let Some(url) = path_and_query.strip_prefix("/purge/") {
        return (!url.is_empty()).then(|| Asks::Url(url_in(url)));
    }
    let (service, call) = path_and_query.strip_prefix("/service/")?.split_once('/')?;
    if service.is_empty() || service.contains('?') {
        return None;
    }
    // A key may have a question mark in it.
    if let Some(key) = call.strip_prefix("purge/") {
        return Some(Asks::SurrogateKey(decoded(key)));
    }
    match call.split('?').next() {
        Some("purge") => Some(Asks::SurrogateKeys),
        Some("purge_all") => Some(Asks::Everything),
        Some(_) | None => None,
    }
}

/// The URL in a path: as it is, with or without its scheme, or encoded whole.
fn url_in(rest: &str) -> String {
    let is_encoded = !rest.contains('/') && rest.to_ascii_lowercase().contains("%2f");
    if is_encoded {
        absolute(&decoded(rest))
    } else {
        absolute(rest)
    }
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent_decoded(text)).into_owned()
}

/// The keys of a batch: those of the field, and then those of the body.
pub(super) fn surrogate_keys(fields: &HeaderMap, body: &[u8]) -> Result<Vec<String>, Refusal> {
    let lines = fields.get_all(KEYS).iter();
    let lines: Vec<Cow<'_, str>> = lines
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .collect();
    let keys = lines
        .iter()
        .flat_map(|line| line.split([' ', '\t', ',']))
        .filter(|key| !key.is_empty())
        .map(str::to_owned);
    let batch = if body.trim_ascii().is_empty() {
        Vec::new()
    } else {
        batch(body)?
    };
    Ok(keys.chain(batch).collect())
}

/// The keys in a body. Its form is a part of ours.
fn batch(body: &[u8]) -> Result<Vec<String>, Refusal> {
    let mut request = PurgeRequest::from_json(body)?;
    let keys = std::mem::take(&mut request.surrogate_keys);
    if request == PurgeRequest::default() {
        Ok(keys)
    } else {
        Err(Refusal::NotKeys)
    }
}

/// The answer to a purge of one thing.
pub(super) fn done(receipt: &Receipt) -> Answer {
    #[derive(Serialize)]
    struct Done<'a> {
        status: &'a str,
        id: Epoch,
    }
    let done = Done {
        status: "ok",
        id: receipt.epoch,
    };
    Answer::json(StatusCode::OK, &done)
}

/// The answer to a purge of several keys: an id for each, which is the same, as one record purges all.
pub(super) fn all_done(request: &PurgeRequest, receipt: &Receipt) -> Answer {
    /// Each key once; a map would bring a sort of its own with it.
    struct Ids<'a>(&'a [String], Epoch);

    impl Serialize for Ids<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let Self(keys, id) = self;
            let before = |at| keys.get(..at).unwrap_or_default();
            let mut ids = serializer.serialize_map(None)?;
            for (at, key) in keys.iter().enumerate() {
                if !before(at).contains(key) {
                    ids.serialize_entry(key, id)?;
                }
            }
            ids.end()
        }
    }

    Answer::json(StatusCode::OK, &Ids(&request.surrogate_keys, receipt.epoch))
}

/// The answer to what is refused: Fastly's sentence for that status, and what is wrong.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    #[derive(Serialize)]
    struct Words {
        msg: &'static str,
        detail: String,
    }
    let status = refusal.status();
    let words = Words {
        msg: match status {
            StatusCode::UNAUTHORIZED => "Provided credentials are missing or invalid",
            StatusCode::FORBIDDEN => "You are not authorized to perform this action",
            StatusCode::TOO_MANY_REQUESTS => "Too many requests",
            status if status.is_server_error() => "Internal error",
            _ => "Bad request",
        },
        detail: format!("{refusal}; {}", refusal.hint(Dialect::Fastly)),
    };
    Answer::json(status, &words)
}

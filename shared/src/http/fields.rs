//! Field sections, ready to be sent on.

use ::http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, DATE, EXPIRES, HeaderName, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, RANGE, TE, TRANSFER_ENCODING, UPGRADE,
};
use ::http::{HeaderMap, HeaderValue};

use super::cache_control::Members;
use super::{
    BrowserRule, CompletionRequest, Exposure, Rules, StoredResponse, Targets, ValidationRequest,
    date,
};
use crate::decimal::Decimal;
use crate::purge::wire::EPOCH_FIELD;
use crate::time::{DeltaSeconds, Timestamp};

/// As what a request goes to the origin.
#[derive(Clone, Copy, Debug)]
pub enum ForwardAs<'a> {
    /// As the client sent it, with its own conditions and ranges.
    Client,
    /// As the cache's validation of what it has stored.
    Validation(&'a ValidationRequest),
    /// As the cache's asking for what a stored part lacks.
    Completion(&'a CompletionRequest),
    /// For the whole representation, without any condition: a fill in the background, or a second asking.
    Fill,
}

/// The fields of a client's request, as they go to the origin (RFC 9110 §7.6.1, RFC 9111 §4.3.1).
///
/// A validation or a fill asks for the whole representation, so the client's conditions and ranges
/// stay here and are held against what comes back. All of them say that this is a surrogate, so that
/// `Surrogate-Control` can be aimed at it.
pub fn request_fields(fields: &HeaderMap, forward_as: ForwardAs<'_>) -> HeaderMap {
    let mut out = fields.clone();
    remove_hop_by_hop(&mut out);
    out.append(SURROGATE_CAPABILITY, CAPABILITY);
    let own = match forward_as {
        ForwardAs::Client => return out,
        ForwardAs::Validation(validation) => Some(&validation.fields),
        ForwardAs::Completion(completion) => Some(&completion.fields),
        ForwardAs::Fill => None,
    };
    for name in CONDITIONS {
        out.remove(name);
    }
    for (name, value) in own.into_iter().flatten() {
        out.append(name, value.clone());
    }
    out
}

/// The fields of a stored response, as they go to the client at `age` (RFC 9111 §4, §5.1).
pub fn response_fields(stored: &StoredResponse, age: DeltaSeconds, rules: &Rules) -> HeaderMap {
    let mut out = stored.fields.clone();
    out.insert(AGE, Decimal::of(age.as_seconds()).to_value()); // (RFC 9111 §4)
    for_client(&mut out, rules);
    out
}

/// The fields of a response that is passed on, stored or not (RFC 9110 §6.6.1, §7.6.1).
pub fn pass_fields(fields: &HeaderMap, received_at: Timestamp, rules: &Rules) -> HeaderMap {
    let mut out = fields.clone();
    remove_hop_by_hop(&mut out);
    ensure_date(&mut out, received_at);
    for_client(&mut out, rules);
    out
}

/// The fields of a response as they are stored (RFC 9111 §3.1), without those that `qualified` names.
pub(super) fn storable_fields(
    fields: &HeaderMap,
    qualified: &[HeaderName],
    received_at: Timestamp,
) -> HeaderMap {
    let mut out = fields.clone();
    remove_hop_by_hop(&mut out);
    for name in qualified {
        out.remove(name);
    }
    ensure_date(&mut out, received_at);
    in_memory_of_its_own(&out)
}

/// The same fields, copied: as they came, values may be views of all that was read from a connection at once,
/// which would be kept with them.
fn in_memory_of_its_own(fields: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(fields.keys_len());
    for (name, value) in fields {
        let copied = HeaderValue::from_bytes(value.as_bytes());
        out.append(name.clone(), copied.unwrap_or_else(|_| value.clone()));
    }
    out
}

/// The stored fields with those of a 304, or of a response to HEAD, in their places (RFC 9111 §3.2).
pub(super) fn merged_fields(stored: &HeaderMap, newer: &HeaderMap) -> HeaderMap {
    let mut newer = newer.clone();
    remove_hop_by_hop(&mut newer);
    for name in OF_THE_CONTENT {
        newer.remove(name);
    }
    let mut out = stored.clone();
    // These two speak of the message that carried them, and so are never kept from the older one.
    out.remove(AGE);
    out.remove(DATE);
    for name in newer.keys() {
        out.remove(name);
    }
    for (name, value) in &newer {
        out.append(name.clone(), value.clone());
    }
    out
}

/// What the names of fields leave behind: by it, most of those that are not there are known without a look-up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traces(u64);

impl Traces {
    pub(super) fn of(fields: &HeaderMap) -> Self {
        Self(fields.keys().fold(0, |all, name| all | Self::bit(name)))
    }

    /// Whether a field of this name may be there; if not, it is not.
    pub(super) fn may_have(self, name: &HeaderName) -> bool {
        self.0 & Self::bit(name) != 0
    }

    /// One of 64, which few of the usual names share.
    fn bit(name: &HeaderName) -> u64 {
        let text = name.as_str().as_bytes();
        let last = text.last().copied().unwrap_or_default();
        1 << ((9 * text.len() + usize::from(last)) % 64)
    }
}

/// The lines of one field, in order.
pub(super) fn lines<'a>(
    fields: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    fields.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// The only line of a field; none if there are several.
pub(super) fn only_line<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut all = lines(fields, name);
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// Adds the moment it came as `Date`, if that is missing or malformed (RFC 9110 §6.6.1).
fn ensure_date(fields: &mut HeaderMap, received_at: Timestamp) {
    let valid = only_line(fields, &DATE).and_then(|text| date::parse(text, received_at));
    if valid.is_none() {
        fields.insert(DATE, date::to_value(received_at));
    }
}

fn for_client(fields: &mut HeaderMap, rules: &Rules) {
    let traces = Traces::of(fields);
    for name in for_caches(rules) {
        if traces.may_have(name) {
            fields.remove(name);
        }
    }
    match &rules.browser {
        BrowserRule::AsStored => {}
        BrowserRule::Replace(value) => {
            fields.remove(EXPIRES);
            fields.insert(CACHE_CONTROL, value.clone());
        }
    }
}

/// The fields that are for caches, and that clients do not get.
fn for_caches(rules: &Rules) -> impl Iterator<Item = &HeaderName> {
    let (keys, epoch) = match rules.surrogate_keys {
        Exposure::Strip => (&*rules.surrogate_key_fields, Some(&EPOCH)),
        Exposure::Send => (&[][..], None),
    };
    let Targets { own, class } = &rules.targets;
    // The last surrogate takes it out.
    let control = class.iter().filter(|name| **name == SURROGATE_CONTROL);
    keys.iter().chain(epoch).chain(own).chain(control)
}

/// Removes what is meant for this connection alone (RFC 9110 §7.6.1, RFC 9111 §3.1).
pub fn remove_hop_by_hop(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = lines(fields, &CONNECTION)
        .flat_map(|line| Members { rest: line })
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        // End-to-end fields that no client may have taken out on the way (RFC 9110 §7.6.1).
        .filter(|name| !PROTECTED.contains(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        fields.remove(name);
    }
}

static EPOCH: HeaderName = HeaderName::from_static(EPOCH_FIELD);

const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

const SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");

/// (W3C Edge Architecture 1.0 §2.2)
const CAPABILITY: HeaderValue = HeaderValue::from_static("terrace=\"Surrogate/1.0\"");

const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authentication-info"),
];

const PROTECTED: [HeaderName; 6] = [
    CACHE_CONTROL,
    CONTENT_LENGTH,
    ::http::header::HOST,
    ::http::header::AUTHORIZATION,
    ::http::header::COOKIE,
    ::http::header::SET_COOKIE,
];

const CONDITIONS: [HeaderName; 6] = [
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
    RANGE,
];

/// What a 304 cannot change, because it says how the stored bytes are to be read (RFC 9111 §3.2).
const OF_THE_CONTENT: [HeaderName; 3] = [
    CONTENT_LENGTH,
    ::http::header::CONTENT_ENCODING,
    ::http::header::CONTENT_RANGE,
];

#[cfg(test)]
mod tests;

//! Asking for what a stored part lacks (RFC 9111 §3.3).

use ::http::header::{IF_RANGE, RANGE};
use ::http::{HeaderMap, HeaderValue};

use crate::http::range::{self, ByteRange, Wanted};
use crate::http::{Extent, RequestFacts, StoredResponse};
use crate::outcome::ForwardReason;

/// The fields that ask for what a stored part lacks.
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    /// Always [`ForwardReason::Partial`].
    pub because: ForwardReason,
    /// `Range` with the missing bytes, and `If-Range` with the strong validator of those that are there.
    pub fields: HeaderMap,
}

impl CompletionRequest {
    /// Asks for what `stored` lacks of the bytes that `request` wants; none if it has none of them, if one range
    /// that touches the part cannot say it, or if nothing could tell whether the answer is of the same bytes (RFC 9111 §3.4).
    pub fn of(request: &RequestFacts, stored: &StoredResponse) -> Option<Self> {
        let Extent::Partial { range, complete } = stored.extent else {
            return None;
        };
        // Whoever asks with conditions may want no bytes at all: that is for the origin to say.
        if request.has_conditions() {
            return None;
        }
        let validator = stored.strong_validator()?;
        let missing = missing(range::wanted(request, stored)?, range, complete)?;
        let mut fields = HeaderMap::new();
        fields.insert(RANGE, HeaderValue::try_from(missing).ok()?);
        fields.insert(IF_RANGE, validator);
        Some(Self {
            because: ForwardReason::Partial,
            fields,
        })
    }
}

/// The value of `Range` for what `own` lacks of `wanted`.
fn missing(wanted: Wanted, own: ByteRange, complete: Option<u64>) -> Option<String> {
    let Wanted { first, last } = wanted;
    let next = own.last.checked_add(1)?;
    let has_the_end = complete.is_some_and(|complete| next >= complete);
    if first < own.first {
        let ends_within = last.map_or(has_the_end, |last| last <= own.last);
        let overlaps = last.is_none_or(|last| last >= own.first);
        return (ends_within && overlaps).then(|| format!("bytes={first}-{}", own.first - 1));
    }
    if first >= next || has_the_end {
        return None;
    }
    match last {
        Some(last) => (last >= next).then(|| format!("bytes={next}-{last}")),
        None => Some(format!("bytes={next}-")),
    }
}

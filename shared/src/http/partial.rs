//! Parts of a representation: kept, combined and completed (RFC 9111 §3.3, §3.4).
//!
//! A part is a 206 with one range, or a 200 whose body broke off. It answers for the bytes that it has,
//! and two parts become one when the same strong validator says that they are of the same bytes.

use ::http::header::{CONTENT_LENGTH, CONTENT_RANGE, IF_RANGE, LAST_MODIFIED, RANGE};
use ::http::{HeaderMap, HeaderValue, StatusCode};

use super::fields::merged_fields;
use super::range::ByteRange;
use super::{EntityTag, Extent, RequestFacts, StoredResponse, range};
use crate::outcome::{ForwardReason, NotStored};
use crate::purge::Verdict;
use crate::time::{DeltaSeconds, Timestamp};

/// How the body of a response came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyEnd {
    /// By its own framing: there is no more of it.
    Whole,
    /// The connection broke, or the origin gave up.
    BrokenOff,
}

/// A stored part and a newer one as one response.
#[derive(Clone, Debug)]
pub struct Combined {
    /// The head of both together, complete or still a part.
    pub head: Box<StoredResponse>,
    /// The head of the newer part alone, with the fields of both: what is left if the stored body is gone,
    /// and what to combine anew after [`StoredResponse::after_body`] if the newer body breaks off.
    pub newer: Box<StoredResponse>,
    /// Which bytes make up the body, in this order.
    pub pieces: Vec<Piece>,
}

/// Some bytes of one of two bodies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece {
    /// Which body.
    pub source: Source,
    /// Positions in that body, not in the representation: the first byte that the body has is 0.
    pub bytes: ByteRange,
}

/// Which of two bodies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The stored one.
    Stored,
    /// The one that came now.
    Newer,
}

/// The fields that ask for what a stored part lacks (RFC 9111 §3.3).
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    /// Always [`ForwardReason::Partial`].
    pub because: ForwardReason,
    /// `Range` with the missing bytes, and `If-Range` with the strong validator of those that are there.
    pub fields: HeaderMap,
}

impl StoredResponse {
    /// What is to be stored after all, now that `received` bytes of the body have come.
    ///
    /// A 200 that broke off is kept as a part, if it can still be of use (RFC 9111 §3.3); a body that is not
    /// as long as its head says is not kept at all.
    ///
    /// # Errors
    /// Why nothing is stored.
    pub fn after_body(mut self, received: u64, end: BodyEnd) -> Result<Self, NotStored> {
        match (self.extent, end) {
            (Extent::Complete { length: None }, BodyEnd::Whole) => {
                self.extent = Extent::Complete {
                    length: Some(received),
                };
                Ok(self)
            }
            (Extent::Complete { length: None }, BodyEnd::BrokenOff) => self.broken_off(received),
            (
                Extent::Complete {
                    length: Some(length),
                },
                BodyEnd::Whole | BodyEnd::BrokenOff,
            ) => match received.cmp(&length) {
                std::cmp::Ordering::Equal => Ok(self),
                std::cmp::Ordering::Less => self.broken_off(received),
                std::cmp::Ordering::Greater => Err(NotStored::Length),
            },
            (Extent::Partial { range, .. }, end) => match (received.cmp(&range.length()), end) {
                (std::cmp::Ordering::Equal, _) => Ok(self),
                (std::cmp::Ordering::Less, BodyEnd::BrokenOff) => self.broken_off(received),
                // The range is not the one that `Content-Range` says, and nobody knows which it is.
                (std::cmp::Ordering::Less, BodyEnd::Whole) | (std::cmp::Ordering::Greater, _) => {
                    Err(NotStored::Length)
                }
            },
        }
    }

    /// Whether it may take the place of `stored`, on which the ledger's verdict is `verdict`.
    ///
    /// A part never takes that of a complete response that is fresh, nor of a longer fresh part of the same bytes.
    pub fn may_replace(&self, stored: &Self, verdict: Verdict, now: Timestamp) -> bool {
        let Extent::Partial { range, .. } = self.extent else {
            return true;
        };
        let is_fresh = verdict == Verdict::Untouched && stored.freshness(now).is_fresh();
        match stored.extent {
            Extent::Complete { .. } => !is_fresh,
            Extent::Partial { range: other, .. } => {
                let longer = other.length() > range.length();
                !(is_fresh && longer && have_same_bytes(self, stored))
            }
        }
    }

    /// The first `received` bytes of it as a part.
    fn broken_off(mut self, received: u64) -> Result<Self, NotStored> {
        let (first, complete) = match self.extent {
            // Only of a 200 (RFC 9111 §3.3).
            Extent::Complete { .. } if self.status != StatusCode::OK => {
                return Err(NotStored::Truncated);
            }
            Extent::Complete { length } => (0, length),
            Extent::Partial { range, complete } => (range.first, complete),
        };
        let Some(last) = received.checked_sub(1) else {
            return Err(NotStored::Truncated);
        };
        // It must be good for ranges while it is fresh, or for being completed.
        if self.lifetime.is_zero() && self.strong_validator().is_none() {
            return Err(NotStored::Truncated);
        }
        let last = first.saturating_add(last);
        self.set_extent(Extent::Partial {
            range: ByteRange { first, last },
            complete,
        });
        Ok(self)
    }

    /// Makes status and fields those of these bytes (RFC 9110 §15.3.7).
    fn set_extent(&mut self, extent: Extent) {
        self.status = describe(&mut self.fields, extent);
        self.extent = extent;
    }

    /// The value of `If-Range` that holds only for the same bytes (RFC 9110 §13.1.5).
    fn strong_validator(&self) -> Option<HeaderValue> {
        match &self.entity_tag {
            Some(tag) => tag.is_strong().then(|| tag.to_value()).flatten(),
            None => self
                .has_strong_date()
                .then(|| self.fields.get(LAST_MODIFIED).cloned())?,
        }
    }

    /// Whether `Last-Modified` tells every two versions apart: it was sent a second after the change, or later
    /// (RFC 9110 §8.8.2.2).
    pub(super) fn has_strong_date(&self) -> bool {
        self.last_modified
            .is_some_and(|modified| self.date >= modified.saturating_add(DeltaSeconds::seconds(1)))
    }
}

/// The stored response and a newer part of the same representation as one; none unless both have the same
/// strong validator and no byte is missing between them (RFC 9111 §3.4).
///
/// `newer` is what [`super::on_response`] made of the newer response, whole or cut by [`StoredResponse::after_body`].
pub fn combine(stored: &StoredResponse, newer: &StoredResponse) -> Option<Combined> {
    let Extent::Partial {
        range: own,
        complete: newer_complete,
    } = newer.extent
    else {
        return None;
    };
    let (other, stored_complete) = bytes_of(stored)?;
    if !have_same_bytes(stored, newer) {
        return None;
    }
    let complete = match (stored_complete, newer_complete) {
        (Some(one), Some(other)) if one != other => return None,
        (one, other) => one.or(other),
    };
    let union = other.join(own)?;
    if complete.is_some_and(|complete| union.last >= complete) {
        return None;
    }
    let is_complete =
        union.first == 0 && complete.is_some_and(|complete| union.length() == complete);
    let mut head = newer.clone();
    head.fields = merged_fields(&stored.fields, &newer.fields);
    head.set_extent(if is_complete {
        Extent::Complete { length: complete }
    } else {
        Extent::Partial {
            range: union,
            complete,
        }
    });
    Some(Combined {
        head: Box::new(head),
        newer: Box::new(newer.clone()),
        pieces: pieces(other, own),
    })
}

impl CompletionRequest {
    /// Asks for what `stored` lacks of the bytes that `request` wants; none if one range and a strong
    /// validator cannot say it.
    pub fn of(request: &RequestFacts, stored: &StoredResponse) -> Option<Self> {
        let Extent::Partial {
            range: own,
            complete,
        } = stored.extent
        else {
            return None;
        };
        let validator = stored.strong_validator()?;
        let missing = missing(range::wanted(request, stored)?, own, complete)?;
        let mut fields = HeaderMap::new();
        fields.insert(RANGE, HeaderValue::try_from(missing).ok()?);
        fields.insert(IF_RANGE, validator);
        Some(Self {
            because: ForwardReason::Partial,
            fields,
        })
    }
}

/// Status and fields for these bytes: 200 for all of them, 206 for a part.
pub(super) fn describe(fields: &mut HeaderMap, extent: Extent) -> StatusCode {
    let (length, content_range, status) = match extent {
        Extent::Complete { length } => (length, None, StatusCode::OK),
        Extent::Partial { range, complete } => (
            Some(range.length()),
            HeaderValue::try_from(range.content_range(complete)).ok(),
            StatusCode::PARTIAL_CONTENT,
        ),
    };
    fields.remove(CONTENT_RANGE);
    if let Some(content_range) = content_range {
        fields.insert(CONTENT_RANGE, content_range);
    }
    match length {
        Some(length) => drop(fields.insert(CONTENT_LENGTH, HeaderValue::from(length))),
        None => drop(fields.remove(CONTENT_LENGTH)),
    }
    status
}

/// Whether both are of the same representation, byte for byte (RFC 9111 §3.4, RFC 9110 §8.8.1).
fn have_same_bytes(one: &StoredResponse, other: &StoredResponse) -> bool {
    match (&one.entity_tag, &other.entity_tag) {
        (Some(one), Some(other)) => EntityTag::strongly_matches(one, other),
        (None, None) => {
            one.last_modified == other.last_modified
                && one.has_strong_date()
                && other.has_strong_date()
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Which bytes a response has, and of how many; none if it has none or nobody knows.
fn bytes_of(stored: &StoredResponse) -> Option<(ByteRange, Option<u64>)> {
    match stored.extent {
        Extent::Complete { length } => {
            let last = length?.checked_sub(1)?;
            Some((ByteRange { first: 0, last }, length))
        }
        Extent::Partial { range, complete } => Some((range, complete)),
    }
}

/// The union of two ranges that touch, with as few bytes as possible from the newer one.
fn pieces(stored: ByteRange, newer: ByteRange) -> Vec<Piece> {
    let piece = |source, first: u64, last: u64| Piece {
        source,
        bytes: ByteRange { first, last },
    };
    let all_stored = piece(Source::Stored, 0, stored.last - stored.first);
    let mut out = Vec::with_capacity(3);
    if newer.first < stored.first {
        let last = (stored.first - 1).min(newer.last) - newer.first;
        out.push(piece(Source::Newer, 0, last));
    }
    out.push(all_stored);
    if newer.last > stored.last {
        let first = (stored.last + 1).max(newer.first) - newer.first;
        out.push(piece(Source::Newer, first, newer.last - newer.first));
    }
    out
}

/// The value of `Range` for what `own` lacks of `wanted`: one range that touches it.
fn missing(wanted: range::Wanted, own: ByteRange, complete: Option<u64>) -> Option<String> {
    let range::Wanted { first, last } = wanted;
    let has_the_end = complete.is_some_and(|complete| own.last + 1 >= complete);
    if first < own.first {
        let ends_within = last.map_or(has_the_end, |last| last <= own.last);
        return ends_within.then(|| format!("bytes={first}-{}", own.first - 1));
    }
    let next = own.last.checked_add(1)?;
    if first > next || has_the_end {
        return None;
    }
    match last {
        Some(last) => (last >= next).then(|| format!("bytes={next}-{last}")),
        None => Some(format!("bytes={next}-")),
    }
}

#[cfg(test)]
mod tests;

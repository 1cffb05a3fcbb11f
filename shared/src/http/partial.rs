//! Parts of a representation: kept, combined and completed (RFC 9111 §3.3, §3.4).
//!
//! A part is a 206 with one range, or a 200 whose body broke off; it is stored as a 206. It answers for
//! the bytes that it has, and two parts become one when the same strong validator says that they are of
//! the same bytes.

mod combine;
mod complete;

use std::cmp::Ordering;

use ::http::header::{CONTENT_LENGTH, CONTENT_RANGE, LAST_MODIFIED};
use ::http::{HeaderMap, HeaderValue, StatusCode};

use super::range::ByteRange;
use super::{Extent, StoredResponse};
use crate::outcome::NotStored;
use crate::purge::Verdict;
use crate::time::{DeltaSeconds, Timestamp};
pub(super) use combine::on_part;
pub use combine::{Combined, Piece, Source, combine};
pub use complete::CompletionRequest;

/// How the body of a response came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyEnd {
    /// By its own framing: there is no more of it.
    Whole,
    /// The connection broke, or the origin gave up.
    BrokenOff,
}

impl StoredResponse {
    /// What is to be stored after all, now that `received` bytes of the body have come.
    ///
    /// A 200 that broke off is kept as a part, if it can still be of use (RFC 9111 §3.3); a body that is
    /// longer than its head says, or of other bytes, is not kept at all.
    ///
    /// # Errors
    /// Why nothing is stored.
    pub fn after_body(mut self, received: u64, end: BodyEnd) -> Result<Self, NotStored> {
        let expected = match self.extent {
            Extent::Complete { length } => length,
            Extent::Partial { range, .. } => Some(range.length()),
        };
        match (expected.map(|expected| received.cmp(&expected)), end) {
            (Some(Ordering::Equal), _) => Ok(self),
            (Some(Ordering::Greater), _) => Err(NotStored::Length),
            (Some(Ordering::Less), BodyEnd::Whole) => match self.extent {
                // Fewer bytes than `Content-Length` are an incomplete message, whatever its end looks like
                // (RFC 9112 §8).
                Extent::Complete { .. } => self.broken_off(received),
                // These are other bytes than `Content-Range` says, and nobody knows which.
                Extent::Partial { .. } => Err(NotStored::Length),
            },
            (Some(Ordering::Less) | None, BodyEnd::BrokenOff) => self.broken_off(received),
            (None, BodyEnd::Whole) => {
                self.extent = Extent::Complete {
                    length: Some(received),
                };
                Ok(self)
            }
        }
    }

    /// Whether it may take the place of `stored`, on which the ledger's verdict is `verdict`.
    ///
    /// A part never takes that of a complete response that is fresh, nor of a longer fresh part of the same
    /// bytes. What was combined from both may always.
    pub fn may_replace(&self, stored: &Self, verdict: Verdict, now: Timestamp) -> bool {
        let Extent::Partial { range, .. } = self.extent else {
            return true;
        };
        let is_fresh = verdict == Verdict::Untouched && stored.freshness(now).is_fresh();
        match stored.extent {
            Extent::Complete { .. } => !is_fresh,
            Extent::Partial { range: other, .. } => {
                let longer = other.length() > range.length();
                !(is_fresh && longer && self.has_same_bytes_as(stored))
            }
        }
    }

    /// Whether both are of the same representation, byte for byte: they have the same strong validator
    /// (RFC 9111 §3.4, RFC 9110 §8.8.1).
    pub(super) fn has_same_bytes_as(&self, other: &Self) -> bool {
        match (&self.entity_tag, &other.entity_tag) {
            (Some(own), Some(other)) => own.strongly_matches(other),
            (None, None) => {
                self.last_modified == other.last_modified
                    && self.has_strong_date()
                    && other.has_strong_date()
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether `Last-Modified` tells every two versions apart: it was sent a second after the change, or
    /// later (RFC 9110 §8.8.2.2).
    pub(super) fn has_strong_date(&self) -> bool {
        self.last_modified
            .is_some_and(|modified| self.date >= modified.saturating_add(DeltaSeconds::seconds(1)))
    }

    /// The value of `If-Range` that holds only for the same bytes: a date only where there is no entity tag
    /// (RFC 9110 §13.1.5).
    fn strong_validator(&self) -> Option<HeaderValue> {
        match &self.entity_tag {
            Some(tag) if tag.is_strong() => tag.to_value(),
            None if self.has_strong_date() => self.fields.get(LAST_MODIFIED).cloned(),
            Some(_) | None => None,
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
        let last = received
            .checked_sub(1)
            .and_then(|last| last.checked_add(first))
            .filter(|last| *last < u64::MAX)
            .ok_or(NotStored::Truncated)?;
        // It must be good for ranges while it is fresh, or for being completed.
        if self.lifetime.is_zero() && self.strong_validator().is_none() {
            return Err(NotStored::Truncated);
        }
        self.set_extent(Extent::Partial {
            range: ByteRange { first, last },
            complete,
        });
        Ok(self)
    }

    /// Makes status and fields those of these bytes.
    fn set_extent(&mut self, extent: Extent) {
        self.status = describe(&mut self.fields, extent);
        self.extent = extent;
    }
}

/// Status and fields for these bytes: 200 for all of them, 206 for a part (RFC 9110 §15.3.7).
fn describe(fields: &mut HeaderMap, extent: Extent) -> StatusCode {
    let (length, content_range, status) = match extent {
        Extent::Complete { length } => (length, None, StatusCode::OK),
        Extent::Partial { range, complete } => {
            let content_range = HeaderValue::try_from(range.content_range(complete)).ok();
            let length = Some(range.length());
            (length, content_range, StatusCode::PARTIAL_CONTENT)
        }
    };
    for (name, value) in [
        (CONTENT_RANGE, content_range),
        (CONTENT_LENGTH, length.map(HeaderValue::from)),
    ] {
        fields.remove(&name);
        if let Some(value) = value {
            fields.insert(name, value);
        }
    }
    status
}

#[cfg(test)]
mod tests;

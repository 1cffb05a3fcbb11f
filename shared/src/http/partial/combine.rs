//! Two parts of the same bytes as one (RFC 9111 §3.4).

use ::http::header::{CONTENT_ENCODING, ETAG, LAST_MODIFIED};
use ::http::{HeaderMap, StatusCode};

use super::describe;
use crate::http::fields::{merged_fields, only_line};
use crate::http::range::{self, ByteRange};
use crate::http::storable::{extent, to_stored};
use crate::http::{
    EntityTag, Extent, Fill, ForwardAs, OnResponse, RequestFacts, ResponseHead, Rules,
    StoredResponse,
};

/// A stored part and a newer one as one response.
#[derive(Clone, Debug)]
pub struct Combined {
    /// The head of both together, complete or still a part.
    pub head: Box<StoredResponse>,
    /// The head of the newer part alone, with the fields of both.
    ///
    /// If its body breaks off, what [`StoredResponse::after_body`] leaves of it is combined anew; if the stored
    /// body is gone, it is stored alone.
    pub newer: Box<StoredResponse>,
    /// Which bytes make up the body, in this order.
    pub pieces: Vec<Piece>,
}

/// Some bytes of one of two bodies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece {
    /// Which body.
    pub source: Source,
    /// Positions in that body, not in the representation: its own first byte is at 0.
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

/// The stored response and a newer part of the same representation as one; none unless both have the same
/// strong validator and no byte is missing between them (RFC 9111 §3.4).
///
/// `newer` is what [`super::super::on_response`] made of the newer response, or what was left of that.
pub fn combine(stored: &StoredResponse, newer: &StoredResponse) -> Option<Combined> {
    let Extent::Partial {
        range: newer_bytes,
        complete: newer_complete,
    } = newer.extent
    else {
        return None;
    };
    let (stored_bytes, stored_complete) = bytes_of(stored)?;
    if !stored.has_same_bytes_as(newer) {
        return None;
    }
    let complete = match (stored_complete, newer_complete) {
        (Some(one), Some(other)) if one != other => return None,
        (one, other) => one.or(other),
    };
    let range = stored_bytes.join(newer_bytes)?;
    let extent = match complete {
        Some(complete) if range.last >= complete => return None,
        Some(complete) if range.length() == complete => Extent::Complete {
            length: Some(complete),
        },
        Some(_) | None => Extent::Partial { range, complete },
    };
    let mut head = newer.clone();
    head.fields = merged_fields(&stored.fields, &newer.fields);
    head.set_extent(extent);
    Some(Combined {
        head: Box::new(head),
        newer: Box::new(newer.clone()),
        pieces: pieces(stored_bytes, newer_bytes),
    })
}

impl Combined {
    /// The pieces that make up these bytes of the combined body, whose own first byte is at 0.
    pub fn cut(&self, bytes: ByteRange) -> Vec<Piece> {
        let mut start = 0_u64;
        let mut out = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            let last = start.saturating_add(piece.bytes.length() - 1);
            let (from, to) = (bytes.first.max(start), bytes.last.min(last));
            if from <= to {
                let place = |position: u64| position - start + piece.bytes.first;
                out.push(Piece {
                    source: piece.source,
                    bytes: ByteRange {
                        first: place(from),
                        last: place(to),
                    },
                });
            }
            start = last.saturating_add(1);
        }
        out
    }
}

/// What to do with a response that may be a part of what is stored, or is about a part that was asked for;
/// none if it is to be treated like any other.
pub(in crate::http) fn on_part(
    request: &RequestFacts,
    response: ResponseHead<'_>,
    stored: Option<&StoredResponse>,
    fill: &Fill<'_>,
    rules: &Rules,
) -> Option<OnResponse> {
    let is_part = response.status == StatusCode::PARTIAL_CONTENT;
    let combined = stored
        .filter(|_| is_part)
        .and_then(|stored| combination(request, response.fields, stored, fill, rules));
    match (fill.asked, combined) {
        (ForwardAs::Completion(_), Some(combined))
            if range::lies_within(request, &combined.head) =>
        {
            Some(OnResponse::Complete(Box::new(combined)))
        }
        // Another part than was asked for, or of other bytes, or none: these speak of our range, and not of
        // what the client wants.
        (ForwardAs::Completion(_), _) => {
            matches!(response.status.as_u16(), 206 | 412 | 416).then_some(OnResponse::AskAgain)
        }
        (ForwardAs::Client | ForwardAs::Validation(_) | ForwardAs::Fill, combined) => {
            combined.map(|combined| OnResponse::Combine(Box::new(combined)))
        }
    }
}

/// What is stored and a 206 with these fields as one, if they are of the same bytes.
fn combination(
    request: &RequestFacts,
    fields: &HeaderMap,
    stored: &StoredResponse,
    fill: &Fill<'_>,
    rules: &Rules,
) -> Option<Combined> {
    let response = ResponseHead {
        status: StatusCode::PARTIAL_CONTENT,
        fields,
    };
    let extent = extent(response, rules).ok()?;
    if !stored.vary.matches(request) || !has_own_validator(fields, stored) {
        return None;
    }
    // A 206 may leave out what has not changed (RFC 9110 §15.3.7), so only both together say what may be stored.
    let mut merged = merged_fields(&stored.fields, fields);
    let status = describe(&mut merged, extent);
    let head = ResponseHead {
        status,
        fields: &merged,
    };
    let newer = to_stored(request, head, extent, fill, rules).ok()?;
    combine(stored, &newer)
}

/// Whether the fields themselves, before merging gives them others, name the stored bytes.
fn has_own_validator(fields: &HeaderMap, stored: &StoredResponse) -> bool {
    let same_coding = fields
        .get(CONTENT_ENCODING)
        .is_none_or(|coding| stored.fields.get(CONTENT_ENCODING) == Some(coding));
    let tag = only_line(fields, &ETAG).and_then(EntityTag::parse);
    let same = match (&stored.entity_tag, &tag) {
        (Some(stored), Some(own)) => own.strongly_matches(stored),
        (None, None) => fields.get(LAST_MODIFIED) == stored.fields.get(LAST_MODIFIED),
        (Some(_), None) | (None, Some(_)) => false,
    };
    same_coding && same
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
    let mut out = Vec::with_capacity(3);
    if newer.first < stored.first {
        let last = (stored.first - 1).min(newer.last);
        out.push(piece(Source::Newer, 0, last - newer.first));
    }
    out.push(piece(Source::Stored, 0, stored.last - stored.first));
    if newer.last > stored.last {
        let first = (stored.last + 1).max(newer.first);
        let end = newer.last - newer.first;
        out.push(piece(Source::Newer, first - newer.first, end));
    }
    out
}

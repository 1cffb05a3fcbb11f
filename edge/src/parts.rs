//! Parts of a representation: kept when they come, combined with what is stored, and completed
//! (RFC 9111 §3.3, §3.4).
//!
//! Which bytes belong together is the engine's to say; here they are read and put one after the other.

use std::rc::Rc;

use http::header::CONTENT_LENGTH;
use terrace_shared::http::range::ByteRange;
use terrace_shared::http::{Combined, Extent, Source, StoredResponse, combine};
use terrace_shared::time::ByteCount;
use wasm_bindgen::JsValue;
use worker::js_sys::Uint8Array;

use crate::convert::{self, Read};
use crate::origin::OriginAnswer;
use crate::store::{Entry, StoredBody};

/// Longest part that is read to be stored, and longest stored one that is combined with another.
const LONGEST: ByteCount = ByteCount::mebibytes(8);

/// A part that is on its way to the client, and what to store of it.
pub(crate) enum Part {
    /// By itself.
    Alone(Box<StoredResponse>),
    /// Together with what is stored.
    With(Box<Combined>),
}

/// Whether a part of this length, if it says one, is read at all.
pub(crate) fn takes(answer: &OriginAnswer) -> bool {
    let length = answer.fields.get(CONTENT_LENGTH);
    length
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .is_some_and(|length: u64| length <= LONGEST.as_u64())
}

/// What was asked for and what is stored, as one; none if the bytes are not all there.
pub(crate) async fn completed(
    stored: &StoredBody,
    combined: &Combined,
    answer: &OriginAnswer,
) -> Option<Entry> {
    let newer = read(answer).await.ok()?;
    let received = u64::from(newer.bytes.byte_length());
    let as_it_says = (*combined.newer).clone().after_body(received, newer.end);
    if as_it_says.ok()?.extent() != combined.newer.extent() {
        return None;
    }
    joined(stored, &newer.bytes, combined).await
}

/// What is to be stored of a part that goes to the client as it came.
pub(crate) async fn kept(
    stored: Option<&Entry>,
    part: Part,
    answer: &OriginAnswer,
) -> Result<Entry, JsValue> {
    let newer = read(answer).await?;
    let received = u64::from(newer.bytes.byte_length());
    let (head, is_of_stored) = match part {
        Part::Alone(head) => (head, None),
        Part::With(combined) => (combined.newer, stored),
    };
    let head = head
        .after_body(received, newer.end)
        .map_err(|because| because.as_str())?;
    // Anew, because less may have come than the head said.
    let combined = is_of_stored.and_then(|stored| Some((stored, combine(&stored.head, &head)?)));
    if let Some((stored, combined)) = combined
        && let Some(entry) = joined(&stored.body, &newer.bytes, &combined).await
    {
        return Ok(entry);
    }
    Ok(Entry {
        head: Rc::new(head),
        body: StoredBody::Memory(newer.bytes),
    })
}

async fn joined(stored: &StoredBody, newer: &Uint8Array, combined: &Combined) -> Option<Entry> {
    let stored = stored.bytes(LONGEST).await?;
    let mut pieces = Vec::with_capacity(combined.pieces.len());
    for piece in &combined.pieces {
        let of = match piece.source {
            Source::Stored => &stored,
            Source::Newer => newer,
        };
        if piece.bytes.last >= u64::from(of.byte_length()) {
            return None; // the store has lost some
        }
        pieces.push(cut(of, piece.bytes));
    }
    Some(Entry {
        head: Rc::new((*combined.head).clone()),
        body: StoredBody::Memory(convert::joined(&pieces)),
    })
}

async fn read(answer: &OriginAnswer) -> Result<Read, JsValue> {
    let read = convert::read(answer.response.body(), LONGEST).await?;
    read.ok_or_else(|| "the part is longer than it should be".into())
}

/// The bytes of `range`, a view of the same memory.
pub(crate) fn cut(bytes: &Uint8Array, range: ByteRange) -> Uint8Array {
    let place = |position: u64| u32::try_from(position).unwrap_or(u32::MAX);
    bytes.subarray(place(range.first), place(range.last.saturating_add(1)))
}

/// Whether `head` is of a part.
pub(crate) fn is_part(head: &StoredResponse) -> bool {
    matches!(head.extent(), Extent::Partial { .. })
}

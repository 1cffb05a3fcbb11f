//! Stored responses as versioned bytes, for a tier that processes share.
//!
//! Layout of version 1, numbers big-endian: `TC`, version, kind, the URL's key behind its length. A response:
//! its head behind its length, its body. A vary marker: how many names, each behind its length. Another layout
//! gets another version; golden vectors are in `tests/vectors/`.

use ::bytes::{Buf, Bytes};
use ::http::header::HeaderName;
use terrace_shared::DecodeError;
use terrace_shared::http::StoredResponse;
use terrace_shared::key::EncodedKey;

use super::Entry;

const MAGIC: [u8; 2] = *b"TC";
const VERSION: u8 = 1;
const RESPONSE: u8 = 1;
const MARKER: u8 = 2;

/// What lies under a key of the shared tier.
#[derive(Debug)]
pub(super) enum Slot {
    /// A response with its body.
    Response(Entry),
    /// The responses of this URL vary on these request fields, and lie under keys of their own.
    Vary(Vec<HeaderName>),
}

/// A response and the key of its URL.
pub(super) fn encode_response(key: &EncodedKey, entry: &Entry) -> Vec<u8> {
    let head = entry.head.encode_head();
    let length = key.as_bytes().len() + head.len() + entry.body.len() + 12;
    let mut out = begin(RESPONSE, key, length);
    push(&mut out, &head);
    out.extend_from_slice(&entry.body);
    out
}

/// The names of the request fields that the responses of a URL vary on.
pub(super) fn encode_marker<'a>(
    key: &EncodedKey,
    names: impl Iterator<Item = &'a HeaderName>,
) -> Vec<u8> {
    let names: Vec<&HeaderName> = names.collect();
    let mut out = begin(MARKER, key, key.as_bytes().len() + 12 + 24 * names.len());
    out.extend_from_slice(&count(names.len()));
    for name in names {
        push(&mut out, name.as_str().as_bytes());
    }
    out
}

/// What is in `bytes`, which were found under the key of `key`'s URL.
///
/// # Errors
/// When they are nothing that this version can read, or belong to another URL: the reader takes that for a miss.
pub(super) fn decode(key: &EncodedKey, bytes: Vec<u8>) -> Result<Slot, DecodeError> {
    let mut rest = Bytes::from(bytes);
    if take(&mut rest, MAGIC.len())? != MAGIC[..] {
        return Err(DecodeError::OtherKind);
    }
    match number(&mut rest)? {
        VERSION => {}
        other => return Err(DecodeError::UnknownVersion(other)),
    }
    let kind = number(&mut rest)?;
    if pull(&mut rest)? != key.as_bytes() {
        return Err(DecodeError::Invalid("key"));
    }
    match kind {
        RESPONSE => {
            let head = StoredResponse::decode_head(&pull(&mut rest)?)?;
            Ok(Slot::Response(Entry::new(head, rest)))
        }
        MARKER => names(rest).map(Slot::Vary),
        _ => Err(DecodeError::Invalid("kind")),
    }
}

fn names(mut rest: Bytes) -> Result<Vec<HeaderName>, DecodeError> {
    let mut names = Vec::new();
    for _ in 0..length(&mut rest)? {
        let name = pull(&mut rest)?;
        names.push(HeaderName::from_bytes(&name).map_err(|_| DecodeError::Invalid("field name"))?);
    }
    if rest.is_empty() {
        Ok(names)
    } else {
        Err(DecodeError::TrailingBytes)
    }
}

fn begin(kind: u8, key: &EncodedKey, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, kind]);
    push(&mut out, key.as_bytes());
    out
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&count(bytes.len()));
    out.extend_from_slice(bytes);
}

/// Beyond `u32::MAX` no head or key of ours goes; a count that is too large cannot be read back.
fn count(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()
}

fn pull(rest: &mut Bytes) -> Result<Bytes, DecodeError> {
    let length = length(rest)?;
    take(rest, length)
}

fn length(rest: &mut Bytes) -> Result<usize, DecodeError> {
    let length = rest.try_get_u32().map_err(|_| DecodeError::Truncated)?;
    usize::try_from(length).map_err(|_| DecodeError::Truncated)
}

fn number(rest: &mut Bytes) -> Result<u8, DecodeError> {
    rest.try_get_u8().map_err(|_| DecodeError::Truncated)
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, DecodeError> {
    if rest.len() < length {
        return Err(DecodeError::Truncated);
    }
    Ok(rest.split_to(length))
}

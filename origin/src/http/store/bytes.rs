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
    Response(Box<Entry>),
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
            Ok(Slot::Response(Box::new(Entry::new(head, rest))))
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

#[cfg(test)]
mod tests {
    use terrace_shared::http::{
        Exchange, Fill, ForwardAs, OnResponse, RequestFacts, ResponseHead, Rules, on_response,
    };
    use terrace_shared::purge::{Epoch, Fence, Incarnation, Sequence, Verdict};
    use terrace_shared::time::Timestamp;

    use super::*;

    fn key() -> EncodedKey {
        EncodedKey::of(["https", "a.example", "/x", ""])
    }

    fn entry() -> Entry {
        let now = Timestamp::from_unix_seconds(1_000_000);
        let rules = Rules::default();
        let uri = "https://a.example/x".parse().unwrap();
        let none = ::http::HeaderMap::new();
        let request = RequestFacts::parse(&::http::Method::GET, &uri, &none, now, &rules);
        let mut fields = ::http::HeaderMap::new();
        fields.insert("cache-control", "max-age=60".parse().unwrap());
        let head = ResponseHead {
            status: ::http::StatusCode::OK,
            fields: &fields,
        };
        let fill = Fill {
            exchange: Exchange {
                requested_at: now,
                received_at: now,
            },
            fence: Fence::at(Epoch {
                incarnation: Incarnation::from_random(7),
                sequence: Sequence::new(9),
            }),
            host: "a.example",
            path_and_query: "/x",
            asked: ForwardAs::Fill,
        };
        match on_response(&request, head, None, Verdict::Untouched, &fill, &rules) {
            OnResponse::Store(head) => Entry::new(*head, Bytes::from_static(b"body")),
            other => panic!("{other:?}"),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    #[test]
    fn layout_is_pinned() {
        let golden = include_str!("../../../../tests/vectors/http_entry_v1.hex");
        let names = [::http::header::ACCEPT_LANGUAGE];
        let written = [
            hex(&encode_response(&key(), &entry())),
            hex(&encode_marker(&key(), names.iter())),
        ];
        assert_eq!(written.join("\n"), golden.trim());
    }

    #[test]
    fn what_was_written_is_read_back() {
        let entry = entry();
        match decode(&key(), encode_response(&key(), &entry)) {
            Ok(Slot::Response(read)) => {
                assert_eq!((&read.head, &read.body), (&entry.head, &entry.body));
            }
            other => panic!("{other:?}"),
        }
        let names = [::http::header::ACCEPT, ::http::header::ACCEPT_LANGUAGE];
        match decode(&key(), encode_marker(&key(), names.iter())) {
            Ok(Slot::Vary(read)) => assert_eq!(read, names),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cut_changed_and_foreign_bytes_are_an_error_or_another_entry_never_a_panic() {
        let whole = encode_response(&key(), &entry());
        let before_body = whole.len() - 4;
        for length in 0..before_body {
            let cut = whole.get(..length).unwrap().to_vec();
            assert!(decode(&key(), cut).is_err(), "{length}");
        }
        for at in 0..before_body {
            for change in [1, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                let same = match decode(&key(), changed) {
                    Ok(Slot::Response(read)) => read.head == entry().head,
                    Ok(Slot::Vary(_)) | Err(_) => false,
                };
                assert!(!same, "{at}");
            }
        }
        let other = EncodedKey::of(["https", "b.example", "/x", ""]);
        assert!(matches!(
            decode(&other, whole),
            Err(DecodeError::Invalid("key"))
        ));
    }
}

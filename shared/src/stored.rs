//! The envelope that a data entry wears in Redis: versioned bytes that say everything a reader
//! must know before it believes the value.
//!
//! Layout of version 1, numbers big-endian: `TR`, version, content kind, codec, compression, fence,
//! created, fresh until, stale until, load duration (8 bytes each, milliseconds), the scopes, the key
//! itself, the payload. Another layout gets another version, and its reader keeps reading this one;
//! golden vectors are in `tests/vectors/`.

use crate::bytes::{DecodeError, Reader, Writer};
use crate::purge::{EntryScopes, Epoch, Fence, Fingerprint, Incarnation, Sequence};
use crate::time::{Milliseconds, TimestampMillis};

const MAGIC: [u8; 2] = *b"TR";
const VERSION: u8 = 1;

/// What a stored data entry says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// Which purges it has seen.
    pub fence: Fence,
    /// What it answers to; its name is the entry's key, so a value under another key is noticed.
    pub scopes: EntryScopes,
    /// Whether there is a value.
    pub content: Content,
    /// How the value is written.
    pub codec: Codec,
    /// How the written value is packed.
    pub compression: Compression,
    /// When its fill began.
    pub created_at: TimestampMillis,
    /// Until when it is fresh; at that moment it is stale.
    pub fresh_until: TimestampMillis,
    /// Until when it may be served stale; at that moment it may not.
    pub stale_until: TimestampMillis,
    /// How long the fill took: early refresh weighs it.
    pub load_duration: Milliseconds,
}

/// Whether a source had a value for the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Content {
    /// It had this one.
    Value = 0,
    /// It said that there is none.
    Negative = 1,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Codec {
    /// As JSON.
    Json = 1,
}

/// How a written value is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Compression {
    /// Not at all.
    None = 0,
    /// With Zstandard.
    Zstd = 1,
}

impl Envelope {
    /// The envelope around `payload`, as bytes.
    pub fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.0.extend_from_slice(&MAGIC);
        writer.u8(VERSION);
        writer.u8(self.content as u8);
        writer.u8(self.codec as u8);
        writer.u8(self.compression as u8);
        write_fence(&mut writer, &self.fence);
        writer.u64(self.created_at.as_unix_millis());
        writer.u64(self.fresh_until.as_unix_millis());
        writer.u64(self.stale_until.as_unix_millis());
        writer.u64(self.load_duration.as_u64());
        write_scopes(&mut writer, &self.scopes);
        writer.0.extend_from_slice(payload);
        writer.0
    }

    /// The envelope and payload in `bytes`.
    ///
    /// # Errors
    /// When the bytes are not an envelope of a known version: the reader takes that for a miss.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(DecodeError::OtherKind);
        }
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::UnknownVersion(other)),
        }
        let content = match reader.u8()? {
            0 => Content::Value,
            1 => Content::Negative,
            _ => return Err(DecodeError::Invalid("content kind")),
        };
        let codec = match reader.u8()? {
            1 => Codec::Json,
            _ => return Err(DecodeError::Invalid("codec")),
        };
        let compression = match reader.u8()? {
            0 => Compression::None,
            1 => Compression::Zstd,
            _ => return Err(DecodeError::Invalid("compression")),
        };
        let fence = read_fence(&mut reader)?;
        let mut moment = || Ok(TimestampMillis::from_unix_millis(reader.u64()?));
        let (created_at, fresh_until, stale_until) = (moment()?, moment()?, moment()?);
        let load_duration = Milliseconds::new(reader.u64()?);
        let scopes = read_scopes(&mut reader)?;
        let envelope = Self {
            fence,
            scopes,
            content,
            codec,
            compression,
            created_at,
            fresh_until,
            stale_until,
            load_duration,
        };
        Ok((envelope, reader.rest()))
    }
}

/// Writes a fence: 16 bytes of `filled_at`, a byte that says whether `produced_at` follows.
pub(crate) fn write_fence(writer: &mut Writer, fence: &Fence) {
    write_epoch(writer, fence.filled_at);
    match fence.produced_at {
        None => writer.u8(0),
        Some(epoch) => {
            writer.u8(1);
            write_epoch(writer, epoch);
        }
    }
}

/// Reads what [`write_fence`] wrote.
pub(crate) fn read_fence(reader: &mut Reader<'_>) -> Result<Fence, DecodeError> {
    let filled_at = read_epoch(reader)?;
    let produced_at = match reader.u8()? {
        0 => None,
        1 => Some(read_epoch(reader)?),
        _ => return Err(DecodeError::Invalid("fence")),
    };
    Ok(Fence {
        filled_at,
        produced_at,
    })
}

/// Writes an entry's name and fingerprints.
pub(crate) fn write_scopes(writer: &mut Writer, scopes: &EntryScopes) {
    writer.bytes(scopes.name().as_bytes());
    writer.count(scopes.fingerprints().len());
    for fingerprint in scopes.fingerprints() {
        writer.u64(fingerprint.as_bits());
    }
}

/// Reads what [`write_scopes`] wrote.
pub(crate) fn read_scopes(reader: &mut Reader<'_>) -> Result<EntryScopes, DecodeError> {
    let name = reader.text("key")?.into();
    let count = reader.count(8)?;
    let mut fingerprints = Vec::with_capacity(count);
    for _ in 0..count {
        fingerprints.push(Fingerprint::from_bits(reader.u64()?));
    }
    Ok(EntryScopes::from_parts(name, fingerprints.into()))
}

fn write_epoch(writer: &mut Writer, epoch: Epoch) {
    writer.u64(epoch.incarnation.as_u64());
    writer.u64(epoch.sequence.as_u64());
}

fn read_epoch(reader: &mut Reader<'_>) -> Result<Epoch, DecodeError> {
    Ok(Epoch {
        incarnation: Incarnation::from_random(reader.u64()?),
        sequence: Sequence::new(reader.u64()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::hex;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn sample() -> Envelope {
        let at = TimestampMillis::from_unix_millis;
        Envelope {
            fence: Fence {
                filled_at: Epoch {
                    incarnation: Incarnation::from_random(0x0102_0304_0506_0708),
                    sequence: Sequence::new(9),
                },
                produced_at: None,
            },
            scopes: EntryScopes::from_parts("a:1".into(), [Fingerprint::from_bits(0xff)].into()),
            content: Content::Value,
            codec: Codec::Json,
            compression: Compression::None,
            created_at: at(1_000),
            fresh_until: at(61_000),
            stale_until: at(121_000),
            load_duration: Milliseconds::new(12),
        }
    }

    #[test]
    fn layout_is_pinned() {
        let golden = include_str!("../../tests/vectors/envelope_v1.hex");
        assert_eq!(hex(&sample().encode(b"{}")), golden.trim());
    }

    #[test]
    fn an_envelope_is_read_back() {
        let bytes = sample().encode(b"{}");
        assert_eq!(Envelope::decode(&bytes), Ok((sample(), &b"{}"[..])));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_error_or_another_envelope_never_a_panic() {
        let bytes = sample().encode(b"");
        for length in 0..bytes.len() {
            assert!(Envelope::decode(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                assert_ne!(Envelope::decode(&changed), Ok((sample(), &b""[..])), "{at}");
            }
        }
    }
}

//! The stored form of a [`StoredResponse`]: versioned bytes.
//!
//! Layout of version 2, numbers big-endian: `TH`, version, status (4 bytes), flags (4 bytes), times and
//! lengths (8 bytes each, seconds), the validators, the extent, the vary key, the fence, the scopes,
//! the fields. Everything that was parsed is stored parsed. In version 1 nothing is allowed when
//! the origin cannot be reached, and the length of a part's whole is always known (8 bytes). Another layout gets another version, and its reader keeps reading these;
//! the golden vectors are `tests/vectors/http_head_v*.hex`.

use ::http::header::HeaderName;
use ::http::{HeaderMap, HeaderValue, StatusCode};

use super::cache_control::Flags;
use super::range::ByteRange;
use super::stored::Allowance;
use super::{EntityTag, Exchange, Extent, StoredResponse, Strength, VaryKey};
use crate::DecodeError;
use crate::bytes::{Reader, Writer};
use crate::stored::{read_fence, read_scopes, write_fence, write_scopes};
use crate::time::{DeltaSeconds, Timestamp};

const MAGIC: [u8; 2] = *b"TH";
const VERSION: u8 = 2;

impl StoredResponse {
    /// Everything but the body, as bytes.
    pub fn encode_head(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.0.extend_from_slice(&MAGIC);
        writer.u8(VERSION);
        writer.u32(self.status.as_u16().into());
        writer.u32(self.flags.0.into());
        writer.u64(self.exchange.requested_at.as_unix_seconds());
        writer.u64(self.exchange.received_at.as_unix_seconds());
        writer.u64(self.date.as_unix_seconds());
        writer.u64(self.age_field.as_seconds());
        writer.u64(self.lifetime.as_seconds());
        write_allowance(&mut writer, self.grace);
        write_allowance(&mut writer, self.stale_if_error);
        writer.u64(self.when_disconnected.as_seconds());
        write_entity_tag(&mut writer, self.entity_tag.as_ref());
        write_option(
            &mut writer,
            self.last_modified.map(Timestamp::as_unix_seconds),
        );
        write_extent(&mut writer, self.extent);
        write_vary(&mut writer, &self.vary);
        write_fence(&mut writer, &self.fence);
        write_scopes(&mut writer, &self.scopes);
        writer.count(self.fields.len());
        for (name, value) in &self.fields {
            writer.bytes(name.as_str().as_bytes());
            writer.bytes(value.as_bytes());
        }
        writer.0
    }

    /// What [`Self::encode_head`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a head of a known version: the reader takes that for a miss.
    pub fn decode_head(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(DecodeError::OtherKind);
        }
        let version = match reader.u8()? {
            version @ 1..=VERSION => version,
            other => return Err(DecodeError::UnknownVersion(other)),
        };
        let stored = Self {
            status: read_status(&mut reader)?,
            flags: read_flags(&mut reader)?,
            exchange: Exchange {
                requested_at: Timestamp::from_unix_seconds(reader.u64()?),
                received_at: Timestamp::from_unix_seconds(reader.u64()?),
            },
            date: Timestamp::from_unix_seconds(reader.u64()?),
            age_field: DeltaSeconds::seconds(reader.u64()?),
            lifetime: DeltaSeconds::seconds(reader.u64()?),
            grace: read_allowance(&mut reader)?,
            stale_if_error: read_allowance(&mut reader)?,
            when_disconnected: match version {
                1 => DeltaSeconds::ZERO,
                _ => DeltaSeconds::seconds(reader.u64()?),
            },
            entity_tag: read_entity_tag(&mut reader)?,
            last_modified: read_option(&mut reader)?.map(Timestamp::from_unix_seconds),
            extent: read_extent(version, &mut reader)?,
            vary: read_vary(&mut reader)?,
            fence: read_fence(&mut reader)?,
            scopes: read_scopes(&mut reader)?,
            fields: read_fields(&mut reader)?,
        };
        reader.finish()?;
        Ok(stored)
    }
}

fn read_status(reader: &mut Reader<'_>) -> Result<StatusCode, DecodeError> {
    u16::try_from(reader.u32()?)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or(DecodeError::Invalid("status"))
}

fn read_flags(reader: &mut Reader<'_>) -> Result<Flags, DecodeError> {
    u16::try_from(reader.u32()?)
        .map(Flags)
        .map_err(|_| DecodeError::Invalid("flags"))
}

fn write_allowance(writer: &mut Writer, allowance: Allowance) {
    match allowance {
        Allowance::Stated(length) => {
            writer.u8(1);
            writer.u64(length.as_seconds());
        }
        Allowance::Default(length) => {
            writer.u8(2);
            writer.u64(length.as_seconds());
        }
    }
}

fn read_allowance(reader: &mut Reader<'_>) -> Result<Allowance, DecodeError> {
    let kind = reader.u8()?;
    let length = DeltaSeconds::seconds(reader.u64()?);
    match kind {
        1 => Ok(Allowance::Stated(length)),
        2 => Ok(Allowance::Default(length)),
        _ => Err(DecodeError::Invalid("allowance")),
    }
}

pub(super) fn write_entity_tag(writer: &mut Writer, tag: Option<&EntityTag>) {
    let Some(tag) = tag else {
        writer.u8(0);
        return;
    };
    writer.u8(match tag.strength {
        Strength::Strong => 1,
        Strength::Weak => 2,
    });
    writer.bytes(&tag.opaque);
}

pub(super) fn read_entity_tag(reader: &mut Reader<'_>) -> Result<Option<EntityTag>, DecodeError> {
    let strength = match reader.u8()? {
        0 => return Ok(None),
        1 => Strength::Strong,
        2 => Strength::Weak,
        _ => return Err(DecodeError::Invalid("entity tag")),
    };
    let opaque = reader.bytes()?.into();
    Ok(Some(EntityTag { strength, opaque }))
}

fn write_option(writer: &mut Writer, number: Option<u64>) {
    match number {
        None => writer.u8(0),
        Some(number) => {
            writer.u8(1);
            writer.u64(number);
        }
    }
}

fn read_option(reader: &mut Reader<'_>) -> Result<Option<u64>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(reader.u64()?)),
        _ => Err(DecodeError::Invalid("optional number")),
    }
}

fn write_extent(writer: &mut Writer, extent: Extent) {
    match extent {
        Extent::Complete { length } => {
            writer.u8(1);
            write_option(writer, length);
        }
        Extent::Partial { range, complete } => {
            writer.u8(2);
            writer.u64(range.first);
            writer.u64(range.last);
            write_option(writer, complete);
        }
    }
}

fn read_extent(version: u8, reader: &mut Reader<'_>) -> Result<Extent, DecodeError> {
    match reader.u8()? {
        1 => Ok(Extent::Complete {
            length: read_option(reader)?,
        }),
        2 => {
            let (first, last) = (reader.u64()?, reader.u64()?);
            let complete = match version {
                1 => Some(reader.u64()?),
                _ => read_option(reader)?,
            };
            let fits = complete.is_none_or(|complete| last < complete);
            if first <= last && last < u64::MAX && fits {
                Ok(Extent::Partial {
                    range: ByteRange { first, last },
                    complete,
                })
            } else {
                Err(DecodeError::Invalid("extent"))
            }
        }
        _ => Err(DecodeError::Invalid("extent")),
    }
}

pub(super) fn write_vary(writer: &mut Writer, vary: &VaryKey) {
    writer.count(vary.0.len());
    writer.0.extend_from_slice(&vary.to_bytes());
}

pub(super) fn read_vary(reader: &mut Reader<'_>) -> Result<VaryKey, DecodeError> {
    let count = reader.count(5)?;
    let mut vary = Vec::with_capacity(count);
    for _ in 0..count {
        let name = read_name(reader)?;
        let value = match reader.u8()? {
            0 => None,
            1 => Some(reader.bytes()?.into()),
            _ => return Err(DecodeError::Invalid("vary key")),
        };
        vary.push((name, value));
    }
    Ok(VaryKey(vary))
}

fn read_fields(reader: &mut Reader<'_>) -> Result<HeaderMap, DecodeError> {
    let count = reader.count(8)?;
    let mut fields =
        HeaderMap::try_with_capacity(count).map_err(|_| DecodeError::Invalid("field count"))?;
    for _ in 0..count {
        let name = read_name(reader)?;
        let value = HeaderValue::from_bytes(reader.bytes()?)
            .map_err(|_| DecodeError::Invalid("field value"))?;
        fields
            .try_append(name, value)
            .map_err(|_| DecodeError::Invalid("field count"))?;
    }
    Ok(fields)
}

fn read_name(reader: &mut Reader<'_>) -> Result<HeaderName, DecodeError> {
    HeaderName::from_bytes(reader.bytes()?).map_err(|_| DecodeError::Invalid("field name"))
}

#[cfg(test)]
mod tests;

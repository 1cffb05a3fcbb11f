//! What a shell knows of the stored responses of one URI without reading them.
//!
//! A shell that keeps each stored response in a place of its own, as the edge does, cannot read all of them for each
//! request. It keeps a [`VariantList`] beside them, which says which one to read, and which the origin may choose from.
//! The list is a hint and no more: what is read is judged by what it says itself, so that an outdated list costs hits.
//!
//! Layout of version 1, numbers big-endian: `TV`, version, how many, and of each the vary key, its `Date` and until
//! when it is kept (8 bytes each, seconds), the entity tag, the fence, the scopes. Another layout gets another version;
//! the golden vector is `tests/vectors/variants_v1.hex`.

use ::http::HeaderMap;
use ::http::header::ETAG;

use super::among::Offer;
use super::fields::only_line;
use super::freshen::is_named;
use super::head::{read_entity_tag, read_vary, write_entity_tag, write_vary};
use super::{EntityTag, RequestFacts, StoredResponse, VaryKey};
use crate::DecodeError;
use crate::bytes::{Reader, Writer};
use crate::purge::{EntryScopes, Fence};
use crate::stored::{read_fence, read_scopes, write_fence, write_scopes};
use crate::time::{ByteCount, Timestamp};

/// The stored responses of one URI that are known, the most recent first; bounded in number and in bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VariantList(Vec<Variant>);

/// What is known of a stored response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variant {
    vary: VaryKey,
    date: Timestamp,
    kept_until: Timestamp,
    /// None if the origin cannot be offered it.
    tag: Option<EntityTag>,
    fence: Fence,
    scopes: EntryScopes,
}

impl VariantList {
    /// More are not listed; the least recent fall off.
    pub const MOST: usize = 16;
    /// Together they take no more than this; the least recent fall off.
    pub const LARGEST: ByteCount = ByteCount::kibibytes(8);

    /// The list with `head`, which is stored until then, in the place of what was stored for the same requests.
    #[must_use]
    pub fn with(&self, head: &StoredResponse, kept_until: Timestamp, now: Timestamp) -> Self {
        let new = Variant {
            vary: head.vary.clone(),
            date: head.date,
            kept_until,
            tag: Offer::of(head).map(|offer| offer.tag.clone()),
            fence: head.fence,
            scopes: head.scopes.clone(),
        };
        let others = self.0.iter().cloned();
        let kept = others.filter(|other| other.kept_until > now);
        Self::bounded(std::iter::once(new).chain(kept))
    }

    /// The list without what has this vary key; none if there is no such thing.
    pub fn without(&self, vary: &VaryKey) -> Option<Self> {
        let mut rest = self.0.clone();
        rest.retain(|variant| variant.vary != *vary);
        (rest.len() < self.0.len()).then_some(Self(rest))
    }

    /// What this list or the other one has; of two for the same requests, the more recent.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let is_older = |own: &&Variant| {
            let mut others = other.0.iter();
            others.any(|other| other.vary == own.vary && other.date > own.date)
        };
        let own = self.0.iter().filter(|own| !is_older(own));
        Self::bounded(own.chain(&other.0).cloned())
    }

    /// Whether each of them varies by so many fields.
    pub fn all_vary_by(&self, fields: usize) -> bool {
        let mut variants = self.0.iter();
        variants.all(|variant| variant.vary.0.len() == fields)
    }

    /// Those that are for `request`, the most recent first (RFC 9111 §4.1).
    pub fn matching<'a>(&'a self, request: &'a RequestFacts) -> impl Iterator<Item = &'a Variant> {
        let variants = self.0.iter();
        variants.filter(|variant| variant.vary.matches(request))
    }

    /// Those that are for other requests, and kept at `now`.
    pub(super) fn others<'a>(
        &'a self,
        request: &'a RequestFacts,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Variant> {
        let kept = self.0.iter().filter(move |other| other.kept_until > now);
        kept.filter(|other| !other.vary.matches(request))
    }

    /// Those that a 304 with these fields may speak of, the most recent first (RFC 9111 §4.3.4).
    pub fn named(&self, fields: &HeaderMap) -> impl Iterator<Item = &Variant> {
        let said = only_line(fields, &ETAG).and_then(EntityTag::parse);
        self.0.iter().filter(move |variant| {
            let tags = variant.tag.as_ref().zip(said.as_ref());
            tags.is_some_and(|(own, said)| is_named(own, said))
        })
    }

    /// Bytes that it takes, about.
    pub fn weight(&self) -> usize {
        self.0.iter().map(Variant::weight).sum()
    }

    /// The list as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.0.extend_from_slice(&MAGIC);
        writer.u8(VERSION);
        writer.count(self.0.len());
        for variant in &self.0 {
            write_vary(&mut writer, &variant.vary);
            writer.u64(variant.date.as_unix_seconds());
            writer.u64(variant.kept_until.as_unix_seconds());
            write_entity_tag(&mut writer, variant.tag.as_ref());
            write_fence(&mut writer, &variant.fence);
            write_scopes(&mut writer, &variant.scopes);
        }
        writer.0
    }

    /// What [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a list of a known version: the reader takes that for an empty one, or for a miss.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(DecodeError::OtherKind);
        }
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::UnknownVersion(other)),
        }
        let count = reader.count(SMALLEST)?;
        let mut variants = Vec::with_capacity(count.min(Self::MOST));
        for _ in 0..count {
            variants.push(Variant {
                vary: read_vary(&mut reader)?,
                date: Timestamp::from_unix_seconds(reader.u64()?),
                kept_until: Timestamp::from_unix_seconds(reader.u64()?),
                tag: read_entity_tag(&mut reader)?,
                fence: read_fence(&mut reader)?,
                scopes: read_scopes(&mut reader)?,
            });
        }
        reader.finish()?;
        Ok(Self::bounded(variants))
    }

    /// Of several for the same requests, the first; of all, the most recent that the bounds allow.
    fn bounded(variants: impl IntoIterator<Item = Variant>) -> Self {
        let mut kept: Vec<Variant> = Vec::new();
        for variant in variants {
            if kept.iter().all(|other| other.vary != variant.vary) {
                let at = kept.partition_point(|other| other.date >= variant.date);
                kept.insert(at, variant);
            }
        }
        kept.truncate(Self::MOST);
        let mut left = Self::LARGEST.as_u64();
        kept.retain(|variant| {
            let bytes = u64::try_from(variant.weight()).unwrap_or(u64::MAX);
            let rest = left.checked_sub(bytes);
            left = rest.unwrap_or(left);
            rest.is_some()
        });
        Self(kept)
    }
}

impl Variant {
    /// Which requests it is for.
    pub const fn vary(&self) -> &VaryKey {
        &self.vary
    }

    /// Which purges it had seen.
    pub const fn fence(&self) -> &Fence {
        &self.fence
    }

    /// What it answers to when something is purged.
    pub const fn scopes(&self) -> &EntryScopes {
        &self.scopes
    }

    pub(super) fn offer(&self) -> Option<Offer<'_>> {
        let tag = self.tag.as_ref()?;
        let date = self.date;
        Some(Offer { date, tag })
    }

    /// Bytes that it takes when it is stored, about.
    fn weight(&self) -> usize {
        let values = self.vary.0.iter();
        let values = values.map(|(name, value)| {
            name.as_str().len() + value.as_ref().map_or(0, |value| value.len()) + 9
        });
        let tag = self.tag.as_ref().map_or(0, |tag| tag.opaque().len());
        let scopes = self.scopes.name().len() + 8 * self.scopes.fingerprints().len();
        SMALLEST + values.sum::<usize>() + tag + scopes
    }
}

const MAGIC: [u8; 2] = *b"TV";
const VERSION: u8 = 1;
/// What one takes with nothing in it.
const SMALLEST: usize = 46;

#[cfg(test)]
mod tests;

//! Range requests, cut from a stored response (RFC 9110 §14).

use super::cache_control::number;
use super::{EntityTag, Extent, RequestFacts, Rules, StoredResponse, date};
use crate::time::{DeltaSeconds, Timestamp};

/// Bytes `first..=last` of a representation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ByteRange {
    /// Position of the first byte.
    pub first: u64,
    /// Position of the last byte; never before the first.
    pub last: u64,
}

/// What the `Range` field leaves of the answer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Outcome {
    /// The whole: there is no `Range`, it is malformed or excessive, or `If-Range` does not hold.
    Full,
    /// These parts, at least one, in the order asked for.
    Partial(Vec<ByteRange>),
    /// A 416.
    NotSatisfiable,
}

/// Evaluates `Range` and `If-Range` against a stored response whose representation has `length` bytes.
///
/// Overlapping and adjacent ranges are joined; more than [`Rules::most_ranges`] get the whole
/// (RFC 9110 §14.2, §17.15).
pub fn evaluate(
    request: &RequestFacts,
    stored: &StoredResponse,
    length: u64,
    rules: &Rules,
) -> Outcome {
    let Some(spec) = &request.range else {
        return Outcome::Full;
    };
    let only_success = matches!(stored.status.as_u16(), 200 | 206);
    if !only_success || !if_range_holds(request, stored) {
        return Outcome::Full;
    }
    if spec.0.len() > rules.most_ranges {
        return Outcome::Full;
    }
    let ranges: Vec<ByteRange> = spec
        .0
        .iter()
        .filter_map(|part| part.within(length))
        .collect();
    if ranges.is_empty() {
        return Outcome::NotSatisfiable; // (RFC 9110 §15.5.17)
    }
    Outcome::Partial(joined(ranges))
}

impl ByteRange {
    /// How many bytes it has.
    pub const fn length(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The value of `Content-Range` for it (RFC 9110 §14.4).
    pub fn content_range(self, complete: u64) -> String {
        format!("bytes {}-{}/{complete}", self.first, self.last)
    }

    /// The smallest range that has both, if no byte lies between them.
    fn join(self, other: Self) -> Option<Self> {
        let touch = self.first <= other.last.saturating_add(1)
            && other.first <= self.last.saturating_add(1);
        touch.then(|| Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        })
    }
}

/// A well-formed `Range` of bytes: at least one part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RangeSpec(Vec<Part>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    From { first: u64, last: Option<u64> },
    Suffix(u64),
}

/// The validator in `If-Range` (RFC 9110 §13.1.5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum IfRange {
    Tag(EntityTag),
    Date(Timestamp),
    /// Never holds.
    Malformed,
}

/// A well-formed `Content-Range` of bytes with a known length (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) complete: u64,
}

impl RangeSpec {
    /// The ranges in `text`; none if it is malformed or in another unit, so that it is ignored (RFC 9110 §14.2).
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (unit, set) = text.trim_ascii().split_at_checked(6)?;
        if !unit.eq_ignore_ascii_case(b"bytes=") {
            return None;
        }
        let parts = set
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|part| !part.is_empty())
            // One more than anybody is given, so that a bomb stays small and is still seen to be one.
            .take(MOST_PARSED)
            .map(Part::parse)
            .collect::<Option<Vec<_>>>()?;
        (!parts.is_empty()).then_some(Self(parts))
    }
}

/// Ranges beyond this are not even kept.
const MOST_PARSED: usize = 1_000;

impl Part {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|byte| *byte == b'-')?;
        let (first, rest) = text.split_at(dash);
        let last = rest.get(1..)?;
        match (first.is_empty(), last.is_empty()) {
            (true, _) => Some(Self::Suffix(number(last)?)),
            (false, true) => Some(Self::From {
                first: number(first)?,
                last: None,
            }),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From {
                    first,
                    last: Some(last),
                })
            }
        }
    }

    /// What of it lies within `length` bytes (RFC 9110 §14.1.2).
    fn within(self, length: u64) -> Option<ByteRange> {
        let end = length.checked_sub(1)?;
        match self {
            Self::From { first, last } => (first <= end).then(|| ByteRange {
                first,
                last: last.unwrap_or(end).min(end),
            }),
            Self::Suffix(suffix) => (suffix > 0).then(|| ByteRange {
                first: length.saturating_sub(suffix),
                last: end,
            }),
        }
    }
}

impl IfRange {
    pub(super) fn parse(text: Option<&[u8]>, now: Timestamp) -> Self {
        let Some(text) = text else {
            return Self::Malformed;
        };
        EntityTag::parse(text)
            .map(Self::Tag)
            .or_else(|| date::parse(text, now).map(Self::Date))
            .unwrap_or(Self::Malformed)
    }
}

impl ContentRange {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (unit, rest) = text.trim_ascii().split_at_checked(6)?;
        if !unit.eq_ignore_ascii_case(b"bytes ") {
            return None;
        }
        let slash = rest.iter().position(|byte| *byte == b'/')?;
        let (range, complete) = rest.split_at(slash);
        let dash = range.iter().position(|byte| *byte == b'-')?;
        let (first, last) = range.split_at(dash);
        let parsed = Self {
            first: number(first)?,
            last: number(last.get(1..)?)?,
            complete: number(complete.get(1..)?)?,
        };
        (parsed.first <= parsed.last && parsed.last < parsed.complete).then_some(parsed)
    }
}

/// Whether a stored part has every byte that is asked for.
pub(super) fn lies_within(request: &RequestFacts, stored: &StoredResponse) -> bool {
    let Extent::Partial {
        first,
        last,
        complete,
    } = stored.extent
    else {
        return true;
    };
    let Some(spec) = &request.range else {
        return false;
    };
    if_range_holds(request, stored)
        && spec.0.iter().all(|part| {
            part.within(complete)
                .is_some_and(|range| first <= range.first && range.last <= last)
        })
}

/// Whether `If-Range` lets the range be cut (RFC 9110 §13.1.5).
fn if_range_holds(request: &RequestFacts, stored: &StoredResponse) -> bool {
    match &request.if_range {
        None => true,
        Some(IfRange::Tag(tag)) => stored
            .entity_tag
            .as_ref()
            .is_some_and(|own| own.strongly_matches(tag)),
        // Exactly the date, and only if that is a strong validator: the response was made at least a
        // second after the change (RFC 9110 §8.8.2.2).
        Some(IfRange::Date(moment)) => stored.last_modified.is_some_and(|modified| {
            modified == *moment && stored.date >= modified.saturating_add(DeltaSeconds::seconds(1))
        }),
        Some(IfRange::Malformed) => false,
    }
}

/// Ranges with all that touch one another joined; a union stands where its last part was asked for.
fn joined(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut out: Vec<ByteRange> = Vec::with_capacity(ranges.len());
    for mut range in ranges {
        // What joins may come to touch a further one, so begin again until nothing does.
        while let Some((at, union)) = out
            .iter()
            .enumerate()
            .find_map(|(at, other)| Some((at, other.join(range)?)))
        {
            out.remove(at);
            range = union;
        }
        out.push(range);
    }
    out
}

#[cfg(test)]
mod tests;

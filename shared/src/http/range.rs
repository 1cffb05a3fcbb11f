//! Range requests, cut from a stored response (RFC 9110 §14).

use ::http::Method;

use super::cache_control::number;
use super::{EntityTag, Extent, RequestFacts, Rules, StoredResponse, date};
use crate::time::Timestamp;

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

    /// The value of `Content-Range` for it, in a representation of that many bytes (RFC 9110 §14.4).
    pub fn content_range(self, complete: Option<u64>) -> String {
        let Self { first, last } = self;
        match complete {
            Some(complete) => format!("bytes {first}-{last}/{complete}"),
            None => format!("bytes {first}-{last}/*"),
        }
    }

    /// Whether it has every byte of `other`.
    const fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The smallest range that has both, if no byte lies between them.
    pub(super) fn join(self, other: Self) -> Option<Self> {
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

/// A well-formed `Content-Range` of bytes (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ContentRange {
    pub(super) range: ByteRange,
    /// Length of the whole, if it is known.
    pub(super) complete: Option<u64>,
}

/// The bytes that a client wants: from the first to the last, or to the end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    pub(super) first: u64,
    pub(super) last: Option<u64>,
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
        let range = ByteRange {
            first: number(first)?,
            last: number(last.get(1..)?)?,
        };
        let complete = match complete.get(1..)? {
            b"*" => None,
            digits => Some(number(digits)?),
        };
        let fits = complete.is_none_or(|complete| range.last < complete);
        // A last position that no length can follow is a number that did not fit.
        (range.first <= range.last && range.last < u64::MAX && fits)
            .then_some(Self { range, complete })
    }
}

/// Whether a stored part has every byte that is asked for.
pub(super) fn lies_within(request: &RequestFacts, stored: &StoredResponse) -> bool {
    let Extent::Partial { range, complete } = stored.extent else {
        return true;
    };
    let Some(spec) = &request.range else {
        return false;
    };
    let has = |part: &Part| match (*part, complete) {
        (part, Some(complete)) => part.within(complete).is_some_and(|part| range.covers(part)),
        // Nobody knows where the end is, so only positions can be held against positions.
        (Part::From { first, last }, None) => {
            last.is_some_and(|last| range.covers(ByteRange { first, last }))
        }
        (Part::Suffix(_), None) => false,
    };
    if_range_holds(request, stored) && spec.0.iter().all(has)
}

/// Which bytes of a representation, of which `stored` is a part, the client wants; none if that is not one range.
pub(super) fn wanted(request: &RequestFacts, stored: &StoredResponse) -> Option<Wanted> {
    if request.method != Method::GET {
        return None;
    }
    let whole = Wanted {
        first: 0,
        last: None,
    };
    let Some(spec) = &request.range else {
        return Some(whole);
    };
    if !if_range_holds(request, stored) {
        return Some(whole);
    }
    let Extent::Partial { complete, .. } = stored.extent else {
        return None;
    };
    let (Some(part), None) = (spec.0.first(), spec.0.get(1)) else {
        return None;
    };
    match (*part, complete) {
        (part, Some(complete)) => part.within(complete).map(|range| Wanted {
            first: range.first,
            last: Some(range.last),
        }),
        (Part::From { first, last }, None) => Some(Wanted { first, last }),
        (Part::Suffix(_), None) => None,
    }
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
        Some(IfRange::Date(moment)) => stored
            .last_modified
            .is_some_and(|modified| modified == *moment && stored.has_strong_date()),
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

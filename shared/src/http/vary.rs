//! Which requests a stored response is for (RFC 9111 §4.1).

mod preference;

use ::http::HeaderMap;
use ::http::header::{HeaderName, VARY};

use super::cache_control::Members;
use super::fields::{lines, only_line};
use super::{RequestFacts, Rules, StoredResponse, VaryRule};
use crate::bytes::Writer;
use crate::outcome::{ForwardReason, NotStored};

/// The selecting request fields of a stored response with their values, normalised.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VaryKey(pub(super) Vec<(HeaderName, Option<Box<[u8]>>)>);

/// What the stored responses of one URI have for a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Selection {
    /// The one at this place.
    Match(usize),
    /// None of them: forward with `vary-miss`.
    VaryMiss,
    /// There are none: forward with `uri-miss`.
    UriMiss,
}

impl VaryKey {
    /// The key that `request` has under these selecting fields.
    pub fn of(names: impl IntoIterator<Item = HeaderName>, request: &RequestFacts) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        let value = |name: HeaderName| {
            let value = canonical(&name, &request.selecting);
            (name, value)
        };
        Self(names.into_iter().map(value).collect())
    }

    /// Whether `request` has the same values (RFC 9111 §4.1).
    pub fn matches(&self, request: &RequestFacts) -> bool {
        self.0.iter().all(|(name, expected)| {
            // An absent field matches only an absent one.
            match (expected, request.selecting.contains_key(name)) {
                (None, present) => !present,
                (Some(_), false) => false,
                (Some(expected), true) => is_canonical(expected, name, &request.selecting),
            }
        })
    }

    /// The names of the selecting fields, in lower case and sorted.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|(name, _)| name)
    }

    /// Bytes that differ whenever two keys do: what a shell adds to the key it stores the variant under.
    ///
    /// Empty for a response that does not vary.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for (name, value) in &self.0 {
            writer.bytes(name.as_str().as_bytes());
            match value {
                None => writer.u8(0),
                Some(value) => {
                    writer.u8(1);
                    writer.bytes(value);
                }
            }
        }
        writer.0
    }
}

impl Selection {
    /// The reason to give for a forward: what [`super::decide`] said, or `vary-miss` if that is why it had nothing.
    pub const fn forward_reason(self, decided: ForwardReason) -> ForwardReason {
        match (self, decided) {
            (Self::VaryMiss, ForwardReason::UriMiss) => ForwardReason::VaryMiss,
            (_, decided) => decided,
        }
    }
}

/// The stored response for `request` among those of its URI: of several, the most recent (RFC 9111 §4.1).
///
/// Shells leave out those that the ledger has dropped.
pub fn select(request: &RequestFacts, stored: &[&StoredResponse]) -> Selection {
    let matching = stored
        .iter()
        .enumerate()
        .filter(|(_, stored)| stored.vary.matches(request));
    // Of two with the same `Date`, the one that came later.
    let latest = matching.max_by_key(|(_, stored)| (stored.date, stored.exchange.received_at));
    match latest {
        Some((at, _)) => Selection::Match(at),
        None if stored.is_empty() => Selection::UriMiss,
        None => Selection::VaryMiss,
    }
}

/// The members of a weighted list, each with its weight in thousandths (RFC 9110 §12.4.2).
pub(crate) fn weighted<'a>(
    name: &HeaderName,
    fields: &'a HeaderMap,
) -> impl Iterator<Item = (&'a [u8], u16)> {
    members(name, fields).map(preference::name_and_weight)
}

/// The field names in `Vary` (RFC 9110 §12.5.5).
pub(super) fn vary_names(fields: &HeaderMap, rules: &Rules) -> Result<Vec<HeaderName>, NotStored> {
    let mut names = Vec::new();
    for member in lines(fields, &VARY).flat_map(|line| Members { rest: line }) {
        // `*` anywhere, or what is no field name, is never matched.
        let name = HeaderName::from_bytes(member).map_err(|_| NotStored::VaryStar)?;
        if name.as_str() == "*" {
            return Err(NotStored::VaryStar);
        }
        match &rules.vary {
            VaryRule::Any => {}
            VaryRule::Only(allowed) if allowed.contains(&name) => {}
            VaryRule::Only(_) => return Err(NotStored::VaryNotAllowed),
        }
        names.push(name);
    }
    Ok(names)
}

/// All lines of a field as one value: members trimmed, commas alone between them; a weighted list in the one
/// form that all of its meaning have (RFC 9111 §4.1).
fn canonical(name: &HeaderName, fields: &HeaderMap) -> Option<Box<[u8]>> {
    if !fields.contains_key(name) {
        return None;
    }
    if preference::is_weighted(name) {
        return Some(preference::canonical(members(name, fields)).into());
    }
    let members: Vec<&[u8]> = members(name, fields).collect();
    Some(members.join(&b","[..]).into())
}

/// Whether [`canonical`] would give `expected`; without allocating.
fn is_canonical(expected: &[u8], name: &HeaderName, fields: &HeaderMap) -> bool {
    if only_line(fields, name) == Some(expected) {
        return true;
    }
    if preference::is_weighted(name) {
        return preference::is_canonical(expected, || members(name, fields));
    }
    let mut rest = expected;
    let mut first = true;
    for member in members(name, fields) {
        if !first {
            let Some(after) = rest.strip_prefix(b",") else {
                return false;
            };
            rest = after;
        }
        first = false;
        let Some(after) = rest.strip_prefix(member) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}

fn members<'a>(name: &HeaderName, fields: &'a HeaderMap) -> impl Iterator<Item = &'a [u8]> {
    lines(fields, name).flat_map(|line| Members { rest: line })
}

#[cfg(test)]
mod tests;

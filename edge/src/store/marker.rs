//! What lies under the key of a URL whose responses vary: where they lie, and what is known of them.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::HeaderName;
use sha2::{Digest, Sha256};
use terrace_shared::http::{RequestFacts, StoredResponse, VariantList, VaryKey};
use terrace_shared::time::Timestamp;

use super::StoreKey;

/// What lies under the key of a URL whose responses vary.
///
/// Other isolates write it too, and none waits for another. So it may lack what is stored and name what is not;
/// either costs hits only, as what is read says itself which requests it is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct VaryMarker {
    /// The selecting request fields of all responses, in lower case and sorted.
    names: Vec<HeaderName>,
    /// Part of each variant's key, so that whoever removes the marker removes the variants.
    generation: u64,
    /// Until when the marker is needed.
    needed_until: Timestamp,
    /// The most recent of the responses.
    known: VariantList,
}

impl VaryMarker {
    /// More selecting fields than this begin a new generation.
    const MOST_NAMES: usize = 32;

    /// The marker once `head` is stored, given the one that is there; none if there is none and `head` does not vary.
    ///
    /// Fields once seen stay selecting, so that a variant too many to be listed is found.
    pub(super) fn with(
        before: Option<&Rc<Self>>,
        head: &StoredResponse,
        kept_until: Timestamp,
        now: Timestamp,
        random: impl FnOnce() -> u64,
    ) -> Option<Self> {
        let own: Vec<HeaderName> = head.vary().names().cloned().collect();
        let before = before.map(|before| (before, union(&before.names, &own)));
        let before = before.filter(|(_, names)| names.len() <= Self::MOST_NAMES.max(own.len()));
        let Some((before, names)) = before else {
            return (!own.is_empty()).then(|| Self {
                names: own,
                generation: random(),
                needed_until: kept_until,
                known: VariantList::default().with(head, kept_until, now),
            });
        };
        Some(Self {
            names,
            generation: before.generation,
            needed_until: before.needed_until.max(kept_until),
            known: before.known.with(head, kept_until, now),
        })
    }

    /// What this one and another one of the same generation know; this one, if it is of another.
    pub(super) fn merged(self: &Rc<Self>, other: Option<&Self>) -> Rc<Self> {
        match other {
            Some(other) if other.continues(self) && other != &**self => Rc::new(Self {
                names: union(&self.names, &other.names),
                generation: self.generation,
                needed_until: self.needed_until.max(other.needed_until),
                known: self.known.merged(&other.known),
            }),
            Some(_) | None => Rc::clone(self),
        }
    }

    /// Whether it leads to the variants that `other` leads to, and others.
    pub(super) const fn continues(&self, other: &Self) -> bool {
        self.generation == other.generation
    }

    /// The marker without what is for these requests; none if it knows of no such thing.
    pub(super) fn without(&self, vary: &VaryKey) -> Option<Self> {
        let known = self.known.without(vary)?;
        Some(Self {
            known,
            ..self.clone()
        })
    }

    /// What is known of the responses.
    pub(crate) const fn known(&self) -> &VariantList {
        &self.known
    }

    pub(super) const fn needed_until(&self) -> Timestamp {
        self.needed_until
    }

    /// Where responses for `request` may lie, the most recent first; `key` is that of the URL.
    pub(super) fn places<'a>(
        &'a self,
        key: StoreKey,
        request: &'a RequestFacts,
    ) -> impl Iterator<Item = StoreKey> + 'a {
        // As long as all vary by the same fields, one alone can be for it, and where that lies is known without a search.
        let differ = !self.known.all_vary_by(self.names.len());
        let listed = differ.then(|| self.known.matching(request));
        let mut listed = listed.into_iter().flatten().peekable();
        let unlisted = match listed.peek() {
            Some(_) => None,
            None => Some(self.place_of(key, request)),
        };
        let listed = listed.map(move |variant| self.place(key, variant.vary()));
        listed.chain(unlisted)
    }

    /// Where a response for `request` lies that varies by all the fields.
    pub(super) fn place_of(&self, key: StoreKey, request: &RequestFacts) -> StoreKey {
        self.place(key, &VaryKey::of(self.names.iter().cloned(), request))
    }

    /// Where the response with this vary key lies.
    pub(super) fn place(&self, key: StoreKey, vary: &VaryKey) -> StoreKey {
        let digest = Sha256::new()
            .chain_update(key.0)
            .chain_update(self.generation.to_be_bytes())
            .chain_update(vary.to_bytes())
            .finalize();
        StoreKey(digest.into())
    }

    /// `2 GENERATION NEEDED_UNTIL NAME,NAME KNOWN`: the generation in hexadecimal, what is known in base64url without
    /// padding. Version 1 knew nothing.
    pub(super) fn to_text(&self) -> String {
        let names: Vec<&str> = self.names.iter().map(HeaderName::as_str).collect();
        format!(
            "2 {:016x} {} {} {}",
            self.generation,
            self.needed_until.as_unix_seconds(),
            names.join(","),
            URL_SAFE_NO_PAD.encode(self.known.encode()),
        )
    }

    /// What [`Self::to_text`] wrote, in this version or an earlier one.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let mut next = || parts.next();
        let (version, generation, until, names) = (next()?, next()?, next()?, next()?);
        let known = match version {
            "1" => VariantList::default(),
            "2" => VariantList::decode(&URL_SAFE_NO_PAD.decode(next()?).ok()?).ok()?,
            _ => return None,
        };
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            names: names
                .split(',')
                .map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
                .collect::<Option<_>>()?,
            generation: u64::from_str_radix(generation, 16).ok()?,
            needed_until: Timestamp::from_unix_seconds(until.parse().ok()?),
            known,
        })
    }
}

/// The names of both, sorted.
fn union(one: &[HeaderName], other: &[HeaderName]) -> Vec<HeaderName> {
    let mut names = one.to_vec();
    for name in other {
        let place = names.binary_search_by(|known| known.as_str().cmp(name.as_str()));
        if let Err(place) = place {
            names.insert(place, name.clone());
        }
    }
    names
}

#[cfg(test)]
pub(super) mod tests;

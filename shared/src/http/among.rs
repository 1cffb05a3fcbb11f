//! Several stored responses of one URI (RFC 9111 §4.1, §4.3.1, §4.3.4).

use ::http::header::IF_NONE_MATCH;
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{
    Decision, EntityTag, Extent, Fill, ForwardAs, OnResponse, RequestFacts, ResponseHead, Rules,
    Selection, StoredResponse, ValidationRequest, Variant, VariantList, decide, identified,
    on_response, select,
};
use crate::outcome::ForwardReason;
use crate::purge::Verdict;
use crate::time::Timestamp;

/// A stored response, with the ledger's verdict on it at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// What is stored.
    pub head: &'a StoredResponse,
    /// What the ledger says of it.
    pub verdict: Verdict,
}

/// What was said, and of which of several stored responses.
#[derive(Clone, Debug)]
#[must_use]
pub struct Among<T> {
    /// The place of the stored response that it is about; none if it is about none of them.
    pub place: Option<usize>,
    /// What was said.
    pub said: T,
}

/// What the origin may choose: the entity tag of something that could answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    pub(super) date: Timestamp,
    pub(super) tag: &'a EntityTag,
}

/// [`decide`] for all stored responses of one URI.
///
/// If none of them is for this request, the origin is asked with the entity tags of all of them, and may say
/// which one it would send (RFC 9111 §4.1).
pub fn decide_among(
    request: &RequestFacts,
    stored: &[Held<'_>],
    now: Timestamp,
    rules: &Rules,
) -> Among<Decision> {
    let usable = usable(stored);
    let heads: Vec<&StoredResponse> = usable.iter().map(|(_, held)| held.head).collect();
    let selection = select(request, &heads);
    let (place, held) = match selection {
        Selection::Match(at) => usable.get(at).copied().unzip(),
        Selection::VaryMiss | Selection::UriMiss => (None, None),
    };
    let verdict = held.map_or(Verdict::Untouched, |held| held.verdict);
    let said = match decide(request, held.map(|held| held.head), verdict, now, rules) {
        Decision::Forward(ForwardReason::UriMiss) if !stored.is_empty() => {
            let offers = heads.iter().filter_map(|head| Offer::of(head));
            of_others(request, offers, because_of(heads.len(), stored.len()))
        }
        said => said,
    };
    Among { place, said }
}

/// [`decide_among`] for a shell that has looked for what is for this request, and found nothing: given what it
/// knows of the other stored responses of the URI, and the ledger's verdict on each.
pub fn decide_unread(
    request: &RequestFacts,
    known: &VariantList,
    verdict: impl Fn(&Variant) -> Verdict,
    now: Timestamp,
) -> Decision {
    let others = || known.others(request, now);
    let usable: Vec<&Variant> = others()
        .filter(|variant| verdict(variant) != Verdict::Dropped)
        .collect();
    let because = because_of(usable.len(), others().count());
    let offers = usable.iter().filter_map(|variant| variant.offer());
    of_others(request, offers, because)
}

/// [`on_response`] for all stored responses of one URI: a 304 may be about another one than was selected.
///
/// What it freshens becomes the stored response for this request too: its vary key is this request's. The
/// one that it was stays stored beside it.
pub fn on_response_among(
    request: &RequestFacts,
    response: ResponseHead<'_>,
    stored: &[Held<'_>],
    fill: &Fill<'_>,
    rules: &Rules,
) -> Among<OnResponse> {
    let usable = usable(stored);
    let heads: Vec<&StoredResponse> = usable.iter().map(|(_, held)| held.head).collect();
    let selected = match select(request, &heads) {
        Selection::Match(at) => Some(at),
        Selection::VaryMiss | Selection::UriMiss => None,
    };
    let named = match (response.status, fill.asked) {
        (StatusCode::NOT_MODIFIED, ForwardAs::Validation(_)) => identified(response.fields, &heads),
        _ => None,
    };
    let (place, held) = named
        .or(selected)
        .and_then(|at| usable.get(at).copied())
        .unzip();
    let verdict = held.map_or(Verdict::Untouched, |held| held.verdict);
    let stored = held.map(|held| held.head);
    Among {
        place,
        said: on_response(request, response, stored, verdict, fill, rules),
    }
}

impl ValidationRequest {
    /// Asks which of several stored responses the origin would send; none if none of them has an entity tag.
    ///
    /// At most [`Self::MOST_TAGS`], the most recent ones.
    pub fn of_several(stored: &[&StoredResponse], because: ForwardReason) -> Option<Self> {
        Self::offering(
            stored.iter().filter_map(|stored| Offer::of(stored)),
            because,
        )
    }

    /// The same, of what is known of them.
    fn offering<'a>(
        offers: impl Iterator<Item = Offer<'a>>,
        because: ForwardReason,
    ) -> Option<Self> {
        let mut recent: Vec<Offer<'a>> = Vec::new();
        for offer in offers {
            // They are few, so no sorting is brought into the worker for them.
            let at = recent.partition_point(|other| other.date >= offer.date);
            recent.insert(at, offer);
        }
        let mut tags: Vec<HeaderValue> = Vec::new();
        for offer in recent {
            if let Some(value) = offer.tag.to_value().filter(|value| !tags.contains(value)) {
                tags.push(value);
            }
        }
        tags.truncate(Self::MOST_TAGS);
        let tags: Vec<&[u8]> = tags.iter().map(HeaderValue::as_bytes).collect();
        let mut fields = HeaderMap::new();
        let value = HeaderValue::from_bytes(&tags.join(&b", "[..])).ok()?;
        fields.insert(IF_NONE_MATCH, value);
        (!tags.is_empty()).then_some(Self { because, fields })
    }

    /// More entity tags than this are not sent along.
    pub const MOST_TAGS: usize = 16;
}

impl<'a> Offer<'a> {
    /// None of what has no entity tag, and none of a part: that would have to be completed before it could answer.
    pub(super) const fn of(stored: &'a StoredResponse) -> Option<Self> {
        match (stored.extent, &stored.entity_tag) {
            (Extent::Complete { .. }, Some(tag)) => Some(Self {
                date: stored.date,
                tag,
            }),
            (Extent::Complete { .. }, None) | (Extent::Partial { .. }, _) => None,
        }
    }
}

/// What to do when all that is stored is for other requests.
fn of_others<'a>(
    request: &RequestFacts,
    offers: impl Iterator<Item = Offer<'a>>,
    because: ForwardReason,
) -> Decision {
    // The client's own conditions, and its ranges, are asked as they are.
    let is_plain = request.method == Method::GET
        && !request.is_conditional_or_partial()
        && !request.directives.no_store;
    is_plain
        .then(|| ValidationRequest::offering(offers, because))
        .flatten()
        .map_or(Decision::Forward(because), Decision::Validate)
}

/// What the ledger has dropped is there, and may not be used (RFC 9211 §2.2).
const fn because_of(usable: usize, stored: usize) -> ForwardReason {
    if usable == 0 && stored > 0 {
        ForwardReason::Miss
    } else {
        ForwardReason::VaryMiss
    }
}

/// Those that the ledger has not dropped, with their places.
fn usable<'a>(stored: &[Held<'a>]) -> Vec<(usize, Held<'a>)> {
    let held = stored.iter().copied().enumerate();
    held.filter(|(_, held)| held.verdict != Verdict::Dropped)
        .collect()
}

#[cfg(test)]
mod tests;

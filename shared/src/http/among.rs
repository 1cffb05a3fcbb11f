//! Several stored responses of one URI (RFC 9111 §4.1, §4.3.1, §4.3.4).

use ::http::HeaderMap;

use super::{
    Decision, Fill, OnResponse, RequestFacts, ResponseHead, Rules, Selection, StoredResponse,
    ValidationRequest, decide, on_response, select,
};
use crate::outcome::ForwardReason;
use crate::purge::Verdict;
use crate::time::Timestamp;

/// A stored response, with the ledger's verdict on it.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// What is stored.
    pub head: &'a StoredResponse,
    /// What the ledger says of it at this moment.
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

/// [`decide`] for several stored responses of one URI.
///
/// If none of them was selected for this request, the origin is asked with the entity tags of all of them, and
/// may say which one it would send (RFC 9111 §4.1).
pub fn decide_among(
    request: &RequestFacts,
    stored: &[Held<'_>],
    now: Timestamp,
    rules: &Rules,
) -> Among<Decision> {
    let place = selected(request, stored);
    let held = place.and_then(|place| stored.get(place));
    let verdict = held.map_or(Verdict::Untouched, |held| held.verdict);
    let said = decide(request, held.map(|held| held.head), verdict, now, rules);
    Among { place, said }
}

/// [`on_response`] for several stored responses of one URI: a 304 may be about another one than was selected.
///
/// What it freshens becomes the stored response for this request too: its vary key is this request's.
pub fn on_response_among(
    request: &RequestFacts,
    response: ResponseHead<'_>,
    stored: &[Held<'_>],
    fill: &Fill<'_>,
    rules: &Rules,
) -> Among<OnResponse> {
    let place = selected(request, stored);
    let held = place.and_then(|place| stored.get(place));
    let verdict = held.map_or(Verdict::Untouched, |held| held.verdict);
    let head = held.map(|held| held.head);
    Among {
        place,
        said: on_response(request, response, head, verdict, fill, rules),
    }
}

/// Which of several stored responses a 304 with these fields is about (RFC 9111 §4.3.4).
pub fn identified(fields: &HeaderMap, stored: &[&StoredResponse]) -> Option<usize> {
    let _ = (fields, stored);
    None
}

impl ValidationRequest {
    /// Asks whether `selected` is still right, or whether any of `others` would be sent instead.
    pub fn of_several<'a>(
        selected: Option<&StoredResponse>,
        others: impl IntoIterator<Item = &'a StoredResponse>,
        because: ForwardReason,
    ) -> Option<Self> {
        let _ = others.into_iter().count();
        Self::of(selected?, because)
    }
}

/// The stored response for the request, of those that the ledger has not dropped.
fn selected(request: &RequestFacts, stored: &[Held<'_>]) -> Option<usize> {
    let usable: Vec<(usize, &StoredResponse)> = stored
        .iter()
        .enumerate()
        .filter(|(_, held)| held.verdict != Verdict::Dropped)
        .map(|(place, held)| (place, held.head))
        .collect();
    let heads: Vec<&StoredResponse> = usable.iter().map(|(_, head)| *head).collect();
    match select(request, &heads) {
        Selection::Match(at) => usable.get(at).map(|(place, _)| *place),
        Selection::VaryMiss | Selection::UriMiss => None,
    }
}

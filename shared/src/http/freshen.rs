//! What a 304 says of what is stored (RFC 9111 §4.3.3, §4.3.4).

use ::http::header::{ETAG, IF_NONE_MATCH, LAST_MODIFIED};
use ::http::{HeaderMap, HeaderValue};

use super::fields::{lines, merged_fields, only_line};
use super::storable::to_stored;
use super::{
    EntityTag, Fill, ForwardAs, OnResponse, RequestFacts, ResponseHead, Rules, StoredResponse,
    Strength, TagCondition, ValidationRequest, conditional,
};
use crate::outcome::NotStored;
use crate::purge::Verdict;

/// What to do with a 304 (R4).
pub(super) fn on_not_modified(
    request: &RequestFacts,
    fields: &HeaderMap,
    stored: Option<&StoredResponse>,
    verdict: Verdict,
    fill: &Fill<'_>,
    rules: &Rules,
) -> OnResponse {
    // Purged while the origin was asked: nobody knows which representation it speaks of (R2, R3).
    let usable = stored.filter(|stored| stored.has_validator() && verdict != Verdict::Dropped);
    let place = usable.and_then(|stored| identified(fields, &[stored]).map(|_| stored));
    match fill.asked {
        ForwardAs::Validation(validation) => {
            // Many origins leave validators out: then it can only mean the one that was asked about.
            let sole = usable.filter(|_| is_silent(fields) && validation.is_about_one());
            match place.or(sole) {
                Some(stored) => freshened(request, fields, stored, fill, rules),
                None => OnResponse::AskAgain,
            }
        }
        // The client's own conditions went to the origin, so it gets the answer; but what is stored may have
        // been spoken of as well.
        ForwardAs::Client => match place {
            Some(stored)
                if conditional::evaluate(request, stored) == conditional::Outcome::NotModified =>
            {
                freshened(request, fields, stored, fill, rules)
            }
            Some(_) | None => OnResponse::Pass(NotStored::NotModified),
        },
        // Nothing was asked that this could answer.
        ForwardAs::Completion(_) | ForwardAs::Fill => OnResponse::AskAgain,
    }
}

/// Which of several stored responses a 304 with these fields speaks of: of several, the most recent
/// (RFC 9111 §4.3.4).
///
/// None if it speaks of none of them, or has no validator at all.
pub fn identified(fields: &HeaderMap, stored: &[&StoredResponse]) -> Option<usize> {
    let fits: Box<dyn Fn(&StoredResponse) -> bool + '_> =
        if let Some(text) = only_line(fields, &ETAG) {
            let tag = EntityTag::parse(text)?;
            Box::new(move |stored| stored.entity_tag().is_some_and(|own| is_named(own, &tag)))
        } else {
            // Compared as text, like the origin does.
            let text = only_line(fields, &LAST_MODIFIED)?;
            Box::new(move |stored| {
                let own = stored.fields().get(LAST_MODIFIED);
                own.map(HeaderValue::as_bytes) == Some(text)
            })
        };
    let fitting = stored.iter().enumerate().filter(|(_, stored)| fits(stored));
    fitting
        .max_by_key(|(_, stored)| (stored.date(), stored.exchange().received_at))
        .map(|(place, _)| place)
}

/// Whether a 304 with the entity tag `said` speaks of what has the tag `own`: a strong one must be that of what is
/// stored; a weak one, equal to it.
pub(super) fn is_named(own: &EntityTag, said: &EntityTag) -> bool {
    match said.strength() {
        Strength::Strong => said.strongly_matches(own),
        Strength::Weak => said.weakly_matches(own),
    }
}

impl ValidationRequest {
    /// Whether it names one stored response alone.
    fn is_about_one(&self) -> bool {
        match TagCondition::parse(lines(&self.fields, &IF_NONE_MATCH)) {
            Some(TagCondition::Tags(tags)) => tags.len() == 1,
            Some(TagCondition::Any) => false,
            None => true,
        }
    }
}

/// `stored` with the fields of the 304.
fn freshened(
    request: &RequestFacts,
    fields: &HeaderMap,
    stored: &StoredResponse,
    fill: &Fill<'_>,
    rules: &Rules,
) -> OnResponse {
    let merged = merged_fields(&stored.fields, fields);
    let head = ResponseHead {
        status: stored.status,
        fields: &merged,
    };
    // The fence is the one read before asking, the surrogate keys those of the merged fields (R4).
    match to_stored(request, head, stored.extent, fill, rules) {
        Ok(freshened) => OnResponse::Freshen(Box::new(freshened)),
        Err(because) => {
            let mut head = stored.clone();
            head.fields = merged;
            OnResponse::AnswerOnce {
                head: Box::new(head),
                because,
            }
        }
    }
}

/// Whether it has no validator.
fn is_silent(fields: &HeaderMap) -> bool {
    !fields.contains_key(ETAG) && !fields.contains_key(LAST_MODIFIED)
}

//! What to do with the origin's answer.

use ::http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use ::http::{HeaderMap, Method, StatusCode};

use super::failure::stale_on_error;
use super::fields::{merged_fields, only_line};
use super::partial::{combine, describe};
use super::storable::{extent, to_stored};
use super::stored::Allowance;
use super::{
    Combined, EntityTag, Exchange, ForwardAs, RequestFacts, Rules, StoredResponse, Strength,
};
use super::{Extent, range};
use crate::outcome::{NotStored, StaleReason};
use crate::purge::{Fence, Verdict};
use crate::time::DeltaSeconds;

/// The head of a response from the origin.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, as they came.
    pub fields: &'a HeaderMap,
}

/// What the shell knows about the asking.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// When it asked, and when the head came.
    pub exchange: Exchange,
    /// The ledger's position, read before it asked (R1, R4), no later than the verdict on what is stored.
    pub fence: Fence,
    /// Host the response is stored under: lower case, with its port if that is not the scheme's own.
    pub host: &'a str,
    /// Path and query it is stored under, after normalising.
    pub path_and_query: &'a str,
    /// As what it asked.
    pub asked: ForwardAs<'a>,
}

/// What to do with the origin's answer.
#[derive(Clone, Debug)]
#[must_use]
pub enum OnResponse {
    /// Send it on, and store it with its body: what [`StoredResponse::after_body`] makes of it, and in the place
    /// of what is stored only if it [may](StoredResponse::may_replace). A part goes on as it came.
    Store(Box<StoredResponse>),
    /// It has the bytes that were asked for as a [`ForwardAs::Completion`]: answer from the combination, and
    /// store that instead of the stored part.
    Complete(Box<Combined>),
    /// It is a part for the client, and fits what is stored: send it on as it came, and store the
    /// combination instead of what is stored.
    Combine(Box<Combined>),
    /// It is a 304 for what is stored: replace the stored head by this one, keep the body, and answer from it.
    Freshen(Box<StoredResponse>),
    /// It is a 304 that forbids storing: answer from this head and the stored body once, and forget both.
    AnswerOnce {
        /// The merged head.
        head: Box<StoredResponse>,
        /// Why it is not stored any longer.
        because: NotStored,
    },
    /// It answers a HEAD and says more of what is stored: replace the stored head by this one, keep the
    /// body, and send the origin's answer on (RFC 9111 §4.3.5).
    Update(Box<StoredResponse>),
    /// It is an error: send what is stored instead (RFC 5861 §4).
    ServeStale {
        /// Its current age.
        age: DeltaSeconds,
        /// For how long it has been stale.
        stale_for: DeltaSeconds,
        /// Why it may be sent.
        because: StaleReason,
    },
    /// It is a 304, or an answer to a completion, that does not fit what is stored: ask again with [`super::ForwardAs::Fill`].
    AskAgain,
    /// Send it on; it is not stored.
    Pass(NotStored),
}

/// What to do with the origin's answer to `request`.
///
/// `stored` is what was selected for the request, if the ledger let it be considered when the origin was
/// asked; `verdict` is the ledger's on it at this moment.
pub fn on_response(
    request: &RequestFacts,
    response: ResponseHead<'_>,
    stored: Option<&StoredResponse>,
    verdict: Verdict,
    fill: &Fill<'_>,
    rules: &Rules,
) -> OnResponse {
    if response.status == StatusCode::NOT_MODIFIED {
        return on_not_modified(request, response.fields, stored, verdict, fill, rules);
    }
    let usable = stored.filter(|_| verdict != Verdict::Dropped);
    if let Some(stored) = usable
        && is_server_error(response.status)
        && let Some(stale) = stale_on_error(request, stored, fill.exchange.received_at, rules)
    {
        return OnResponse::ServeStale {
            age: stale.age,
            stale_for: stale.stale_for,
            because: StaleReason::OriginError,
        };
    }
    if request.method == Method::HEAD {
        return on_head(request, response, usable, fill, rules);
    }
    if response.status == StatusCode::PARTIAL_CONTENT
        && let Some(stored) = usable
        && let Some(combined) = combination(request, response.fields, stored, fill, rules)
    {
        return match fill.asked {
            ForwardAs::Completion(_) if answers(request, &combined.head) => {
                OnResponse::Complete(Box::new(combined))
            }
            ForwardAs::Completion(_) => OnResponse::AskAgain,
            ForwardAs::Client | ForwardAs::Validation(_) | ForwardAs::Fill => {
                OnResponse::Combine(Box::new(combined))
            }
        };
    }
    if is_about_the_completion(response.status, fill.asked) {
        return OnResponse::AskAgain;
    }
    match extent(response, rules)
        .and_then(|extent| to_stored(request, response, extent, fill, rules))
    {
        Ok(stored) => OnResponse::Store(Box::new(stored)),
        Err(because) => OnResponse::Pass(because),
    }
}

/// What is stored and a 206 as one, if they are of the same bytes (RFC 9111 §3.4).
fn combination(
    request: &RequestFacts,
    fields: &HeaderMap,
    stored: &StoredResponse,
    fill: &Fill<'_>,
    rules: &Rules,
) -> Option<Combined> {
    let response = ResponseHead {
        status: StatusCode::PARTIAL_CONTENT,
        fields,
    };
    let extent = extent(response, rules).ok()?;
    // The validator must be the response's own, not one that merging gives it.
    let tag = only_line(fields, &ETAG).and_then(EntityTag::parse);
    let is_same = match (&stored.entity_tag, &tag) {
        (Some(stored), Some(own)) => own.strongly_matches(stored),
        (None, None) => fields.get(LAST_MODIFIED) == stored.fields.get(LAST_MODIFIED),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !is_same {
        return None;
    }
    // A 206 may leave out what has not changed, so that only both together say what may be stored.
    let mut merged = merged_fields(&stored.fields, fields);
    let status = describe(&mut merged, extent);
    let head = ResponseHead {
        status,
        fields: &merged,
    };
    let newer = to_stored(request, head, extent, fill, rules).ok()?;
    combine(stored, &newer)
}

/// Whether the combination has what the client wants.
fn answers(request: &RequestFacts, head: &StoredResponse) -> bool {
    match head.extent {
        Extent::Complete { .. } => true,
        Extent::Partial { .. } => range::lies_within(request, head),
    }
}

/// Whether a status speaks of the range that a completion asked for, and not of what the client did.
fn is_about_the_completion(status: StatusCode, asked: ForwardAs<'_>) -> bool {
    match asked {
        ForwardAs::Completion(_) => matches!(status.as_u16(), 206 | 412 | 416),
        ForwardAs::Client | ForwardAs::Validation(_) | ForwardAs::Fill => false,
    }
}

/// Freshening (RFC 9111 §4.3.4, R4).
fn on_not_modified(
    request: &RequestFacts,
    fields: &HeaderMap,
    stored: Option<&StoredResponse>,
    verdict: Verdict,
    fill: &Fill<'_>,
    rules: &Rules,
) -> OnResponse {
    // The client's own condition went to the origin: there was nothing to validate.
    let Some(stored) = stored.filter(|stored| stored.has_validator()) else {
        return OnResponse::Pass(NotStored::NotModified);
    };
    // Purged while the origin was asked: nobody knows which representation it speaks of (R2, R3).
    if verdict == Verdict::Dropped || !identifies(request, fields, stored) {
        return OnResponse::AskAgain;
    }
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

/// Whether a 304 with these fields speaks of `stored` (RFC 9111 §4.3.4).
fn identifies(request: &RequestFacts, fields: &HeaderMap, stored: &StoredResponse) -> bool {
    if let Some(text) = only_line(fields, &ETAG) {
        // A strong tag must be that of what is stored; a weak one, equal to it.
        return EntityTag::parse(text)
            .zip(stored.entity_tag.as_ref())
            .is_some_and(|(new, own)| match new.strength() {
                Strength::Strong => new.strongly_matches(own),
                Strength::Weak => new.weakly_matches(own),
            });
    }
    if let Some(text) = only_line(fields, &LAST_MODIFIED) {
        // Compared as text, like the origin does, if it is no date.
        return stored
            .fields
            .get(LAST_MODIFIED)
            .is_some_and(|own| own.as_bytes() == text);
    }
    // Many origins leave validators out. The only ones that it can mean are those that were sent, and
    // these are the stored response's, unless the client's own conditions went along.
    !request.for_the_origin
}

/// A response to HEAD tells whether what is stored for GET is still right (RFC 9111 §4.3.5).
fn on_head(
    request: &RequestFacts,
    response: ResponseHead<'_>,
    stored: Option<&StoredResponse>,
    fill: &Fill<'_>,
    rules: &Rules,
) -> OnResponse {
    let same_status = |stored: &&StoredResponse| stored.status == response.status;
    let Some(stored) = stored.filter(same_status) else {
        return OnResponse::Pass(NotStored::Method);
    };
    match head_agreement(response.fields, stored) {
        Agreement::Unknown => OnResponse::Pass(NotStored::Method),
        Agreement::Same => {
            let merged = merged_fields(&stored.fields, response.fields);
            let head = ResponseHead {
                status: stored.status,
                fields: &merged,
            };
            match to_stored(request, head, stored.extent, fill, rules) {
                Ok(updated) => OnResponse::Update(Box::new(updated)),
                Err(because) => OnResponse::Pass(because),
            }
        }
        // It has changed: what is stored is stale from now on, under the fence it has.
        Agreement::Different => {
            let mut outdated = stored.clone();
            outdated.lifetime = DeltaSeconds::ZERO;
            outdated.grace = Allowance::Stated(DeltaSeconds::ZERO);
            OnResponse::Update(Box::new(outdated))
        }
    }
}

enum Agreement {
    Same,
    Different,
    Unknown,
}

fn head_agreement(fields: &HeaderMap, stored: &StoredResponse) -> Agreement {
    let mut agreement = Agreement::Unknown;
    for name in [ETAG, LAST_MODIFIED, CONTENT_LENGTH] {
        match (fields.get(&name), stored.fields.get(&name)) {
            (Some(new), Some(own)) if new == own => {
                // An equal length alone proves nothing.
                if name != CONTENT_LENGTH {
                    agreement = Agreement::Same;
                }
            }
            (Some(_), Some(_)) => return Agreement::Different,
            (None, _) | (_, None) => {}
        }
    }
    agreement
}

/// Errors for which something stale may stand in (RFC 5861 §4).
fn is_server_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502..=504)
}

#[cfg(test)]
mod tests;

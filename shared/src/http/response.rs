//! What to do with the origin's answer.

use ::http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use ::http::{HeaderMap, Method, StatusCode};

use super::cache_control::number;
use super::failure::stale_on_error;
use super::fields::{merged_fields, only_line};
use super::freshen::on_not_modified;
use super::partial::on_part;
use super::storable::{extent, to_stored};
use super::stored::Allowance;
use super::{Combined, Exchange, Extent, ForwardAs, RequestFacts, Rules, StoredResponse};
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
    if let Some(said) = on_part(request, response, usable, fill, rules) {
        return said;
    }
    match extent(response, rules)
        .and_then(|extent| to_stored(request, response, extent, fill, rules))
    {
        Ok(stored) => OnResponse::Store(Box::new(stored)),
        Err(because) => OnResponse::Pass(because),
    }
}

/// A response to HEAD tells whether what is stored for GET is still right (RFC 9111 §4.3.5).
fn on_head(
    request: &RequestFacts,
    response: ResponseHead<'_>,
    stored: Option<&StoredResponse>,
    fill: &Fill<'_>,
    rules: &Rules,
) -> OnResponse {
    let same_status = |stored: &&StoredResponse| match stored.extent {
        Extent::Complete { .. } => stored.status == response.status,
        Extent::Partial { .. } => response.status == StatusCode::OK,
    };
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
    for name in [ETAG, LAST_MODIFIED] {
        match (fields.get(&name), stored.fields.get(&name)) {
            (Some(new), Some(own)) if new == own => agreement = Agreement::Same,
            // Also a validator that what is stored has not (RFC 9111 §4.3.5).
            (Some(_), _) => return Agreement::Different,
            (None, _) => {}
        }
    }
    // Another length is another body; an equal one alone proves nothing.
    let whole = match stored.extent {
        Extent::Complete { length } => length,
        Extent::Partial { complete, .. } => complete,
    };
    match (only_line(fields, &CONTENT_LENGTH).and_then(number), whole) {
        (Some(new), Some(own)) if new != own => Agreement::Different,
        _ => agreement,
    }
}

/// Errors for which something stale may stand in (RFC 5861 §4).
fn is_server_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502..=504)
}

#[cfg(test)]
mod tests;

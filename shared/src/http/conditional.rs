//! The client's own preconditions, held against a stored response (RFC 9110 §13).

use super::{RequestFacts, StoredResponse};

/// What the preconditions leave of the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Outcome {
    /// The response itself.
    Full,
    /// A 304 without body.
    NotModified,
    /// A 412. Only who is the origin of the response comes here: [`super::decide`] forwards requests
    /// with `If-Match` or `If-Unmodified-Since` (RFC 9111 §4.3.2).
    PreconditionFailed,
}

/// Evaluates the preconditions in their order of precedence (RFC 9110 §13.2.2).
pub fn evaluate(request: &RequestFacts, stored: &StoredResponse) -> Outcome {
    // Only where the answer without them would be a success (RFC 9110 §13.2.1).
    if !stored.status.is_success() {
        return Outcome::Full;
    }
    let tag = stored.entity_tag.as_ref();
    if let Some(condition) = &request.if_match {
        if !condition.strongly_names(tag) {
            return Outcome::PreconditionFailed; // (RFC 9110 §13.1.1)
        }
    } else if let (Some(since), Some(modified)) =
        (request.if_unmodified_since, stored.last_modified)
        && modified > since
    {
        return Outcome::PreconditionFailed; // (RFC 9110 §13.1.4)
    }
    if let Some(condition) = &request.if_none_match {
        return if condition.weakly_names(tag) {
            Outcome::NotModified // (RFC 9110 §13.1.2)
        } else {
            Outcome::Full
        };
    }
    // Without `Last-Modified`, its `Date` (RFC 9111 §4.3.2).
    match request.if_modified_since {
        Some(since) if stored.last_modified.unwrap_or(stored.date) <= since => {
            Outcome::NotModified // (RFC 9110 §13.1.3)
        }
        Some(_) | None => Outcome::Full,
    }
}

#[cfg(test)]
mod tests;

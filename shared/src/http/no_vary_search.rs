//! Which parts of a query a response does not depend on (draft-ietf-httpbis-no-vary-search).

use std::borrow::Cow;

use ::http::HeaderMap;

/// A valid `No-Vary-Search` field that says anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoVarySearch {
    text: Box<str>,
}

impl NoVarySearch {
    /// What the response with these fields says; none if it says nothing, or anything malformed.
    pub fn of(fields: &HeaderMap) -> Option<Self> {
        let _ = fields;
        None
    }

    /// The query, without its `?`, in the one form that all equivalent ones have.
    pub fn normalise<'a>(&self, query: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(query)
    }

    /// Whether two queries, without their `?`, mean the same response.
    pub fn are_equivalent(&self, one: &str, other: &str) -> bool {
        self.normalise(one) == self.normalise(other)
    }

    /// The rule in its one spelling: equal rules have equal texts.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

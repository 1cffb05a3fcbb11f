//! What of a request matters to the cache, parsed once.

use std::sync::Arc;

use ::http::header::{
    AUTHORIZATION, CACHE_CONTROL, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, PRAGMA, RANGE,
};
use ::http::{HeaderMap, HeaderValue, Method, Uri};

use super::cache_control::RequestDirectives;
use super::fields::{Traces, lines, only_line};
use super::range::{IfRange, RangeSpec};
use super::{Rules, TagCondition, date};
use crate::time::Timestamp;

/// What of a request matters to the cache.
#[derive(Clone, Debug)]
pub struct RequestFacts {
    pub(super) method: Method,
    pub(super) uri: Arc<Uri>,
    pub(super) directives: RequestDirectives,
    pub(super) if_match: Option<TagCondition>,
    pub(super) if_none_match: Option<TagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
    /// A precondition that only the origin may evaluate, in whatever form (RFC 9111 §4.3.2).
    pub(super) for_the_origin: bool,
    pub(super) range: Option<RangeSpec>,
    pub(super) if_range: Option<IfRange>,
    pub(super) authorization: bool,
    /// All fields: any of them may be one that stored responses are selected by.
    pub(super) selecting: Arc<HeaderMap>,
}

impl RequestFacts {
    /// Parses what the decisions need; whatever is malformed is taken so that the origin is asked.
    pub fn parse(
        method: &Method,
        uri: &Uri,
        fields: &HeaderMap,
        now: Timestamp,
        rules: &Rules,
    ) -> Self {
        let (uri, fields) = (Arc::new(uri.clone()), Arc::new(fields.clone()));
        Self::of(method, &uri, &fields, now, rules)
    }

    /// [`Self::parse`] for a target and fields that are kept anyway: they are shared.
    pub fn of(
        method: &Method,
        uri: &Arc<Uri>,
        fields: &Arc<HeaderMap>,
        now: Timestamp,
        rules: &Rules,
    ) -> Self {
        let traces = Traces::of(fields);
        let has = |name: &HeaderName| traces.may_have(name) && fields.contains_key(name);
        let condition = |name: &HeaderName| {
            has(name)
                .then(|| TagCondition::parse(lines(fields, name)))
                .flatten()
        };
        let line = |name: &HeaderName| {
            let line = traces.may_have(name).then(|| only_line(fields, name));
            line.flatten()
        };
        let moment = |name: &HeaderName| line(name).and_then(|text| date::parse(text, now));
        let says_how = has(&CACHE_CONTROL) || has(&PRAGMA);
        let directives = says_how.then(|| RequestDirectives::parse(fields, rules));
        let is_get = method == Method::GET;
        Self {
            method: method.clone(),
            uri: Arc::clone(uri),
            directives: directives.unwrap_or_default(),
            if_match: condition(&IF_MATCH),
            if_none_match: condition(&IF_NONE_MATCH),
            // Ignored beside `If-None-Match`, even a malformed one (RFC 9110 §13.1.3).
            if_modified_since: moment(&IF_MODIFIED_SINCE).filter(|_| !has(&IF_NONE_MATCH)),
            if_unmodified_since: moment(&IF_UNMODIFIED_SINCE).filter(|_| !has(&IF_MATCH)),
            for_the_origin: has(&IF_MATCH) || has(&IF_UNMODIFIED_SINCE),
            // Defined for GET alone (RFC 9110 §14.2).
            range: line(&RANGE).filter(|_| is_get).and_then(RangeSpec::parse),
            if_range: has(&IF_RANGE).then(|| IfRange::parse(line(&IF_RANGE), now)),
            authorization: has(&AUTHORIZATION),
            selecting: Arc::clone(fields),
        }
    }

    /// Takes this value of a selecting field instead of the client's, after normalising it.
    ///
    /// `None` stands for an absent field.
    #[must_use]
    pub fn with_selecting(mut self, name: HeaderName, value: Option<HeaderValue>) -> Self {
        let selecting = Arc::make_mut(&mut self.selecting);
        match value {
            Some(value) => drop(selecting.insert(name, value)),
            None => drop(selecting.remove(name)),
        }
        self
    }

    /// Its method.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Its target.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it carries conditions of the client's own.
    pub(super) const fn has_conditions(&self) -> bool {
        self.for_the_origin || self.if_none_match.is_some() || self.if_modified_since.is_some()
    }

    /// Whether it carries conditions or a range of the client's own, so that the answer may not be the whole.
    pub const fn is_conditional_or_partial(&self) -> bool {
        self.has_conditions() || self.range.is_some()
    }

    /// The same client asking for the whole with GET: what a fill in the background asks.
    #[must_use]
    pub fn for_fill(&self) -> Self {
        Self {
            method: Method::GET,
            directives: RequestDirectives::default(),
            if_match: None,
            if_none_match: None,
            if_modified_since: None,
            if_unmodified_since: None,
            for_the_origin: false,
            range: None,
            if_range: None,
            ..self.clone()
        }
    }
}

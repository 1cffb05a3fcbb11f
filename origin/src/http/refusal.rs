//! Answers of our own, when there is neither a stored response nor one of the service's.

use ::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use ::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use terrace_shared::http::Failure;
use terrace_shared::intake::TargetError;
use terrace_shared::outcome::{CacheStatus, ForwardReason};

use super::CacheBody;
use super::respond::Place;
use super::visit::Visit;

/// A short text with a status, that nobody stores.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    text: String,
    said: CacheStatus,
}

impl Refusal {
    /// The request's target could be understood in two ways.
    pub(super) fn bad_request(cache: &str, error: TargetError) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            text: format!("{cache}: {error}.\n"),
            said: CacheStatus::forward(cache, ForwardReason::Bypass).detail("bad-request"),
        }
    }

    /// The view of the ledger is too old, and the route wants no answer then (R7).
    pub(super) fn ledger_too_old(visit: &Visit) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            text: Self::text(
                visit,
                "what has been purged is not known here at the moment",
            ),
            said: Place::Nowhere.sign(visit.forwarded(ForwardReason::Bypass), visit.lag),
        }
    }

    /// The client wants something stored or nothing, and nothing is (RFC 9111 §5.2.1.7).
    pub(super) fn only_if_cached(visit: &Visit) -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            text: Self::text(
                visit,
                "nothing usable is stored, and the request asks for nothing else",
            ),
            said: visit
                .forwarded(ForwardReason::Request)
                .detail("only-if-cached"),
        }
    }

    /// The service gave no answer, and nothing that is stored can stand in for it.
    pub(super) fn failed(visit: &Visit, failure: Failure, said: CacheStatus) -> Self {
        let (status, text, detail) = match failure {
            Failure::Unreachable => (
                StatusCode::BAD_GATEWAY,
                "the service has given no answer",
                "origin-unreachable",
            ),
            Failure::TimedOut => (
                StatusCode::GATEWAY_TIMEOUT,
                "the service has given no answer in time",
                "origin-timed-out",
            ),
        };
        Self {
            status,
            text: Self::text(visit, text),
            said: Place::Nowhere.sign(said.detail(detail), visit.lag),
        }
    }

    fn text(visit: &Visit, sentence: &str) -> String {
        format!("{}: {sentence}.\n", visit.site.config.name)
    }

    /// As a response to the request of `visit`.
    pub(super) fn answer<B>(self, visit: &Visit) -> Response<CacheBody<B>> {
        self.answer_to(visit.intake.facts.method())
    }

    /// As a response to a request of this method.
    pub(super) fn answer_to<B>(self, method: &Method) -> Response<CacheBody<B>> {
        let mut fields = HeaderMap::new();
        let text_plain = HeaderValue::from_static("text/plain; charset=utf-8");
        fields.insert(CONTENT_TYPE, text_plain);
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(CONTENT_LENGTH, HeaderValue::from(self.text.len()));
        self.said.append_to(&mut fields);
        let body = if method == Method::HEAD {
            Bytes::new()
        } else {
            Bytes::from(self.text)
        };
        let mut response = Response::new(CacheBody::whole(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = fields;
        response
    }
}

//! Answers of our own, when there is neither a stored response nor one of the origin's.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use terrace_shared::intake::TargetError;
use terrace_shared::outcome::CacheStatus;
use terrace_shared::purge::Lag;
use wasm_bindgen::JsValue;
use worker::web_sys;

use crate::convert::{self, ResponseBody};
use crate::error::{ConfigError, OriginError};
use crate::respond::Place;

/// A short text with a status, that nobody stores.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
    cache_status: CacheStatus,
}

impl Refusal {
    /// With this status, and this sentence for whoever reads it.
    pub(crate) fn new(status: StatusCode, text: impl Into<String>, said: CacheStatus) -> Self {
        Self {
            status,
            text: text.into(),
            cache_status: said,
        }
    }

    /// The worker is not set up as it must be.
    pub(crate) fn misconfigured(error: &ConfigError) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Terrace: {error}."),
            CacheStatus::generated(CacheStatus::NAME, "misconfigured"),
        )
    }

    /// The request's target could be understood in two ways.
    pub(crate) fn bad_request(error: TargetError) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("Terrace: {error}."),
            CacheStatus::generated(CacheStatus::NAME, "bad-request"),
        )
    }

    /// The request's method is none.
    pub(crate) fn bad_method() -> Self {
        Self::bad_request(TargetError::Malformed)
    }

    /// The view of the ledger is too old, and the route wants no answer then (R7).
    pub(crate) fn ledger_too_old(lag: Lag) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Terrace: what has been purged is not known here at the moment.",
            Place::Nowhere.sign(
                CacheStatus::generated(CacheStatus::NAME, "ledger-too-old"),
                lag,
            ),
        )
    }

    /// The client wants something stored or nothing, and nothing is (RFC 9111 §5.2.1.7).
    pub(crate) fn only_if_cached() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "Terrace: nothing usable is stored, and the request asks for nothing else.",
            CacheStatus::generated(CacheStatus::NAME, "only-if-cached"),
        )
    }

    /// The origin gave no answer, and nothing that is stored can stand in for it.
    pub(crate) fn origin_failed(error: &OriginError, said: CacheStatus) -> Self {
        let detail = match error {
            OriginError::Unreachable(_) => "origin-unreachable",
            OriginError::TimedOut { .. } => "origin-timed-out",
            OriginError::MustAsk => "must-revalidate",
            OriginError::Status { .. } | OriginError::NoAnswer => "origin-not-understood",
        };
        // What exactly the platform says is for the log, not for clients.
        let text = match error {
            OriginError::Unreachable(inner) => {
                worker::console_warn!("origin unreachable: {inner}");
                "Terrace: the origin could not be reached.".to_owned()
            }
            other => format!("Terrace: {other}."),
        };
        Self::new(error.status(), text, said.detail(detail))
    }

    /// The platform refused what was asked of it.
    pub(crate) fn internal(error: &JsValue) -> Self {
        worker::console_error!("{error:?}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Terrace: the answer could not be put together.",
            CacheStatus::generated(CacheStatus::NAME, "internal-error"),
        )
    }

    /// As a response of the platform's.
    pub(crate) fn answer(self) -> web_sys::Response {
        let mut fields = HeaderMap::new();
        fields.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.cache_status.append_to(&mut fields);
        let text = format!("{}\n", self.text);
        convert::response(self.status.as_u16(), &fields, ResponseBody::Text(&text))
            .unwrap_or_else(|_| web_sys::Response::error())
    }
}

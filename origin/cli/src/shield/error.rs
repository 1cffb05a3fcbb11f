//! What goes wrong on the way to the upstream, and the short answers that say so.

use std::error::Error;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, VIA};
use http::{HeaderValue, Response, StatusCode};
use terrace_shared::intake::TargetError;
use terrace_shared::outcome::{CacheStatus, ForwardReason};

use super::body::AnswerBody;
use super::fields::{HostError, VIA_HERE};

/// Why the upstream gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UpstreamError {
    /// No connection came about.
    #[error("the upstream cannot be reached")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// No connection came about in time.
    #[error("the upstream has not taken a connection within {seconds} s")]
    ConnectTimedOut {
        /// How long was waited.
        seconds: u64,
    },
    /// No head of an answer came in time.
    #[error("the upstream has not begun to answer within {seconds} s")]
    FirstByteTimedOut {
        /// How long was waited.
        seconds: u64,
    },
    /// The connection broke, or what came over it was not HTTP.
    #[error("the upstream broke off, or did not answer in HTTP")]
    Broken(#[source] hyper::Error),
    /// The client's body is longer than allowed.
    #[error("the request's body is longer than allowed")]
    BodyTooLarge,
    /// The client broke off within its body.
    #[error("the request's body broke off")]
    ClientBody,
    /// It went over to another protocol, which nobody had asked for.
    #[error("the upstream switched protocols unasked")]
    Unasked,
    /// What is asked for could be understood in two ways.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The request cannot be written as one to the upstream.
    #[error("the request cannot be sent on")]
    Unsendable(#[from] http::Error),
}

impl UpstreamError {
    /// The status that says so to the client.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Connect(_) | Self::Broken(_) | Self::Unasked => StatusCode::BAD_GATEWAY,
            Self::ConnectTimedOut { .. } | Self::FirstByteTimedOut { .. } => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientBody | Self::Target(_) | Self::Unsendable(_) => StatusCode::BAD_REQUEST,
        }
    }

    const fn detail(&self) -> &'static str {
        match self {
            Self::Connect(_) => "upstream-unreachable",
            Self::ConnectTimedOut { .. } | Self::FirstByteTimedOut { .. } => "upstream-timed-out",
            Self::Broken(_) | Self::Unasked => "upstream-broke-off",
            Self::BodyTooLarge => "body-too-large",
            Self::ClientBody | Self::Target(_) | Self::Unsendable(_) => "bad-request",
        }
    }

    /// The answer that says so.
    pub(crate) fn answer(&self) -> Response<AnswerBody> {
        refusal(
            self.status(),
            ForwardReason::Miss,
            self.detail(),
            &self.to_string(),
        )
    }
}

/// Why a request is not even looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Refused {
    /// It wants a tunnel to anywhere.
    #[error("CONNECT is not taken here: this is no forward proxy")]
    Connect,
    /// Two readers could see its end in different places (RFC 9112 §6.1).
    #[error("the request says in two ways where it ends")]
    Ambiguous,
    /// It has been here before (RFC 8586).
    #[error("the request has been here before: the upstream leads back to this shield")]
    Looped,
    /// Its body is longer than allowed.
    #[error("the request's body is longer than allowed")]
    BodyTooLarge,
    /// It does not say of which host it asks.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Refused {
    /// The answer that says so.
    pub(crate) fn answer(self) -> Response<AnswerBody> {
        let (status, detail) = match self {
            Self::Connect => (StatusCode::METHOD_NOT_ALLOWED, "connect"),
            Self::Looped => (StatusCode::LOOP_DETECTED, "loop"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
            Self::Ambiguous | Self::Host(_) => (StatusCode::BAD_REQUEST, "bad-request"),
        };
        refusal(status, ForwardReason::Bypass, detail, &self.to_string())
    }
}

/// A short text that nobody stores, with `detail` in its `Cache-Status`.
fn refusal(
    status: StatusCode,
    reason: ForwardReason,
    detail: &str,
    sentence: &str,
) -> Response<AnswerBody> {
    let text = Bytes::from(format!("Terrace: {sentence}.\n"));
    let length = text.len();
    let mut response = Response::new(AnswerBody::whole(text));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    fields.insert(VIA, VIA_HERE);
    CacheStatus::forward(CacheStatus::NAME, reason)
        .detail(detail)
        .append_to(fields);
    response
}

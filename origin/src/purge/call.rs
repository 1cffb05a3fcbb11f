//! One HTTP call to whoever takes purges: JSON there, JSON back, a bearer token.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;

use super::target::TellError;

/// One place to call, with connections that are kept.
pub(crate) struct Call {
    /// Whom, as errors say it: `the edge`.
    whom: &'static str,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    authorization: HeaderValue,
    timeout: Duration,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    not_before: Option<Duration>,
    whom: &'static str,
}

impl Call {
    /// Longest answer that is read, in bytes; receipts are some hundred.
    const LONGEST_ANSWER: usize = 64 * 1_024;

    /// Calls of `whom` at `url` with this bearer token; the error says what is wrong with either.
    pub(crate) fn new(
        whom: &'static str,
        url: &str,
        token: &str,
        timeout: Duration,
    ) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
        match uri.scheme_str() {
            Some("http" | "https") if uri.host().is_some() => {}
            _ => return Err("http://host[:port] or https://host[:port] is expected"),
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "its token has characters that no header may have")?;
        authorization.set_sensitive(true);
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            whom,
            client: Client::builder(TokioExecutor::new()).build(connector),
            uri,
            authorization,
            timeout,
        })
    }

    /// The host that is called, with its port.
    pub(crate) fn authority(&self) -> &str {
        self.uri
            .authority()
            .map_or("", |authority| authority.as_str())
    }

    /// Posts `body`, and waits for the whole answer.
    pub(crate) async fn post(&self, body: &impl Serialize) -> Result<Answer, TellError> {
        let body = serde_json::to_vec(body).map_err(|error| unsent(&error))?;
        self.send_in_time(Method::POST, Bytes::from(body)).await
    }

    /// Asks, and waits for the whole answer.
    pub(crate) async fn get(&self) -> Result<Answer, TellError> {
        self.send_in_time(Method::GET, Bytes::new()).await
    }

    async fn send_in_time(&self, method: Method, body: Bytes) -> Result<Answer, TellError> {
        match tokio::time::timeout(self.timeout, self.send(method, body)).await {
            Ok(result) => result,
            Err(_) => Err(TellError::later(format!(
                "{} has not answered within {:?}",
                self.whom, self.timeout
            ))),
        }
    }

    async fn send(&self, method: Method, body: Bytes) -> Result<Answer, TellError> {
        let request = Request::builder()
            .method(method)
            .uri(self.uri.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| unsent(&error))?;
        let whom = self.whom;
        let response = self.client.request(request).await.map_err(|error| {
            TellError::later(format!("{whom} cannot be reached: {}", causes(&error)))
        })?;
        let (status, not_before) = (response.status(), retry_after(response.headers()));
        let body = Limited::new(response.into_body(), Self::LONGEST_ANSWER)
            .collect()
            .await
            .map_err(|error| TellError::later(format!("{whom}'s answer broke off: {error}")))?;
        Ok(Answer {
            status,
            body: body.to_bytes(),
            not_before,
            whom,
        })
    }
}

impl Answer {
    /// Why the call came to nothing: what cannot be understood never will be, anything else may be later.
    pub(crate) fn refusal(&self) -> TellError {
        let text: String = String::from_utf8_lossy(&self.body)
            .chars()
            .take(200)
            .collect();
        let reason = format!("{} answered {}: {}", self.whom, self.status, text.trim());
        match self.status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => TellError::Never { reason },
            _ => TellError::Later {
                reason,
                not_before: self.not_before,
            },
        }
    }
}

/// How long a server wants to be left alone, as it said in whole seconds (RFC 9110 §10.2.3).
fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    let text = fields.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn unsent(error: &dyn fmt::Display) -> TellError {
    TellError::later(error.to_string())
}

fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

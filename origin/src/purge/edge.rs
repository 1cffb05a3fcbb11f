//! The edge, as purges reach it: one HTTP call.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use terrace_shared::purge::wire::{PURGE_PATH, PurgeRequest, Receipt};

use terrace_shared::sabotage::{self, Rule};

use crate::error::{BuildError, EdgeError};
use crate::ledger::BoxFuture;

/// Where the edge is, and the token that it takes purges for.
#[derive(Clone)]
pub struct Edge {
    url: String,
    token: String,
    timeout: Duration,
}

impl Edge {
    /// The edge at `url` (`http://127.0.0.1:8787`), which takes purges for `token`.
    ///
    /// Whether both can be used is said when the cache is built.
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: token.into(),
            timeout: Duration::from_secs(5),
        }
    }

    /// Longest wait for the edge's answer to one purge. Default: 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Purges at this edge alone, once, past any cache's ledger and outbox.
    ///
    /// # Errors
    /// When the edge cannot be reached or does not take the purge.
    pub async fn purge(&self, request: &PurgeRequest) -> Result<Receipt, EdgeError> {
        let client = EdgeClient::new(self)?;
        Ok(client.tell(request).await?)
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Edge")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Somebody who takes purges over.
pub(crate) trait PurgeTarget: Send + Sync {
    /// Tells it of one purge; told twice, it is carried out once (R8).
    fn tell<'a>(&'a self, request: &'a PurgeRequest) -> BoxFuture<'a, Result<Receipt, TellError>>;
}

/// A target that did not take a purge.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TellError {
    /// It could not be reached, or is not ready for it: try again.
    #[error("{0}")]
    Later(String),
    /// It does not understand this purge, and never will.
    #[error("{0}")]
    Never(String),
}

/// The edge over HTTP.
pub(crate) struct EdgeClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    authorization: HeaderValue,
    timeout: Duration,
}

impl EdgeClient {
    pub(crate) fn new(edge: &Edge) -> Result<Self, BuildError> {
        let refuse = |reason| BuildError::Edge {
            url: edge.url.clone(),
            reason,
        };
        let uri: Uri = format!("{}{PURGE_PATH}", edge.url.trim_end_matches('/'))
            .parse()
            .map_err(|_| refuse("it is not a URL"))?;
        match uri.scheme_str() {
            Some("http" | "https") if uri.host().is_some() => {}
            _ => {
                return Err(refuse(
                    "http://host[:port] or https://host[:port] is expected",
                ));
            }
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", edge.token))
            .map_err(|_| refuse("its token has characters that no header may have"))?;
        authorization.set_sensitive(true);
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            uri,
            authorization,
            timeout: edge.timeout,
        })
    }

    async fn post(&self, request: &PurgeRequest) -> Result<Receipt, TellError> {
        let later = |reason: String| TellError::Later(reason);
        let body = serde_json::to_vec(request).map_err(|error| later(error.to_string()))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| later(error.to_string()))?;
        let response =
            self.client.request(request).await.map_err(|error| {
                later(format!("the edge cannot be reached: {}", causes(&error)))
            })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), Self::LONGEST_ANSWER)
            .collect()
            .await
            .map_err(|error| later(format!("the edge's answer broke off: {error}")))?
            .to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| later(format!("the edge's answer is no receipt: {error}")));
        }
        let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        let reason = format!("the edge answered {status}: {}", text.trim());
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Err(TellError::Never(reason)),
            _ => Err(TellError::Later(reason)),
        }
    }

    /// Longest answer that is read, in bytes; receipts are some hundred.
    const LONGEST_ANSWER: usize = 64 * 1_024;
}

impl PurgeTarget for EdgeClient {
    fn tell<'a>(&'a self, request: &'a PurgeRequest) -> BoxFuture<'a, Result<Receipt, TellError>> {
        Box::pin(async move {
            let lost = PurgeRequest {
                keys: vec!["nothing-that-there-is".to_owned()],
                ..PurgeRequest::default()
            };
            let broken = sabotage::breaks(Rule::ToldAtLeastOnce);
            let request = if broken { &lost } else { request };
            match tokio::time::timeout(self.timeout, self.post(request)).await {
                Ok(result) => result,
                Err(_) => Err(TellError::Later(format!(
                    "the edge has not answered within {:?}",
                    self.timeout
                ))),
            }
        })
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_that_cannot_be_used_are_named() {
        for (url, reason) in [
            ("edge.example", "not a URL"),
            ("http://", "not a URL"),
            ("ftp://edge.example", "expected"),
        ] {
            let error = EdgeClient::new(&Edge::new(url, "t"))
                .err()
                .map(|e| e.to_string());
            assert!(
                error.as_deref().is_some_and(|e| e.contains(reason)),
                "{url}: {error:?}"
            );
        }
        for url in ["http://127.0.0.1:1/", "https://edge.example"] {
            assert!(EdgeClient::new(&Edge::new(url, "t")).is_ok(), "{url}");
        }
        assert!(!format!("{:?}", Edge::new("http://e", "secret")).contains("secret"));
    }
}

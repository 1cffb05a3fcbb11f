//! The edge, as purges reach it: one HTTP call.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use terrace_shared::purge::Epoch;
use terrace_shared::purge::wire::{PURGE_PATH, PurgeRequest, Receipt, STATUS_PATH};
use terrace_shared::sabotage::{self, Rule};
use terrace_shared::time::Milliseconds;

use super::call::Call;
use super::target::{PurgeTarget, Taken, TellError};
use crate::error::{BuildError, EdgeError};
use crate::ledger::BoxFuture;

/// Where the edge is, and the token that it takes purges for.
#[derive(Clone)]
pub struct Edge {
    name: Option<String>,
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
            name: None,
            url: url.into(),
            token: token.into(),
            timeout: Duration::from_secs(5),
        }
    }

    /// One edge of several: `name` tells it apart in receipts, in metrics and in Redis.
    ///
    /// The name is what its place in the outbox is kept under: under a new one, it is purged whole once.
    /// Default, with [`new`](Self::new): the URL's host and port.
    pub fn named(
        name: impl Into<String>,
        url: impl Into<String>,
        token: impl Into<String>,
    ) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::new(url, token)
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
        Ok(client.purge(request).await?)
    }

    /// Where the edge's view of its purge ledger stands, at the reader that happens to answer; none if it
    /// has none yet.
    ///
    /// # Errors
    /// When the edge cannot be reached or does not say.
    pub async fn epoch(&self) -> Result<Option<Epoch>, EdgeError> {
        #[derive(Deserialize)]
        struct Status {
            ledger_epoch: Option<Epoch>,
        }
        let answer = self.call(STATUS_PATH)?.get().await?;
        if !answer.status.is_success() {
            return Err(answer.refusal().into());
        }
        let status: Status = serde_json::from_slice(&answer.body).map_err(|error| {
            TellError::later(format!("the edge's answer is no status: {error}"))
        })?;
        Ok(status.ledger_epoch)
    }

    fn call(&self, path: &str) -> Result<Call, BuildError> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        Call::new("the edge", &url, &self.token, self.timeout).map_err(|reason| self.refuse(reason))
    }

    fn refuse(&self, reason: &'static str) -> BuildError {
        BuildError::Edge {
            url: self.url.clone(),
            reason,
        }
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

/// The edge over HTTP.
pub(crate) struct EdgeClient {
    name: String,
    call: Call,
}

impl EdgeClient {
    pub(crate) fn new(edge: &Edge) -> Result<Self, BuildError> {
        let call = edge.call(PURGE_PATH)?;
        let name = edge.name.as_deref().unwrap_or_else(|| call.authority());
        if !is_name(name) {
            return Err(edge.refuse(
                "its name has to be 1 to 64 letters, digits, dots, colons, hyphens or underscores",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            call,
        })
    }

    /// The name that it was given, or its host and port.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    async fn purge(&self, request: &PurgeRequest) -> Result<Receipt, TellError> {
        let answer = self.call.post(request).await?;
        if !answer.status.is_success() {
            return Err(answer.refusal());
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| TellError::later(format!("the edge's answer is no receipt: {error}")))
    }
}

impl PurgeTarget for EdgeClient {
    fn tell<'a>(&'a self, request: &'a PurgeRequest) -> BoxFuture<'a, Result<Taken, TellError>> {
        /// The edge's bound, if it has not said it.
        const USUAL_BOUND: Milliseconds = Milliseconds::new(5_000);
        Box::pin(async move {
            let lost = PurgeRequest {
                keys: vec!["nothing-that-there-is".to_owned()],
                ..PurgeRequest::default()
            };
            let broken = sabotage::breaks(Rule::ToldAtLeastOnce);
            let request = if broken { &lost } else { request };
            let receipt = self.purge(request).await?;
            let bounds = receipt.tiers.iter().map(|tier| tier.bound_ms);
            Ok(Taken {
                epoch: Some(receipt.epoch),
                bound: bounds.max().unwrap_or(USUAL_BOUND),
            })
        })
    }
}

/// Whether this can name an edge in receipts, metrics and keys.
pub(super) fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_letter)
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
        let named = |name: &str| EdgeClient::new(&Edge::named(name, "http://e:1", "t"));
        assert_eq!(
            named("eu").map(|edge| edge.name).ok().as_deref(),
            Some("eu")
        );
        let by_url = EdgeClient::new(&Edge::new("http://e:1", "t"));
        assert_eq!(by_url.map(|edge| edge.name).ok().as_deref(), Some("e:1"));
        for name in ["", "a b", "ä", &"a".repeat(65)] {
            assert!(named(name).is_err(), "{name}");
        }
        assert!(!format!("{:?}", Edge::new("http://e", "secret")).contains("secret"));
    }
}

//! Plain `GET` requests to an edge or an origin on this machine.

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client that keeps its connections.
#[derive(Clone)]
pub(crate) struct HttpClient(Client<HttpConnector, Empty<Bytes>>);

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) cache_status: String,
    pub(crate) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("{url} is no URL")]
    Url {
        url: String,
        #[source]
        source: http::uri::InvalidUri,
    },
    #[error("the connection failed")]
    Connection(#[from] hyper_util::client::legacy::Error),
    #[error("the answer broke off")]
    Body(#[from] hyper::Error),
}

impl HttpClient {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Asks for `url` and reads the whole answer.
    pub(crate) async fn get(&self, url: &str) -> Result<Answer, AskError> {
        let uri: Uri = url.parse().map_err(|source| AskError::Url {
            url: url.to_owned(),
            source,
        })?;
        let response = self.0.get(uri).await?;
        let cache_status = response
            .headers()
            .get_all("cache-status")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect::<Vec<_>>()
            .join(", ");
        Ok(Answer {
            status: response.status().as_u16(),
            cache_status,
            body: response.into_body().collect().await?.to_bytes(),
        })
    }
}

impl Answer {
    /// Whether the edge answered from what it had stored (RFC 9211 §2.1).
    pub(crate) fn is_hit(&self) -> bool {
        self.cache_status
            .split(',')
            .filter_map(|member| member.split_once(';'))
            .any(|(cache, parameters)| {
                cache.trim() == "Terrace"
                    && parameters
                        .split(';')
                        .any(|parameter| parameter.trim() == "hit")
            })
    }
}

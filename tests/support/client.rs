//! An HTTP client that hides nothing.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error};
use hyper_util::rt::TokioExecutor;

/// Sends requests to one server.
#[derive(Clone)]
pub struct Client {
    base: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its content.
    pub body: Bytes,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8787`.
    pub fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            pool: Pool::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Where it sends to.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        self.answer(request).await.unwrap()
    }

    /// `GET`; none if nobody listens.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        let request = Request::get(format!("{}{path}", self.base));
        let request = request.body(Full::default()).unwrap();
        self.answer(request).await.ok()
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        let (parts, body) = self.pool.request(request).await?.into_parts();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        })
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// `POST` of JSON.
    pub async fn post(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        json: &serde_json::Value,
    ) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(fields);
        self.send(Method::POST, path, &all, &json.to_string()).await
    }
}

impl Answer {
    /// A field's first value; empty if it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// `Cache-Status`, all its lines joined.
    pub fn cache_status(&self) -> String {
        let lines = self.headers.get_all("cache-status").iter();
        let lines: Vec<_> = lines.map(|value| value.to_str().unwrap()).collect();
        lines.join(", ")
    }

    /// Whether the edge answered from what it had stored.
    pub fn is_hit(&self) -> bool {
        self.cache_status().contains("Terrace; hit")
    }

    /// Its content as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Its content as JSON.
    ///
    /// # Panics
    /// When it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }
}

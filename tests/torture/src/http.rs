//! The driver's HTTP client: one connection, made anew when it breaks, and a limit on every answer.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::VIEW_FIELD;
use crate::checker::Label;

/// Calls one server, one call at a time.
pub struct Caller {
    address: SocketAddr,
    limit: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its content.
    pub body: Bytes,
}

/// No answer came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoReply {
    /// The connection could not be made, or broke.
    Broken,
    /// It took too long.
    TimedOut,
}

impl Caller {
    /// One of the server at `address`, whose answers may take this long.
    pub const fn of(address: SocketAddr, limit: Duration) -> Self {
        Self {
            address,
            limit,
            connection: None,
        }
    }

    /// `GET`, with these fields.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Reply, NoReply> {
        self.call("GET", path, fields, Bytes::new()).await
    }

    /// `POST` of `body`, with these fields.
    ///
    /// # Errors
    /// When no answer comes; whether it was carried out is not known then.
    pub async fn post(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, NoReply> {
        self.call("POST", path, fields, body.into()).await
    }

    async fn call(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, NoReply> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string());
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).unwrap();
        let limit = self.limit;
        let called = tokio::time::timeout(limit, self.send(request)).await;
        let reply = called.unwrap_or(Err(NoReply::TimedOut));
        if reply.is_err() {
            self.connection = None;
        }
        reply
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, NoReply> {
        let mut connection = match self.connection.take() {
            Some(connection) if connection.is_ready() => connection,
            Some(_) | None => self.connect().await.ok_or(NoReply::Broken)?,
        };
        let response = connection.send_request(request).await;
        let reply = whole(response.map_err(|_| NoReply::Broken)?).await?;
        self.connection = Some(connection);
        Ok(reply)
    }

    async fn connect(&self) -> Option<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        sender.ready().await.ok()?;
        Some(sender)
    }
}

async fn whole(response: Response<hyper::body::Incoming>) -> Result<Reply, NoReply> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| NoReply::Broken)?;
    Ok(Reply {
        status: head.status,
        fields: head.headers,
        body: body.to_bytes(),
    })
}

impl Reply {
    /// The version in it; none if it is an error.
    pub fn version(&self) -> Option<u64> {
        let text = std::str::from_utf8(&self.body).ok()?;
        (self.status == StatusCode::OK)
            .then(|| text.trim_end().parse().ok())
            .flatten()
    }

    /// What the process that it comes from said of its view of the ledger.
    pub fn view(&self) -> &str {
        let said = self.fields.get(VIEW_FIELD);
        said.and_then(|said| said.to_str().ok()).unwrap_or_default()
    }

    /// What the caches on the way say of it.
    pub fn cache_status(&self) -> String {
        let lines = self.fields.get_all("cache-status").iter();
        let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
        lines.join(", ")
    }
}

/// How the caches that say this of an answer label it (RFC 9211 §2).
///
/// The nearest one comes last. What it had stored is stale if it says so itself, whatever was said when it was stored;
/// what it has only just been given is labelled by whoever gave it.
pub fn label_of(cache_status: &str) -> Label {
    for member in members(cache_status).into_iter().rev() {
        if STALE.iter().any(|word| member.contains(word)) {
            return Label::Stale;
        }
        if !member.contains("; fwd=") {
            return Label::Current;
        }
    }
    Label::Current
}

/// The members of a list whose strings may have commas.
fn members(list: &str) -> Vec<&str> {
    let mut quoted = false;
    let comma = |byte: char| {
        quoted ^= byte == '"';
        byte == ',' && !quoted
    };
    list.split(comma).collect()
}

/// By these, the caches say that what they serve is stale.
const STALE: [&str; 6] = [
    "stale-while-revalidate",
    "soft-purge",
    "max-stale",
    "stale-if-error",
    "origin-unreachable",
    "hit; ttl=-",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_cache_that_had_it_stored_labels_an_answer() {
        for (said, label) in [
            ("Terrace; hit; ttl=5", Label::Current),
            (
                r#"Terrace; hit; ttl=5; detail="soft-purge; memory""#,
                Label::Stale,
            ),
            (
                r#"T; hit; detail="a, soft-purge", T; hit; ttl=5"#,
                Label::Current,
            ),
            (
                r#"T; hit; detail=soft-purge, T; fwd=uri-miss; stored"#,
                Label::Stale,
            ),
            ("T; hit; ttl=-3, T; fwd=stale", Label::Stale),
            (
                "T; fwd=stale; stored; ttl=600, T; fwd=uri-miss",
                Label::Current,
            ),
            ("", Label::Current),
        ] {
            assert_eq!(label_of(said), label, "{said}");
        }
    }
}

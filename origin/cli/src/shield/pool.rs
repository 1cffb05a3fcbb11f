//! Connections to the upstream: kept while they rest, and opened when none does.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service as _;

use super::body::RequestBody;
use super::error::UpstreamError;
use super::limits::Patience;

/// Which version of HTTP is spoken to the upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: negotiated over TLS, taken for granted over plain TCP (RFC 9113 §3.3).
    Http2,
}

/// The connections to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    uri: Uri,
    connector: HttpsConnector<HttpConnector>,
    protocol: UpstreamProtocol,
    patience: Patience,
    /// The one that has rested longest first.
    resting: Mutex<VecDeque<Resting>>,
    /// The one connection of HTTP/2, which many requests share.
    shared: tokio::sync::Mutex<Option<http2::SendRequest<RequestBody>>>,
}

#[derive(Debug)]
struct Resting {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// A connection to be used for one request.
pub(crate) struct Connection {
    sender: Sender,
    /// Whether the upstream may have closed it meanwhile.
    pub(crate) origin: Taken,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// It has rested, so that the upstream may have closed it.
    Rested,
    /// It is new.
    New,
}

enum Sender {
    Http1(Lease),
    Http2(http2::SendRequest<RequestBody>),
}

/// A connection of HTTP/1 in use; when this is dropped after the answer's end, it goes back to rest.
#[derive(Debug)]
pub(crate) struct Lease {
    sender: Option<http1::SendRequest<RequestBody>>,
    pool: Weak<Pool>,
}

/// A request that brought no answer.
pub(crate) enum SendError {
    /// Nothing of it was sent.
    NotSent(Box<Request<RequestBody>>, hyper::Error),
    /// The upstream may have seen it.
    Broken(hyper::Error),
}

/// Most connections that rest.
const MOST_RESTING: usize = 1_024;

/// Most fields of an answer.
const MOST_FIELDS: usize = 256;

impl Pool {
    /// No connections yet to the upstream at `uri`.
    pub(crate) fn new(uri: Uri, protocol: UpstreamProtocol, patience: Patience) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let builder = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http();
        let connector = match protocol {
            UpstreamProtocol::Http1 => builder.enable_http1().wrap_connector(tcp),
            UpstreamProtocol::Http2 => builder.enable_all_versions().wrap_connector(tcp),
        };
        Self {
            uri,
            connector,
            protocol,
            patience,
            resting: Mutex::default(),
            shared: tokio::sync::Mutex::new(None),
        }
    }

    /// A connection, rested if there is one.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Connection, UpstreamError> {
        if self.protocol == UpstreamProtocol::Http2 {
            return self.take_shared().await;
        }
        match self.take_rested() {
            Some(sender) => Ok(self.lease(sender, Taken::Rested)),
            None => self.open().await,
        }
    }

    /// A new connection.
    pub(crate) async fn open(self: &Arc<Self>) -> Result<Connection, UpstreamError> {
        let stream = self.connect().await?;
        let (sender, connection) = http1::Builder::new()
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .max_headers(MOST_FIELDS)
            .handshake(stream)
            .await
            .map_err(UpstreamError::Broken)?;
        // Its errors come out at the request that it was for.
        tokio::spawn(async move { connection.with_upgrades().await.ok() });
        Ok(self.lease(sender, Taken::New))
    }

    /// Whether a connection can be had at all; it then rests.
    pub(crate) async fn probe(self: &Arc<Self>) -> Result<(), UpstreamError> {
        self.take().await.map(drop)
    }

    fn lease(
        self: &Arc<Self>,
        sender: http1::SendRequest<RequestBody>,
        origin: Taken,
    ) -> Connection {
        Connection {
            sender: Sender::Http1(Lease {
                sender: Some(sender),
                pool: Arc::downgrade(self),
            }),
            origin,
        }
    }

    fn take_rested(&self) -> Option<http1::SendRequest<RequestBody>> {
        let mut resting = self.resting.lock();
        self.let_go(&mut resting);
        while let Some(Resting { sender, .. }) = resting.pop_back() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn rest(&self, sender: http1::SendRequest<RequestBody>) {
        let mut resting = self.resting.lock();
        self.let_go(&mut resting);
        if resting.len() < MOST_RESTING {
            resting.push_back(Resting {
                sender,
                since: Instant::now(),
            });
        }
    }

    /// Closes those that have rested for too long.
    fn let_go(&self, resting: &mut VecDeque<Resting>) {
        let longest = self.patience.upstream_idle;
        let rested = |first: &Resting| first.since.elapsed() >= longest;
        while resting.front().is_some_and(rested) {
            resting.pop_front();
        }
    }

    async fn take_shared(self: &Arc<Self>) -> Result<Connection, UpstreamError> {
        let mut shared = self.shared.lock().await;
        if let Some(sender) = shared.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(Connection {
                sender: Sender::Http2(sender.clone()),
                origin: Taken::Rested,
            });
        }
        let stream = self.connect().await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .handshake(stream)
            .await
            .map_err(UpstreamError::Broken)?;
        tokio::spawn(async move { connection.await.ok() });
        *shared = Some(sender.clone());
        Ok(Connection {
            sender: Sender::Http2(sender),
            origin: Taken::New,
        })
    }

    async fn connect(&self) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, UpstreamError> {
        let patience = self.patience.connect;
        let stream = timeout(patience, self.connector.clone().call(self.uri.clone()))
            .await
            .map_err(|_| UpstreamError::ConnectTimedOut {
                seconds: patience.as_secs(),
            })?
            .map_err(|error| UpstreamError::Connect(error as Box<dyn Error + Send + Sync>))?;
        let encrypted = self.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let http2 = self.protocol == UpstreamProtocol::Http2;
        if encrypted && http2 && !stream.connected().is_negotiated_h2() {
            return Err(UpstreamError::Connect("it does not speak HTTP/2".into()));
        }
        Ok(stream)
    }
}

impl Connection {
    /// Sends a request; the connection is free again when the lease that comes with the answer is dropped.
    pub(crate) async fn send(
        self,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Option<Lease>), SendError> {
        match self.sender {
            Sender::Http1(mut lease) => {
                let Some(sender) = &mut lease.sender else {
                    unreachable!("a lease has its sender until it is dropped");
                };
                let response = sender.try_send_request(request).await;
                Ok((response.map_err(SendError::of)?, Some(lease)))
            }
            Sender::Http2(mut sender) => {
                let response = sender.try_send_request(request).await;
                Ok((response.map_err(SendError::of)?, None))
            }
        }
    }
}

impl SendError {
    fn of(mut error: hyper::client::conn::TrySendError<Request<RequestBody>>) -> Self {
        match error.take_message() {
            Some(request) => Self::NotSent(Box::new(request), error.into_error()),
            None => Self::Broken(error.into_error()),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        /// How long a connection may take to notice that its answer is over.
        const SETTLING: Duration = Duration::from_secs(1);
        let (Some(mut sender), Some(pool)) = (self.sender.take(), self.pool.upgrade()) else {
            return;
        };
        if sender.is_closed() {
            return;
        }
        if sender.is_ready() {
            pool.rest(sender);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Ok(Ok(())) = timeout(SETTLING, sender.ready()).await {
                    pool.rest(sender);
                }
            });
        }
    }
}

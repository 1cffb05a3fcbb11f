//! The upstream as a service: where it is, and requests as it gets them.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use tower_service::Service;

use super::body::{RequestBody, UpstreamBody};
use super::error::UpstreamError;
use super::exchange::Exchange;
use super::expect::{Gate, expects_continue};
use super::fields::{self, Passage, Signature};
use super::informational::InterimSender;
use super::limits::Patience;
use super::pool::Pool;

pub(crate) use super::pool::UpstreamProtocol;

/// How to reach the upstream.
#[derive(Debug)]
pub(crate) struct UpstreamOptions {
    /// Where it is.
    pub(crate) uri: Uri,
    /// The host that it is asked for, instead of the client's.
    pub(crate) host: Option<HeaderValue>,
    /// What it is spoken to in.
    pub(crate) protocol: UpstreamProtocol,
    /// How long anything may take.
    pub(crate) patience: Patience,
}

/// An address that no upstream can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum UpstreamAddressError {
    /// Not an absolute URL of HTTP.
    #[error("the upstream is no http:// or https:// URL with a host")]
    NotHttp,
    /// It has a path or a query, which nothing would be done with.
    #[error("the upstream's URL has a path; clients' paths are sent on as they are")]
    HasPath,
}

/// The upstream.
#[derive(Clone, Debug)]
pub(crate) struct Upstream(Arc<Inner>);

/// The upstream, as the service of one visitor.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamFor {
    upstream: Upstream,
    visitor: Visitor,
}

#[derive(Debug)]
struct Inner {
    scheme: Scheme,
    authority: Authority,
    host: Option<HeaderValue>,
    signature: Signature,
    patience: Patience,
    protocol: UpstreamProtocol,
    pool: Arc<Pool>,
}

/// Of whom a request came.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// Where they are.
    pub(crate) peer: SocketAddr,
    /// The way back for interim answers; none if there is none.
    pub(crate) interim: Option<InterimSender>,
}

/// What the upstream is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// An answer.
    Answer,
    /// To go over to another protocol.
    Upgrade(HeaderValue),
}

/// The head of a request to the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    uri: Uri,
    version: Version,
    fields: HeaderMap,
}

impl Upstream {
    /// The one that the options name; nothing is connected yet.
    pub(crate) fn new(options: UpstreamOptions) -> Result<Self, UpstreamAddressError> {
        let parts = options.uri.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(UpstreamAddressError::NotHttp);
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(UpstreamAddressError::NotHttp);
        }
        if !matches!(options.uri.path(), "" | "/") || options.uri.query().is_some() {
            return Err(UpstreamAddressError::HasPath);
        }
        let pool = Pool::new(options.uri, options.protocol, options.patience);
        Ok(Self(Arc::new(Inner {
            scheme,
            authority,
            host: options.host,
            signature: Signature::random(),
            patience: options.patience,
            protocol: options.protocol,
            pool: Arc::new(pool),
        })))
    }

    /// Whether it takes connections.
    pub(crate) async fn probe(&self) -> Result<(), UpstreamError> {
        self.0.pool.probe().await
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.0.scheme, self.0.authority)
    }

    /// The host that it is asked for if the client names none.
    pub(crate) fn usual_host(&self) -> HeaderValue {
        self.0.host.clone().unwrap_or_else(|| self.0.own_host())
    }

    /// How requests that were sent to it are known again.
    pub(crate) fn signature(&self) -> &Signature {
        &self.0.signature
    }

    /// What `visitor` asks.
    pub(crate) fn of(&self, visitor: Visitor) -> UpstreamFor {
        UpstreamFor {
            upstream: self.clone(),
            visitor,
        }
    }

    /// Asks for what `request` of `visitor` wants; its URI is absolute, or has only a path.
    pub(crate) async fn ask(
        &self,
        request: Request<RequestBody>,
        visitor: Visitor,
        ask: Ask,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (parts, mut body) = request.into_parts();
        let fate = body.fate();
        let gate = (!body.is_none() && expects_continue(&parts.headers))
            .then(|| Arc::new(Gate::default()));
        if let Some(gate) = &gate {
            body.behind(Arc::clone(gate));
        }
        let head = self.0.head(parts, &visitor, &ask)?;
        let exchange = Exchange {
            pool: &self.0.pool,
            patience: &self.0.patience,
            interim: visitor.interim,
            fate,
            gate,
        };
        let (response, lease) = exchange.run(head, body).await?;
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switches && matches!(ask, Ask::Answer) {
            return Err(UpstreamError::Unasked);
        }
        Ok(exchange.finish(response, lease))
    }
}

impl Service<Request<RequestBody>> for UpstreamFor {
    type Response = Response<UpstreamBody>;
    type Error = UpstreamError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, UpstreamError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let Self { upstream, visitor } = self.clone();
        Box::pin(async move { upstream.ask(request, visitor, Ask::Answer).await })
    }
}

impl Inner {
    /// The host of its own address.
    fn own_host(&self) -> HeaderValue {
        HeaderValue::from_str(self.authority.as_str())
            .unwrap_or(HeaderValue::from_static("localhost"))
    }

    fn head(
        &self,
        parts: http::request::Parts,
        visitor: &Visitor,
        ask: &Ask,
    ) -> Result<Head, UpstreamError> {
        // What came in HTTP/2 may have got its field here, in another spelling.
        let host = fields::host_of(&parts.uri, &parts.headers, Version::HTTP_11).ok();
        let uri = match (&host, parts.uri.authority()) {
            (Some(host), None) if parts.uri.path() != "*" => absolute(&parts.uri, host)?,
            (Some(_) | None, _) => parts.uri,
        };
        let passage = Passage {
            peer: visitor.peer,
            version: parts.version,
            uri: &uri,
            signature: &self.signature,
        };
        let mut fields = fields::to_upstream(parts.headers, passage)?;
        let host = self.host.clone().or(host);
        if let Ask::Upgrade(protocol) = ask {
            fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            fields.insert(UPGRADE, protocol.clone());
        }
        let path = uri.path_and_query().cloned();
        let path = path.unwrap_or(PathAndQuery::from_static("/"));
        let (uri, version) = match self.protocol {
            UpstreamProtocol::Http1 => {
                fields.insert(HOST, host.unwrap_or_else(|| self.own_host()));
                (Uri::from(path), Version::HTTP_11)
            }
            UpstreamProtocol::Http2 => {
                let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
                let uri = Uri::builder()
                    .scheme(self.scheme.clone())
                    .authority(authority.unwrap_or_else(|| self.authority.clone()))
                    .path_and_query(path)
                    .build()?;
                (uri, Version::HTTP_2)
            }
        };
        Ok(Head {
            method: parts.method,
            uri,
            version,
            fields,
        })
    }
}

impl Head {
    /// The request with this body.
    pub(crate) fn with(self, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.fields;
        request
    }
}

/// The URI of a request that named its host in a field.
pub(crate) fn absolute(uri: &Uri, host: &HeaderValue) -> Result<Uri, http::Error> {
    let path = uri.path_and_query().cloned();
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(host.as_bytes())
        .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
        .build()
}

//! The tower layer, in a service of this process that asks the tables' origin.

use std::time::Duration;

use axum::body::Body;
use e2e::rfc::{Driver, Place};
use http::uri::{Authority, Scheme};
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use terrace_origin::http::CacheLayer;
use terrace_origin::{Cache, Policy};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::{Layer as _, ServiceBuilder, service_fn};

/// A service with the layer around it.
pub(crate) struct LayerDriver {
    authority: String,
    server: JoinHandle<()>,
}

/// How long the service may be silent.
const SILENCE: Duration = Duration::from_secs(5);

impl LayerDriver {
    /// Starts one that asks the origin at `url`.
    pub(crate) async fn start(url: &str) -> Self {
        let origin: Authority = url.trim_start_matches("http://").parse().unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let service = service_fn(move |mut request: Request<Body>| {
            *request.uri_mut() = at(&origin, request.uri());
            client.request(request)
        });
        let cache = Cache::builder(Policy::default()).build().await.unwrap();
        let layered = CacheLayer::new(cache).head_timeout(SILENCE).layer(service);
        let layered = ServiceBuilder::new()
            .map_request(|request: Request<Incoming>| request.map(Body::new))
            .service(layered);
        let layered = TowerToHyperService::new(layered);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), layered.clone());
                // A connection that breaks is what some cases want.
                tokio::spawn(async move { connection.await.unwrap_or_default() });
            }
        });
        Self { authority, server }
    }
}

impl Drop for LayerDriver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Driver for LayerDriver {
    fn place(&self) -> Place {
        Place::Layer
    }

    fn authority(&self) -> &str {
        &self.authority
    }
}

/// `uri` at another server.
fn at(origin: &Authority, uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(origin.clone());
    Uri::from_parts(parts).unwrap()
}

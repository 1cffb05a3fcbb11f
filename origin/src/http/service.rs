//! The life of a request.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body;
use tower_service::Service;

use super::CacheBody;
use super::error::BoxError;
use super::layer::Site;

/// A service with the cache in front of it: what [`CacheLayer`](super::CacheLayer) makes.
#[derive(Clone, Debug)]
pub struct CacheService<S> {
    inner: S,
    site: Arc<Site>,
}

/// The answer to come of a [`CacheService`]: what is stored and fresh is there at once.
pub struct ResponseFuture<B, E>(Coming<B, E>);

type Answered<B, E> = Result<Response<CacheBody<B>>, E>;

enum Coming<B, E> {
    Later(Pin<Box<dyn Future<Output = Answered<B, E>> + Send>>),
}

impl<S> CacheService<S> {
    pub(super) const fn new(inner: S, site: Arc<Site>) -> Self {
        Self { inner, site }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CacheService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    ReqBody: Default + Send + 'static,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<CacheBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<ResBody, S::Error>;

    /// Always ready: what is stored is served however busy the service is, which is waited for when it is asked.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let mut inner = self.inner.clone();
        ResponseFuture(Coming::Later(Box::pin(async move {
            std::future::poll_fn(|context| inner.poll_ready(context)).await?;
            Ok(inner.call(request).await?.map(CacheBody::service))
        })))
    }
}

impl<B, E> Future for ResponseFuture<B, E> {
    type Output = Answered<B, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered<B, E>> {
        match &mut self.0 {
            Coming::Later(later) => later.as_mut().poll(context),
        }
    }
}

impl<B, E> fmt::Debug for ResponseFuture<B, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ResponseFuture")
            .finish_non_exhaustive()
    }
}

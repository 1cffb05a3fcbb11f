//! The service that is asked, whatever its types are.

use std::marker::PhantomData;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body;
use tower_service::Service;

use super::error::BoxError;

/// Who is asked for what is not stored.
pub(super) trait Origin: Clone + Send + 'static {
    /// Its bodies.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
    /// Why it has no answer.
    type Error: Send + 'static;

    /// Waits until it is ready, and asks it.
    fn ask(
        self,
        request: Request<()>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Self::Error>> + Send;
}

/// A service, asked with empty bodies.
pub(super) struct Asked<S, Q> {
    service: S,
    body: PhantomData<fn() -> Q>,
}

impl<S, Q> Asked<S, Q> {
    pub(super) const fn new(service: S) -> Self {
        let body = PhantomData;
        Self { service, body }
    }
}

impl<S: Clone, Q> Clone for Asked<S, Q> {
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}

impl<S, Q, B> Origin for Asked<S, Q>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    Q: Default + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
    type Error = S::Error;

    async fn ask(self, request: Request<()>) -> Result<Response<B>, S::Error> {
        ask(self.service, request.map(|()| Q::default())).await
    }
}

/// Waits until `service` is ready, and asks it.
pub(super) async fn ask<S, Q>(mut service: S, request: Request<Q>) -> Result<S::Response, S::Error>
where
    S: Service<Request<Q>>,
{
    std::future::poll_fn(|context| service.poll_ready(context)).await?;
    service.call(request).await
}

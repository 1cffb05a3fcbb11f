//! The life of a request.
//!
//! 1. **Target, route, key** ([`Visit::begin`]): a path that two readers could understand differently is
//!    refused; the policy's route says how to treat query, cookies and lifetimes.
//! 2. What the cache has no part in **passes** ([`pass`]): unsafe methods, which invalidate their URL if they
//!    succeed, bypassed routes, upgrades.
//! 3. **Look up** in memory ([`look_up`]). Whatever is there is judged by the ledger (has a purge named it
//!    since it was filled?) and then by HTTP. Where the request's tokens name a purge that this process has not
//!    heard of, the ledger is asked first; and nothing older than that purge answers (R10).
//! 4. **Reuse** it at once, also when it is stale and may be: then it is refreshed behind the answer.
//! 5. Or **fill** ([`fill`]): one request for all that want the same looks into Redis, asks the service, and
//!    its answer streams to all of them and into the stores, with its surrogate keys, its lifetime and the
//!    ledger's epoch from before.
//! 6. **`Cache-Status`** on the answer says what was done.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::Request;
use bytes::Bytes;
use http_body::Body;
use terrace_shared::http::Decision;
use terrace_shared::outcome::ForwardReason;
use terrace_shared::policy::OnLedgerLag;
use terrace_shared::purge::Lag;
use tokio::runtime::Handle;
use tower_service::Service;

use super::CacheBody;
use super::asked::{Asked, Origin, ask};
use super::error::BoxError;
use super::fill::{self, Forward};
use super::lookup::{Found, look_in_shared, look_up};
use super::outcome::reuse;
use super::pass::pass;
use super::refusal::Refusal;
use super::site::Site;
use super::visit::{Begun, Passing, Visit};

/// A service with the cache in front of it: what [`CacheLayer`](super::CacheLayer) makes.
#[derive(Clone, Debug)]
pub struct CacheService<S> {
    inner: S,
    site: Arc<Site>,
}

/// The answer to come of a [`CacheService`]: what is stored and fresh is there at once.
pub struct ResponseFuture<B, E>(Coming<B, E>);

/// A response of a [`CacheService`].
pub(super) type Answer<B> = ::http::Response<CacheBody<B>>;

/// What a [`CacheService`] comes to.
pub(super) type Answered<B, E> = Result<Answer<B>, E>;

enum Coming<B, E> {
    Now(Option<Answer<B>>),
    Later(Pin<Box<dyn Future<Output = Answered<B, E>> + Send>>),
}

impl<S> CacheService<S> {
    pub(super) const fn new(inner: S, site: Arc<Site>) -> Self {
        Self { inner, site }
    }

    #[cfg(test)]
    pub(super) fn site(&self) -> &Site {
        &self.site
    }
}

impl<S, Q, B> Service<Request<Q>> for CacheService<S>
where
    S: Service<Request<Q>, Response = ::http::Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    Q: Default + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Answer<B>;
    type Error = S::Error;
    type Future = ResponseFuture<B, S::Error>;

    /// Always ready: what is stored is served however busy the service is, which is waited for when it is asked.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        // One that waited for what it is part of itself would wait forever.
        if request.extensions().get() == Some(&self.site.mark()) {
            let answer = ask(self.inner.clone(), request);
            return ResponseFuture::later(async { Ok(answer.await?.map(CacheBody::service)) });
        }
        self.site.counters().counts.requests_total.add_one();
        let name = &*self.site.config.name;
        let later = |passing| {
            let (site, inner) = (self.site.clone(), self.inner.clone());
            ResponseFuture::later(pass(site, inner, passing))
        };
        // Fills and refreshes are tasks; without a runtime for them, nothing can be done.
        if Handle::try_current().is_err() {
            return later(Passing {
                request,
                reason: ForwardReason::Bypass,
                target: None,
            });
        }
        let method = request.method().clone();
        match Visit::begin(&self.site, request) {
            Begun::Cache(visit) if visit.is_behind() => {
                let inner = self.inner.clone();
                ResponseFuture::later(async move {
                    let visit = visit.caught_up().await;
                    serve(&visit, || Asked::new(inner.clone())).await
                })
            }
            Begun::Cache(visit) => serve(&visit, || Asked::new(self.inner.clone())),
            Begun::Pass(passing) => later(*passing),
            Begun::Refused(error) => {
                ResponseFuture::now(Refusal::bad_request(name, error).answer_to(&method))
            }
        }
    }
}

/// Answers a request that may be answered from the store.
fn serve<O: Origin>(
    visit: &Arc<Visit>,
    origin: impl Fn() -> O,
) -> ResponseFuture<O::Body, O::Error> {
    if visit.lag != Lag::Within {
        let counts = &visit.site.counters().counts;
        counts.ledger_lagged_requests_total.add_one();
        if visit.route().on_ledger_lag == OnLedgerLag::Fail {
            return ResponseFuture::now(Refusal::ledger_too_old(visit).answer(visit));
        }
    }
    let (decision, found) = look_up(visit, visit.now.timestamp());
    if let Some(response) = reuse(visit, &origin, &decision, &found) {
        return ResponseFuture::now(response);
    }
    let forward = match decision {
        Decision::GatewayTimeout => {
            return match visit.site.shared {
                None => ResponseFuture::now(Refusal::only_if_cached(visit).answer(visit)),
                Some(_) => ResponseFuture::later(only_stored(visit.clone(), origin(), found)),
            };
        }
        other => Forward::of(other).unwrap_or(Forward::Plain(ForwardReason::UriMiss)),
    };
    ResponseFuture::later(fill::answer(visit.clone(), origin(), found, forward))
}

/// Answers a request that wants what is stored or nothing, when memory has nothing.
async fn only_stored<O: Origin>(
    visit: Arc<Visit>,
    origin: O,
    found: Found,
) -> Answered<O::Body, O::Error> {
    let response = match look_in_shared(&visit, &found).await {
        Some((decision, found)) => reuse(&visit, || origin, &decision, &found),
        None => None,
    };
    Ok(response.unwrap_or_else(|| Refusal::only_if_cached(&visit).answer(&visit)))
}

impl<B, E> ResponseFuture<B, E> {
    fn now(response: Answer<B>) -> Self {
        Self(Coming::Now(Some(response)))
    }

    fn later(coming: impl Future<Output = Answered<B, E>> + Send + 'static) -> Self {
        Self(Coming::Later(Box::pin(coming)))
    }
}

/// Nothing in it is pinned in place.
impl<B, E> Unpin for ResponseFuture<B, E> {}

impl<B, E> Future for ResponseFuture<B, E> {
    type Output = Answered<B, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered<B, E>> {
        match &mut self.0 {
            Coming::Now(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending, // it was taken; nobody asks twice
            },
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

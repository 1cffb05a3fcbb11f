//! Static assets: files that were deployed with the worker.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use http::header::CACHE_CONTROL;
use http::{Method, StatusCode};
use terrace_shared::intake::browser_cache_control;
use terrace_shared::outcome::{CacheStatus, ForwardReason};
use terrace_shared::policy::RouteClass;
use worker::{Request, web_sys};

use crate::convert;
use crate::observe::{self, Count};
use crate::visit::Visit;

thread_local! {
    /// Paths that are no asset. A deployment's assets do not change, and its isolates end with it.
    static NO_ASSET: RefCell<HashSet<Box<str>>> = RefCell::default();
}

/// Most paths that are remembered; then all are forgotten, which costs a look each.
const MOST_REMEMBERED: usize = 4_096;

/// The asset that the request names, if there is one: with its `ETag` and ranges, and the route's lifetime.
pub(crate) async fn answer(visit: &Rc<Visit>) -> Option<web_sys::Response> {
    let assets = visit.edge.assets.as_ref()?;
    let may_be_one = match visit.route().class {
        RouteClass::FingerprintedAsset | RouteClass::Html | RouteClass::OriginHeaders => {
            matches!(visit.method, Method::GET | Method::HEAD)
        }
        RouteClass::Api | RouteClass::Report | RouteClass::Bypass => false,
    };
    let path = visit.intake.target.path();
    if !may_be_one || NO_ASSET.with_borrow(|known| known.contains(path)) {
        return None;
    }
    let request = visit.request.clone().ok()?;
    let found = assets.fetch_request(Request::from(request)).await.ok()?;
    let found = web_sys::Response::from(found);
    let status = StatusCode::from_u16(found.status()).ok()?;
    if status == StatusCode::NOT_FOUND {
        NO_ASSET.with_borrow_mut(|known| {
            if known.len() >= MOST_REMEMBERED {
                known.clear();
            }
            known.insert(path.into());
        });
        return None;
    }
    observe::count(Count::Asset);
    let mut fields = convert::header_map(&found.headers());
    let cacheable = status.is_success() || status == StatusCode::NOT_MODIFIED;
    if let (true, Some(value)) = (cacheable, browser_cache_control(visit.route())) {
        fields.insert(CACHE_CONTROL, value);
    }
    CacheStatus::forward(CacheStatus::NAME, ForwardReason::Bypass)
        .forward_status(status)
        .detail("asset")
        .append_to(&mut fields);
    convert::with_fields(&found, &fields).ok()
}

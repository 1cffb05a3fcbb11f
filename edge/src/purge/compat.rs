//! Purges that come in the words of another API, or by the method `PURGE`.

use terrace_shared::purge::compat::Call;
use worker::web_sys;

use super::handler;
use crate::clock;
use crate::convert;
use crate::visit::{Edge, Visit};

/// Answers a `POST` to a path of Fastly's or Cloudflare's purge API, unless it is for the origin.
pub(crate) async fn answer(
    request: &web_sys::Request,
    url: &str,
    edge: &Edge,
) -> Option<web_sys::Response> {
    let call = Call::of_path(handler::path_and_query_of(url))?;
    if request.method() != "POST" {
        return None;
    }
    let fields = convert::header_map(&request.headers());
    let tokens = edge.config.tokens.as_ref().ok();
    if !call.is_ours(&fields, tokens, clock::now().timestamp()) {
        return None;
    }
    Some(handler::carry_out(&call, &fields, request.body(), edge).await)
}

/// Purges the URL that the visit is to.
pub(crate) async fn purge_url(visit: &Visit) -> web_sys::Response {
    let fields = &visit.intake.fields;
    let call = Call::of_url(&visit.intake.target.uri().to_string(), fields);
    handler::carry_out(&call, fields, visit.request.body(), &visit.edge).await
}

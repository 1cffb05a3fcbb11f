//! Asking the origin.

use std::time::Duration;

use futures_util::future::{Either, select};
use http::{HeaderMap, StatusCode};
use terrace_shared::http::Exchange;
use terrace_shared::intake::origin_fields;
use terrace_shared::time::TimestampMillis;
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::{self, Object, Reflect};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Delay, web_sys};

use crate::clock;
use crate::convert;
use crate::error::OriginError;
use crate::visit::Visit;

/// What the origin answered: its head, read, and its body, still to come.
pub(crate) struct OriginAnswer {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    pub(crate) response: web_sys::Response,
    pub(crate) exchange: Exchange,
    /// When it was asked, to the millisecond.
    pub(crate) asked_at: TimestampMillis,
}

/// Asks the origin for the target of `visit` with `fields`, and waits for the head of its answer.
pub(crate) async fn ask(
    visit: &Visit,
    method: &str,
    fields: HeaderMap,
    body: Option<web_sys::ReadableStream>,
) -> Result<OriginAnswer, OriginError> {
    let asked_at = clock::now();
    let controller = web_sys::AbortController::new().map_err(worker::Error::from)?;
    let init = request_init(
        method,
        &origin_fields(fields, &visit.intake.target),
        body,
        &controller,
    )
    .map_err(worker::Error::from)?;
    let url = visit.edge.config.origin.url(&visit.intake.path_and_query);
    let global: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let fetched = JsFuture::from(global.fetch_with_str_and_init(&url, &init));
    let limit = visit.edge.config.origin_timeout;
    let timer = Delay::from(Duration::from_millis(limit.as_u64()));
    let response: web_sys::Response = match select(fetched, timer).await {
        Either::Left((Ok(response), _)) => response.dyn_into().map_err(worker::Error::from)?,
        Either::Left((Err(error), _)) => return Err(worker::Error::from(error).into()),
        Either::Right(((), _)) => {
            controller.abort();
            return Err(OriginError::TimedOut {
                milliseconds: limit.as_u64(),
            });
        }
    };
    let status = match response.status() {
        status @ 100..600 => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
        // The platform makes no responses of others (RFC 9110 §15).
        status => return Err(OriginError::Status { status }),
    };
    Ok(OriginAnswer {
        status,
        fields: convert::header_map(&response.headers()),
        response,
        exchange: Exchange::between(asked_at, clock::now()),
        asked_at,
    })
}

fn request_init(
    method: &str,
    fields: &HeaderMap,
    body: Option<web_sys::ReadableStream>,
    controller: &web_sys::AbortController,
) -> Result<web_sys::RequestInit, JsValue> {
    let init = web_sys::RequestInit::new();
    init.set_method(method);
    init.set_headers(&convert::js_headers(fields)?);
    init.set_redirect(web_sys::RequestRedirect::Manual);
    init.set_signal(Some(&controller.signal()));
    if let Some(body) = body {
        init.set_body(&body);
    }
    // Bodies are stored and sent as the origin coded them.
    Reflect::set(&init, &"encodeResponseBody".into(), &"manual".into())?;
    // The platform's own cache is left out: two caches in a row would each have their own idea of a purge.
    let by_status = Object::new();
    Reflect::set(&by_status, &"100-599".into(), &JsValue::from(-1))?;
    let cf = Object::new();
    Reflect::set(&cf, &"cacheTtlByStatus".into(), &by_status)?;
    Reflect::set(&init, &"cf".into(), &cf)?;
    Ok(init)
}

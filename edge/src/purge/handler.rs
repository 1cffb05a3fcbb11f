//! Terrace's own endpoints: purge and status.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use terrace_shared::http::BodyEnd;
use terrace_shared::outcome::{CacheStatus, ForwardReason};
use terrace_shared::purge::audit::{LOG_PATH, LogQuery};
use terrace_shared::purge::auth::{self, Token, Tokens};
use terrace_shared::purge::wire::{
    PURGE_PATH, PurgeRequest, PurgeState, PurgedTier, Receipt, STATUS_PATH, TierReceipt,
};
use terrace_shared::purge::{Epoch, PurgeMode, Scope};
use terrace_shared::time::{ByteCount, Milliseconds, TimestampMillis};
use worker::web_sys;

use super::client;
use super::order::Order;
use crate::clock;
use crate::convert::{self, ResponseBody};
use crate::error::LedgerError;
use crate::observe::{self, Count, Counters};
use crate::visit::Edge;

/// Every path that begins so is Terrace's own.
const OWN_PATHS: &str = "/.terrace/";

/// Longest body of a purge: 1,024 scopes of 1 KiB each.
const LONGEST_BODY: ByteCount = ByteCount::mebibytes(1);

/// A request that is not carried out, as its client sees it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    field: Option<(HeaderName, HeaderValue)>,
    error: String,
    hint: &'static str,
}

#[derive(Serialize)]
struct Status {
    /// Where this isolate's view of the ledger stands; null before the first look.
    ledger_epoch: Option<Epoch>,
    /// How old that view is.
    view_age_ms: Option<Milliseconds>,
    counters: Counters,
}

/// Whether a URL is one of Terrace's own, which no route of the policy is asked about.
pub(crate) fn is_own_path(url: &str) -> bool {
    path_of(url).starts_with(OWN_PATHS)
}

/// Answers a request to one of Terrace's own paths.
pub(crate) async fn answer(request: &web_sys::Request, edge: &Edge) -> web_sys::Response {
    let method = request.method();
    let outcome = match path_of(&request.url()) {
        PURGE_PATH => match purge(request, &method, edge).await {
            Ok(receipt) => {
                observe::count(Count::PurgeAccepted);
                return json(StatusCode::OK, None, &receipt);
            }
            Err(refusal) => {
                observe::count(Count::PurgeRefused);
                refusal
            }
        },
        LOG_PATH => match log(request, &method, edge).await {
            Ok(page) => return json_text(StatusCode::OK, None, &page),
            Err(refusal) => refusal,
        },
        STATUS_PATH => match status(&method) {
            Ok(status) => return json(StatusCode::OK, None, &status),
            Err(refusal) => refusal,
        },
        path => Refusal::new(
            StatusCode::NOT_FOUND,
            format!("there is no {path}"),
            "Terrace answers at /.terrace/purge, /.terrace/log and /.terrace/status",
        ),
    };
    json(outcome.status, outcome.field.clone(), &outcome)
}

async fn purge(request: &web_sys::Request, method: &str, edge: &Edge) -> Result<Receipt, Refusal> {
    let token = admitted(request, method, "POST", edge).await?;
    let order = match ordered(token, request).await {
        Ok(order) => order,
        Err(refusal) => {
            let by = Some(token.name());
            edge.ledger.log_refused(by, &refusal.error).await;
            return Err(refusal);
        }
    };
    let (mode, scopes) = (order.purge.mode, order.purge.scopes.len());
    let accepted = edge
        .ledger
        .append(order)
        .await
        .map_err(|error| Refusal::of_ledger(&error))?;
    let bound = edge.routes.longest_bound();
    let mut receipt = receipt(accepted.epoch, mode, scopes, bound, clock::now());
    receipt.again_at_ms = accepted.again_at;
    Ok(receipt)
}

/// The token of a request that has the right method; one without is counted in the purge log.
async fn admitted<'a>(
    request: &web_sys::Request,
    method: &str,
    allowed: &'static str,
    edge: &'a Edge,
) -> Result<&'a Token, Refusal> {
    let tokens = edge.config.tokens.as_ref().map_err(|error| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
            "the operator has to set it right",
        )
    })?;
    let authorization = request.headers().get("authorization").ok().flatten();
    let outcome = admit(method, allowed, authorization.as_deref(), tokens);
    if let Err(refusal) = &outcome
        && refusal.status == StatusCode::UNAUTHORIZED
    {
        edge.ledger.log_refused(None, &refusal.error).await;
    }
    outcome
}

/// What a request with this token asks for.
async fn ordered(token: &Token, request: &web_sys::Request) -> Result<Order, Refusal> {
    let body = convert::read(request.body(), LONGEST_BODY)
        .await
        .map_err(|_| Refusal::cut_off())?
        .ok_or_else(Refusal::too_large)?;
    if body.end == BodyEnd::BrokenOff {
        return Err(Refusal::cut_off());
    }
    understand(&body.bytes.to_vec(), token, clock::now())
}

/// The part of the purge log that is asked for, as JSON: all of it for a token that may purge everything, and
/// what it did itself for any other.
async fn log(request: &web_sys::Request, method: &str, edge: &Edge) -> Result<String, Refusal> {
    let token = admitted(request, method, "GET", edge).await?;
    let url = request.url();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = LogQuery::parse(query).map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            error.to_string(),
            "for example /.terrace/log?limit=20",
        )
    })?;
    let sees_all = token.first_forbidden(&[Scope::All]).is_none();
    let by = Some(token.name()).filter(|_| !sees_all);
    let page = edge.ledger.log(query, by).await;
    let page = page.map_err(|error| Refusal::of_ledger(&error))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Lets a request pass that has the right method and a token.
fn admit<'a>(
    method: &str,
    allowed: &'static str,
    authorization: Option<&str>,
    tokens: &'a Tokens,
) -> Result<&'a Token, Refusal> {
    if method != allowed {
        return Err(Refusal::wrong_method(method, allowed));
    }
    let Some(presented) = auth::bearer(authorization) else {
        return Err(Refusal::unauthorized("no token was given"));
    };
    tokens
        .authenticate(presented)
        .ok_or_else(|| Refusal::unauthorized("the token is not known"))
}

/// The purge that `body` asks for, if `token` may ask for it.
fn understand(body: &[u8], token: &Token, now: TimestampMillis) -> Result<Order, Refusal> {
    let order = PurgeRequest::from_json(body)
        .and_then(|request| {
            let after = request.after_ms;
            let purge = request.into_purge(now)?;
            let by = Some(token.name().into());
            Ok(Order { by, purge, after })
        })
        .map_err(|error| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                error.to_string(),
                r#"send JSON such as {"surrogate_keys":["product:42"],"mode":"soft"}"#,
            )
        })?;
    match token.first_forbidden(&order.purge.scopes) {
        None => Ok(order),
        Some(scope) => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            format!("token {:?} may not purge {scope}", token.name()),
            "nothing was purged; use a token that is allowed this scope",
        )),
    }
}

fn receipt(
    epoch: Epoch,
    mode: PurgeMode,
    scopes: usize,
    bound: Milliseconds,
    now: TimestampMillis,
) -> Receipt {
    Receipt {
        epoch,
        mode,
        scopes,
        purged_at_ms: now,
        visible_by_ms: Some(now.saturating_add(bound)),
        tiers: vec![TierReceipt {
            tier: PurgedTier::Edge,
            name: None,
            state: PurgeState::Done,
            bound_ms: bound,
            epoch: Some(epoch),
            detail: None,
        }],
        again_at_ms: None,
        token: None,
    }
}

fn status(method: &str) -> Result<Status, Refusal> {
    if !matches!(method, "GET" | "HEAD") {
        return Err(Refusal::wrong_method(method, "GET, HEAD"));
    }
    Ok(Status {
        ledger_epoch: client::epoch(),
        view_age_ms: client::age(clock::now()),
        counters: observe::snapshot(),
    })
}

impl Refusal {
    fn new(status: StatusCode, error: String, hint: &'static str) -> Self {
        Self {
            status,
            field: None,
            error,
            hint,
        }
    }

    /// What the ledger's authority did not take, or not say.
    fn of_ledger(error: &LedgerError) -> Self {
        let refusal = |status, hint| Self::new(status, error.to_string(), hint);
        match error {
            LedgerError::TooManyCalls { retry_after } => Self {
                field: Some((
                    RETRY_AFTER,
                    retry_after.as_u64().div_ceil(1_000).max(1).into(),
                )),
                ..refusal(
                    StatusCode::TOO_MANY_REQUESTS,
                    "nothing was purged; one call may name many scopes",
                )
            },
            LedgerError::TooManyScheduled { .. } => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "nothing was purged; send it without after_ms, or later",
            ),
            LedgerError::TooFarAhead { .. } => {
                refusal(StatusCode::BAD_REQUEST, "nothing was purged")
            }
            LedgerError::Unreachable(_)
            | LedgerError::TimedOut
            | LedgerError::Refused { .. }
            | LedgerError::NotUnderstood => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "a purge may or may not have been taken: send it again",
            ),
        }
    }

    fn unauthorized(error: &str) -> Self {
        Self {
            field: Some((
                WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Bearer realm="terrace""#),
            )),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                error.to_owned(),
                "send Authorization: Bearer and a token of TERRACE_PURGE_TOKENS",
            )
        }
    }

    fn wrong_method(method: &str, allowed: &'static str) -> Self {
        Self {
            field: Some((ALLOW, HeaderValue::from_static(allowed))),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{method} is not understood here"),
                "the Allow field names what is",
            )
        }
    }

    fn cut_off() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "the purge ends before it should".to_owned(),
            "send the body whole",
        )
    }

    fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the purge is longer than {} bytes", LONGEST_BODY.as_u64()),
            "send it in several calls",
        )
    }
}

fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').and_then(|slash| rest.get(slash..));
    let path = path.unwrap_or("/");
    path.split(['?', '#']).next().unwrap_or(path)
}

fn json(
    status: StatusCode,
    field: Option<(HeaderName, HeaderValue)>,
    body: &impl Serialize,
) -> web_sys::Response {
    let text = serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned());
    json_text(status, field, &text)
}

fn json_text(
    status: StatusCode,
    field: Option<(HeaderName, HeaderValue)>,
    text: &str,
) -> web_sys::Response {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    CacheStatus::forward(CacheStatus::NAME, ForwardReason::Bypass).append_to(&mut fields);
    fields.extend(field);
    convert::response(status.as_u16(), &fields, ResponseBody::Text(text))
        .unwrap_or_else(|_| web_sys::Response::error())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMillis = TimestampMillis::from_unix_millis(1_000);

    fn tokens() -> Tokens {
        // printf secret | sha256sum
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let allow = "surrogate-key:product:*";
        let json = format!(r#"[{{"name":"ci","sha256":"{hash}","allow":["{allow}"]}}]"#);
        Tokens::from_json(&json).unwrap()
    }

    #[test]
    fn only_a_post_with_a_known_token_is_admitted() {
        let tokens = tokens();
        for (method, authorization, status) in [
            ("GET", Some("Bearer secret"), 405),
            ("POST", None, 401),
            ("POST", Some("Basic secret"), 401),
            ("POST", Some("Bearer other"), 401),
        ] {
            let refusal = admit(method, "POST", authorization, &tokens).unwrap_err();
            assert_eq!(
                refusal.status.as_u16(),
                status,
                "{method} {authorization:?}"
            );
            assert!(refusal.field.is_some());
        }
        assert!(admit("POST", "POST", Some("Bearer secret"), &tokens).is_ok());
        // With no tokens configured, none is right.
        assert!(admit("POST", "POST", Some("Bearer secret"), &Tokens::default()).is_err());
    }

    #[test]
    fn a_purge_is_understood_or_refused_with_the_field_or_the_scope() {
        let tokens = tokens();
        let token = tokens.authenticate("secret").unwrap();
        for (body, status, part) in [
            ("", 400, "not understood"),
            (r#"{"tags":["x"]}"#, 400, "`tags`"),
            (r#"{"surrogate_keys":["a b"]}"#, 400, "surrogate_keys[0]"),
            ("{}", 400, "names nothing"),
            (r#"{"everything":true}"#, 403, "may not purge all"),
            (
                r#"{"surrogate_keys":["product:1","user:1"]}"#,
                403,
                "surrogate-key:user:1",
            ),
        ] {
            let refusal = understand(body.as_bytes(), token, NOW).unwrap_err();
            assert_eq!(refusal.status.as_u16(), status, "{body}");
            assert!(refusal.error.contains(part), "{body}: {}", refusal.error);
        }
        let body = br#"{"surrogate_keys":["product:1"],"after_ms":5000}"#;
        let order = understand(body, token, NOW).unwrap();
        assert_eq!(order.purge.scopes.len(), 1);
        assert_eq!(order.by.as_deref(), Some("ci"));
        assert_eq!(order.after, Some(Milliseconds::new(5_000)));
    }

    #[test]
    fn a_refusal_is_json_with_error_and_hint() {
        let text = serde_json::to_string(&Refusal::wrong_method("PUT", "POST")).unwrap();
        assert_eq!(
            text,
            r#"{"error":"PUT is not understood here","hint":"the Allow field names what is"}"#
        );
    }
}

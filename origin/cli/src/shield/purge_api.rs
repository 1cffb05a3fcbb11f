//! Terrace's own endpoints at the shield: purges in two forms, and the counters. All behind bearer tokens.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, VIA,
    WWW_AUTHENTICATE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use terrace_origin::{Cache, PurgeError, Receipt};
use terrace_shared::intake::{Intake, Routes, Target};
use terrace_shared::outcome::{CacheStatus, ForwardReason};
use terrace_shared::purge::PurgeMode;
use terrace_shared::purge::auth::{self, Token, Tokens};
use terrace_shared::purge::wire::{PURGE_PATH, PurgeRequest};
use terrace_shared::time::TimestampMillis;

use super::body::{AnswerBody, RequestBody};
use super::fields::{self, VIA_HERE};

/// What Terrace's own endpoints act on.
#[derive(Debug)]
pub(crate) struct PurgeApi {
    /// Whose entries are purged.
    pub(crate) cache: Cache,
    /// How the policy names what is stored.
    pub(crate) routes: Routes,
    /// Who may; nobody if none are configured.
    pub(crate) tokens: Option<Tokens>,
}

/// Every path that begins so is Terrace's own.
const OWN_PATHS: &str = "/.terrace/";

/// The counters: `GET`, a bearer token.
const STATS_PATH: &str = "/.terrace/stats";

/// Longest body of a purge: 1,024 scopes of 1 KiB each.
const LONGEST_PURGE: usize = 1 << 20;

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

/// Whether a request is for Terrace itself.
pub(crate) fn is_own(method: &Method, uri: &Uri) -> bool {
    method.as_str() == "PURGE" || uri.path().starts_with(OWN_PATHS)
}

impl PurgeApi {
    /// Answers a request for Terrace itself.
    pub(crate) async fn answer(&self, request: Request<RequestBody>) -> Response<AnswerBody> {
        let answer = match (request.method().as_str(), request.uri().path()) {
            ("PURGE", _) => self.purge_url(&request).await.map(|receipt| json(&receipt)),
            ("POST", PURGE_PATH) => self.purge(request).await.map(|receipt| json(&receipt)),
            ("GET", STATS_PATH) => self
                .admit(request.headers())
                .map(|_| json(&self.cache.stats())),
            (method, PURGE_PATH) => Err(Refusal::wrong_method(method, "POST")),
            (method, STATS_PATH) => Err(Refusal::wrong_method(method, "GET")),
            (_, path) => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                format!("there is no {path}"),
                "the shield answers at /.terrace/purge and /.terrace/stats",
            )),
        };
        answer.unwrap_or_else(Refusal::answer)
    }

    async fn purge(&self, request: Request<RequestBody>) -> Result<Receipt, Refusal> {
        let token = self.admit(request.headers())?;
        let body = Limited::new(request.into_body(), LONGEST_PURGE);
        let body = body
            .collect()
            .await
            .map_err(|error| Refusal::unread(&*error))?;
        let purge = PurgeRequest::from_json(&body.to_bytes())
            .map_err(|error| Refusal::not_understood(&error))?;
        self.carry_out(purge, token).await
    }

    /// `PURGE` of a URL: every response that is stored under it (a convention of many caches, no standard).
    async fn purge_url(&self, request: &Request<RequestBody>) -> Result<Receipt, Refusal> {
        let token = self.admit(request.headers())?;
        let (uri, version) = (request.uri(), request.version());
        let host = fields::host_of(uri, request.headers(), version)
            .map_err(|error| Refusal::not_understood(&error))?;
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let host = host.to_str().unwrap_or_default();
        let target = Target::parse(&format!("http://{host}{path}"))
            .map_err(|error| Refusal::not_understood(&error))?;
        let fields = HeaderMap::new();
        let now = now();
        let intake = Intake::of(&Method::GET, target, fields, &self.routes, now.timestamp());
        let soft = request.headers().get("fastly-soft-purge");
        let purge = PurgeRequest {
            mode: match soft.map(HeaderValue::as_bytes) {
                Some(b"1") => PurgeMode::Soft,
                Some(_) | None => PurgeMode::Hard,
            },
            urls: vec![format!("{}{}", intake.target.host(), intake.path_and_query)],
            ..PurgeRequest::default()
        };
        self.carry_out(purge, token).await
    }

    async fn carry_out(&self, request: PurgeRequest, token: &Token) -> Result<Receipt, Refusal> {
        let purge = request
            .clone()
            .into_purge(now())
            .map_err(|error| Refusal::not_understood(&error))?;
        if let Some(scope) = token.first_forbidden(&purge.scopes) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!("token {:?} may not purge {scope}", token.name()),
                "nothing was purged; use a token that is allowed this scope",
            ));
        }
        self.cache
            .purge(request)
            .await
            .map_err(|error| Refusal::not_purged(&error))
    }

    /// The token that a request presents, if it is a known one.
    fn admit(&self, fields: &HeaderMap) -> Result<&Token, Refusal> {
        let Some(tokens) = &self.tokens else {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "nobody may: no tokens are configured".to_owned(),
                "make one with `terrace token NAME`, and start the shield with --purge-token-file or TERRACE_PURGE_TOKENS",
            ));
        };
        let authorization = fields.get(AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let presented = auth::bearer(authorization)
            .ok_or_else(|| Refusal::unauthorized("no token was given"))?;
        tokens
            .authenticate(presented)
            .ok_or_else(|| Refusal::unauthorized("the token is not known"))
    }
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

    fn unauthorized(error: &str) -> Self {
        let challenge = HeaderValue::from_static(r#"Bearer realm="terrace""#);
        Self {
            field: Some((WWW_AUTHENTICATE, challenge)),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                error.to_owned(),
                "send Authorization: Bearer and a token that the shield knows",
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

    fn not_understood(error: &dyn Error) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            error.to_string(),
            r#"send JSON such as {"surrogate_keys":["product:42"],"mode":"soft"}, or PURGE and a URL"#,
        )
    }

    fn unread(error: &(dyn Error + Send + Sync + 'static)) -> Self {
        if error.is::<LengthLimitError>() {
            return Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the purge is longer than {LONGEST_PURGE} bytes"),
                "send it in several calls",
            );
        }
        Self::new(
            StatusCode::BAD_REQUEST,
            "the purge ends before it should".to_owned(),
            "send the body whole",
        )
    }

    fn not_purged(error: &PurgeError) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        match error {
            PurgeError::Request(_) | PurgeError::Key { .. } => Self::new(
                StatusCode::BAD_REQUEST,
                text,
                "the request has to be another one",
            ),
            _ => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                text,
                "send it again; purging twice does no harm",
            ),
        }
    }

    fn answer(self) -> Response<AnswerBody> {
        let mut response = json(&self);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.field);
        response
    }
}

fn json(body: &impl Serialize) -> Response<AnswerBody> {
    let text = serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned());
    let length = text.len();
    let mut response = Response::new(AnswerBody::whole(Bytes::from(text)));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    fields.insert(VIA, VIA_HERE);
    CacheStatus::forward(CacheStatus::NAME, ForwardReason::Bypass).append_to(fields);
    response
}

fn now() -> TimestampMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default().as_millis();
    TimestampMillis::from_unix_millis(u64::try_from(since).unwrap_or(u64::MAX))
}

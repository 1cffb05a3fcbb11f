//! Terrace's own endpoints at the shield: purges in three dialects, and the counters. All behind tokens.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, VIA};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use terrace_origin::{Cache, PurgeError, Receipt};
use terrace_shared::intake::Routes;
use terrace_shared::outcome::{CacheStatus, ForwardReason};
use terrace_shared::purge::auth::Tokens;
use terrace_shared::purge::compat::{Answer, Call, Dialect, PURGE_METHOD, Refusal};
use terrace_shared::purge::wire::{PURGE_PATH, PurgeRequest};
use terrace_shared::time::{ByteCount, TimestampMillis};

use super::body::{AnswerBody, RequestBody};
use super::fields::{self, VIA_HERE};

/// What Terrace's own endpoints act on.
#[derive(Debug)]
pub(crate) struct PurgeApi {
    /// Whose entries are purged.
    pub(crate) cache: Cache,
    /// How the policy names what is stored.
    pub(crate) routes: Routes,
    /// Who may; nobody if there are none.
    pub(crate) tokens: Tokens,
}

/// What is asked of Terrace itself.
#[derive(Debug)]
pub(crate) enum Own {
    /// A purge.
    Purge(Call),
    /// The counters.
    Stats,
    /// Something that there is not.
    Nothing(Refusal),
}

/// Every path that begins so is Terrace's own.
const OWN_PATHS: &str = "/.terrace/";

/// The counters: `GET`, a bearer token.
const STATS_PATH: &str = "/.terrace/stats";

/// Longest body of a purge: 1,024 scopes of 1 KiB each.
const LONGEST_PURGE: ByteCount = ByteCount::mebibytes(1);

impl PurgeApi {
    /// What a request asks of Terrace itself; none if it is for the upstream.
    pub(crate) fn own<B>(&self, request: &Request<B>) -> Option<Own> {
        let (method, path) = (request.method(), request.uri().path());
        if method.as_str() == PURGE_METHOD {
            let url = url_of(request);
            return Some(Own::Purge(Call::of_url(&url, request.headers())));
        }
        if path.starts_with(OWN_PATHS) {
            return Some(match (method, path) {
                (&Method::POST, PURGE_PATH) => Own::Purge(Call::own()),
                (&Method::GET, STATS_PATH) => Own::Stats,
                (method, PURGE_PATH) => Own::wrong_method(method, "POST"),
                (method, STATS_PATH) => Own::wrong_method(method, "GET"),
                (_, path) => Own::Nothing(Refusal::NoSuchPath {
                    path: path.to_owned(),
                    hint: "the shield answers at /.terrace/purge and /.terrace/stats",
                }),
            });
        }
        if *method != Method::POST {
            return None;
        }
        let call = Call::of_path(path_and_query(request))?;
        let is_ours = call.is_ours(request.headers(), Some(&self.tokens), now().timestamp());
        is_ours.then_some(Own::Purge(call))
    }

    /// Answers it.
    pub(crate) async fn answer(
        &self,
        own: Own,
        request: Request<RequestBody>,
    ) -> Response<AnswerBody> {
        let answer = match own {
            Own::Purge(call) => match self.purge(&call, request).await {
                Ok((request, receipt)) => call.carried_out(&request, &receipt),
                Err(refusal) => call.refused(&refusal),
            },
            Own::Stats => self.stats(request.headers()),
            Own::Nothing(refusal) => refusal.answer(Dialect::Terrace),
        };
        send(answer)
    }

    async fn purge(
        &self,
        call: &Call,
        request: Request<RequestBody>,
    ) -> Result<(PurgeRequest, Receipt), Refusal> {
        let (head, body) = request.into_parts();
        let token = call.admit(&head.headers, &self.tokens, now().timestamp())?;
        let longest = usize::try_from(LONGEST_PURGE.as_u64()).unwrap_or(usize::MAX);
        let body = Limited::new(body, longest).collect().await;
        let body = body.map_err(|error| unread(&*error))?.to_bytes();
        let (request, _) = call.purge(&head.headers, &body, token, &self.routes, now())?;
        let receipt = self.cache.purge(request.clone()).await;
        Ok((request, receipt.map_err(not_purged)?))
    }

    fn stats(&self, fields: &HeaderMap) -> Answer {
        match Call::own().admit(fields, &self.tokens, now().timestamp()) {
            Ok(_) => Answer::json(StatusCode::OK, &self.cache.stats()),
            Err(refusal) => refusal.answer(Dialect::Terrace),
        }
    }
}

impl Own {
    fn wrong_method(method: &Method, allow: &'static str) -> Self {
        Self::Nothing(Refusal::Method {
            method: method.to_string(),
            allow,
        })
    }
}

fn path_and_query<B>(request: &Request<B>) -> &str {
    let path_and_query = request.uri().path_and_query();
    path_and_query.map_or("/", PathAndQuery::as_str)
}

/// The URL that a request is for; one without its host, which is refused as such, if the request names none.
fn url_of<B>(request: &Request<B>) -> String {
    let host = fields::host_of(request.uri(), request.headers(), request.version());
    let host = host
        .as_ref()
        .map_or("", |host| host.to_str().unwrap_or_default());
    format!("http://{host}{}", path_and_query(request))
}

fn unread(error: &(dyn Error + Send + Sync + 'static)) -> Refusal {
    if error.is::<LengthLimitError>() {
        Refusal::TooLong {
            limit: LONGEST_PURGE,
        }
    } else {
        Refusal::CutOff
    }
}

fn not_purged(error: PurgeError) -> Refusal {
    if let PurgeError::Request(error) = error {
        return Refusal::Request(error);
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    Refusal::NotTaken { error: text }
}

fn send(answer: Answer) -> Response<AnswerBody> {
    let length = answer.body.len();
    let mut response = Response::new(AnswerBody::whole(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.fields;
    let fields = response.headers_mut();
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

//! Purges as existing clients ask for them: in our own words, in Fastly's and in Cloudflare's.
//!
//! A shell hands in what came, and sends what comes out; in between it reads the body and gives the purge to its
//! ledger. A [`Call`] is recognised by its path, which costs other requests three comparisons, or by its method.
//!
//! | dialect | request | credential |
//! |---|---|---|
//! | ours | `POST /.terrace/purge`, `PURGE /path` | `Authorization: Bearer` |
//! | Fastly's | `PURGE /path`, `POST /purge/{url}`, `POST /service/{id}/purge[/{key}]`, `POST /service/{id}/purge_all` | `Fastly-Key`, or a bearer token |
//! | Cloudflare's | `POST /client/v4/zones/{id}/purge_cache`, `POST /client/v4/zones/{id}/invalidate_cache` (soft) | `Authorization: Bearer`, or `X-Auth-Key` |
//!
//! The tokens are the same for all, and so are the limits: up to [`MOST_SCOPES`](super::wire::MOST_SCOPES) names in a
//! call, of any kinds together. Any service or zone id is taken: there is one cache here. A path of Fastly's or
//! Cloudflare's may as well be one of the origin's own, so it is ours only as [`Call::is_ours`] says.

mod cloudflare;
mod fastly;
mod refusal;

use ::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;

use super::auth::{NotAuthenticated, Token, Tokens, bearer};
use super::wire::{PurgeRequest, Receipt};
use super::{Purge, PurgeMode};
use crate::intake::{Intake, Routes, Target, TargetError};
use crate::time::{Timestamp, TimestampMillis};

pub use refusal::Refusal;

/// Response field with the whole receipt as JSON, in the dialects whose answers have no place for it.
pub const RECEIPT_FIELD: HeaderName = HeaderName::from_static("terrace-receipt");

/// The method that purges the URL it is sent to: a convention of many caches, no standard.
pub const PURGE_METHOD: &str = "PURGE";

/// In whose words a purge is asked for, and answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// Our own.
    Terrace,
    /// Those of Fastly's purge API.
    Fastly,
    /// Those of Cloudflare's.
    Cloudflare,
}

/// A request for a purge, as far as its method and path tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    dialect: Dialect,
    asks: Asks,
}

/// What is asked for, and where the rest of it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Asks {
    /// What the body says in our words.
    OurBody,
    /// What the body says in Cloudflare's.
    ZoneBody(PurgeMode),
    /// One URL.
    Url(String),
    /// One surrogate key.
    SurrogateKey(String),
    /// The surrogate keys in a field, in the body, or in both.
    SurrogateKeys,
    /// Everything.
    Everything,
}

/// An answer in the words of a dialect; the shell adds what it says of the cache.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its content, JSON.
    pub body: String,
}

impl Call {
    /// A `POST` to [`PURGE_PATH`](super::wire::PURGE_PATH).
    pub const fn own() -> Self {
        Self {
            dialect: Dialect::Terrace,
            asks: Asks::OurBody,
        }
    }

    /// A [`PURGE_METHOD`] of `url`, whole: in Fastly's words if one of its fields is there, otherwise in ours.
    pub fn of_url(url: &str, fields: &HeaderMap) -> Self {
        let is_fastly = [fastly::KEY, fastly::SOFT]
            .iter()
            .any(|name| fields.contains_key(name));
        Self {
            dialect: if is_fastly {
                Dialect::Fastly
            } else {
                Dialect::Terrace
            },
            asks: Asks::Url(url.to_owned()),
        }
    }

    /// What a `POST` to `path_and_query` asks for, if that is a path of Fastly's or Cloudflare's API.
    pub fn of_path(path_and_query: &str) -> Option<Self> {
        let (dialect, asks) = if let Some(asks) = fastly::asks(path_and_query) {
            (Dialect::Fastly, asks)
        } else {
            (Dialect::Cloudflare, cloudflare::asks(path_and_query)?)
        };
        Some(Self { dialect, asks })
    }

    /// In whose words it is.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether it is for the cache, and not for an origin that has such a path of its own.
    ///
    /// It is when it carries `Fastly-Key`, when Cloudflare's path comes with any credential, and when Fastly's
    /// comes with a bearer token that is one of `tokens`, or was. It is never when there are no tokens. `tokens` is
    /// none when they cannot be read, so that no credential meant for the cache goes on to the origin.
    pub fn is_ours(&self, fields: &HeaderMap, tokens: Option<&Tokens>, now: Timestamp) -> bool {
        if tokens.is_some_and(Tokens::is_empty) {
            return false;
        }
        match self.dialect {
            Dialect::Terrace => true,
            Dialect::Cloudflare => self.credential(fields).is_some(),
            Dialect::Fastly => {
                let is_known = |tokens: &Tokens| {
                    let found = tokens.authenticate(self.credential(fields), now);
                    matches!(found, Ok(_) | Err(NotAuthenticated::Expired { .. }))
                };
                fields.contains_key(fastly::KEY) || tokens.is_some_and(is_known)
            }
        }
    }

    /// The token that it comes with, if that is one of `tokens`.
    ///
    /// # Errors
    /// When it comes with none, or another.
    pub fn admit<'a>(
        &self,
        fields: &HeaderMap,
        tokens: &'a Tokens,
        now: Timestamp,
    ) -> Result<&'a Token, Refusal> {
        if tokens.is_empty() {
            return Err(Refusal::NoTokens);
        }
        Ok(tokens.authenticate(self.credential(fields), now)?)
    }

    /// The purge it asks for with `body`, as a request and as what a ledger takes, if `token` may ask for it.
    ///
    /// URLs are named as `routes` normalise them, so that what they are stored under is what is purged.
    ///
    /// # Errors
    /// When it is not understood, asks for nothing or too much, or the token may not ask for it.
    pub fn purge(
        &self,
        fields: &HeaderMap,
        body: &[u8],
        token: &Token,
        routes: &Routes,
        now: TimestampMillis,
    ) -> Result<(PurgeRequest, Purge), Refusal> {
        let request = self.request(fields, body, routes, now.timestamp())?;
        let purge = request.clone().into_purge(now)?;
        token.check(&purge)?;
        Ok((request, purge))
    }

    fn request(
        &self,
        fields: &HeaderMap,
        body: &[u8],
        routes: &Routes,
        now: Timestamp,
    ) -> Result<PurgeRequest, Refusal> {
        check_content_type(fields, body)?;
        let name = |url: &str| name_of(url, routes, now);
        let named = PurgeRequest {
            mode: self.mode(fields),
            ..PurgeRequest::default()
        };
        Ok(match &self.asks {
            Asks::OurBody => PurgeRequest::from_json(body)?,
            Asks::ZoneBody(mode) => cloudflare::request(body, *mode, name)?,
            Asks::Url(url) => PurgeRequest {
                urls: vec![name(url).map_err(Refusal::Url)?],
                ..named
            },
            Asks::SurrogateKey(key) => PurgeRequest {
                surrogate_keys: vec![key.clone()],
                ..named
            },
            Asks::SurrogateKeys => PurgeRequest {
                surrogate_keys: fastly::surrogate_keys(fields, body)?,
                ..named
            },
            Asks::Everything => PurgeRequest {
                everything: true,
                ..named
            },
        })
    }

    /// Soft if Fastly's field for that is there, whatever its value: so it is at Fastly.
    fn mode(&self, fields: &HeaderMap) -> PurgeMode {
        match self.dialect {
            Dialect::Fastly if fields.contains_key(fastly::SOFT) => PurgeMode::Soft,
            Dialect::Fastly | Dialect::Terrace | Dialect::Cloudflare => PurgeMode::Hard,
        }
    }

    fn credential<'a>(&self, fields: &'a HeaderMap) -> Option<&'a str> {
        let text = |name: HeaderName| fields.get(name).and_then(|value| value.to_str().ok());
        let bearer = || bearer(text(AUTHORIZATION));
        match self.dialect {
            Dialect::Terrace => bearer(),
            Dialect::Fastly => text(fastly::KEY).or_else(bearer),
            Dialect::Cloudflare => bearer().or_else(|| text(cloudflare::KEY)),
        }
    }

    /// The answer when `request` has been carried out.
    pub fn carried_out(&self, request: &PurgeRequest, receipt: &Receipt) -> Answer {
        let mut answer = match self.dialect {
            Dialect::Terrace => return Answer::json(StatusCode::OK, receipt),
            Dialect::Fastly if self.asks == Asks::SurrogateKeys => {
                fastly::all_done(request, receipt)
            }
            Dialect::Fastly => fastly::done(receipt),
            Dialect::Cloudflare => cloudflare::done(request, receipt),
        };
        if let Some(receipt) = receipt_value(receipt) {
            answer.fields.insert(RECEIPT_FIELD, receipt);
        }
        answer
    }

    /// The answer when it has not been.
    pub fn refused(&self, refusal: &Refusal) -> Answer {
        refusal.answer(self.dialect)
    }
}

impl Answer {
    /// `body` as JSON, which nobody stores.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body);
        Self::text(status, body.unwrap_or_else(|_| "{}".to_owned()))
    }

    /// Apart, so that there is one of it and not one for each kind of body.
    fn text(status: StatusCode, body: String) -> Self {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self {
            status,
            fields,
            body,
        }
    }
}

/// The receipt for those who read fields; none if it is too long for one.
fn receipt_value(receipt: &Receipt) -> Option<HeaderValue> {
    const LONGEST: usize = 4_096;
    let text = serde_json::to_string(receipt).ok()?;
    let value = HeaderValue::try_from(text).ok()?;
    (value.len() <= LONGEST).then_some(value)
}

/// What the response of `url` is stored and purged under: host, path and query, as its route normalises them.
fn name_of(url: &str, routes: &Routes, now: Timestamp) -> Result<String, TargetError> {
    let target = Target::parse(url)?;
    let intake = Intake::of(&Method::GET, target, HeaderMap::new(), routes, now);
    let (host, path_and_query) = (intake.target.host(), &intake.path_and_query);
    Ok(format!("{host}{path_and_query}"))
}

/// `url` with a scheme: clients of both APIs name URLs and prefixes without one.
///
/// Of the two slashes behind a scheme one may be lost, where the URL has come as part of a path.
fn absolute(url: &str) -> String {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match url.split_once(":/") {
        Some((scheme, rest)) if is_scheme(scheme) => {
            let scheme = scheme.to_ascii_lowercase();
            format!("{scheme}://{}", rest.trim_start_matches('/'))
        }
        Some(_) | None => format!("https://{url}"),
    }
}

/// Refuses a body that says it is something else than JSON.
///
/// What tools send along when nobody says what the body is, is no such word.
fn check_content_type(fields: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let given = match fields.get(CONTENT_TYPE) {
        Some(given) if !body.is_empty() => String::from_utf8_lossy(given.as_bytes()),
        Some(_) | None => return Ok(()),
    };
    let kind = given.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    match &*kind {
        "" | "application/json" | "application/x-www-form-urlencoded" | "text/plain" => Ok(()),
        kind if kind.ends_with("+json") => Ok(()),
        _ => Err(Refusal::ContentType {
            given: given.chars().take(64).collect(),
        }),
    }
}

impl Refusal {
    /// As an answer in the words of `dialect`.
    pub fn answer(&self, dialect: Dialect) -> Answer {
        let mut answer = match dialect {
            Dialect::Terrace => self.in_our_words(),
            Dialect::Fastly => fastly::refused(self),
            Dialect::Cloudflare => cloudflare::refused(self),
        };
        if let Self::NotAuthenticated(_) = self {
            let challenge = HeaderValue::from_static(r#"Bearer realm="terrace""#);
            answer.fields.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Self::Method { allow, .. } = self {
            answer.fields.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Self::TooMany { retry_after } = self {
            let seconds = HeaderValue::from(retry_after.as_u64().div_ceil(1_000));
            answer.fields.insert(RETRY_AFTER, seconds);
        }
        answer
    }

    fn in_our_words(&self) -> Answer {
        #[derive(Serialize)]
        struct Words {
            error: String,
            hint: &'static str,
        }
        let words = Words {
            error: self.to_string(),
            hint: self.hint(Dialect::Terrace),
        };
        Answer::json(self.status(), &words)
    }
}

#[cfg(test)]
mod tests;

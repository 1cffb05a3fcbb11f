//! Cloudflare's purge API (<https://developers.cloudflare.com/api/resources/cache/methods/purge/>).
//!
//! Unlike there, a call may name things of several kinds, and tags are compared byte by byte, as surrogate keys
//! always are here: a purge of a tag with capital letters says so in its answer. Fields beside a URL do not
//! narrow its purge: it reaches every variant.

use std::fmt;

use ::http::StatusCode;
use ::http::header::HeaderName;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Answer, Asks, Dialect, Refusal, absolute};
use crate::intake::TargetError;
use crate::purge::wire::{PurgeRequest, PurgeRequestError, PurgeState, Receipt};
use crate::purge::{Epoch, PurgeMode};

/// Request field with the token, in the API's older way to authenticate.
pub(super) const KEY: HeaderName = HeaderName::from_static("x-auth-key");

/// What a `POST` to this path asks for, if it is one of Cloudflare's.
pub(super) fn asks(path_and_query: &str) -> Option<Asks> {
    let rest = path_and_query.strip_prefix("/client/v4/zones/")?;
    let (zone, call) = rest.split('?').next()?.split_once('/')?;
    match call {
        _ if zone.is_empty() => None,
        "purge_cache" => Some(Asks::ZoneBody(PurgeMode::Hard)),
        "invalidate_cache" => Some(Asks::ZoneBody(PurgeMode::Soft)),
        _ => None,
    }
}

/// The body of either call.
#[derive(Default)]
struct Body {
    tags: Vec<String>,
    files: Vec<File>,
    prefixes: Vec<String>,
    hosts: Vec<String>,
    purge_everything: bool,
}

/// By hand, as the next one: what serde derives is several times as large, and the worker must stay small.
impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Body;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .write_str("an object with tags, files, prefixes, hosts or purge_everything")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Body, A::Error> {
                const MEMBERS: &[&str] =
                    &["tags", "files", "prefixes", "hosts", "purge_everything"];
                // What is named twice is purged by both.
                let mut body = Body::default();
                while let Some(name) = members.next_key::<String>()? {
                    match &*name {
                        "tags" => body.tags.append(&mut members.next_value()?),
                        "files" => body.files.append(&mut members.next_value()?),
                        "prefixes" => body.prefixes.append(&mut members.next_value()?),
                        "hosts" => body.hosts.append(&mut members.next_value()?),
                        "purge_everything" => {
                            body.purge_everything |= members.next_value::<bool>()?;
                        }
                        _ => return Err(Error::unknown_field(&name, MEMBERS)),
                    }
                }
                Ok(body)
            }
        }

        deserializer.deserialize_map(Read)
    }
}

/// A URL, alone or with fields beside it.
struct File(String);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = File;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a URL, or an object with url and headers")
            }

            fn visit_str<E: Error>(self, url: &str) -> Result<File, E> {
                Ok(File(url.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<File, A::Error> {
                let mut url = None;
                while let Some(name) = members.next_key::<String>()? {
                    match &*name {
                        "url" if url.is_some() => return Err(Error::duplicate_field("url")),
                        "url" => url = Some(members.next_value()?),
                        "headers" => {
                            members.next_value::<IgnoredAny>()?;
                        }
                        _ => return Err(Error::unknown_field(&name, &["url", "headers"])),
                    }
                }
                url.map(File).ok_or_else(|| Error::missing_field("url"))
            }
        }

        deserializer.deserialize_any(Read)
    }
}

/// The purge that `body` asks for; `name` gives what a URL's response is stored under.
pub(super) fn request(
    body: &[u8],
    mode: PurgeMode,
    name: impl Fn(&str) -> Result<String, TargetError>,
) -> Result<PurgeRequest, Refusal> {
    let body: Body = serde_json::from_slice(body).map_err(PurgeRequestError::Json)?;
    let mut urls = Vec::with_capacity(body.files.len());
    for (index, File(url)) in body.files.iter().enumerate() {
        urls.push(name(&absolute(url)).map_err(|source| Refusal::ListedUrl {
            field: "files",
            index,
            source,
        })?);
    }
    Ok(PurgeRequest {
        mode,
        surrogate_keys: body.tags,
        urls,
        // A host is in lower case where the prefix is a URL's.
        prefixes: body.prefixes.iter().map(|text| prefix(text)).collect(),
        hosts: body.hosts,
        everything: body.purge_everything,
        ..PurgeRequest::default()
    })
}

/// A prefix without its scheme is one of a URL all the same; an empty one is left for the error that says so.
fn prefix(text: &str) -> String {
    if text.is_empty() || text.starts_with('/') {
        text.to_owned()
    } else {
        absolute(text)
    }
}

#[derive(Serialize)]
struct Envelope {
    success: bool,
    errors: Vec<Info>,
    messages: Vec<Info>,
    result: Option<Purged>,
}

#[derive(Serialize)]
struct Info {
    code: u16,
    message: String,
}

#[derive(Serialize)]
struct Purged {
    id: Epoch,
}

/// The answer to a purge.
pub(super) fn done(request: &PurgeRequest, receipt: &Receipt) -> Answer {
    /// Of what is only said.
    const NOTE: u16 = 1_000;
    let note = |message| Info {
        code: NOTE,
        message,
    };
    let mut messages = Vec::new();
    let has_capitals = |tag: &&String| tag.bytes().any(|byte| byte.is_ascii_uppercase());
    if let Some(tag) = request.surrogate_keys.iter().find(has_capitals) {
        messages.push(note(format!(
            "tags are compared byte by byte here: {tag:?} is not {:?}",
            tag.to_ascii_lowercase()
        )));
    }
    let mut tiers = receipt.tiers.iter();
    if tiers.any(|tier| tier.state == PurgeState::Pending) {
        messages.push(note(
            "not every tier has taken it yet: it is told until it has".to_owned(),
        ));
    }
    let envelope = Envelope {
        success: true,
        errors: Vec::new(),
        messages,
        result: Some(Purged { id: receipt.epoch }),
    };
    Answer::json(StatusCode::OK, &envelope)
}

/// The answer to what is refused: Cloudflare's number for it where it has one, otherwise the status.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    let status = refusal.status();
    let (code, text) = match refusal {
        Refusal::NotAuthenticated(_) => (10_000, format!("Authentication error: {refusal}")),
        Refusal::NoTokens | Refusal::Forbidden(_) => {
            let text = format!("Unauthorized to access requested resource: {refusal}");
            (9_109, text)
        }
        Refusal::TooMany { .. } => (971, refusal.to_string()),
        Refusal::Request(PurgeRequestError::NothingNamed) => (
            1_012,
            r#"Request must contain one of "purge_everything", "files", "tags", "hosts" or "prefixes""#
                .to_owned(),
        ),
        Refusal::Request(PurgeRequestError::Json(error)) if !error.is_data() => {
            (6_007, format!("Malformed JSON in request body: {error}"))
        }
        Refusal::Request(PurgeRequestError::Scope {
            field,
            index,
            source,
        }) => {
            let field = match *field {
                "surrogate_keys" => "tags",
                "urls" => "files",
                other => other,
            };
            (status.as_u16(), format!("{field}[{index}]: {source}"))
        }
        Refusal::Request(_)
        | Refusal::NotKeys
        | Refusal::Url(_)
        | Refusal::ListedUrl { .. }
        | Refusal::ContentType { .. }
        | Refusal::TooLong { .. }
        | Refusal::CutOff
        | Refusal::Method { .. }
        | Refusal::NoSuchPath { .. }
        | Refusal::Misconfigured { .. }
        | Refusal::TooManyScheduled { .. }
        | Refusal::Query { .. }
        | Refusal::NotTaken { .. } => (status.as_u16(), refusal.to_string()),
    };
    let message = format!("{text}; {}", refusal.hint(Dialect::Cloudflare));
    let envelope = Envelope {
        success: false,
        errors: vec![Info { code, message }],
        messages: Vec::new(),
        result: None,
    };
    Answer::json(status, &envelope)
}

//! What is put before both sides: an exchange that may be stored, and a later request.

use http::{HeaderMap, Method, StatusCode};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::words;

/// When every response comes: `Sat, 21 Nov 2026 12:00:00 GMT`.
pub(crate) const RECEIVED_AT: u64 = 1_795_262_400;

/// An exchange, and a request that comes `elapsed` seconds after it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) later: Request,
    pub(crate) elapsed: u64,
}

/// Whom the cache serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Shared,
    Private,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) fields: Fields,
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
}

/// Fields of one line each: the package knows no others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(&'static str, String)>);

/// A directive or another member of a list, as a careful reader takes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    /// In lower case.
    pub(crate) name: String,
    /// As it was written.
    pub(crate) text: String,
    /// What follows the sign, as it was written.
    pub(crate) argument: Option<String>,
}

impl Case {
    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({
            "shared": self.kind == Kind::Shared,
            "request": self.request.to_json(),
            "response": { "status": self.response.status, "headers": self.response.fields.to_json() },
            "later": self.later.to_json(),
            "received_at": RECEIVED_AT,
            "elapsed": self.elapsed,
        })
    }
}

impl Request {
    pub(crate) fn method(&self) -> Method {
        self.method.parse().unwrap()
    }

    fn to_json(&self) -> serde_json::Value {
        json!({ "method": self.method, "url": "/p", "headers": self.fields.to_json() })
    }
}

impl Response {
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap()
    }
}

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.iter();
        lines.find_map(|(other, value)| (*other == name).then_some(value.as_str()))
    }

    pub(crate) fn to_map(&self) -> HeaderMap {
        let line = |(name, value): &(&'static str, String)| {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        self.0.iter().map(line).collect()
    }

    /// The members of `Cache-Control`.
    pub(crate) fn directives(&self) -> Vec<Member> {
        let (mut quoted, mut members) = (false, Vec::new());
        let value = self.get("cache-control").unwrap_or_default();
        let is_end = |byte: char| {
            quoted ^= byte == '"';
            byte == ',' && !quoted
        };
        for text in value.split(is_end).map(str::trim) {
            let (name, argument) = match text.split_once('=') {
                Some((name, argument)) => (name, Some(argument.to_owned())),
                None => (text, None),
            };
            members.push(Member {
                name: name.trim().to_ascii_lowercase(),
                text: text.to_owned(),
                argument,
            });
        }
        members
    }

    /// Whether `Cache-Control` has this directive, in whatever case and form.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.directives().iter().any(|member| member.name == name)
    }

    fn to_json(&self) -> serde_json::Value {
        let line = |(name, value): &(&'static str, String)| ((*name).to_owned(), json!(value));
        self.0
            .iter()
            .map(line)
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// Any case.
pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let kind = select(vec![Kind::Shared, Kind::Shared, Kind::Private]);
    (
        kind,
        request(first_method(), 0.15),
        response(),
        later(),
        words::elapsed(),
    )
        .prop_map(|(kind, request, response, (later, repeats), elapsed)| {
            // Most who ask again ask with the same selecting fields.
            let later = if repeats {
                with_selecting_of(later, &request)
            } else {
                later
            };
            Case {
                kind,
                request,
                response,
                later,
                elapsed,
            }
        })
}

fn with_selecting_of(mut later: Request, first: &Request) -> Request {
    later.fields.0.retain(|(name, _)| !SELECTING.contains(name));
    let selecting = first
        .fields
        .0
        .iter()
        .filter(|(name, _)| SELECTING.contains(name));
    later.fields.0.extend(selecting.cloned());
    later
}

const SELECTING: [&str; 3] = ["accept-encoding", "accept-language", "x-variant"];

fn first_method() -> impl Strategy<Value = &'static str> {
    prop_oneof![24 => Just("GET"), 1 => select(vec!["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])]
}

fn later() -> impl Strategy<Value = (Request, bool)> {
    let method = prop_oneof![20 => Just("GET"), 1 => select(vec!["HEAD", "POST", "PUT"])];
    (
        request(method, 0.6),
        prop_oneof![4 => Just(true), 1 => Just(false)],
    )
}

fn request(
    method: impl Strategy<Value = &'static str>,
    directives: f64,
) -> impl Strategy<Value = Request> {
    let fields = (
        weighted(directives, words::request_directives()),
        weighted(0.05, select(vec!["no-cache", "x"])),
        weighted(0.1, Just("Bearer x")),
        weighted(0.3, select(vec!["gzip, br", "gzip,br", "br", "identity"])),
        weighted(0.2, select(vec!["de", "en", "en;q=1.0"])),
        weighted(0.3, select(vec!["a", "b", "a, b", "a,b"])),
        weighted(0.08, select(vec!["\"one\"", "W/\"one\"", "\"two\""])),
        weighted(0.04, select(vec!["\"one\"", "*"])),
        weighted(0.06, words::date()),
    );
    (method, fields).prop_map(|(method, fields)| {
        let (directives, pragma, authorization, coding, language, variant, tags, own, since) =
            fields;
        let lines = [
            ("cache-control", directives),
            ("pragma", pragma.map(str::to_owned)),
            ("authorization", authorization.map(str::to_owned)),
            ("accept-encoding", coding.map(str::to_owned)),
            ("accept-language", language.map(str::to_owned)),
            ("x-variant", variant.map(str::to_owned)),
            ("if-none-match", tags.map(str::to_owned)),
            ("if-match", own.map(str::to_owned)),
            ("if-modified-since", since),
        ];
        Request {
            method,
            fields: present(lines),
        }
    })
}

fn response() -> impl Strategy<Value = Response> {
    let tags = vec!["\"one\"", "\"one\"", "W/\"one\"", "unquoted"];
    let fields = (
        weighted(0.85, words::response_directives()),
        weighted(0.25, words::date()),
        weighted(0.4, words::date_of_sending()),
        weighted(0.2, words::age()),
        weighted(0.3, words::date()),
        weighted(0.4, select(tags)),
        weighted(0.3, select(words::VARY.to_vec())),
        weighted(0.08, Just("id=1")),
        weighted(0.05, Just("no-cache")),
        weighted(0.1, select(vec!["x-hop", "close", "X-Hop, close"])),
    );
    (words::status(), fields).prop_map(|(status, fields)| {
        let (directives, expires, date, age, modified, tag, vary, cookie, pragma, connection) =
            fields;
        let hop = connection.map(|_| "1".to_owned());
        let lines = [
            ("cache-control", directives),
            ("expires", expires),
            ("date", date),
            ("age", age),
            ("last-modified", modified),
            ("etag", tag.map(str::to_owned)),
            ("vary", vary.map(str::to_owned)),
            ("set-cookie", cookie.map(str::to_owned)),
            ("pragma", pragma.map(str::to_owned)),
            ("connection", connection.map(str::to_owned)),
            ("x-hop", hop),
            ("content-type", Some("text/plain".to_owned())),
        ];
        Response {
            status,
            fields: present(lines),
        }
    })
}

fn present<const N: usize>(lines: [(&'static str, Option<String>); N]) -> Fields {
    let line = |(name, value): (&'static str, Option<String>)| Some((name, value?));
    Fields(lines.into_iter().filter_map(line).collect())
}

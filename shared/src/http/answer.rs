//! A stored response, cut to what the client asked for.

use ::http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, EXPIRES, HeaderName,
};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::fields::only_line;
use super::range::{self, ByteRange};
use super::{
    Extent, RequestFacts, Rules, StoredResponse, conditional, pass_fields, response_fields,
};
use crate::decimal::Decimal;
use crate::time::DeltaSeconds;

/// What to send to the client for a stored response.
#[derive(Clone, Debug)]
#[must_use]
pub struct Answer {
    /// 200 (or what is stored), 206, 304, 412 or 416.
    pub status: StatusCode,
    /// All fields, `Age` and `Content-Length` among them; the shell adds `Cache-Status`.
    pub fields: HeaderMap,
    /// Which bytes of the stored body follow.
    pub body: AnswerBody,
}

/// Which bytes of the stored body to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AnswerBody {
    /// None.
    None,
    /// All of them.
    Full,
    /// These: positions in the stored body.
    Range(ByteRange),
    /// Each of these behind its head, then the end: `multipart/byteranges` (RFC 9110 §14.6).
    Multipart {
        /// For each part: what precedes it (delimiter and fields), and its bytes.
        parts: Vec<(Box<[u8]>, ByteRange)>,
        /// What closes the body.
        end: Box<[u8]>,
    },
}

/// The answer for `request` from `stored`, which [`super::decide`] has said may be reused at `age`.
///
/// `length` is the stored body's, if the shell knows it; without one, ranges are not cut. `boundary`
/// separates the parts of a multipart answer: random letters and digits, at most 70. Ranges of the answer's
/// body are positions in the stored body, also where that is a part.
pub fn answer(
    request: &RequestFacts,
    stored: &StoredResponse,
    age: DeltaSeconds,
    length: Option<u64>,
    boundary: &str,
    rules: &Rules,
) -> Answer {
    let fields = response_fields(stored, age, rules);
    with_fields(request, stored, fields, length, boundary, rules)
}

/// The answer for `request` from a response that has just come, and is being stored as `stored`.
///
/// It has the `fields` that the origin sent: its own `Age`, and what is for this one answer and not stored
/// (RFC 9111 §5.2.2.4, §5.2.2.7). Everything else is as in [`answer`].
pub fn answer_new(
    request: &RequestFacts,
    stored: &StoredResponse,
    fields: &HeaderMap,
    length: Option<u64>,
    boundary: &str,
    rules: &Rules,
) -> Answer {
    let fields = pass_fields(fields, stored.exchange().received_at, rules);
    with_fields(request, stored, fields, length, boundary, rules)
}

fn with_fields(
    request: &RequestFacts,
    stored: &StoredResponse,
    fields: HeaderMap,
    length: Option<u64>,
    boundary: &str,
    rules: &Rules,
) -> Answer {
    match conditional::evaluate(request, stored) {
        conditional::Outcome::NotModified => {
            return without_body(StatusCode::NOT_MODIFIED, fields);
        }
        conditional::Outcome::PreconditionFailed => {
            return refusal(StatusCode::PRECONDITION_FAILED, fields);
        }
        conditional::Outcome::Full => {}
    }
    let Some(bound) = bound(stored, length) else {
        return whole(request, stored, fields, None);
    };
    let place = Place::of(stored, length);
    match range::evaluate(request, stored, bound, rules) {
        range::Outcome::Full => whole(request, stored, fields, length),
        range::Outcome::Partial(ranges) => match ranges.as_slice() {
            [range] => one_range(fields, *range, place),
            ranges => multipart(fields, ranges, place, boundary),
        },
        range::Outcome::NotSatisfiable => {
            let mut answer = refusal(StatusCode::RANGE_NOT_SATISFIABLE, fields);
            // (RFC 9110 §15.5.17)
            set(
                &mut answer.fields,
                CONTENT_RANGE,
                &format!("bytes */{bound}"),
            );
            answer.fields.insert(CONTENT_LENGTH, HeaderValue::from(0));
            answer
        }
    }
}

fn whole(
    request: &RequestFacts,
    stored: &StoredResponse,
    mut fields: HeaderMap,
    length: Option<u64>,
) -> Answer {
    let status = stored.status();
    if let (Some(length), false) = (length, status == StatusCode::NO_CONTENT) {
        let length = Decimal::of(length);
        // Most origins have said the same.
        if only_line(&fields, &CONTENT_LENGTH) != Some(length.as_bytes()) {
            fields.insert(CONTENT_LENGTH, length.to_value());
        }
    }
    let body = if request.method() == Method::HEAD {
        AnswerBody::None // (RFC 9110 §9.3.2)
    } else {
        AnswerBody::Full
    };
    Answer {
        status,
        fields,
        body,
    }
}

/// Where the ranges of a representation are in the stored body.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Position of the stored body's first byte.
    first: u64,
    /// Length of the representation, if it is known.
    complete: Option<u64>,
}

impl Place {
    const fn of(stored: &StoredResponse, length: Option<u64>) -> Self {
        match stored.extent() {
            Extent::Complete { .. } => Self {
                first: 0,
                complete: length,
            },
            Extent::Partial { range, complete } => Self {
                first: range.first,
                complete,
            },
        }
    }

    /// The positions of `range` in the stored body.
    const fn in_body(self, range: ByteRange) -> ByteRange {
        ByteRange {
            first: range.first.saturating_sub(self.first),
            last: range.last.saturating_sub(self.first),
        }
    }
}

/// The length that ranges are held against. Of a part, only ranges that lie within it come here, so that
/// its end will do.
const fn bound(stored: &StoredResponse, length: Option<u64>) -> Option<u64> {
    match stored.extent() {
        Extent::Complete { .. } => length,
        Extent::Partial {
            complete: Some(complete),
            ..
        } => Some(complete),
        Extent::Partial { range, .. } => Some(range.last.saturating_add(1)),
    }
}

/// 412 and 416 are for this request alone: the stored lifetime is that of another status.
fn refusal(status: StatusCode, mut fields: HeaderMap) -> Answer {
    for name in OF_THE_LIFETIME {
        fields.remove(name);
    }
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    without_body(status, fields)
}

/// 304, 412 and 416 say nothing about a body (RFC 9110 §15.4.5).
fn without_body(status: StatusCode, mut fields: HeaderMap) -> Answer {
    for name in OF_THE_BODY {
        fields.remove(name);
    }
    Answer {
        status,
        fields,
        body: AnswerBody::None,
    }
}

/// (RFC 9110 §15.3.7.1)
fn one_range(mut fields: HeaderMap, range: ByteRange, place: Place) -> Answer {
    set(
        &mut fields,
        CONTENT_RANGE,
        &range.content_range(place.complete),
    );
    fields.insert(CONTENT_LENGTH, HeaderValue::from(range.length()));
    Answer {
        status: StatusCode::PARTIAL_CONTENT,
        fields,
        body: AnswerBody::Range(place.in_body(range)),
    }
}

/// (RFC 9110 §14.6, §15.3.7.2)
fn multipart(mut fields: HeaderMap, ranges: &[ByteRange], place: Place, boundary: &str) -> Answer {
    let content_type = fields.remove(CONTENT_TYPE);
    fields.remove(CONTENT_RANGE);
    let mut total = 0_u64;
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
        if let Some(content_type) = &content_type {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(content_type.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        let line = format!(
            "Content-Range: {}\r\n\r\n",
            range.content_range(place.complete)
        );
        head.extend_from_slice(line.as_bytes());
        total = total
            .saturating_add(range.length())
            .saturating_add(byte_length(&head));
        parts.push((head.into_boxed_slice(), place.in_body(*range)));
    }
    let end: Box<[u8]> = format!("\r\n--{boundary}--\r\n").into_bytes().into();
    total = total.saturating_add(byte_length(&end));
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    set(&mut fields, CONTENT_TYPE, &content_type);
    fields.insert(CONTENT_LENGTH, HeaderValue::from(total));
    Answer {
        status: StatusCode::PARTIAL_CONTENT,
        fields,
        body: AnswerBody::Multipart { parts, end },
    }
}

fn byte_length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn set(fields: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        fields.insert(name, value);
    }
}

const OF_THE_LIFETIME: [HeaderName; 5] = [
    AGE,
    EXPIRES,
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cache-groups"),
];

const OF_THE_BODY: [HeaderName; 5] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_RANGE,
];

#[cfg(test)]
mod tests;

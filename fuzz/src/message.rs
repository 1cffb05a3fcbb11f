//! Requests and responses out of bytes, and the moment in which all of it happens.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use terrace_shared::http::{
    Exchange, Fill, ForwardAs, OnResponse, PartialRule, RequestFacts, ResponseHead, Rules,
    StoredResponse, on_response,
};
use terrace_shared::outcome::NotStored;
use terrace_shared::purge::{Epoch, Fence, Incarnation, Sequence, Verdict};
use terrace_shared::time::{DeltaSeconds, Timestamp};

/// When every response comes: `Sat, 21 Nov 2026 12:00:00 GMT`.
pub(crate) const NOON: Timestamp = Timestamp::from_unix_seconds(1_795_262_400);

pub(crate) const HOST: &str = "a.example";
pub(crate) const PATH: &str = "/p?x=1";

pub(crate) fn uri() -> Uri {
    Uri::from_static("https://a.example/p?x=1")
}

/// Moments from noon on, the last of them after any lifetime.
pub(crate) const LATER: [u64; 9] = [0, 1, 10, 59, 60, 61, 3_600, 86_400, 1 << 40];

pub(crate) fn after(seconds: u64) -> Timestamp {
    NOON.saturating_add(DeltaSeconds::seconds(seconds))
}

pub(crate) fn epoch(sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(7),
        sequence: Sequence::new(sequence),
    }
}

/// Rules under which as much as possible is stored.
pub(crate) fn rules() -> Rules {
    Rules {
        partial: PartialRule::Store,
        ..Rules::default()
    }
}

/// Fields with one line of `name` for each line of `bytes` that a field value can be.
pub(crate) fn lines_of(name: &'static str, bytes: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            fields.append(name, value);
        }
    }
    fields
}

/// These fields and these besides, at the end.
pub(crate) fn with(mut fields: HeaderMap, more: &[(&'static str, &'static str)]) -> HeaderMap {
    for (name, value) in more {
        fields.append(*name, HeaderValue::from_static(value));
    }
    fields
}

pub(crate) fn fixed(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    with(HeaderMap::new(), lines)
}

/// Fields written as in HTTP/1.1, one on a line; what is none is left out.
pub(crate) fn section(bytes: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let line = HeaderName::from_bytes(name)
            .ok()
            .zip(HeaderValue::from_bytes(value).ok());
        if let Some((name, value)) = line {
            fields.append(name, value);
        }
    }
    fields
}

pub(crate) fn request(method: &Method, fields: &HeaderMap) -> RequestFacts {
    RequestFacts::parse(method, &uri(), fields, NOON, &rules())
}

pub(crate) fn get(fields: &HeaderMap) -> RequestFacts {
    request(&Method::GET, fields)
}

/// Asked for and answered at noon, under epoch 1.
pub(crate) fn fill() -> Fill<'static> {
    Fill {
        exchange: Exchange {
            requested_at: NOON,
            received_at: NOON,
        },
        fence: Fence::at(epoch(1)),
        host: HOST,
        path_and_query: PATH,
        asked: ForwardAs::Client,
    }
}

/// What is stored of a response to a plain GET.
pub(crate) fn store(status: StatusCode, fields: &HeaderMap) -> Result<StoredResponse, NotStored> {
    store_for(&get(&HeaderMap::new()), status, fields)
}

/// What is stored of a response to `request`.
pub(crate) fn store_for(
    request: &RequestFacts,
    status: StatusCode,
    fields: &HeaderMap,
) -> Result<StoredResponse, NotStored> {
    let head = ResponseHead { status, fields };
    match on_response(request, head, None, Verdict::Untouched, &fill(), &rules()) {
        OnResponse::Store(stored) => Ok(*stored),
        OnResponse::Pass(because) => Err(because),
        other => panic!("nothing is stored, and yet {other:?}"),
    }
}

/// A 200 that is fresh for a minute, with both validators.
pub(crate) fn plain() -> StoredResponse {
    let fields = fixed(&[
        ("cache-control", "max-age=60, stale-while-revalidate=30"),
        ("date", "Sat, 21 Nov 2026 12:00:00 GMT"),
        ("etag", "\"one\""),
        ("last-modified", "Sat, 21 Nov 2026 11:00:00 GMT"),
    ]);
    store(StatusCode::OK, &fields).expect("it says that it is fresh")
}

/// What holds for whatever was stored: its bytes are read back, and it only ever grows older.
pub(crate) fn check_stored(stored: &StoredResponse) {
    let read = StoredResponse::decode_head(&stored.encode_head());
    assert_eq!(read.as_ref(), Ok(stored), "its head is not read back");
    assert!(
        stored.lifetime() <= DeltaSeconds::days(365),
        "it is fresh for too long: {:?}",
        stored.lifetime()
    );
    let mut was = (DeltaSeconds::ZERO, true);
    for seconds in LATER {
        let age = stored.current_age(after(seconds));
        let fresh = stored.lifetime() > age;
        assert!(age >= was.0, "its age shrinks at {seconds}");
        assert!(was.1 || !fresh, "it turns fresh again at {seconds}");
        was = (age, fresh);
    }
}

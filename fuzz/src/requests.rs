//! What requests bring: ranges, targets, cookies and queries.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use terrace_shared::http::range::ByteRange;
use terrace_shared::http::{Answer, AnswerBody, EntityTag, Extent, answer};
use terrace_shared::intake::{Intake, Routes, Target, origin_fields};
use terrace_shared::policy::Policy;

use crate::fields::halves;
use crate::message::{
    NOON, after, check_stored, get, lines_of, plain, rules, section, store, with,
};

/// Two bytes of length, then the lines of `Range`.
pub(crate) fn ranges(bytes: &[u8]) {
    let Some(([high, low], bytes)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let length = u64::from(u16::from_be_bytes([*high, *low]));
    check_ranges(&answer_to(&lines_of("range", bytes), length), length);
}

fn answer_to(fields: &HeaderMap, length: u64) -> Answer {
    let stored = plain();
    let age = stored.current_age(after(1));
    answer(&get(fields), &stored, age, Some(length), "b", &rules())
}

fn check_ranges(answer: &Answer, length: u64) {
    let said = answer
        .fields
        .get("content-length")
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let inside = |range: &ByteRange| range.first <= range.last && range.last < length;
    match &answer.body {
        AnswerBody::None => assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE),
        AnswerBody::Full => {
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(said, Some(length));
        }
        AnswerBody::Range(range) => {
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
            assert!(inside(range), "{range:?} of {length}");
            assert_eq!(said, Some(range.length()));
        }
        AnswerBody::Multipart { parts, end } => {
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
            assert!((2..=rules().most_ranges).contains(&parts.len()));
            let mut total = end.len() as u64;
            for (head, range) in parts {
                assert!(inside(range), "{range:?} of {length}");
                total += head.len() as u64 + range.length();
            }
            assert_eq!(said, Some(total), "Content-Length is wrong");
            let apart = |one: &ByteRange, other: &ByteRange| {
                one.last + 1 < other.first || other.last + 1 < one.first
            };
            for (at, (_, range)) in parts.iter().enumerate() {
                assert!(
                    parts[..at].iter().all(|(_, other)| apart(range, other)),
                    "parts touch"
                );
            }
        }
    }
}

/// Any lines of `If-Range` before a good `Range`.
pub(crate) fn if_range(bytes: &[u8]) {
    let conditions = lines_of("if-range", bytes);
    let fields = with(conditions.clone(), &[("range", "bytes=0-4")]);
    let holds = matches!(answer_to(&fields, 9).body, AnswerBody::Range(_));
    let lines: Vec<&[u8]> = conditions.values().map(HeaderValue::as_bytes).collect();
    match lines.as_slice() {
        [] => assert!(holds, "there is none"),
        [line] => match EntityTag::parse(line) {
            Some(tag) => {
                let own = EntityTag::parse(b"\"one\"").expect("it is one");
                assert_eq!(holds, own.strongly_matches(&tag), "{tag:?}");
            }
            // All forms of a date begin with the day's name.
            None => assert!(
                !holds
                    || line.trim_ascii().starts_with(b"S")
                    || line.trim_ascii().starts_with(b"s")
            ),
        },
        _ => assert!(!holds, "there are several"),
    }
}

/// Any lines of `Content-Range` in a 206.
pub(crate) fn content_range(bytes: &[u8]) {
    let fields = with(
        lines_of("content-range", bytes),
        &[("cache-control", "max-age=60"), ("etag", "\"one\"")],
    );
    let Ok(stored) = store(StatusCode::PARTIAL_CONTENT, &fields) else {
        return;
    };
    check_stored(&stored);
    let Extent::Partial { range, complete } = stored.extent() else {
        panic!("a part is stored as the whole");
    };
    assert!(range.first <= range.last && complete.is_none_or(|complete| range.last < complete));
    let mut again = fields.clone();
    let text = range.content_range(complete).parse().expect("it is ASCII");
    again.insert("content-range", text);
    let again = store(StatusCode::PARTIAL_CONTENT, &again).map(|stored| stored.extent());
    assert_eq!(again, Ok(stored.extent()), "it is not read back");
    for asked in ["bytes=0-", "bytes=-5", "bytes=3-4, 7-9"] {
        let mut fields = HeaderMap::new();
        fields.insert("range", asked.parse().expect("it is ASCII"));
        let age = stored.current_age(after(1));
        let answer = answer(
            &get(&fields),
            &stored,
            age,
            Some(range.length()),
            "b",
            &rules(),
        );
        if let AnswerBody::Range(sent) = answer.body {
            assert!(sent.first <= sent.last);
        }
    }
}

/// A URL.
pub(crate) fn urls(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(target) = Target::parse(text) else {
        return;
    };
    let path = target.path();
    assert!(path.starts_with('/') && !path.contains(['\\', '#']));
    assert!(
        !target
            .host()
            .contains(|byte: char| byte.is_ascii_uppercase() || byte == '@' || byte == '/')
    );
    assert!(
        path.split('/')
            .all(|segment| segment != "." && segment != ".."),
        "{path}"
    );
    assert_eq!(
        Target::parse(&target.uri().to_string()).as_ref(),
        Ok(&target),
        "it is not read back"
    );
    let plain = format!(
        "{}://{}{}",
        target.scheme(),
        target.host(),
        target.path_and_query()
    );
    assert_eq!(
        Target::parse(&plain).as_ref(),
        Ok(&target),
        "its parts are another URL"
    );
    let _ = origin_fields(HeaderMap::new(), &target);
}

/// A URL on the first line, then the fields of a request, under a policy with rules for queries and cookies.
pub(crate) fn intake(bytes: &[u8]) {
    let (url, fields) = halves(bytes);
    let Some(target) = std::str::from_utf8(url)
        .ok()
        .and_then(|url| Target::parse(url).ok())
    else {
        return;
    };
    let of = |target: &Target, fields: &HeaderMap| {
        Intake::of(&Method::GET, target.clone(), fields.clone(), &ROUTES, NOON)
    };
    let taken = of(&target, &section(fields));
    let again = of(&taken.target, &taken.fields);
    assert_eq!(again.key, taken.key, "what was taken in has another key");
    assert_eq!(again.path_and_query, taken.path_and_query);
    assert_eq!(*again.fields, *taken.fields, "the fields change again");
    let without = of(&target, &HeaderMap::new());
    let name = format!("{}{}", target.host(), target.path_and_query());
    assert_eq!(
        taken.key_of_name(&name, &ROUTES),
        Some(without.key),
        "a purge misses it"
    );
}

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let policy = Policy::from_toml(include_str!("policy.toml"));
    Routes::new(policy.expect("the policy of the targets is right"))
});

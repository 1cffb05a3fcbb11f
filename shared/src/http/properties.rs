//! What holds for every request and response, on random ones.

mod parts;

use ::http::header::HeaderName;
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::support::{NOON, URL, after, fill, get};
use super::*;
use crate::purge::Verdict;
use crate::time::DeltaSeconds;

const RESPONSE_FIELDS: [&str; 22] = [
    "cache-control",
    "cache-control",
    "cache-control",
    "cache-control",
    "cache-control",
    "cdn-cache-control",
    "surrogate-control",
    "expires",
    "date",
    "age",
    "etag",
    "last-modified",
    "vary",
    "pragma",
    "connection",
    "content-range",
    "content-length",
    "set-cookie",
    "surrogate-key",
    "cache-groups",
    "terrace-epoch",
    "location",
];

const REQUEST_FIELDS: [&str; 14] = [
    "cache-control",
    "cache-control",
    "cache-control",
    "pragma",
    "if-none-match",
    "if-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "range",
    "authorization",
    "accept-encoding",
    "foo",
    "connection",
];

const WORDS: [&str; 36] = [
    "max-age=60",
    "max-age=0",
    "max-age=x",
    "s-maxage=30",
    "no-store",
    "no-cache",
    "private",
    "public",
    "must-revalidate",
    "stale-while-revalidate=20",
    "stale-if-error=20",
    "must-understand",
    "max-stale",
    "max-stale=9",
    "min-fresh=5",
    "only-if-cached",
    "no-cache=\"x\"",
    "\"a\"",
    "W/\"a\"",
    "*",
    "foo",
    "0",
    "9",
    "-1",
    "bytes=0-4",
    "bytes=-3,1-2",
    "bytes 0-4/9",
    "br",
    ",",
    "\"",
    "\\",
    "=",
    "\u{e9}",
    "a b",
    "Sat, 21 Nov 2026 11:59:00 GMT",
    "Sat, 21 Nov 2026 12:01:00 GMT",
];

/// A field value of words that mean something somewhere, or of any bytes that a value may have.
fn value() -> impl Strategy<Value = HeaderValue> {
    let bytes = prop_oneof![
        3 => proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..4)
            .prop_map(|words| words.join(", ").into_bytes()),
        1 => proptest::collection::vec(
            any::<u8>().prop_map(|byte| if byte < 0x20 || byte == 0x7f { b'\t' } else { byte }),
            0..40,
        ),
    ];
    bytes.prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
}

fn fields(names: &'static [&'static str]) -> impl Strategy<Value = HeaderMap> {
    let line = (proptest::sample::select(names), value());
    proptest::collection::vec(line, 0..6).prop_map(|lines| {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(HeaderName::from_static(name), value);
        }
        fields
    })
}

/// A list of few words, so that two often mean the same, or of anything.
fn list() -> impl Strategy<Value = HeaderValue> {
    let member = proptest::sample::select(vec![
        "a", "A", "b", "b;q=1", "a;q=0.5", "a;Q=0.50", "\"", "a;x=\"", "\\", "", " ", "a;q=2",
        "\";q=0.1",
    ]);
    let words = proptest::collection::vec(member, 0..5)
        .prop_map(|words| HeaderValue::from_str(&words.join(",")).unwrap());
    prop_oneof![3 => words, 1 => value()]
}

/// Response fields, most of them after a lifetime and a validator, so that many are stored.
fn response() -> impl Strategy<Value = HeaderMap> {
    let directive = proptest::sample::select(vec!["no-cache", "must-revalidate", "x", "y", "z"]);
    (0_u8..8, directive, fields(&RESPONSE_FIELDS)).prop_map(|(plain, directive, mut fields)| {
        let lines = [
            ("cache-control", directive, true),
            ("cache-control", "max-age=60", plain > 0),
            ("cache-control", "stale-while-revalidate=50", plain > 4),
            ("etag", "\"a\"", plain > 1),
        ];
        for (name, value, wanted) in lines {
            if wanted {
                fields.append(name, HeaderValue::from_static(value));
            }
        }
        fields
    })
}

fn method() -> impl Strategy<Value = Method> {
    proptest::sample::select(vec![Method::GET, Method::GET, Method::HEAD, Method::POST])
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let all = vec![Verdict::Untouched, Verdict::Softened, Verdict::Dropped];
    proptest::sample::select(all)
}

fn rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), any::<bool>(), any::<bool>(), 0_u64..40).prop_map(
        |(private, partial, ignore, grace)| {
            let rules = if private {
                Rules::private()
            } else {
                Rules::default()
            };
            Rules {
                partial: if partial {
                    PartialRule::Store
                } else {
                    PartialRule::Pass
                },
                client_directives: if ignore {
                    ClientDirectives::Ignore
                } else {
                    ClientDirectives::Honour
                },
                default_grace: DeltaSeconds::seconds(grace),
                default_lifetime: Some(DeltaSeconds::seconds(grace)),
                default_stale_if_error: DeltaSeconds::seconds(grace),
                ..rules
            }
        },
    )
}

fn facts(method: &Method, fields: &HeaderMap, rules: &Rules) -> RequestFacts {
    RequestFacts::parse(method, &URL.parse().unwrap(), fields, NOON, rules)
}

fn store(
    status: u16,
    fields: &HeaderMap,
    request: &RequestFacts,
    rules: &Rules,
) -> Option<StoredResponse> {
    let head = ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        fields,
    };
    match on_response(request, head, None, Verdict::Untouched, &fill(), rules) {
        OnResponse::Store(stored) => Some(*stored),
        _ => None,
    }
}

/// The directive stands in the field as a member of its own.
fn says(fields: &HeaderMap, name: &str, word: &[u8]) -> bool {
    fields
        .get_all(name)
        .iter()
        .any(|value| value.as_bytes() == word)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_reused_is_fresh_or_labelled_stale_and_never_purged(
        status in proptest::sample::select(vec![200_u16, 200, 206, 301, 302, 404, 500]),
        response in response(),
        first in prop_oneof![Just(HeaderMap::new()), fields(&REQUEST_FIELDS)],
        asked in prop_oneof![Just(HeaderMap::new()), fields(&REQUEST_FIELDS)],
        method in method(),
        verdict in verdict(),
        rules in rules(),
        at in prop_oneof![0_u64..60, 60_u64..200],
    ) {
        let filling = facts(&Method::GET, &first, &rules);
        let Some(stored) = store(status, &response, &filling, &rules) else {
            return Ok(());
        };
        let request = facts(&method, &asked, &rules);
        let now = after(at);
        let decision = decide(&request, Some(&stored), verdict, now, &rules);
        let served = matches!(decision, Decision::Reuse { .. } | Decision::ReuseStale { .. });
        if served {
            prop_assert_ne!(verdict, Verdict::Dropped);
            prop_assert!(stored.vary().matches(&request));
            prop_assert!(method != Method::POST);
        }
        match decision {
            Decision::Reuse { age, remaining } => {
                prop_assert_eq!(verdict, Verdict::Untouched);
                prop_assert_eq!(age, stored.current_age(now));
                prop_assert!(!remaining.is_zero() && stored.lifetime() > age);
                prop_assert!(!stored.flags.has(cache_control::Flags::NO_CACHE));
                prop_assert!(!stored.flags.has(cache_control::Flags::PRIVATE) || rules.kind == CacheKind::Private);
            }
            Decision::ReuseStale { stale_for, .. } => {
                prop_assert!(!stored.forbids_stale());
                let is_stale = stored.freshness(now) == Freshness::Stale { by: stale_for };
                prop_assert!(verdict == Verdict::Softened || is_stale);
            }
            Decision::Validate(validation) => prop_assert!(!validation.fields.is_empty()),
            Decision::Complete(_) | Decision::Forward(_) | Decision::GatewayTimeout => {}
        }
        let failed = on_failure(&request, Some(&stored), verdict, Failure::TimedOut, now, &rules);
        if let OnFailure::ServeStale { .. } = failed {
            prop_assert_ne!(verdict, Verdict::Dropped);
            prop_assert!(!stored.forbids_stale());
        }
        let _ = answer(&request, &stored, stored.current_age(now), Some(50), "b", &rules);
        let head = StoredResponse::decode_head(&stored.encode_head());
        prop_assert_eq!(head, Ok(stored));
    }

    #[test]
    fn a_shared_cache_never_stores_what_is_forbidden(
        response in response(),
        asked in prop_oneof![Just(HeaderMap::new()), fields(&REQUEST_FIELDS)],
        word in proptest::sample::select(vec!["no-store", "private"]),
    ) {
        let rules = Rules { targets: Targets::none(), ..Rules::default() };
        let mut response = response;
        response.append("cache-control", HeaderValue::from_static(word));
        prop_assume!(!response.get_all("cache-control").iter().any(|value| {
            value.as_bytes().windows(15).any(|part| part == b"must-understand")
        }));
        prop_assert!(says(&response, "cache-control", word.as_bytes()));
        let request = facts(&Method::GET, &asked, &rules);
        prop_assert_eq!(store(200, &response, &request, &rules), None);
    }

    #[test]
    fn unsafe_methods_are_never_answered_from_a_store_and_rarely_stored(
        response in response(),
        method in proptest::sample::select(vec!["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "M-SEARCH"]),
        verdict in verdict(),
        rules in rules(),
        at in 0_u64..200,
    ) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = facts(&method, &HeaderMap::new(), &rules);
        if let Some(stored) = store(200, &response, &request, &rules) {
            prop_assert_eq!(&method, Method::POST);
            prop_assert!(stored.fields().contains_key("content-location"));
        }
        let stored = store(200, &response, &get(&[]), &rules);
        let decision = decide(&request, stored.as_ref(), verdict, after(at), &rules);
        prop_assert!(matches!(decision, Decision::Forward(crate::outcome::ForwardReason::Method)));
        let failed = on_failure(&request, stored.as_ref(), verdict, Failure::TimedOut, after(at), &rules);
        let served = matches!(failed, OnFailure::ServeStale { .. });
        prop_assert!(!served);
    }

    #[test]
    fn age_never_shrinks_and_stale_never_turns_fresh(
        response in response(),
        one in 0_u64..1 << 33,
        more in 0_u64..1 << 33,
    ) {
        let rules = Rules { default_lifetime: Some(DeltaSeconds::minutes(5)), ..Rules::default() };
        if let Some(stored) = store(200, &response, &get(&[]), &rules) {
            let (sooner, later) = (after(one), after(one + more));
            prop_assert!(stored.current_age(sooner) <= stored.current_age(later));
            let is_stale = |now| matches!(stored.freshness(now), Freshness::Stale { .. });
            prop_assert!(!is_stale(sooner) || is_stale(later));
        }
    }

    #[test]
    fn revalidation_never_panics_and_never_lifts_beyond_its_fence(
        response in response(),
        newer in response(),
        asked in prop_oneof![Just(HeaderMap::new()), fields(&REQUEST_FIELDS)],
        status in proptest::sample::select(vec![200_u16, 206, 304, 304, 304, 416, 500, 503]),
        method in method(),
        verdict in verdict(),
        rules in rules(),
    ) {
        let Some(stored) = store(200, &response, &get(&[]), &rules) else {
            return Ok(());
        };
        let request = facts(&method, &asked, &rules);
        let head = ResponseHead { status: StatusCode::from_u16(status).unwrap(), fields: &newer };
        let validation = ValidationRequest::of(&stored, crate::outcome::ForwardReason::Stale);
        let fill = Fill { asked: validation.as_ref().map_or(ForwardAs::Client, ForwardAs::Validation), ..fill() };
        match on_response(&request, head, Some(&stored), verdict, &fill, &rules) {
            OnResponse::Freshen(head) => {
                prop_assert_ne!(verdict, Verdict::Dropped);
                prop_assert_eq!(head.fence().filled_at, fill.fence.filled_at);
            }
            OnResponse::ServeStale { .. } => prop_assert_ne!(verdict, Verdict::Dropped),
            OnResponse::Store(_)
            | OnResponse::AnswerOnce { .. }
            | OnResponse::Complete(_)
            | OnResponse::Combine(_)
            | OnResponse::Update(_)
            | OnResponse::AskAgain
            | OnResponse::Pass(_) => {}
        }
        let uri = URL.parse().unwrap();
        let _ = invalidation(&Method::POST, &uri, StatusCode::OK, &newer);
        let _ = pass_fields(&newer, NOON, &rules);
        let _ = request_fields(&asked, ForwardAs::Fill);
    }

    #[test]
    fn a_vary_key_matches_exactly_the_requests_that_have_it(
        name in proptest::sample::select(vec!["accept", "accept-encoding", "foo"]),
        one in proptest::collection::vec(list(), 0..3),
        other in proptest::collection::vec(list(), 0..3),
    ) {
        let with = |values: &[HeaderValue]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(name, value.clone());
            }
            facts(&Method::GET, &fields, &Rules::default())
        };
        let (one, other) = (with(&one), with(&other));
        let names = || [HeaderName::from_static(name)];
        let key = VaryKey::of(names(), &one);
        prop_assert!(key.matches(&one));
        let same = key == VaryKey::of(names(), &other);
        prop_assert_eq!(key.matches(&other), same);
        prop_assert_eq!(key.to_bytes() == VaryKey::of(names(), &other).to_bytes(), same);
    }

    #[test]
    fn decoding_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = StoredResponse::decode_head(&bytes);
        let mut marked = b"TH\x01".to_vec();
        marked.extend(bytes);
        let _ = StoredResponse::decode_head(&marked);
    }

    #[test]
    fn dates_and_tags_of_arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = date::parse(&bytes, NOON);
        let _ = EntityTag::parse(&bytes);
        let _ = range::RangeSpec::parse(&bytes);
        let _ = range::ContentRange::parse(&bytes);
    }
}

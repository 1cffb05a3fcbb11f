use ::http::header::{COOKIE, HeaderName};

use super::*;
use crate::http::{
    Exchange, Fill, ForwardAs, OnResponse, ResponseHead, Rules, StoredResponse, VaryKey,
    on_response,
};
use crate::policy::{CookieRule, LanguageRule, Policy};
use crate::purge::{Epoch, Fence, Incarnation, Sequence, Verdict};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_000_000);

#[test]
fn codings_come_in_few_spellings() {
    for (given, normal) in [
        (&["gzip, deflate, br, zstd"][..], "br, gzip, zstd"),
        (&["GZIP;q=0.5,br;q=0"], "gzip"),
        (&["br;q=0.000, gzip ; q=1"], "gzip"),
        (&["zstd", "br"], "br, zstd"),
        (&["br;q=0, br"], "br"),
        (&["deflate"], "identity"),
        (&[""], "identity"),
    ] {
        let mut fields = HeaderMap::new();
        for value in given {
            fields.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        let value = normalised_codings(&fields);
        assert_eq!(value, normal, "{given:?}");
        // The engine has nothing left to normalise.
        fields.insert(ACCEPT_ENCODING, value.clone());
        let uri = ::http::Uri::from_static("https://a/");
        let facts = RequestFacts::parse(&Method::GET, &uri, &fields, NOW, &Rules::default());
        let key = VaryKey::of([ACCEPT_ENCODING], &facts).to_bytes();
        assert!(key.ends_with(value.as_bytes()), "{given:?}");
    }
}

fn routes() -> Routes {
    Routes::new(Policy::default())
}

fn intake(url: &str, cookies: &'static str) -> Intake {
    let mut fields = HeaderMap::new();
    if !cookies.is_empty() {
        fields.insert(COOKIE, HeaderValue::from_static(cookies));
    }
    let target = Target::parse(url).unwrap();
    Intake::of(&Method::GET, target, fields, &routes(), NOW)
}

fn rule(text: &'static str) -> NoVarySearch {
    let mut fields = HeaderMap::new();
    fields.insert(NoVarySearch::FIELD, HeaderValue::from_static(text));
    NoVarySearch::of(&fields).unwrap()
}

fn stored(intake: &Intake) -> StoredResponse {
    let mut fields = HeaderMap::new();
    let name = HeaderName::from_static("cache-control");
    fields.insert(name, HeaderValue::from_static("max-age=60"));
    let fill = Fill {
        exchange: Exchange {
            requested_at: NOW,
            received_at: NOW,
        },
        fence: Fence::at(Epoch {
            incarnation: Incarnation::from_random(1),
            sequence: Sequence::ZERO,
        }),
        host: intake.target.host(),
        path_and_query: &intake.path_and_query,
        asked: ForwardAs::Fill,
    };
    let head = ResponseHead {
        status: ::http::StatusCode::OK,
        fields: &fields,
    };
    let rules = Rules::default();
    match on_response(&intake.facts, head, None, Verdict::Untouched, &fill, &rules) {
        OnResponse::Store(stored) => *stored,
        other => panic!("{other:?}"),
    }
}

#[test]
fn under_a_rule_equivalent_urls_have_one_key() {
    let rule = rule("params=(\"utm\")");
    let key = |url: &str| intake(url, "").under_search_rule(&rule).key;
    assert_eq!(key("https://a/x?utm=1&b=2"), key("https://a/x?b=2"));
    assert_eq!(key("https://a/x?utm=1"), key("https://a/x"));
    assert_ne!(key("https://a/x?b=2"), key("https://a/x?b=3"));
    assert_ne!(key("https://a/x"), key("https://a/y"));
    assert_ne!(key("https://a/x"), key("https://b/x"));
}

#[test]
fn responses_of_different_rules_never_meet() {
    // What says nothing must not answer for what another response has said.
    let plain = intake("https://a/x?b=2", "");
    let one = intake("https://a/x?b=2", "").under_search_rule(&rule("params=(\"utm\")"));
    let two = intake("https://a/x?b=2", "").under_search_rule(&rule("params=(\"x\")"));
    assert_ne!(plain.key, one.key);
    assert_ne!(one.key, two.key);
    assert_eq!(&*one.path_and_query, "/x?b=2");
}

#[test]
fn what_is_found_under_another_name_answers_to_this_one_too() {
    let filled = intake("https://a/x?utm=1", "");
    let stored = stored(&filled);
    assert_eq!(filled.alias_scopes(&stored), None);
    let other = intake("https://a/x?utm=2", "");
    let expected = EntryScopes::of_url("a", "/x?utm=2", []);
    assert_eq!(other.alias_scopes(&stored), Some(expected));
}

#[test]
fn an_unsafe_method_finds_the_keys_of_a_url() {
    let rule = rule("params=(\"utm\")");
    let here = intake("https://a/x", "");
    let other = "https://a/y?utm=1";
    assert_eq!(
        here.key_of_name("a/y?utm=1", &routes()),
        Some(intake(other, "").key)
    );
    assert_eq!(
        here.key_of_name_under(&rule, "a/y?utm=3", &routes()),
        Some(intake(other, "").under_search_rule(&rule).key)
    );
}

#[test]
fn keyed_cookies_are_part_of_the_key_under_a_rule_too() {
    let rule = rule("params");
    let policy = Policy::default();
    let mut route = policy.route("/").clone();
    route.cookies = CookieRule::Named {
        keyed: vec!["lang".into()],
        bypass: vec![],
    };
    let routes = Routes::new(policy.with_route(route));
    let key = |cookie: &'static str| {
        let mut fields = HeaderMap::new();
        fields.insert(COOKIE, HeaderValue::from_static(cookie));
        let target = Target::parse("https://a/x").unwrap();
        let intake = Intake::of(&Method::GET, target, fields, &routes, NOW);
        intake.under_search_rule(&rule).key
    };
    assert_ne!(key("lang=de"), key("lang=en"));
    assert_eq!(key("lang=de"), key("lang=de; x=1"));
}

#[test]
fn a_request_names_the_one_language_that_its_route_would_send() {
    let policy = Policy::default();
    let mut route = policy.route("/").clone();
    route.languages = LanguageRule::new(vec!["de".into(), "en".into()]);
    let routes = Routes::new(policy.with_route(route));
    let asked = |method: &Method, lines: &[&'static str], routes: &Routes| {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(ACCEPT_LANGUAGE, HeaderValue::from_static(line));
        }
        let target = Target::parse("https://a/x").unwrap();
        let intake = Intake::of(method, target, fields, routes, NOW);
        let sent: Vec<_> = intake
            .fields
            .get_all(ACCEPT_LANGUAGE)
            .iter()
            .cloned()
            .collect();
        let variant = VaryKey::of([ACCEPT_LANGUAGE], &intake.facts);
        (sent, variant.to_bytes())
    };
    let german = asked(&Method::GET, &["de"], &routes);
    assert_eq!(german.0, ["de"]);
    for lines in [
        &["en, de"][..],
        &["de-CH,de;q=0.9,en;q=0.8"],
        &["fr;q=0.5, de;q=1.0"],
        &["fr", "de"],
        &["*"],
    ] {
        assert_eq!(asked(&Method::GET, lines, &routes), german, "{lines:?}");
    }
    assert_eq!(asked(&Method::HEAD, &["en-US"], &routes).0, ["en"]);
    // What the origin has nothing for, it is not asked for.
    let none = asked(&Method::GET, &[], &routes);
    assert_eq!(none.0, [""; 0]);
    for lines in [&["fr, it"][..], &["*;q=0"], &[""]] {
        assert_eq!(asked(&Method::GET, lines, &routes), none, "{lines:?}");
    }
    // What is not stored stays as it is, and so does everything without a list.
    assert_eq!(asked(&Method::POST, &["de-CH"], &routes).0, ["de-CH"]);
    let without = Routes::new(Policy::default());
    assert_eq!(asked(&Method::GET, &["de-CH"], &without).0, ["de-CH"]);
}

#[test]
fn a_query_that_no_rule_changes_is_left_alone() {
    for path_and_query in ["/x", "/x?", "/x?&a", "/x?a=1?b"] {
        let intake = intake(&format!("https://a{path_and_query}"), "");
        assert_eq!(&*intake.path_and_query, path_and_query);
    }
}

#[test]
fn a_token_in_a_cookie_is_read_as_the_field_and_leaves_the_request_as_it_would_be_without() {
    use crate::policy::{PathPattern, Route};
    use crate::purge::wire::AFTER_FIELD;

    let rules = [
        CookieRule::Ignore,
        CookieRule::Bypass,
        CookieRule::Named {
            keyed: vec!["lang".into()],
            bypass: vec!["session".into()],
        },
    ];
    for rule in rules {
        let mut route = Route::new(PathPattern::all(), RouteClass::OriginHeaders);
        route.cookies = rule;
        let routes = Routes::new(Policy::default().with_route(route));
        let of = |cookies: &str| {
            let mut fields = HeaderMap::new();
            if !cookies.is_empty() {
                fields.insert(COOKIE, HeaderValue::from_str(cookies).unwrap());
            }
            let target = Target::parse("https://a.example/x").unwrap();
            Intake::of(&Method::GET, target, fields, &routes, NOW)
        };
        for others in ["", "a=b", "lang=de", "session=1"] {
            let without = of(others);
            let with = of(&format!("terrace-after=token; {others}"));
            assert_eq!(with.handling, without.handling, "{others}");
            assert_eq!(with.key, without.key, "{others}");
            assert_eq!(with.fields.get(COOKIE), without.fields.get(COOKIE));
            assert_eq!(with.fields[AFTER_FIELD], "token");
        }
    }
}

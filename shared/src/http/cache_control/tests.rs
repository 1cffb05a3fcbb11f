use super::*;
use crate::http::support::{fields, seconds};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn response(lines: &[&str]) -> ResponseDirectives {
    ResponseDirectives::parse(&fields(lines), &Rules::default())
}

fn request(line: &str) -> RequestDirectives {
    RequestDirectives::parse(&fields(&[line]), &Rules::default())
}

#[test]
fn delta_seconds_saturate_and_anything_malformed_is_stale() {
    // RFC 9111 §1.2.2, §4.2.1
    for (argument, expected) in [
        ("60", 60),
        ("\"60\"", 60),
        ("0060", 60),
        ("2147483648", 1 << 31),
        ("2147483649", 1 << 31),
        ("99999999999999999999999999", 1 << 31),
        ("-1", 0),
        ("+1", 0),
        ("1.5", 0),
        ("1e3", 0),
        ("'60'", 0),
        (" 60", 0),
        ("60s", 0),
        ("", 0),
        ("\"60", 0),
        ("\"60\"x", 0),
    ] {
        let line = format!("cache-control: max-age={argument}");
        assert_eq!(
            response(&[&line]).max_age,
            Some(seconds(expected)),
            "{line}"
        );
    }
    assert_eq!(
        response(&["cache-control: max-age"]).max_age,
        Some(seconds(0))
    );
    assert_eq!(
        response(&["cache-control: max-age =9"]).max_age,
        Some(seconds(0))
    );
}

#[test]
fn directives_are_found_wherever_they_stand_and_nowhere_else() {
    // RFC 9111 §5.2
    for (line, no_store, max_age) in [
        ("cache-control: MAX-AGE=5 , No-Store", true, Some(5)),
        (
            "cache-control: x=\"a, no-store, max-age=1\", max-age=5",
            false,
            Some(5),
        ),
        (
            "cache-control: x=\"a\\\", no-store\", max-age=5",
            false,
            Some(5),
        ),
        ("cache-control: x=\"never closed, no-store", true, None),
        ("cache-control: ,,no-store=1,", true, None),
        ("cache-control: no-storex, xno-store, no store", false, None),
        ("cache-control: max-age=5 no-store", false, Some(0)),
    ] {
        let directives = response(&[line]);
        assert_eq!(directives.flags.has(Flags::NO_STORE), no_store, "{line}");
        assert_eq!(directives.max_age, max_age.map(seconds), "{line}");
    }
    let bytes = ::http::HeaderValue::from_bytes(b"\xff\xfe=\xff, no-store").unwrap();
    let mut fields = HeaderMap::new();
    fields.insert(CACHE_CONTROL, bytes);
    let directives = ResponseDirectives::parse(&fields, &Rules::default());
    assert!(directives.flags.has(Flags::NO_STORE));
}

#[test]
fn of_two_values_the_safer_one_counts() {
    // RFC 9111 §4.2.1
    let two = [
        "cache-control: max-age=9, s-maxage=8",
        "cache-control: max-age=3, s-maxage=x",
    ];
    assert_eq!(response(&two).max_age, Some(seconds(3)));
    assert_eq!(response(&two).s_maxage, Some(seconds(0)));
    let asked = request(
        "cache-control: max-age=9, max-age=3, min-fresh=1, min-fresh=4, max-stale, max-stale=2",
    );
    assert_eq!(asked.max_age, Some(seconds(3)));
    assert_eq!(asked.min_fresh, Some(seconds(4)));
    assert_eq!(asked.max_stale, Some(seconds(2)));
    let malformed = request("cache-control: max-age=x, min-fresh=x, max-stale=x");
    assert_eq!(malformed.max_age, Some(seconds(0)));
    assert_eq!(malformed.min_fresh, Some(DeltaSeconds::LONGEST));
    assert_eq!(malformed.max_stale, Some(seconds(0)));
}

#[test]
fn qualified_directives_speak_of_their_fields_alone() {
    // RFC 9111 §5.2.2.4, §5.2.2.7
    let qualified = response(&["cache-control: no-cache=\"set-cookie, X-A\", private=\"x-b\""]);
    assert_eq!(qualified.flags, Flags::default());
    assert_eq!(qualified.qualified, ["set-cookie", "x-a", "x-b"]);
    for line in [
        "cache-control: no-cache=\"\"",
        "cache-control: no-cache=set-cookie",
        "cache-control: no-cache=\"b@d\"",
        "cache-control: no-cache=\"a\", no-cache",
    ] {
        assert!(response(&[line]).flags.has(Flags::NO_CACHE), "{line}");
    }
}

#[test]
fn pragma_counts_only_without_cache_control() {
    // RFC 9111 §5.4
    assert!(request("pragma: no-cache").no_cache);
    let both = fields(&["pragma: no-cache", "cache-control: max-age=5"]);
    assert!(!RequestDirectives::parse(&both, &Rules::default()).no_cache);
}

#[test]
fn clients_can_be_given_no_say() {
    let rules = Rules {
        client_directives: ClientDirectives::Ignore,
        ..Rules::default()
    };
    let line = "cache-control: no-cache, max-age=0, no-store, only-if-cached";
    let asked = RequestDirectives::parse(&fields(&[line]), &rules);
    assert!(asked.no_store && asked.only_if_cached && !asked.no_cache);
    assert_eq!(asked.max_age, None);
}

#[test]
fn the_first_valid_targeted_field_replaces_cache_control() {
    // RFC 9213 §2.1, §2.2
    for (lines, max_age, targeted) in [
        (&["cdn-cache-control: max-age=9"][..], 9, true),
        (&["cdn-cache-control: max-age=9;x=1, foo"], 9, true),
        (
            &[
                "terrace-cache-control: max-age=8",
                "cdn-cache-control: max-age=9",
            ],
            8,
            true,
        ),
        (
            &["terrace-cache-control: &", "cdn-cache-control: max-age=9"],
            9,
            true,
        ),
        (
            &[
                "cdn-cache-control: max-age=2",
                "cdn-cache-control: max-age=9",
            ],
            9,
            true,
        ),
        (&["cdn-cache-control: max-age=-4"], 0, true),
        (
            &["surrogate-control: max-age=7, content=\"ESI/1.0\""],
            7,
            true,
        ),
        (
            &[
                "surrogate-control: max-age=7",
                "cdn-cache-control: max-age=9",
            ],
            9,
            true,
        ),
        // An invalid field is ignored whole.
        (&["cdn-cache-control: max-age=9, &&&"], 1, false),
        (&["cdn-cache-control: max-age=\"9\""], 1, false),
        (&["cdn-cache-control: max-age=9.5"], 1, false),
        (&["cdn-cache-control: max-age =9"], 1, false),
        (&["cdn-cache-control: max-age= 9"], 1, false),
        (&["cdn-cache-control: MAX-AGE=9"], 1, false),
        (&["cdn-cache-control:"], 1, false),
    ] {
        let mut all = vec!["cache-control: max-age=1"];
        all.extend(lines);
        let directives = response(&all);
        assert_eq!(directives.max_age, Some(seconds(max_age)), "{lines:?}");
        assert_eq!(directives.targeted, targeted, "{lines:?}");
    }
    let flags = response(&["cdn-cache-control: no-store=?0, private, no-cache=\"x-a\""]);
    assert_eq!(flags.flags, Flags::PRIVATE);
    assert_eq!(flags.qualified, ["x-a"]);
    let private = ResponseDirectives::parse(
        &fields(&["cache-control: max-age=1", "cdn-cache-control: max-age=9"]),
        &Rules::private(),
    );
    assert_eq!(private.max_age, Some(seconds(1)));
}

#[test]
fn surrogate_control_may_state_its_grace() {
    let directives = response(&["surrogate-control: max-age=60+30"]);
    assert_eq!(directives.max_age, Some(seconds(60)));
    assert_eq!(directives.stale_while_revalidate, Some(seconds(30)));
    assert_eq!(
        response(&["surrogate-control: max-age=60+x"]).max_age,
        Some(seconds(0))
    );
}

#[test]
fn surrogate_control_is_read_as_far_as_it_is_aimed_at_us() {
    // W3C Edge Architecture 1.0 §2.3
    for (value, max_age) in [
        ("max-age=60;terrace", Some(60)),
        ("max-age=60;other", None),
        ("max-age=60, max-age=5;other", Some(60)),
        ("max-age=60, max-age=500;Terrace", Some(500)),
        ("max-age=60;!terrace, max-age=5", Some(5)),
        ("max-age=60;!other", Some(60)),
        ("max-age=60 ; terrace, content=\"a;b, max-age=1\"", Some(60)),
        ("max-age=x;other", None),
        ("max-age=x", Some(0)),
    ] {
        let directives = response(&[&format!("surrogate-control: {value}")]);
        assert_eq!(directives.max_age, max_age.map(seconds), "{value}");
    }
    for (value, flags) in [
        ("no-store", Flags::NO_STORE),
        ("no-store;other", Flags::default()),
        ("no-store;terrace", Flags::NO_STORE),
        ("no-store-remote", Flags::NO_STORE),
        ("no-store;!terrace", Flags::default()),
    ] {
        let directives = response(&[&format!("surrogate-control: {value}")]);
        assert_eq!(directives.flags, flags, "{value}");
    }
    let others = response(&[
        "surrogate-control: max-age=9;other",
        "cache-control: no-store",
    ]);
    assert_eq!(others.flags, Flags::NO_STORE);
    assert!(!others.targeted);
    let aimed = response(&["surrogate-control: max-age=60+30;terrace, max-age=1"]);
    assert_eq!(aimed.stale_while_revalidate, Some(seconds(30)));
}

#[test]
fn proxy_revalidate_is_for_shared_caches() {
    // RFC 9111 §5.2.2.8
    let lines = fields(&["cache-control: proxy-revalidate"]);
    let private = ResponseDirectives::parse(&lines, &Rules::private());
    assert_eq!(private.flags, Flags::default());
    let shared = ResponseDirectives::parse(&lines, &Rules::default());
    assert_eq!(shared.flags, Flags::PROXY_REVALIDATE);
}

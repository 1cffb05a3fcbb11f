use super::*;
use crate::http::range::ByteRange;
use crate::http::support::{URL, epoch, fill, get, request_as, store, store_with};
use crate::http::{OnResponse, VaryRule, on_response};
use crate::key::SurrogateKeyError;
use crate::purge::Verdict;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn what_may_not_be_stored_says_why() {
    // RFC 9111 §3
    let fresh = "cache-control: max-age=60";
    for (status, lines, expected) in [
        (200, &[fresh][..], Ok(())),
        (599, &[fresh], Ok(())),
        (
            404,
            &["last-modified: Sat, 21 Nov 2020 12:00:00 GMT"],
            Ok(()),
        ),
        (200, &["etag: \"a\""], Ok(())),
        (200, &["cache-control: no-cache", "etag: \"a\""], Ok(())),
        (200, &["cache-control: public", "etag: \"a\""], Ok(())),
        (200, &["x: y"], Err(NotStored::NoFreshness)),
        (
            200,
            &["cache-control: max-age=0"],
            Err(NotStored::NoFreshness),
        ),
        (
            200,
            &["cache-control: max-age=60, no-cache"],
            Err(NotStored::NoFreshness),
        ),
        (
            200,
            &["cache-control: max-age=60, no-store"],
            Err(NotStored::NoStore),
        ),
        (
            200,
            &["cache-control: max-age=60, private"],
            Err(NotStored::Private),
        ),
        (200, &["cache-control: max-age=60, private=\"x-a\""], Ok(())),
        (302, &["etag: \"a\""], Err(NotStored::Status)),
        (302, &[fresh], Ok(())),
        (304, &[fresh], Err(NotStored::NotModified)),
        (412, &[fresh], Err(NotStored::Status)),
        (416, &[fresh], Err(NotStored::Status)),
        (100, &[fresh], Err(NotStored::Status)),
        (206, &[fresh, "content-range: bytes 0-1/2"], Ok(())),
        (206, &[fresh], Err(NotStored::Partial)),
        (
            206,
            &[fresh, "content-range: bytes 0-1/2", "content-length: 3"],
            Err(NotStored::Length),
        ),
        (
            200,
            &["cache-control: max-age=60, no-store, must-understand"],
            Ok(()),
        ),
        (
            599,
            &["cache-control: max-age=60, no-store, must-understand"],
            Err(NotStored::Status),
        ),
        (
            599,
            &["cache-control: max-age=60, must-understand"],
            Err(NotStored::Status),
        ),
        (200, &[fresh, "vary: *"], Err(NotStored::VaryStar)),
    ] {
        let result = store_with(&get(&[]), status, lines, &Rules::default());
        assert_eq!(result.map(|_| ()), expected, "{status} {lines:?}");
    }
}

#[test]
fn answers_to_authorized_requests_must_say_that_they_may_be_shared() {
    // RFC 9111 §3.5
    let rules = Rules::default();
    for (line, allowed) in [
        ("cache-control: max-age=60", false),
        ("cache-control: max-age=60, public", true),
        ("cache-control: s-maxage=60", true),
        ("cache-control: max-age=60, must-revalidate", true),
        ("cache-control: max-age=60, proxy-revalidate", false),
    ] {
        let request = get(&["authorization: Basic eA=="]);
        let result = store_with(&request, 200, &[line], &rules);
        assert_eq!(result.is_ok(), allowed, "{line}");
    }
    let private = Rules::private();
    let request = request_as(&Method::GET, &["authorization: Basic eA=="], &private);
    for line in [
        "cache-control: max-age=60",
        "cache-control: max-age=60, private",
    ] {
        assert!(store_with(&request, 200, &[line], &private).is_ok());
    }
}

#[test]
fn cookies_are_stored_only_when_freshness_is_explicit() {
    // RFC 9111 §7.3
    let cookie = "set-cookie: a=b";
    let by_route = Rules {
        default_lifetime: Some(crate::time::DeltaSeconds::minutes(5)),
        ..Rules::default()
    };
    let never = Rules {
        set_cookie: SetCookieRule::Never,
        ..Rules::default()
    };
    let fresh = "cache-control: max-age=60";
    for (lines, rules, allowed) in [
        (&[cookie, fresh][..], &by_route, true),
        (&[cookie], &by_route, false),
        (&[cookie, fresh], &never, false),
        (
            &[cookie, "cache-control: max-age=60, no-cache=\"set-cookie\""],
            &never,
            true,
        ),
    ] {
        let result = store_with(&get(&[]), 200, lines, rules);
        assert_eq!(result.is_ok(), allowed, "{lines:?}");
        if let Err(because) = result {
            assert_eq!(because, NotStored::SetCookie);
        }
    }
    let stored = store(&[cookie, "cache-control: max-age=60, no-cache=\"set-cookie\""]).unwrap();
    assert!(!stored.fields().contains_key(SET_COOKIE));
}

#[test]
fn post_is_stored_only_as_what_get_would_give() {
    // RFC 9110 §9.3.3
    for (lines, allowed) in [
        (
            &["cache-control: max-age=60", "content-location: /p/q?x=1"][..],
            true,
        ),
        (
            &[
                "cache-control: max-age=60",
                &format!("content-location: {URL}"),
            ],
            true,
        ),
        (
            &["cache-control: max-age=60", "content-location: /other"],
            false,
        ),
        (&["cache-control: max-age=60"], false),
        (&["etag: \"a\"", "content-location: /p/q?x=1"], false),
    ] {
        let request = request_as(&Method::POST, &[], &Rules::default());
        let result = store_with(&request, 200, lines, &Rules::default());
        assert_eq!(result.is_ok(), allowed, "{lines:?}");
    }
    for method in [Method::PUT, Method::HEAD, Method::OPTIONS] {
        let request = request_as(&method, &[], &Rules::default());
        let result = store_with(
            &request,
            200,
            &["cache-control: max-age=60"],
            &Rules::default(),
        );
        assert_eq!(result, Err(NotStored::Method), "{method}");
    }
}

#[test]
fn a_request_with_no_store_leaves_nothing_behind() {
    // RFC 9111 §5.2.1.5
    let request = get(&["cache-control: no-store"]);
    let result = store_with(
        &request,
        200,
        &["cache-control: max-age=60"],
        &Rules::default(),
    );
    assert_eq!(result, Err(NotStored::RequestNoStore));
}

#[test]
fn malformed_or_too_many_surrogate_keys_are_not_stored_and_say_why() {
    // R12
    let many: Vec<String> = (0..1_025).map(|number| format!("k{number}")).collect();
    let many = format!("surrogate-key: {}", many.join(" "));
    for (line, expected, detail) in [
        (
            &*many,
            NotStored::SurrogateKeys(SurrogateKeyError::TooMany),
            "surrogate-keys: more than 1024 surrogate keys on one response",
        ),
        (
            "cache-tag: ok,n\u{f6}",
            NotStored::SurrogateKeys(SurrogateKeyError::NotVisibleAscii { at: 1 }),
            "surrogate-keys: surrogate key has a byte that is not visible ASCII at 1",
        ),
        ("cache-groups: \"", NotStored::CacheGroups, "cache-groups"),
    ] {
        let because = store(&["cache-control: max-age=60", line]).unwrap_err();
        assert_eq!(because, expected);
        assert_eq!(because.detail(), detail);
    }
}

#[test]
fn a_url_that_no_purge_can_name_is_not_stored() {
    let path = format!("/{}", "x".repeat(Scope::LONGEST));
    let fill = Fill {
        path_and_query: &path,
        ..fill()
    };
    let fields = crate::http::support::fields(&["cache-control: max-age=60"]);
    let head = ResponseHead {
        status: StatusCode::OK,
        fields: &fields,
    };
    let result = on_response(
        &get(&[]),
        head,
        None,
        Verdict::Untouched,
        &fill,
        &Rules::default(),
    );
    assert!(matches!(result, OnResponse::Pass(NotStored::UrlTooLong)));
}

#[test]
fn the_origins_epoch_is_kept_and_a_malformed_one_is_ignored() {
    // R9
    for (lines, expected) in [
        (&["terrace-epoch: 0000000000000007-9"][..], Some(epoch(9))),
        (&["terrace-epoch:  0000000000000007-9 "], Some(epoch(9))),
        (&["terrace-epoch: nonsense"], None),
        (
            &[
                "terrace-epoch: 0000000000000007-9",
                "terrace-epoch: 0000000000000007-8",
            ],
            None,
        ),
        (&[], None),
    ] {
        let mut all = vec!["cache-control: max-age=60"];
        all.extend(lines);
        let stored = store(&all).unwrap();
        assert_eq!(stored.fence().produced_at, expected, "{lines:?}");
        assert_eq!(stored.fence().filled_at, epoch(1));
    }
}

#[test]
fn scopes_name_the_url_and_every_surrogate_key() {
    let stored = store(&[
        "cache-control: max-age=60",
        "surrogate-key: a",
        "cache-tag: b",
    ])
    .unwrap();
    let keys = crate::key::SurrogateKeys::parse(["a b"]).unwrap();
    assert_eq!(
        stored.scopes(),
        &EntryScopes::of_url("a.example", "/p/q?x=1", &keys)
    );
}

#[test]
fn parts_are_stored_if_they_say_which_bytes_they_are() {
    // RFC 9111 §3.3
    let rules = Rules {
        partial: PartialRule::Store,
        vary: VaryRule::Any,
        ..Rules::default()
    };
    let request = get(&["range: bytes=2-4"]);
    for (range, expected) in [
        (
            "content-range: bytes 2-4/9",
            Some(Extent::Partial {
                range: ByteRange { first: 2, last: 4 },
                complete: Some(9),
            }),
        ),
        ("content-range: bytes 2-9/9", None),
        ("content-range: bytes 4-2/9", None),
        (
            "content-range: bytes 2-4/*",
            Some(Extent::Partial {
                range: ByteRange { first: 2, last: 4 },
                complete: None,
            }),
        ),
        ("content-range: lines 2-4/9", None),
        ("x: y", None),
    ] {
        let lines = ["cache-control: max-age=60", range];
        let result = store_with(&request, 206, &lines, &rules);
        assert_eq!(
            result.map(|stored| stored.extent()).ok(),
            expected,
            "{range}"
        );
    }
}

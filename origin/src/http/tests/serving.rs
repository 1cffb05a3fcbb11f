//! The rules of the flow, one by one.

use terrace_shared::policy::{EarlyRefresh, LanguageRule, PathPattern, Policy, Route, RouteClass};

use super::support::{FRESH, Reply, World, get, in_time, read, request, response};
use crate::Purge;
use crate::http::{Exposure, SurrogateKeys};
use crate::tests::settle;

#[tokio::test]
async fn what_was_answered_once_is_answered_from_memory() {
    let world = World::new();
    let process = world.process();
    process
        .origin
        .answers(200, &[FRESH, ("etag", "\"1\"")], "one");
    let first = process.get("/x").await;
    assert_eq!(
        first.said(),
        "Terrace; fwd=uri-miss; fwd-status=200; stored; ttl=60"
    );
    assert_eq!((first.text(), first.field("age")), ("one", ""));
    world.advance(10);
    let second = process.get("/x").await;
    assert_eq!(second.said(), "Terrace; hit; ttl=50; detail=\"memory\"");
    assert_eq!((second.text(), second.field("age")), ("one", "10"));
    assert_eq!(second.field("content-length"), "3");
    assert_eq!(process.origin.calls(), 1);
    let counted = process.counted();
    assert_eq!(
        (
            counted.totals.requests_total,
            counted.totals.memory_hits_total
        ),
        (2, 1)
    );
    assert_eq!(
        (
            counted.totals.stored_total,
            counted.totals.stored_bytes_total
        ),
        (1, 3)
    );
    assert_eq!(counted.forwarded_total["uri-miss"], 1);
}

#[tokio::test]
async fn what_may_not_be_stored_is_passed_on_and_said_why() {
    let process = World::new().process();
    for (at, (fields, word)) in [
        (("cache-control", "no-store"), "no-store"),
        (("cache-control", "private, max-age=9"), "private"),
        (("set-cookie", "a=1"), "set-cookie"),
        (("vary", "*"), "vary-star"),
        (("surrogate-key", "n\u{e4}h"), "surrogate-keys"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{at}");
        for _ in 0..2 {
            process.origin.answers(200, &[fields], "x");
            let got = process.get(&path).await;
            assert!(got.said().contains(word), "{}", got.said());
            assert_eq!(got.text(), "x");
        }
    }
    assert_eq!(process.origin.calls(), 10);
    assert_eq!(process.counted().not_stored_total["no-store"], 2);
}

#[tokio::test]
async fn variants_are_kept_apart_and_beside_each_other() {
    let process = World::new().process();
    let languages = [("de", "hallo"), ("en", "hello")];
    for (language, text) in languages {
        process
            .origin
            .answers(200, &[FRESH, ("vary", "accept-language")], text);
        let got = process
            .get_with("/x", &[("accept-language", language)])
            .await;
        assert_eq!(got.text(), text);
    }
    for (language, text) in languages {
        let got = process
            .get_with("/x", &[("accept-language", language)])
            .await;
        assert_eq!((got.text(), process.origin.calls()), (text, 2));
    }
    process
        .origin
        .answers(200, &[FRESH, ("vary", "accept-language")], "salut");
    let got = process.get_with("/x", &[("accept-language", "fr")]).await;
    assert!(got.said().contains("fwd=vary-miss"), "{}", got.said());
}

#[tokio::test]
async fn with_the_origin_s_languages_known_all_who_would_be_sent_the_same_share_it() {
    let mut route = Route::new(PathPattern::all(), RouteClass::Api);
    route.languages = LanguageRule::new(vec!["de".into(), "en".into()]);
    let process = World::of(Policy::default().with_route(route)).process();
    let fields = [
        FRESH,
        ("vary", "accept-language"),
        ("content-language", "de"),
    ];
    process.origin.answers(200, &fields, "hallo");
    for wanted in ["de-CH, de;q=0.9, en;q=0.8", "fr;q=0.5, de", "en, de"] {
        let got = process.get_with("/x", &[("accept-language", wanted)]).await;
        assert_eq!(
            (got.text(), process.origin.calls()),
            ("hallo", 1),
            "{wanted}"
        );
    }
    assert_eq!(process.origin.last_asked().headers["accept-language"], "de");
    process.origin.answers(200, &fields, "hello");
    let got = process
        .get_with("/x", &[("accept-language", "en-GB")])
        .await;
    assert_eq!((got.text(), process.origin.calls()), ("hello", 2));
}

#[tokio::test]
async fn head_ranges_and_conditions_are_answered_from_what_is_stored() {
    let process = World::new().process();
    let fields = [FRESH, ("etag", "\"1\""), ("content-type", "text/plain")];
    process.origin.answers(200, &fields, "0123456789");
    process.get("/x").await;

    let head = process.ask(request("HEAD", "/x", &[])).await;
    assert_eq!((head.text(), head.field("content-length")), ("", "10"));
    let part = process.get_with("/x", &[("range", "bytes=2-4")]).await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "234"));
    assert_eq!(part.field("content-range"), "bytes 2-4/10");
    let parts = process.get_with("/x", &[("range", "bytes=0-0,9-9")]).await;
    assert!(
        parts
            .field("content-type")
            .starts_with("multipart/byteranges")
    );
    let length = parts.text().len().to_string();
    assert_eq!(
        (parts.status.as_u16(), parts.field("content-length")),
        (206, &*length)
    );
    let beyond = process.get_with("/x", &[("range", "bytes=10-")]).await;
    assert_eq!(beyond.status.as_u16(), 416);
    let same = process.get_with("/x", &[("if-none-match", "\"1\"")]).await;
    assert_eq!((same.status.as_u16(), same.text()), (304, ""));
    assert_eq!(process.origin.calls(), 1);
}

#[tokio::test]
async fn only_if_cached_is_never_sent_on() {
    let process = World::shared().process();
    let only = [("cache-control", "only-if-cached")];
    let got = process.get_with("/x", &only).await;
    assert_eq!((got.status.as_u16(), process.origin.calls()), (504, 0));
    process.origin.answers(200, &[FRESH], "one");
    process.get("/x").await;
    assert_eq!(process.get_with("/x", &only).await.text(), "one");
}

#[tokio::test]
async fn stale_is_served_while_it_is_refreshed_by_one_request() {
    let world = World::new();
    let process = world.process();
    let fields = [
        ("cache-control", "max-age=60, stale-while-revalidate=30"),
        ("etag", "\"1\""),
    ];
    process.origin.answers(200, &fields, "old");
    process.get("/x").await;
    world.advance(65);
    let gate = process.origin.waits();
    for _ in 0..3 {
        let got = process.get("/x").await;
        assert_eq!(
            got.said(),
            "Terrace; hit; ttl=-5; detail=\"stale-while-revalidate; memory\""
        );
        assert_eq!(got.text(), "old");
        settle().await;
    }
    assert_eq!(process.origin.calls(), 2);
    assert_eq!(
        process.origin.last_asked().headers["if-none-match"],
        "\"1\""
    );
    assert!(gate.send(Reply::Now(response(200, &fields, "new"))).is_ok());
    settle().await;
    let got = process.get("/x").await;
    assert_eq!(
        (got.text(), got.said()),
        ("new", "Terrace; hit; ttl=60; detail=\"memory\"")
    );
}

#[tokio::test]
async fn fresh_is_refreshed_behind_its_answer_near_its_end_by_one_request() {
    let mut route = Route::new(PathPattern::all(), RouteClass::Api);
    route.early_refresh = EarlyRefresh::Percent { percent: 80 };
    let world = World::of(Policy::default().with_route(route));
    let process = world.process();
    process
        .origin
        .answers(200, &[("cache-control", "max-age=100")], "old");
    process.get("/x").await;
    world.advance(79);
    process.get("/x").await;
    settle().await;
    assert_eq!(process.origin.calls(), 1);
    world.advance(1);
    let gate = process.origin.waits();
    for _ in 0..3 {
        let got = process.get("/x").await;
        let said = "Terrace; hit; ttl=20; detail=\"memory\"";
        assert_eq!((got.text(), got.said()), ("old", said));
        settle().await;
    }
    assert_eq!(process.origin.calls(), 2);
    let fields = [("cache-control", "max-age=100")];
    assert!(gate.send(Reply::Now(response(200, &fields, "new"))).is_ok());
    settle().await;
    for _ in 0..2 {
        assert_eq!(process.get("/x").await.text(), "new");
        settle().await;
    }
    assert_eq!(process.origin.calls(), 2);
}

#[tokio::test]
async fn a_refresh_that_fails_is_not_tried_again_at_once() {
    let world = World::new();
    let process = world.process();
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=600")];
    process.origin.answers(200, &fields, "old");
    process.get("/x").await;
    world.advance(65);
    for calls in [2, 3] {
        process.origin.replies(Reply::Fail);
        for _ in 0..3 {
            assert_eq!(process.get("/x").await.text(), "old");
            settle().await;
            assert_eq!(process.origin.calls(), calls);
        }
        world.advance(1);
    }
}

#[tokio::test]
async fn stale_stands_in_for_a_service_that_fails() {
    let world = World::new();
    let process = world.process();
    let fields = [("cache-control", "max-age=60, stale-if-error=600")];
    process.origin.answers(200, &fields, "old");
    process.get("/x").await;
    world.advance(65);
    process.origin.replies(Reply::Fail);
    let got = process.get("/x").await;
    assert_eq!(
        got.said(),
        "Terrace; fwd=stale; detail=\"origin-unreachable; memory\""
    );
    assert_eq!(got.text(), "old");
    process.origin.answers(503, &[], "busy");
    let got = process.get("/x").await;
    assert_eq!(
        got.said(),
        "Terrace; fwd=stale; fwd-status=503; detail=\"stale-if-error; memory\""
    );
    world.advance(600);
    process.origin.replies(Reply::Fail);
    assert!(
        process.call(get("/x", &[])).await.is_err(),
        "the service's own error"
    );
    assert_eq!(process.counted().totals.failed_fills_total, 2);
}

#[tokio::test]
async fn must_revalidate_without_a_service_is_a_gateway_timeout() {
    let world = World::new();
    let process = world.process();
    process.origin.answers(
        200,
        &[("cache-control", "max-age=60, must-revalidate")],
        "old",
    );
    process.get("/x").await;
    world.advance(65);
    process.origin.replies(Reply::Fail);
    assert_eq!(process.get("/x").await.status.as_u16(), 504);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_too_long_is_a_gateway_timeout() {
    let process = World::new().process();
    let _gate = process.origin.waits();
    let got = process.get("/x").await;
    assert_eq!(got.status.as_u16(), 504);
    assert!(got.said().contains("origin-timed-out"), "{}", got.said());
}

#[tokio::test]
async fn a_304_freshens_what_is_stored() {
    let world = World::new();
    let process = world.process();
    process
        .origin
        .answers(200, &[FRESH, ("etag", "\"1\"")], "one");
    process.get("/x").await;
    world.advance(65);
    process.origin.answers(
        304,
        &[("cache-control", "max-age=90"), ("etag", "\"1\"")],
        "",
    );
    let got = process.get("/x").await;
    assert_eq!(
        got.said(),
        "Terrace; fwd=stale; fwd-status=304; stored; ttl=90"
    );
    assert_eq!((got.status.as_u16(), got.text()), (200, "one"));
    assert_eq!(
        process.get("/x").await.said(),
        "Terrace; hit; ttl=90; detail=\"memory\""
    );
    assert_eq!(process.counted().totals.freshened_total, 1);
}

#[tokio::test]
async fn a_304_that_forbids_storing_is_answered_once_and_forgotten() {
    let world = World::new();
    let process = world.process();
    process
        .origin
        .answers(200, &[FRESH, ("etag", "\"1\"")], "one");
    process.get("/x").await;
    world.advance(65);
    process
        .origin
        .answers(304, &[("cache-control", "no-store"), ("etag", "\"1\"")], "");
    assert_eq!(process.get("/x").await.text(), "one");
    process.origin.answers(200, &[FRESH], "two");
    let got = process.get("/x").await;
    assert!(got.said().contains("fwd=uri-miss"), "{}", got.said());
}

#[tokio::test]
async fn a_surrogate_key_from_the_extension_counts_besides_those_of_the_field() {
    for key in ["product:42", "region:TX"] {
        let process = World::new().process();
        let mut answer = response(200, &[FRESH, ("surrogate-key", "product:42")], "old");
        answer
            .extensions_mut()
            .insert(SurrogateKeys::of(["region:TX", "more"]));
        process.origin.replies(Reply::Now(answer));
        let got = process.get("/x").await;
        assert_eq!(got.field("surrogate-key"), "");
        process.purge(Purge::surrogate_key(key)).await;
        process.origin.answers(200, &[FRESH], "new");
        let got = process.get("/x").await;
        assert!(got.said().contains("fwd=miss"), "{}", got.said());
        assert_eq!(got.text(), "new");
    }
}

#[tokio::test]
async fn an_extension_with_a_malformed_key_keeps_a_response_from_being_stored() {
    let process = World::new().process();
    for key in ["two words", "comma,comma", "n\u{e4}h", ""] {
        let mut answer = response(200, &[FRESH], "x");
        answer
            .extensions_mut()
            .insert(SurrogateKeys::new().with("fine").with(key));
        process.origin.replies(Reply::Now(answer));
        let got = process.get("/x").await;
        assert!(
            got.said().contains("surrogate-keys"),
            "{key:?}: {}",
            got.said()
        );
    }
}

#[tokio::test]
async fn an_unsafe_request_invalidates_what_it_has_changed() {
    let process = World::new().process();
    for path in ["/x?b=1", "/y", "/z"] {
        process.origin.answers(200, &[FRESH], "old");
        process.get(path).await;
    }
    process.origin.answers(500, &[], "");
    process.ask(request("POST", "/x?b=1", &[])).await;
    assert_eq!(process.get("/x?b=1").await.text(), "old", "it has failed");
    process.origin.answers(201, &[("location", "/y")], "made");
    let got = process.ask(request("POST", "/x?b=1", &[])).await;
    assert_eq!(got.said(), "Terrace; fwd=method; fwd-status=201");
    for (path, text) in [("/x?b=1", "new"), ("/y", "new"), ("/z", "old")] {
        process.origin.answers(200, &[FRESH], "new");
        assert_eq!(process.get(path).await.text(), text, "{path}");
    }
}

#[tokio::test]
async fn a_group_that_an_unsafe_request_names_is_invalidated() {
    let process = World::new().process();
    process
        .origin
        .answers(200, &[FRESH, ("cache-groups", "\"g\"")], "old");
    process.get("/x").await;
    process
        .origin
        .answers(204, &[("cache-group-invalidation", "\"g\"")], "");
    process.ask(request("DELETE", "/other", &[])).await;
    process.origin.answers(200, &[FRESH], "new");
    assert_eq!(process.get("/x").await.text(), "new");
}

#[tokio::test]
async fn what_the_cache_has_no_part_in_is_passed_as_it_came() {
    let pattern = PathPattern::parse("/live/*").expect("a pattern");
    let route = Route::new(pattern, RouteClass::Bypass);
    let process = World::of(Policy::default().with_route(route)).process();
    for (path, fields) in [
        (
            "/live/x",
            &[
                ("cookie", "a=1"),
                ("x-forwarded-host", "b"),
                ("connection", "keep-alive"),
            ][..],
        ),
        ("/x", &[("cookie", "a=1"), ("x-forwarded-host", "b")]),
        ("/x", &[("upgrade", "websocket"), ("connection", "upgrade")]),
        (
            "/x",
            &[("content-length", "5"), ("connection", "keep-alive")],
        ),
    ] {
        for _ in 0..2 {
            process.origin.answers(200, &[FRESH], "live");
            let got = process.get_with(path, fields).await;
            assert_eq!(got.text(), "live");
            let asked = process.origin.last_asked().headers;
            for (name, value) in fields {
                assert_eq!(asked[*name], value, "{path}");
            }
        }
    }
    assert_eq!(process.origin.calls(), 8);
    assert_eq!(process.counted().totals.stored_total, 0);
}

#[tokio::test]
async fn a_switch_of_protocols_goes_through_untouched() {
    let process = World::new().process();
    process.origin.answers(
        101,
        &[("upgrade", "websocket"), ("connection", "upgrade")],
        "",
    );
    let got = process.get_with("/x", &[("upgrade", "websocket")]).await;
    assert_eq!((got.status.as_u16(), got.said()), (101, ""));
    assert_eq!(
        (got.field("upgrade"), got.field("connection")),
        ("websocket", "upgrade")
    );
}

#[tokio::test]
async fn the_service_is_asked_for_nothing_that_the_key_does_not_name() {
    let process = World::new().process();
    process.origin.answers(200, &[FRESH], "x");
    let fields = [
        ("x-forwarded-host", "evil"),
        ("x-original-url", "/y"),
        ("te", "trailers"),
    ];
    process.get_with("/x", &fields).await;
    let asked = process.origin.last_asked().headers;
    assert_eq!(asked["x-forwarded-host"], "a.example");
    assert_eq!(asked["host"], "a.example");
    assert!(!asked.contains_key("x-original-url") && !asked.contains_key("te"));
}

#[tokio::test]
async fn extensions_of_the_request_reach_the_service() {
    let process = World::new().process();
    process.origin.answers(200, &[FRESH], "x");
    let mut request = get("/x", &[]);
    request.extensions_mut().insert(7_u8);
    process.ask(request).await;
    assert_eq!(process.origin.last_asked().extensions.get(), Some(&7_u8));
}

#[tokio::test]
async fn an_ambiguous_target_is_refused() {
    let process = World::new().process();
    for path in ["/a%2fb", "/a/../b", "/a%00"] {
        let got = process.get(path).await;
        assert_eq!(
            (got.status.as_u16(), process.origin.calls()),
            (400, 0),
            "{path}"
        );
    }
}

#[tokio::test]
async fn hosts_are_kept_apart() {
    let process = World::new().process();
    for host in ["a.example", "b.example", "a.example"] {
        process.origin.answers(200, &[FRESH], host);
        let mut request = get("/x", &[]);
        request.headers_mut().insert("host", host.parse().unwrap());
        assert_eq!(process.ask(request).await.text(), host);
    }
    assert_eq!(process.origin.calls(), 2);
}

#[tokio::test]
async fn surrogate_keys_and_the_epoch_are_sent_only_if_the_layer_is_told_to() {
    for exposure in [Exposure::Strip, Exposure::Send] {
        let process = World::new().process_with(|layer| layer.surrogate_keys(exposure));
        let epoch = || process.cache.epoch().expect("a view").to_string();
        process
            .origin
            .answers(200, &[FRESH, ("surrogate-key", "a b")], "x");
        for _ in 0..3 {
            let epoch = epoch();
            let got = process.get("/x").await;
            let told = (got.field("surrogate-key"), got.field("terrace-epoch"));
            match exposure {
                Exposure::Strip => assert_eq!(told, ("", "")),
                Exposure::Send => assert_eq!(told, ("a b", &*epoch), "{}", got.said()),
            }
            process.purge(Purge::surrogate_key("other")).await;
        }
        assert_eq!(process.origin.calls(), 1);
    }
}

#[tokio::test]
async fn the_epoch_of_a_fill_is_the_one_before_it_began() {
    let process = World::new().process_with(|layer| layer.surrogate_keys(Exposure::Send));
    let epoch = || process.cache.epoch().expect("a view").to_string();
    for fields in [FRESH, ("cache-control", "no-store")] {
        let before = epoch();
        let gate = process.origin.waits();
        let request = process.spawn(get("/x", &[("cache-control", "no-cache")]));
        settle().await;
        process.purge(Purge::surrogate_key("other")).await;
        assert!(gate.send(Reply::Now(response(200, &[fields], "x"))).is_ok());
        assert_eq!(in_time(request).await.field("terrace-epoch"), before);
        assert_ne!(epoch(), before);
    }
}

#[tokio::test]
async fn what_a_soft_purge_has_overtaken_shows_the_epoch_that_it_was_filled_under() {
    let process = World::new().process_with(|layer| layer.surrogate_keys(Exposure::Send));
    let epoch = || process.cache.epoch().expect("a view").to_string();
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=60")];
    process.origin.answers(200, &fields, "x");
    let before = epoch();
    process.get("/x").await;
    process.purge(Purge::surrogate_key("other")).await;
    assert_eq!(process.get("/x").await.field("terrace-epoch"), epoch());
    process.purge(Purge::prefix("/").soft()).await;
    let got = process.get("/x").await;
    assert!(got.said().contains("soft-purge"), "{}", got.said());
    // The next cache has the same purge, and holds the answer against it.
    assert_eq!(got.field("terrace-epoch"), before);
}

#[tokio::test]
async fn queries_that_a_response_calls_alike_share_what_is_stored() {
    let process = World::new().process();
    let fields = [FRESH, ("no-vary-search", "params=(\"utm\")")];
    process.origin.answers(200, &fields, "one");
    process.get("/x?utm=1&a=2").await;
    let got = process.get("/x?a=2&utm=3").await;
    assert_eq!(
        (got.text(), process.origin.calls()),
        ("one", 1),
        "{}",
        got.said()
    );
    // A purge of the URL that was asked for counts, whatever it was stored under.
    process
        .purge(Purge::url("http://a.example/x?a=2&utm=3"))
        .await;
    process.origin.answers(200, &fields, "two");
    assert_eq!(process.get("/x?a=2&utm=3").await.text(), "two");
}

#[tokio::test]
async fn parts_are_stored_and_completed() {
    let process = World::new().process();
    let part = |range, text| {
        let fields = [
            FRESH,
            ("etag", "\"1\""),
            ("content-range", range),
            ("content-length", "5"),
        ];
        process.origin.answers(206, &fields, text);
    };
    part("bytes 0-4/10", "01234");
    let got = process.get_with("/x", &[("range", "bytes=0-4")]).await;
    assert_eq!((got.status.as_u16(), got.text()), (206, "01234"));
    let got = process.get_with("/x", &[("range", "bytes=1-3")]).await;
    assert_eq!(
        (got.text(), process.origin.calls()),
        ("123", 1),
        "{}",
        got.said()
    );
    part("bytes 5-9/10", "56789");
    let got = process.get_with("/x", &[("range", "bytes=3-")]).await;
    assert_eq!(
        (got.status.as_u16(), got.text()),
        (206, "3456789"),
        "{}",
        got.said()
    );
    assert_eq!(process.origin.last_asked().headers["range"], "bytes=5-9");
    let got = process.get("/x").await;
    assert_eq!(
        (got.status.as_u16(), got.text()),
        (200, "0123456789"),
        "{}",
        got.said()
    );
    assert_eq!(process.origin.calls(), 2);
}

#[tokio::test]
async fn a_client_that_asks_with_conditions_fills_the_store_for_the_others() {
    let process = World::new().process();
    process
        .origin
        .answers(200, &[FRESH, ("etag", "\"1\"")], "one");
    let got = process.get_with("/x", &[("if-none-match", "\"1\"")]).await;
    assert_eq!(got.status.as_u16(), 304, "{}", got.said());
    assert!(
        !process
            .origin
            .last_asked()
            .headers
            .contains_key("if-none-match")
    );
    settle().await;
    assert_eq!(process.get("/x").await.text(), "one");
    assert_eq!(process.origin.calls(), 1);
}

#[tokio::test]
async fn a_service_without_a_runtime_is_asked_without_the_cache() {
    let process = World::new().process();
    process.origin.answers(200, &[FRESH], "x");
    let asking = std::thread::spawn(move || {
        futures_util::future::FutureExt::now_or_never(process.call(get("/x", &[])))
    });
    let response = asking.join().expect("no panic").expect("at once");
    let got = read(response.expect("the service answers")).await;
    assert!(got.said().contains("fwd=bypass"), "{}", got.said());
}

use ::http::HeaderName;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::policy::{Policy, QueryNames, QueryOrder, QueryRule};
use crate::purge::wire::{PurgeState, PurgedTier, TierReceipt};
use crate::purge::{Epoch, Incarnation, Scope, Sequence};
use crate::time::Milliseconds;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: TimestampMillis = TimestampMillis::from_unix_millis(1_000_000);

/// Knows `secret`, which may do all, `soft`, which may purge products softly, and `old`, which has expired.
fn tokens() -> Tokens {
    let entry = |token: &str, rest: &str| {
        let hash = Sha256::digest(token);
        let hash = hash
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        format!(r#"{{"name":"{token}","sha256":"{hash}",{rest}}}"#)
    };
    let entries = [
        entry("secret", r#""allow":["*"]"#),
        entry(
            "soft",
            r#""allow":["surrogate-key:product:*"],"modes":["soft"]"#,
        ),
        entry("old", r#""allow":["*"],"expires":1000"#),
    ];
    Tokens::from_json(&format!("[{}]", entries.join(","))).unwrap()
}

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn routes() -> Routes {
    Routes::new(Policy::default())
}

/// What `call` asks for: its mode, and its scopes as text.
fn asked(call: &Call, fields: &HeaderMap, body: &str) -> Result<(PurgeMode, Vec<String>), Refusal> {
    let tokens = tokens();
    let token = call.admit(fields, &tokens, NOW.timestamp())?;
    let (_, purge) = call.purge(fields, body.as_bytes(), token, &routes(), NOW)?;
    let scopes = purge.scopes.iter().map(Scope::to_string).collect();
    Ok((purge.mode, scopes))
}

fn receipt() -> Receipt {
    Receipt {
        epoch: Epoch {
            incarnation: Incarnation::from_random(0xaa),
            sequence: Sequence::new(7),
        },
        mode: PurgeMode::Hard,
        scopes: 1,
        purged_at_ms: NOW,
        visible_by_ms: None,
        tiers: vec![TierReceipt {
            tier: PurgedTier::Edge,
            name: None,
            state: PurgeState::Pending,
            bound_ms: Milliseconds::new(5_000),
            epoch: None,
            detail: None,
        }],
        again_at_ms: None,
        token: None,
    }
}

const FASTLY: (&str, &str) = ("fastly-key", "secret");
const BEARER: (&str, &str) = ("authorization", "Bearer secret");

#[test]
fn the_paths_of_both_apis_are_recognised_and_no_others() {
    for (path, dialect) in [
        ("/purge/www.example.com/x", Some(Dialect::Fastly)),
        ("/service/S/purge", Some(Dialect::Fastly)),
        ("/service/S/purge?x", Some(Dialect::Fastly)),
        ("/service/S/purge/key", Some(Dialect::Fastly)),
        ("/service/S/purge_all", Some(Dialect::Fastly)),
        ("/client/v4/zones/Z/purge_cache", Some(Dialect::Cloudflare)),
        (
            "/client/v4/zones/Z/purge_cache?x",
            Some(Dialect::Cloudflare),
        ),
        (
            "/client/v4/zones/Z/invalidate_cache",
            Some(Dialect::Cloudflare),
        ),
        ("/", None),
        ("/purge", None),
        ("/purge/", None),
        ("/purges/x", None),
        ("/service", None),
        ("/service/S", None),
        ("/service//purge", None),
        ("/service/S/purged", None),
        ("/service/S?/purge", None),
        ("/service/S/version/1/purge", None),
        ("/client/v4/zones/Z", None),
        ("/client/v4/zones//purge_cache", None),
        ("/client/v4/zones/Z/purge_cache/x", None),
        ("/client/v4/zones/Z/environments/E/purge_cache", None),
        ("/client/v4/zones?/Z/purge_cache", None),
    ] {
        let call = Call::of_path(path);
        assert_eq!(call.as_ref().map(Call::dialect), dialect, "{path}");
    }
}

#[test]
fn a_path_that_an_origin_may_have_as_well_is_ours_by_its_credential() {
    let (known, none) = (tokens(), Tokens::default());
    let fastly = Call::of_path("/service/S/purge_all").unwrap();
    let cloudflare = Call::of_path("/client/v4/zones/Z/purge_cache").unwrap();
    for (field, of_fastly, of_cloudflare) in [
        (None, false, false),
        (Some(("fastly-key", "secret")), true, false),
        (Some(("fastly-key", "other")), true, false),
        (Some(("authorization", "Bearer secret")), true, true),
        (Some(("authorization", "Bearer old")), true, true),
        // Of an API of the origin's, as far as can be told.
        (Some(("authorization", "Bearer other")), false, true),
        (Some(("authorization", "Basic secret")), false, false),
        (Some(("x-auth-key", "other")), false, true),
    ] {
        let fields = fields(field.as_slice());
        let ours = |call: &Call, tokens| call.is_ours(&fields, tokens, NOW.timestamp());
        assert_eq!(ours(&fastly, Some(&known)), of_fastly, "{field:?}");
        assert_eq!(ours(&cloudflare, Some(&known)), of_cloudflare, "{field:?}");
        assert!(!ours(&fastly, Some(&none)), "{field:?}");
        assert!(!ours(&cloudflare, Some(&none)), "{field:?}");
        // With tokens that cannot be read, what is plainly a purge is not sent on either.
        let plain = field.is_some_and(|(name, _)| name == "fastly-key");
        assert_eq!(ours(&fastly, None), plain, "{field:?}");
        assert_eq!(ours(&cloudflare, None), of_cloudflare, "{field:?}");
    }
}

#[test]
fn each_form_of_fastlys_names_what_it_does_there() {
    let soft = ("fastly-soft-purge", "1");
    let keys = ("surrogate-key", "a  b,c");
    for (path, lines, body, mode, scopes) in [
        (
            "/purge/WWW.example.com/x?b=1",
            &[FASTLY][..],
            "",
            PurgeMode::Hard,
            &["exact:www.example.com/x?b=1"][..],
        ),
        (
            "/purge/http://www.example.com:80/x",
            &[FASTLY, soft],
            "",
            PurgeMode::Soft,
            &["exact:www.example.com/x"],
        ),
        // Something on the way has made one slash of two.
        (
            "/purge/HTTPS:/www.example.com/x",
            &[FASTLY],
            "",
            PurgeMode::Hard,
            &["exact:www.example.com/x"],
        ),
        (
            "/purge/https%3A%2F%2Fwww.example.com%2Fx%2520y",
            &[FASTLY],
            "",
            PurgeMode::Hard,
            &["exact:www.example.com/x%20y"],
        ),
        (
            "/purge/www.example.com/a%20b%2Cc",
            &[FASTLY],
            "",
            PurgeMode::Hard,
            &["exact:www.example.com/a%20b%2Cc"],
        ),
        (
            "/service/S/purge/product:1",
            &[BEARER],
            "",
            PurgeMode::Hard,
            &["surrogate-key:product:1"],
        ),
        (
            "/service/S/purge/a%2Fb/c?d%25+100%",
            &[FASTLY],
            "",
            PurgeMode::Hard,
            &["surrogate-key:a/b/c?d%+100%"],
        ),
        (
            "/service/S/purge",
            &[FASTLY, keys],
            "",
            PurgeMode::Hard,
            &["surrogate-key:a", "surrogate-key:b", "surrogate-key:c"],
        ),
        (
            "/service/S/purge",
            &[FASTLY, soft],
            r#"{"surrogate_keys":["a","b"]}"#,
            PurgeMode::Soft,
            &["surrogate-key:a", "surrogate-key:b"],
        ),
        (
            "/service/S/purge",
            &[FASTLY, ("surrogate-key", "a")],
            r#"{"surrogate_keys":["b"]}"#,
            PurgeMode::Hard,
            &["surrogate-key:a", "surrogate-key:b"],
        ),
        (
            "/service/S/purge_all",
            &[FASTLY],
            "",
            PurgeMode::Hard,
            &["all"],
        ),
        (
            "/service/S/purge_all",
            &[FASTLY, soft],
            "",
            PurgeMode::Soft,
            &["all"],
        ),
    ] {
        let call = Call::of_path(path).unwrap();
        let (got_mode, got) = asked(&call, &fields(lines), body)
            .unwrap_or_else(|refusal| panic!("{path}: {refusal}"));
        assert_eq!((got_mode, &*got), (mode, &*owned(scopes)), "{path}");
    }
}

#[test]
fn each_kind_of_cloudflares_names_what_it_does_there() {
    let purge = Call::of_path("/client/v4/zones/Z/purge_cache").unwrap();
    for (body, scopes) in [
        (
            r#"{"tags":["a","product:1"]}"#,
            &["surrogate-key:a", "surrogate-key:product:1"][..],
        ),
        (
            r#"{"files":["https://WWW.example.com:443/x?b=1"]}"#,
            &["exact:www.example.com/x?b=1"],
        ),
        (
            r#"{"files":[{"url":"http://www.example.com/x","headers":{"CF-Device-Type":"mobile"}},"www.example.com/y"]}"#,
            &["exact:www.example.com/x", "exact:www.example.com/y"],
        ),
        (
            r#"{"prefixes":["WWW.example.com/a/","www.example.com/b","/c/"]}"#,
            &[
                "prefix:www.example.com/a/",
                "pattern:www.example.com/b*",
                "prefix:/c/",
            ],
        ),
        (
            r#"{"hosts":["WWW.example.com"]}"#,
            &["host:www.example.com"],
        ),
        (r#"{"purge_everything":true}"#, &["all"]),
        (
            r#"{"tags":["a"],"tags":["b"]}"#,
            &["surrogate-key:a", "surrogate-key:b"],
        ),
        (
            r#"{"purge_everything":false,"tags":["a"],"hosts":["h"]}"#,
            &["surrogate-key:a", "host:h"],
        ),
    ] {
        for (call, mode) in [
            (&purge, PurgeMode::Hard),
            (
                &Call::of_path("/client/v4/zones/Z/invalidate_cache").unwrap(),
                PurgeMode::Soft,
            ),
        ] {
            let got = asked(call, &fields(&[BEARER]), body);
            let got = got.unwrap_or_else(|refusal| panic!("{body}: {refusal}"));
            assert_eq!(got, (mode, owned(scopes)), "{body}");
        }
    }
    let key = fields(&[("x-auth-key", "secret"), ("x-auth-email", "a@b.example")]);
    assert!(asked(&purge, &key, r#"{"tags":["a"]}"#).is_ok());
}

#[test]
fn urls_are_purged_under_the_name_that_their_route_gives_them() {
    let policy = Policy::default();
    let mut route = policy.route("/").clone();
    route.query = QueryRule {
        names: QueryNames::Drop(vec!["utm_*".into()]),
        order: QueryOrder::Sorted,
    };
    let routes = Routes::new(policy.with_route(route));
    let (tokens, fields) = (tokens(), fields(&[BEARER]));
    let url = "https://www.example.com/x?b=1&utm_source=z&a=2";
    let files = format!(r#"{{"files":["{url}"]}}"#);
    let zone = Call::of_path("/client/v4/zones/Z/purge_cache");
    let posted = Call::of_path(&format!("/purge/{url}"));
    for (call, body) in [
        (Call::of_url(url, &fields), ""),
        (posted.unwrap(), ""),
        (zone.unwrap(), &files),
    ] {
        let token = call.admit(&fields, &tokens, NOW.timestamp()).unwrap();
        let asked = call.purge(&fields, body.as_bytes(), token, &routes, NOW);
        let name = "exact:www.example.com/x?a=2&b=1";
        assert_eq!(asked.unwrap().1.scopes, [name.parse().unwrap()]);
    }
}

#[test]
fn the_purge_method_is_answered_in_the_words_of_its_fields() {
    let soft = ("fastly-soft-purge", "1");
    for (lines, dialect, mode) in [
        (&[BEARER][..], Dialect::Terrace, PurgeMode::Hard),
        (&[FASTLY], Dialect::Fastly, PurgeMode::Hard),
        (&[BEARER, soft], Dialect::Fastly, PurgeMode::Soft),
    ] {
        let fields = fields(lines);
        let call = Call::of_url("http://a.example/x", &fields);
        assert_eq!(call.dialect(), dialect, "{lines:?}");
        let (got, _) = asked(&call, &fields, "").unwrap();
        assert_eq!(got, mode, "{lines:?}");
    }
}

#[test]
fn what_was_done_is_said_in_each_apis_shape() {
    let id = "00000000000000aa-7";
    let said = |path: &str, request: PurgeRequest| {
        let call = Call::of_path(path).unwrap();
        let answer = call.carried_out(&request, &receipt());
        let fields = &answer.fields;
        assert_eq!(
            (answer.status.as_u16(), fields[CONTENT_TYPE].as_bytes()),
            (200, &b"application/json"[..])
        );
        assert_eq!(fields[CACHE_CONTROL], "no-store");
        let whole: Receipt = serde_json::from_slice(fields[RECEIPT_FIELD].as_bytes()).unwrap();
        assert_eq!(whole, receipt());
        answer.body
    };
    let keys = |keys: &[&str]| PurgeRequest {
        surrogate_keys: owned(keys),
        ..PurgeRequest::default()
    };
    let one = format!(r#"{{"status":"ok","id":"{id}"}}"#);
    assert_eq!(said("/service/S/purge/a", keys(&["a"])), one);
    assert_eq!(said("/service/S/purge_all", keys(&[])), one);
    assert_eq!(said("/purge/a.example/", keys(&[])), one);
    assert_eq!(
        said("/service/S/purge", keys(&["a", "b", "a"])),
        format!(r#"{{"a":"{id}","b":"{id}"}}"#)
    );
    let zone = "/client/v4/zones/Z/purge_cache";
    let pending =
        r#"{"code":1000,"message":"not every tier has taken it yet: it is told until it has"}"#;
    assert_eq!(
        said(zone, keys(&["a"])),
        format!(
            r#"{{"success":true,"errors":[],"messages":[{pending}],"result":{{"id":"{id}"}}}}"#
        )
    );
    let capitals = said(zone, keys(&["a", "Home"]));
    assert!(
        capitals.contains(r#"\"Home\" is not \"home\""#),
        "{capitals}"
    );

    let own = Call::own().carried_out(&keys(&["a"]), &receipt());
    assert_eq!(own.body, serde_json::to_string(&receipt()).unwrap());
    assert!(!own.fields.contains_key(RECEIPT_FIELD));
}

#[test]
fn a_receipt_too_long_for_a_field_is_left_out_of_it() {
    let mut long = receipt();
    long.tiers[0].detail = Some("x".repeat(5_000));
    let call = Call::of_path("/service/S/purge_all").unwrap();
    let answer = call.carried_out(&PurgeRequest::default(), &long);
    assert!(!answer.fields.contains_key(RECEIPT_FIELD));
    assert!(answer.body.contains("ok"));
}

/// A path, fields and a body; the status they are refused with, and what the answer says.
type Refused<'a> = (
    &'a str,
    &'a [(&'static str, &'static str)],
    &'a str,
    u16,
    &'a [&'a str],
);

fn are_refused(cases: &[Refused<'_>]) {
    for &(path, lines, body, status, parts) in cases {
        let call = Call::of_path(path).unwrap();
        let refusal = asked(&call, &fields(lines), body).unwrap_err();
        let answer = call.refused(&refusal);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        let challenged = answer.fields.contains_key(WWW_AUTHENTICATE);
        assert_eq!(challenged, status == 401, "{path} {body}");
        for part in parts {
            assert!(answer.body.contains(part), "{path} {body}: {}", answer.body);
        }
        let said: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        match call.dialect() {
            Dialect::Fastly => assert!(said["msg"].is_string() && said["detail"].is_string()),
            Dialect::Cloudflare => {
                assert_eq!(said["success"], false);
                assert!(said["errors"][0]["code"].is_u64() && said["result"].is_null());
                assert!(said["errors"][0]["message"].is_string());
            }
            Dialect::Terrace => assert!(said["error"].is_string()),
        }
    }
}

const BATCH: &str = "/service/S/purge";
const ALL: &str = "/service/S/purge_all";
const ZONE: &str = "/client/v4/zones/Z/purge_cache";

#[test]
fn who_may_not_is_told_so_in_each_apis_shape() {
    let key = |key| ("fastly-key", key);
    let soft = ("fastly-soft-purge", "1");
    let tags = r#"{"tags":["product:1"]}"#;
    are_refused(&[
        (ALL, &[], "", 401, &["credentials are missing", "no token"]),
        (ALL, &[key("x")], "", 401, &["credentials", "not known"]),
        (ALL, &[key("old")], "", 401, &["credentials", "has expired"]),
        (
            ALL,
            &[key("soft")],
            "",
            403,
            &["not authorized", "may not purge hard"],
        ),
        (
            ALL,
            &[key("soft"), soft],
            "",
            403,
            &["not authorized", "may not purge all"],
        ),
        (ZONE, &[], tags, 401, &["10000", "no token"]),
        (
            ZONE,
            &[("authorization", "Bearer x")],
            tags,
            401,
            &["10000", "Authentication error", "not known"],
        ),
        (
            ZONE,
            &[("authorization", "Bearer soft")],
            tags,
            403,
            &["9109", "Unauthorized", "may not purge hard"],
        ),
    ]);
}

#[test]
fn what_is_no_purge_of_fastlys_is_refused_in_its_shape() {
    let many = format!(r#"{{"surrogate_keys":[{}"k"]}}"#, r#""k","#.repeat(1_024));
    let long = format!("/service/S/purge/{}", "k".repeat(1_025));
    let (key, tag) = (&[FASTLY][..], "/service/S/purge/");
    are_refused(&[
        (BATCH, key, "", 400, &["Bad request", "names nothing"]),
        (BATCH, key, "{", 400, &["Bad request", "not understood"]),
        (
            BATCH,
            key,
            r#"{"keys":["a"]}"#,
            400,
            &["more than surrogate_keys"],
        ),
        (
            BATCH,
            key,
            r#"{"tags":["a"]}"#,
            400,
            &["unknown field `tags`"],
        ),
        (
            BATCH,
            key,
            r#"{"surrogate_keys":"a"}"#,
            400,
            &["expected a sequence"],
        ),
        (BATCH, key, &many, 400, &["1025"]),
        (&long, key, "", 400, &["surrogate_keys[0]", "1025 bytes"]),
        (tag, key, "", 400, &["surrogate key is empty"]),
        (&format!("{tag}a%00"), key, "", 400, &["not visible ASCII"]),
        (&format!("{tag}%ff"), key, "", 400, &["not visible ASCII"]),
        (
            "/purge/ftp://a/x",
            key,
            "",
            400,
            &["the URL is not understood"],
        ),
        ("/purge/a/x/../y", key, "", 400, &["dot segment"]),
        ("/purge/%2f", key, "", 400, &["the URL is not understood"]),
    ]);
}

#[test]
fn what_is_no_purge_of_cloudflares_is_refused_in_its_shape() {
    let many = format!(r#"{{"tags":[{}"k"]}}"#, r#""k","#.repeat(1_024));
    let multipart = ("content-type", "multipart/form-data; boundary=x");
    let key = &[BEARER][..];
    are_refused(&[
        (ZONE, key, "", 400, &["6007", "Malformed JSON"]),
        (ZONE, key, "{", 400, &["6007", "Malformed JSON"]),
        (ZONE, key, "[]", 400, &["expected an object with tags"]),
        (
            ZONE,
            key,
            "{}",
            400,
            &["1012", "Request must contain one of"],
        ),
        (ZONE, key, r#"{"tags":[]}"#, 400, &["1012"]),
        (
            ZONE,
            key,
            r#"{"tags":"a"}"#,
            400,
            &["400", "expected a sequence"],
        ),
        (ZONE, key, r#"{"tags":[1]}"#, 400, &["expected a string"]),
        (ZONE, key, r#"{"tag":["a"]}"#, 400, &["unknown field `tag`"]),
        (
            ZONE,
            key,
            r#"{"tags":["a","b c"]}"#,
            400,
            &["tags[1]", "visible ASCII"],
        ),
        (
            ZONE,
            key,
            r#"{"files":["/x"]}"#,
            400,
            &["files[0]", "not understood"],
        ),
        (
            ZONE,
            key,
            r#"{"files":[1]}"#,
            400,
            &["expected a URL, or an object"],
        ),
        (
            ZONE,
            key,
            r#"{"files":[{}]}"#,
            400,
            &["missing field `url`"],
        ),
        (
            ZONE,
            key,
            r#"{"files":[{"url":"a/","url":"b/"}]}"#,
            400,
            &["duplicate field `url`"],
        ),
        (
            ZONE,
            key,
            r#"{"files":[{"url":"a/x","tag":1}]}"#,
            400,
            &["unknown field `tag`"],
        ),
        (ZONE, key, r#"{"prefixes":[""]}"#, 400, &["prefixes[0]"]),
        (
            ZONE,
            key,
            r#"{"hosts":["a\u0000"]}"#,
            400,
            &["hosts[0]", "control"],
        ),
        (ZONE, key, &many, 400, &["1025"]),
        (
            ZONE,
            &[BEARER, multipart],
            r#"{"tags":["a"]}"#,
            415,
            &["multipart/form-data"],
        ),
    ]);
}

#[test]
fn a_refusal_in_our_words_has_an_error_and_a_hint() {
    let refusal = Refusal::Method {
        method: "PUT".to_owned(),
        allow: "POST",
    };
    let answer = refusal.answer(Dialect::Terrace);
    let text = r#"{"error":"PUT is not understood here","hint":"the Allow field names what is"}"#;
    assert_eq!((answer.status.as_u16(), &*answer.body), (405, text));
    assert_eq!(answer.fields[ALLOW], "POST");
    let none = Tokens::default();
    let nobody = Call::own().admit(&fields(&[BEARER]), &none, NOW.timestamp());
    assert!(matches!(nobody, Err(Refusal::NoTokens)));
}

#[test]
fn who_purges_too_often_is_told_when_to_come_again() {
    let refusal = Refusal::TooMany {
        retry_after: Milliseconds::new(1_001),
    };
    for (dialect, part) in [
        (Dialect::Terrace, "too many purges"),
        (Dialect::Fastly, "Too many requests"),
        (Dialect::Cloudflare, "971"),
    ] {
        let answer = refusal.answer(dialect);
        assert_eq!(
            (answer.status.as_u16(), &answer.fields[RETRY_AFTER]),
            (429, &HeaderValue::from(2))
        );
        assert!(answer.body.contains(part), "{}", answer.body);
    }
}

#[test]
fn tools_that_do_not_say_json_are_understood() {
    let body = r#"{"surrogate_keys":["a"]}"#;
    for (content_type, taken) in [
        (None, true),
        (Some("application/json; charset=utf-8"), true),
        (Some("application/vnd.api+json"), true),
        (Some("application/x-www-form-urlencoded"), true),
        (Some("text/plain;charset=UTF-8"), true),
        (Some("multipart/form-data; boundary=x"), false),
        (Some("application/xml"), false),
    ] {
        let content_type = content_type.map(|value| ("content-type", value));
        let lines: Vec<_> = [BEARER].into_iter().chain(content_type).collect();
        let got = asked(&Call::own(), &fields(&lines), body);
        assert_eq!(got.is_ok(), taken, "{content_type:?}");
        // What a call without a body says of it does not matter.
        let all = Call::of_path("/service/S/purge_all").unwrap();
        assert!(asked(&all, &fields(&lines), "").is_ok());
    }
}

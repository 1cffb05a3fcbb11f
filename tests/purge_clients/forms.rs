//! The forms that both APIs have on the wire, and the paths that an origin may have as well.

use e2e::{Content, PURGE_TOKEN, wait_until};
use http::Method;
use serde_json::{Value, json};

use crate::{Site, at_the_edge, at_the_shield};

#[tokio::test]
async fn the_edge_answers_a_purge_of_a_url_in_the_words_it_came_in() {
    at_the_edge(a_purge_of_a_url_is_answered_in_the_words_it_came_in).await;
}

#[tokio::test]
async fn the_shield_answers_a_purge_of_a_url_in_the_words_it_came_in() {
    at_the_shield(a_purge_of_a_url_is_answered_in_the_words_it_came_in).await;
}

#[tokio::test]
async fn the_edge_leaves_an_origin_its_own_paths() {
    at_the_edge(an_origin_keeps_its_own_paths).await;
}

#[tokio::test]
async fn the_shield_leaves_an_origin_its_own_paths() {
    at_the_shield(an_origin_keeps_its_own_paths).await;
}

#[tokio::test]
async fn the_edge_sends_its_receipt_along() {
    at_the_edge(every_answer_has_the_receipt).await;
}

#[tokio::test]
async fn the_shield_sends_its_receipt_along() {
    at_the_shield(every_answer_has_the_receipt).await;
}

/// No grace: what is purged softly is validated first.
const FRESH: (&str, &str) = ("cache-control", "max-age=600, must-revalidate");

fn purge_method() -> Method {
    Method::from_bytes(b"PURGE").unwrap()
}

async fn a_purge_of_a_url_is_answered_in_the_words_it_came_in(site: &Site) {
    let path = "/api/x?a=1";
    site.origin.set(path, Content::new("1", &[FRESH]));
    let bearer = format!("Bearer {PURGE_TOKEN}");
    let (bearer, key) = (("authorization", &*bearer), ("fastly-key", PURGE_TOKEN));
    let soft = ("fastly-soft-purge", "1");
    for (fields, ours) in [
        (&[bearer][..], true),
        (&[key], false),
        (&[key, soft], false),
        (&[bearer, soft], false),
    ] {
        wait_until("it is stored", async || {
            site.cache.get(path).await.is_hit().then_some(())
        })
        .await;
        let answer = site.cache.send(purge_method(), path, fields, "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let (said, mode) = (
            answer.json(),
            if fields.contains(&soft) {
                "soft"
            } else {
                "hard"
            },
        );
        if ours {
            assert_eq!(
                (&said["mode"], &said["scopes"]),
                (&json!(mode), &json!(1)),
                "{said}"
            );
        } else {
            let receipt: Value = serde_json::from_str(answer.field("terrace-receipt")).unwrap();
            assert_eq!(
                (&said["status"], &said["id"]),
                (&json!("ok"), &receipt["epoch"]),
                "{said}"
            );
            assert_eq!(receipt["mode"], mode);
        }
        assert!(!site.cache.get(path).await.is_hit(), "{fields:?}");
    }
    // Another URL is another response.
    site.origin.set("/api/x?a=2", Content::new("2", &[FRESH]));
    wait_until("it is stored", async || {
        site.cache.get("/api/x?a=2").await.is_hit().then_some(())
    })
    .await;
    site.cache.send(purge_method(), path, &[key], "").await;
    assert!(site.cache.get("/api/x?a=2").await.is_hit());
    assert!(
        !site
            .origin
            .requests(path)
            .iter()
            .any(|fields| fields.contains_key("fastly-key"))
    );
}

async fn an_origin_keeps_its_own_paths(site: &Site) {
    let zone = "/client/v4/zones/Z/purge_cache";
    for path in [
        "/purge/queue",
        "/service/S/purge",
        "/service/S/purge_all",
        zone,
    ] {
        site.origin.set(path, Content::new("the origin's own", &[]));
        for fields in [
            &[][..],
            &[("authorization", "Basic of-the-origin")],
            &[("authorization", "Bearer of-the-origin")],
        ] {
            let answer = site.cache.send(Method::POST, path, fields, "{}").await;
            if path == zone && fields.iter().any(|(_, value)| value.starts_with("Bearer")) {
                // Nobody but a client of Cloudflare's API posts there with a bearer token.
                assert_eq!(answer.status, 401, "{}", answer.text());
            } else {
                assert_eq!(answer.text(), "the origin's own", "{path} {fields:?}");
            }
        }
        // What else is done there is the origin's affair, whoever does it.
        for method in [Method::GET, Method::PUT] {
            let fields = [("fastly-key", PURGE_TOKEN)];
            let answer = site.cache.send(method, path, &fields, "").await;
            assert_eq!(answer.text(), "the origin's own", "{path}");
        }
        let asked = site.origin.requests(path).len();
        let fields = [("fastly-key", "of-somebody"), ("x-auth-key", "of-somebody")];
        let answer = site.cache.send(Method::POST, path, &fields, "{}").await;
        assert_eq!(answer.status, 401, "{path}: {}", answer.text());
        assert_eq!(
            site.origin.requests(path).len(),
            asked,
            "{path} was sent on"
        );
    }
}

async fn every_answer_has_the_receipt(site: &Site) {
    let bearer = format!("Bearer {PURGE_TOKEN}");
    let fields = [("authorization", &*bearer)];
    for (path, body, scopes) in [
        ("/service/S/purge", r#"{"surrogate_keys":["a","b"]}"#, 2),
        ("/service/S/purge/a", "", 1),
        ("/purge/www.example.com/x", "", 1),
        (
            "/client/v4/zones/Z/purge_cache",
            r#"{"tags":["a"],"hosts":["h"]}"#,
            2,
        ),
    ] {
        let answer = site.cache.send(Method::POST, path, &fields, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let receipt: Value = serde_json::from_str(answer.field("terrace-receipt")).unwrap();
        assert_eq!(receipt["scopes"], scopes, "{path}: {receipt}");
        assert!(receipt["visible_by_ms"].is_u64(), "{path}: {receipt}");
        assert!(
            answer.text().contains(receipt["epoch"].as_str().unwrap()),
            "{path}"
        );
    }
}

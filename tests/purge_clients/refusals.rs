//! What may not or cannot be purged: it is said in the words of the API, and nothing changes.

use e2e::{Content, PRODUCTS_TOKEN, PURGE_TOKEN, wait_until};
use http::Method;
use serde_json::Value;

use crate::{Site, at_the_edge, at_the_shield};

#[tokio::test]
async fn what_the_edge_refuses_changes_nothing() {
    at_the_edge(what_is_refused_changes_nothing).await;
}

#[tokio::test]
async fn what_the_shield_refuses_changes_nothing() {
    at_the_shield(what_is_refused_changes_nothing).await;
}

const PATH: &str = "/api/plans";
const BATCH: &str = "/service/S/purge";
const ALL: &str = "/service/S/purge_all";
const ZONE: &str = "/client/v4/zones/Z/purge_cache";

async fn what_is_refused_changes_nothing(site: &Site) {
    let cached = [("cache-control", "max-age=600"), ("surrogate-key", "plans")];
    site.origin.set(PATH, Content::new("1", &cached));
    wait_until("the page is stored", async || {
        site.cache.get(PATH).await.is_hit().then_some(())
    })
    .await;

    let too_many = format!(r#"{{"tags":[{}"plans"]}}"#, r#""plans","#.repeat(1_024));
    let too_long = format!(r#"{{"tags":["plans","{}"]}}"#, "x".repeat(1_025));
    let endless = format!(r#"{{"tags":["plans"{}]}}"#, " ".repeat(1 << 20));
    let long_path = format!("/service/S/purge/plans{}", "x".repeat(1_024));
    let json = "application/json";
    for (method, path, token, kind, body, status, part) in [
        ("POST", ALL, "wrong", json, "", 401, "not known"),
        (
            "POST",
            ALL,
            PRODUCTS_TOKEN,
            json,
            "",
            403,
            "may not purge all",
        ),
        ("POST", BATCH, PURGE_TOKEN, json, "", 400, "names nothing"),
        ("POST", BATCH, PURGE_TOKEN, json, "{", 400, "not understood"),
        (
            "POST",
            BATCH,
            PURGE_TOKEN,
            json,
            r#"{"tags":["plans"]}"#,
            400,
            "unknown field",
        ),
        ("POST", &long_path, PURGE_TOKEN, json, "", 400, "1029 bytes"),
        (
            "POST",
            "/purge/ftp://a/x",
            PURGE_TOKEN,
            json,
            "",
            400,
            "not understood",
        ),
        ("PURGE", PATH, "wrong", json, "", 401, "not known"),
        (
            "PURGE",
            PATH,
            PRODUCTS_TOKEN,
            json,
            "",
            403,
            "may not purge exact:",
        ),
        (
            "POST",
            ZONE,
            "wrong",
            json,
            r#"{"tags":["plans"]}"#,
            401,
            "not known",
        ),
        (
            "POST",
            ZONE,
            PRODUCTS_TOKEN,
            json,
            r#"{"tags":["product:1","plans"]}"#,
            403,
            "may not",
        ),
        (
            "POST",
            ZONE,
            PURGE_TOKEN,
            json,
            r#"{"tags":["plans"]"#,
            400,
            "Malformed JSON",
        ),
        (
            "POST",
            ZONE,
            PURGE_TOKEN,
            json,
            r#"{"tag":["plans"]}"#,
            400,
            "unknown field",
        ),
        ("POST", ZONE, PURGE_TOKEN, json, &too_many, 400, "1025"),
        ("POST", ZONE, PURGE_TOKEN, json, &too_long, 400, "tags[1]"),
        ("POST", ZONE, PURGE_TOKEN, json, &endless, 413, "1048576"),
        (
            "POST",
            ZONE,
            PURGE_TOKEN,
            "text/html",
            r#"{"tags":["plans"]}"#,
            415,
            "text/html",
        ),
    ] {
        let bearer = format!("Bearer {token}");
        let fields = [
            ("fastly-key", token),
            ("authorization", &*bearer),
            ("content-type", kind),
        ];
        let method: Method = method.parse().unwrap();
        let answer = site.cache.send(method, path, &fields, body).await;
        let said = answer.text();
        assert_eq!(answer.status, status, "{path}: {said}");
        assert!(said.contains(part), "{path}: {said}");
        let said: Value = answer.json();
        if path == ZONE {
            assert_eq!(said["success"], false, "{said}");
        } else {
            assert!(said["msg"].is_string(), "{said}");
        }
    }

    let bare = site
        .cache
        .send("PURGE".parse().unwrap(), PATH, &[], "")
        .await;
    assert_eq!(bare.status, 401, "{}", bare.text());
    assert!(bare.field("www-authenticate").starts_with("Bearer"));
    assert!(bare.json()["hint"].is_string());
    let page = site.cache.get(PATH).await;
    assert!(page.is_hit(), "{}", page.cache_status());
}

//! The official packages of npm, as they are.

use std::process::Stdio;
use std::time::Duration;

use e2e::{
    Client, Content, Edge, PRODUCTS_TOKEN, PURGE_TOKEN, Shield, TestOrigin, root, wait_until,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::{Site, at_the_edge, at_the_shield};

/// A node process with one of the packages in it; gone with the test.
struct Sdk {
    _child: Child,
    calls: ChildStdin,
    outcomes: Lines<BufReader<ChildStdout>>,
}

impl Sdk {
    fn cloudflare(cache: &Client, token: &str) -> Self {
        Self::start("cloudflare", "CLOUDFLARE_API_TOKEN", cache, token)
    }

    fn fastly(cache: &Client, token: &str) -> Self {
        Self::start("fastly", "FASTLY_API_TOKEN", cache, token)
    }

    fn start(package: &str, variable: &str, cache: &Client, token: &str) -> Self {
        let mut child = Command::new(root().join("node_modules/.bin/node"))
            .arg(format!("tests/purge_clients/{package}.mjs"))
            .arg(cache.base())
            .env(variable, token)
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("make setup brings node");
        Self {
            calls: child.stdin.take().unwrap(),
            outcomes: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        }
    }

    async fn call(&mut self, call: &str, options: &Value) -> Value {
        let line = format!("{}\n", json!({ "call": call, "options": options }));
        self.calls.write_all(line.as_bytes()).await.unwrap();
        let outcome = timeout(Duration::from_secs(60), self.outcomes.next_line()).await;
        let outcome = outcome.expect("the package answers within a minute");
        let outcome = outcome.unwrap().expect("the package is installed");
        serde_json::from_str(&outcome).unwrap()
    }
}

const PATH: &str = "/api/plans/7?zip=1";

#[derive(Clone, Copy, Eq, PartialEq)]
enum Mode {
    Soft,
    Hard,
}

/// A page behind a cache, and which version of it the origin has.
struct Page<'a> {
    site: &'a Site,
    version: u32,
}

impl<'a> Page<'a> {
    fn published(site: &'a Site) -> Self {
        let mut page = Self { site, version: 0 };
        page.publish();
        page
    }

    fn publish(&mut self) {
        self.version += 1;
        let fields = [
            ("cache-control", "max-age=600, stale-while-revalidate=600"),
            ("surrogate-key", "product:7 plans"),
        ];
        let content = Content::new(&self.version.to_string(), &fields);
        self.site.origin.set(PATH, content);
    }

    async fn is_stored(&self) {
        wait_until("the page is stored", async || {
            let page = self.site.cache.get(PATH).await;
            (page.is_hit() && page.text() == self.version.to_string()).then_some(())
        })
        .await;
    }

    /// The origin has a new version, and `call` purges the old one, which is used once more if it does so softly.
    async fn purged_by(&mut self, sdk: &mut Sdk, call: &str, options: &Value, mode: Mode) -> Value {
        self.is_stored().await;
        let old = self.version.to_string();
        self.publish();
        let said = sdk.call(call, options).await;
        assert!(said["failed"].is_null(), "{call} {options}: {said}");
        let next = self.site.cache.get(PATH).await;
        let status = next.cache_status();
        if mode == Mode::Soft {
            assert_eq!(
                (next.text(), next.is_hit()),
                (&*old, true),
                "{call} {options}: {status}"
            );
        } else {
            let new = self.version.to_string();
            assert_eq!(
                (next.text(), next.is_hit()),
                (&*new, false),
                "{call} {options}: {status}"
            );
        }
        said["done"].clone()
    }
}

#[tokio::test]
async fn cloudflares_package_purges_the_edge() {
    at_the_edge(cloudflares_package_purges_and_invalidates).await;
}

#[tokio::test]
async fn cloudflares_package_purges_the_shield() {
    at_the_shield(cloudflares_package_purges_and_invalidates).await;
}

#[tokio::test]
async fn cloudflares_package_understands_what_the_edge_refuses() {
    at_the_edge(cloudflares_package_understands_refusals).await;
}

#[tokio::test]
async fn cloudflares_package_understands_what_the_shield_refuses() {
    at_the_shield(cloudflares_package_understands_refusals).await;
}

#[tokio::test]
async fn fastlys_package_purges_the_edge() {
    at_the_edge(fastlys_package_purges_hard_and_softly).await;
}

#[tokio::test]
async fn fastlys_package_purges_the_shield() {
    at_the_shield(fastlys_package_purges_hard_and_softly).await;
}

#[tokio::test]
async fn fastlys_package_understands_what_the_edge_refuses() {
    at_the_edge(fastlys_package_understands_refusals).await;
}

#[tokio::test]
async fn fastlys_package_understands_what_the_shield_refuses() {
    at_the_shield(fastlys_package_understands_refusals).await;
}

#[tokio::test]
async fn a_purge_at_the_shield_goes_on_to_the_edge() {
    let origin = TestOrigin::start().await;
    let edge = Edge::start(&origin.url).await;
    let to_the_edge = ["--edge", edge.client.base(), "--edge-token", PURGE_TOKEN];
    let shield = Shield::start_with(&origin.url, &to_the_edge).await;
    let site = Site {
        cache: edge.client.clone(),
        origin,
    };
    let mut page = Page::published(&site);
    let mut fastly = Sdk::fastly(&shield.client, PURGE_TOKEN);
    let plans = json!({ "service_id": "S", "surrogate_key": "plans" });
    page.purged_by(&mut fastly, "purgeTag", &plans, Mode::Hard)
        .await;
    let mut cloudflare = Sdk::cloudflare(&shield.client, PURGE_TOKEN);
    let plans = json!({ "zone_id": "Z", "tags": ["plans"] });
    page.purged_by(&mut cloudflare, "invalidate", &plans, Mode::Soft)
        .await;
}

async fn cloudflares_package_purges_and_invalidates(site: &Site) {
    let mut page = Page::published(site);
    let mut sdk = Sdk::cloudflare(&site.cache, PURGE_TOKEN);
    let host = site.cache.base().trim_start_matches("http://");
    let url = format!("{}{PATH}", site.cache.base());
    for named in [
        json!({ "tags": ["other", "plans"] }),
        json!({ "files": [url] }),
        json!({ "files": [{ "url": url, "headers": { "CF-Device-Type": "mobile" } }] }),
        json!({ "prefixes": [format!("{host}/api/plans")] }),
        json!({ "hosts": [host] }),
        json!({ "purge_everything": true }),
        json!({ "tags": (0..256).map(|n| format!("product:{n}")).collect::<Vec<_>>() }),
    ] {
        let mut options = named;
        options["zone_id"] = json!("023e105f4ecef8ad9ca31a8372d0c353");
        let purged = page
            .purged_by(&mut sdk, "purge", &options, Mode::Hard)
            .await;
        assert!(purged["id"].as_str().unwrap().contains('-'), "{purged}");
        let invalidated = page
            .purged_by(&mut sdk, "invalidate", &options, Mode::Soft)
            .await;
        assert_ne!(invalidated["id"], purged["id"]);
    }
}

async fn cloudflares_package_understands_refusals(site: &Site) {
    let page = Page::published(site);
    page.is_stored().await;
    let everything = json!({ "zone_id": "Z", "purge_everything": true });
    let nothing = json!({ "zone_id": "Z" });
    let malformed = json!({ "zone_id": "Z", "tags": ["a b"] });
    for (token, options, status, code) in [
        ("wrong", &everything, 401, 10_000),
        (PRODUCTS_TOKEN, &everything, 403, 9_109),
        (PURGE_TOKEN, &nothing, 400, 1_012),
        (PURGE_TOKEN, &malformed, 400, 400),
    ] {
        let mut sdk = Sdk::cloudflare(&site.cache, token);
        let said = sdk.call("purge", options).await;
        let failed = &said["failed"];
        assert_eq!(failed["status"], status, "{said}");
        assert_eq!(failed["errors"][0]["code"], code, "{said}");
    }
    assert!(site.cache.get(PATH).await.is_hit(), "something was purged");
}

async fn fastlys_package_purges_hard_and_softly(site: &Site) {
    let mut page = Page::published(site);
    let mut sdk = Sdk::fastly(&site.cache, PURGE_TOKEN);
    let url = format!("{}{PATH}", site.cache.base());
    let without_scheme = url.trim_start_matches("http://");
    let many: Vec<_> = (0..256).map(|n| format!("product:{n}")).collect();
    let service = "SU1Z0isxPaozGVKXdv0eY";
    for (call, options) in [
        ("purgeSingleUrl", json!({ "cached_url": url })),
        ("purgeSingleUrl", json!({ "cached_url": without_scheme })),
        ("purgeTag", json!({ "surrogate_key": "product:7" })),
        ("bulkPurgeTag", json!({ "surrogate_key": "other plans" })),
        (
            "bulkPurgeTag",
            json!({ "purge_response": { "surrogate_keys": many } }),
        ),
    ] {
        let mut options = options;
        options["service_id"] = json!(service);
        let purged = page.purged_by(&mut sdk, call, &options, Mode::Hard).await;
        match call {
            "bulkPurgeTag" => assert!(purged.as_object().unwrap().len() >= 2, "{purged}"),
            _ => assert_eq!(purged["status"], "ok", "{purged}"),
        }
        options["fastly_soft_purge"] = json!(1);
        page.purged_by(&mut sdk, call, &options, Mode::Soft).await;
    }
    let all = json!({ "service_id": service });
    page.purged_by(&mut sdk, "purgeAll", &all, Mode::Hard).await;
}

async fn fastlys_package_understands_refusals(site: &Site) {
    let page = Page::published(site);
    page.is_stored().await;
    let tag = |tag: &str| json!({ "service_id": "S", "surrogate_key": tag });
    for (token, call, options, status, message) in [
        (
            "wrong",
            "purgeTag",
            tag("plans"),
            401,
            "Provided credentials are missing or invalid",
        ),
        (
            PRODUCTS_TOKEN,
            "purgeTag",
            tag("plans"),
            403,
            "You are not authorized to perform this action",
        ),
        (PURGE_TOKEN, "purgeTag", tag("a,b"), 400, "Bad request"),
        (
            PURGE_TOKEN,
            "bulkPurgeTag",
            json!({ "service_id": "S" }),
            400,
            "Bad request",
        ),
    ] {
        let mut sdk = Sdk::fastly(&site.cache, token);
        let said = sdk.call(call, &options).await;
        let failed = &said["failed"];
        assert_eq!(
            (&failed["status"], &failed["body"]["msg"]),
            (&json!(status), &json!(message)),
            "{said}"
        );
    }
    assert!(site.cache.get(PATH).await.is_hit(), "something was purged");
}

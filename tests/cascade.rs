//! The cascade with real workers, real Redis and real processes: nothing that is taken is lost on its way.

use e2e::{
    Content, Edge, PURGE_TOKEN, RedisServer, Shop, ShopOptions, TestOrigin, root, wait_until,
};
use serde_json::Value;
use tokio::process::Command;

const CACHED: [(&str, &str); 2] = [("cache-control", "max-age=600"), ("surrogate-key", "plans")];

/// What `terrace purge` with these arguments said, and whether it went well.
async fn terrace_purge(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(root().join("target/debug/terrace"));
    command
        .arg("purge")
        .args(arguments)
        .env_remove("TERRACE_EDGE_URL")
        .env("TERRACE_TOKEN", PURGE_TOKEN)
        .kill_on_drop(true);
    let output = command.output().await.unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    (output.status.success(), text)
}

#[tokio::test]
async fn a_purge_at_the_ledger_reaches_the_edge_although_the_service_that_sent_was_killed() {
    let redis = RedisServer::start().await;
    let origin = TestOrigin::start().await;
    origin.set("/api/plans", Content::new("old", &CACHED));
    let edge = Edge::start(&origin.url).await;
    let url = redis.url();
    let options = ShopOptions {
        redis: Some(&url),
        edge: Some(edge.client.base()),
        ..ShopOptions::default()
    };
    let first = Shop::start(options).await;
    let second = Shop::start(options).await;
    edge.hit("/api/plans").await;

    // Whoever holds the claim to send: one of the two dies, and then the other would have to.
    first.kill().await;
    origin.set("/api/plans", Content::new("new", &CACHED));
    let redis_arguments = ["--redis", &url, "--surrogate-key", "plans"];
    let waiting = [&redis_arguments[..], &["--wait", "60", "--json"]].concat();
    let (well, text) = terrace_purge(&waiting).await;
    assert!(well, "{text}");
    let receipt: Value = serde_json::from_str(&text).unwrap();
    let tiers = receipt["tiers"].as_array().unwrap();
    let names: Vec<_> = tiers.iter().map(|tier| &tier["tier"]).collect();
    assert_eq!(names, ["redis", "edge"], "{text}");
    assert_eq!(
        edge.get("/api/plans").await.text(),
        "new",
        "the bound has passed"
    );

    for (time, part) in [("25h", "after_ms"), ("soon", "such as 5s")] {
        let asked = [&redis_arguments[..], &["--again-after", time]].concat();
        let (well, text) = terrace_purge(&asked).await;
        assert!(!well && text.contains(part), "{text}");
    }

    // Nobody is left to send: it is taken all the same, and said to be pending.
    second.kill().await;
    let short = [&redis_arguments[..], &["--wait", "1"]].concat();
    let (well, text) = terrace_purge(&short).await;
    assert!(!well, "{text}");
    assert!(text.contains("not visible everywhere yet: edge"), "{text}");
    origin.set("/api/plans", Content::new("newest", &CACHED));
    edge.hit("/api/plans").await;
    let _third = Shop::start(options).await;
    wait_until("the purge is sent by the next service", async || {
        (edge.get("/api/plans").await.text() == "newest").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_command_waits_until_the_edge_judges_by_a_purge() {
    let origin = TestOrigin::start().await;
    origin.set("/api/plans", Content::new("old", &CACHED));
    let edge = Edge::start(&origin.url).await;
    edge.hit("/api/plans").await;
    origin.set("/api/plans", Content::new("new", &CACHED));
    let at_edge = ["--edge", edge.client.base(), "--surrogate-key", "plans"];
    let waiting = [&at_edge[..], &["--wait", "30"]].concat();
    let (well, text) = terrace_purge(&waiting).await;
    assert!(well, "{text}");
    assert!(text.starts_with("purged one scope hard, at "), "{text}");
    assert!(text.contains("edge: taken, every reader within"), "{text}");
    assert_eq!(edge.get("/api/plans").await.text(), "new");
}

//! The tour: a request travels browser → edge → service → memory → Redis → database, the second one hits, and one
//! purge reaches every copy.

use e2e::{Edge, RedisServer, Shop, ShopOptions, wait_until};
use serde_json::json;

const PRODUCT: &str = "/api/products/42";

#[tokio::test]
async fn one_purge_reaches_the_edge_another_process_and_redis() {
    let redis = RedisServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("shop.sqlite");
    let url = redis.url();
    let options = ShopOptions {
        database: Some(&database),
        redis: Some(&url),
        ..ShopOptions::default()
    };
    // The edge must know where its origin will be, and the origin where the edge is: the origin's port is found first.
    let listen = free_address().await;
    let edge = Edge::start(&format!("http://{listen}")).await;
    let first = Shop::start(ShopOptions {
        listen: Some(&listen),
        edge: Some(edge.client.base()),
        ..options
    })
    .await;
    let second = Shop::start(options).await;

    let miss = edge.get(PRODUCT).await;
    assert_eq!(miss.status, 200, "{}", miss.text());
    assert!(!miss.is_hit(), "{}", miss.cache_status());
    assert!(
        miss.cache_status().contains("stored"),
        "{}",
        miss.cache_status()
    );
    let hit = edge.hit(PRODUCT).await;
    assert_eq!(hit.body, miss.body);
    assert_eq!(
        hit.field("surrogate-key"),
        "",
        "clients need not know the surrogate keys"
    );

    // The second process takes the value from Redis, where it is written behind the answer, then from its own memory.
    let old = miss.json()["price_cents"].as_u64().unwrap();
    redis_holds(&redis, old).await;
    assert_eq!(second.price(42).await, old);
    assert_eq!(second.price(42).await, old);
    let stats = second.stats("product").await;
    assert_eq!(stats["redis_hits_total"], 1, "{stats}");
    assert_eq!(stats["memory_hits_total"], 1, "{stats}");
    assert_eq!(stats["fills_total"], 0, "{stats}");

    let new = old + 111;
    let changed = first
        .client
        .post("/api/products/42/price", &[], &json!({ "cents": new }))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let receipt = &changed.json()["receipt"];
    let tiers: Vec<_> = receipt["tiers"].as_array().unwrap().iter().collect();
    for tier in ["memory", "redis", "edge"] {
        let state = tiers.iter().find(|entry| entry["tier"] == tier);
        assert_eq!(state.unwrap()["state"], "done", "{receipt}");
    }
    assert!(receipt["visible_by_ms"].is_u64(), "{receipt}");

    let after = edge.get(PRODUCT).await;
    assert!(!after.is_hit(), "{}", after.cache_status());
    assert_eq!(after.json()["price_cents"], new);
    assert_eq!(edge.hit(PRODUCT).await.body, after.body);
    // The second process hears of it by push, well within its bound.
    wait_until("the second process shows the new price", async || {
        (second.price(42).await == new).then_some(())
    })
    .await;
    // A third one, with nothing in memory, finds only the new value in Redis.
    redis_holds(&redis, new).await;
    let third = Shop::start(options).await;
    assert_eq!(third.price(42).await, new);
    assert_eq!(third.stats("product").await["redis_hits_total"], 1);

    for shop in [first, second, third] {
        shop.stop().await;
    }
    edge.stop().await;
}

async fn redis_holds(redis: &RedisServer, price: u64) {
    wait_until(&format!("Redis holds the price {price}"), async || {
        let entry = redis.command("GET product:v1:42").await?;
        entry
            .contains(&format!("\"price_cents\":{price}"))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_page_of_the_shop_is_cached_in_memory_and_at_the_edge() {
    let shop = Shop::start(ShopOptions::default()).await;
    let edge = Edge::start(shop.client.base()).await;
    for (namespace, path, same) in [
        (
            "product",
            "/api/products/1",
            "/api/products/1?utm_source=mail",
        ),
        ("category", "/api/categories/7", "/api/categories/7?"),
        (
            "category",
            "/api/categories/7?page=2",
            "/api/categories/7?page=2&utm_x=1",
        ),
        ("plan_catalog", "/api/plans/3", "/api/plans/3"),
        (
            "plan_search",
            "/api/plans?region=TX&kwh=500",
            "/api/plans?kwh=500&region=TX",
        ),
        ("stats", "/api/reports/sales", "/api/reports/sales"),
    ] {
        let direct = shop.client.get(path).await;
        assert_eq!(direct.status, 200, "{path}: {}", direct.text());
        let hits = async || {
            let stats = shop.stats(namespace).await;
            stats["memory_hits_total"].as_u64().unwrap()
        };
        let before = hits().await;
        let first = edge.get(path).await;
        assert_eq!(first.body, direct.body, "{path}");
        assert!(
            first.cache_status().contains("stored"),
            "{path}: {}",
            first.cache_status()
        );
        assert_eq!(hits().await, before + 1, "{path}");
        assert_eq!(edge.hit(same).await.body, direct.body, "{same}");
    }
    let missing = edge.get("/api/products/999999").await;
    assert_eq!(missing.status, 404);
    shop.stop().await;
}

async fn free_address() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

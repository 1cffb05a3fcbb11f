//! Whoever saves sees the save, everywhere, at once: the token of a receipt, at the edge and through it (R10).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use e2e::{Answer, Content, Edge, Shield, TOKEN_SECRET, TestOrigin, wait_until};
use http::Method;
use serde_json::json;
use terrace_origin::{
    Cache, Edge as EdgeOf, Namespace, Policy, Purge, SessionCookie, TokenSecrets, key,
};
use terrace_shared::policy::KeySpace;
use terrace_shared::purge::token::ReadToken;
use terrace_shared::purge::wire::EPOCH_FIELD;
use terrace_shared::time::DeltaSeconds;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

const PATH: &str = "/api/plans";
const FRESH: &str = "max-age=600, stale-while-revalidate=600, stale-if-error=600";

/// A service with a cache of its own, whose pages say when they were produced.
struct Service {
    cache: Cache,
    plans: Namespace<String>,
    database: Mutex<String>,
    /// The second instance, which has not heard of anything: it answers what it knew when it started.
    lagging: Option<(String, String)>,
}

impl Service {
    /// Starts one that tells `edge` of its purges, if there is one.
    async fn start(edge: Option<(&str, &str)>) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = Self::new(edge, None).await;
        serve(listener, service.clone());
        (service, url)
    }

    async fn new(edge: Option<(&str, &str)>, lagging: Option<(String, String)>) -> Arc<Self> {
        let mut space = KeySpace::new("plans", "plans:{id}").unwrap();
        space.lifetimes.memory = Some(DeltaSeconds::minutes(10));
        let mut builder = Cache::builder(Policy::default().with_key_space(space))
            .token_secrets(TokenSecrets::parse(TOKEN_SECRET).unwrap());
        if let Some((url, token)) = edge {
            builder = builder.edge(EdgeOf::new(url, token));
        }
        let cache = builder.build().await.unwrap();
        Arc::new(Self {
            plans: cache.namespace("plans").unwrap(),
            cache,
            database: Mutex::new("old".to_owned()),
            lagging,
        })
    }
}

fn serve(listener: TcpListener, service: Arc<Service>) {
    let router = Router::new()
        .route(PATH, get(read))
        .route("/save", post(save))
        .with_state(service);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
}

async fn read(State(service): State<Arc<Service>>, fields: HeaderMap) -> Response {
    if let Some((text, epoch)) = &service.lagging {
        return page(text.clone(), Some(epoch.clone()));
    }
    let after = service.cache.after(&fields);
    let epoch = service.cache.catch_up(&after).await;
    let plans = service.plans.after(&after);
    let text = plans
        .get_or_fill(&key!(id: 1), async |fill| {
            fill.surrogate_key("plans");
            Ok::<_, std::io::Error>(service.database.lock().await.clone())
        })
        .await
        .unwrap();
    page(text.to_string(), epoch.map(|epoch| epoch.to_string()))
}

fn page(text: String, epoch: Option<String>) -> Response {
    let mut response = text.into_response();
    let fields = [
        ("cache-control", Some(FRESH.to_owned())),
        ("surrogate-key", Some("plans".to_owned())),
        (EPOCH_FIELD, epoch),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            let name = HeaderName::from_static(name);
            let value = HeaderValue::try_from(value).unwrap();
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn save(State(service): State<Arc<Service>>, text: String) -> Response {
    *service.database.lock().await = text;
    let receipt = service
        .cache
        .purge(Purge::surrogate_key("plans"))
        .await
        .unwrap();
    let body = serde_json::to_string(&receipt).unwrap();
    (SessionCookie::of(&receipt), body).into_response()
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.field("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

async fn get_with(edge: &Edge, name: &str, value: &str) -> Answer {
    edge.client
        .send(Method::GET, PATH, &[(name, value)], "")
        .await
}

#[tokio::test]
async fn a_person_who_saves_sees_the_save_at_every_data_centre_although_no_edge_has_been_told() {
    // Nobody tells these edges of purges: as if the outbox stood still.
    let (service, url) = Service::start(None).await;
    let (near, far) = (
        Edge::start_signing(&url).await,
        Edge::start_signing(&url).await,
    );
    for edge in [&near, &far] {
        assert_eq!(edge.hit(PATH).await.text(), "old");
    }
    let saved = near.client.send(Method::POST, "/save", &[], "new").await;
    assert_eq!(saved.status, 200, "{}", saved.text());
    let cookie = cookie_of(&saved);
    for edge in [&near, &far] {
        assert_eq!(
            edge.get(PATH).await.text(),
            "old",
            "others have to wait for the bound"
        );
        let seen = get_with(edge, "cookie", &cookie).await;
        assert_eq!(seen.text(), "new", "{}", seen.cache_status());
        // What was fetched for this reader is new enough for the next, and as cacheable as ever.
        wait_until("the new page is stored", async || {
            Some(get_with(edge, "cookie", &cookie).await).filter(Answer::is_hit)
        })
        .await;
        assert_eq!(edge.get(PATH).await.text(), "new");
    }
    assert_eq!(service.cache.stats().cache.tokens_ignored_total, 0);
}

#[tokio::test]
async fn a_receipt_of_the_edge_is_read_at_once_by_an_isolate_that_has_not_heard_of_it() {
    let origin = TestOrigin::start().await;
    let fields = [("cache-control", FRESH), ("surrogate-key", "plans")];
    origin.set(PATH, Content::new("old", &fields));
    let edge = Edge::start_signing(&origin.url).await;
    assert_eq!(edge.hit(PATH).await.text(), "old");
    origin.set(PATH, Content::new("new", &fields));
    for mode in ["soft", "hard"] {
        let receipt = edge
            .purge(&json!({ "surrogate_keys": ["plans"], "mode": mode }))
            .await;
        let token = receipt.json()["token"].as_str().unwrap().to_owned();
        let seen = get_with(&edge, "terrace-after", &token).await;
        assert_eq!(seen.text(), "new", "{mode}: {}", seen.cache_status());
    }
    // A token beyond the ledger's head: the origin answers, and says that it was asked for that.
    let of = edge.get("/.terrace/status").await.json()["ledger_epoch"].clone();
    let (incarnation, _) = of.as_str().unwrap().split_once('-').unwrap();
    let token = ReadToken {
        origin: None,
        edge: Some(format!("{incarnation}-999").parse().unwrap()),
    };
    let future = token.sign(&TokenSecrets::parse(TOKEN_SECRET).unwrap());
    edge.hit(PATH).await;
    let asked = origin.requests(PATH).len();
    for more in 1..=2 {
        let seen = get_with(&edge, "terrace-after", &future).await;
        assert!(
            seen.cache_status().contains("after-unreached"),
            "{}",
            seen.cache_status()
        );
        assert_eq!(origin.requests(PATH).len(), asked + more);
    }
    // An origin that is down: an error, and nothing older.
    origin.stop().await;
    let down = get_with(&edge, "terrace-after", &future).await;
    assert_eq!(down.status, 502, "{}", down.cache_status());
    assert!(edge.get(PATH).await.is_hit());
}

#[tokio::test]
async fn forged_tokens_change_nothing_and_cost_nothing() {
    let origin = TestOrigin::start().await;
    let fields = [("cache-control", FRESH), ("surrogate-key", "plans")];
    origin.set(PATH, Content::new("old", &fields));
    let edge = Edge::start_signing(&origin.url).await;
    edge.hit(PATH).await;
    let asked = origin.requests(PATH).len();
    let token = ReadToken {
        origin: Some("00000000000000aa-1".parse().unwrap()),
        edge: Some("00000000000000bb-1".parse().unwrap()),
    };
    let forged = token.sign(&TokenSecrets::parse("a secret of somebody else's").unwrap());
    let long = "1".repeat(4_000);
    for (name, value) in [
        ("terrace-after", &*forged),
        ("terrace-after", "nonsense"),
        ("terrace-after", &long),
        ("cookie", &format!("terrace-after={forged}")),
    ] {
        let answer = get_with(&edge, name, value).await;
        assert!(answer.is_hit(), "{}", answer.cache_status());
        assert!(
            answer.cache_status().contains("after-ignored"),
            "{}",
            answer.cache_status()
        );
    }
    assert_eq!(origin.requests(PATH).len(), asked);
    let counters = edge.get("/.terrace/status").await.json()["counters"].clone();
    assert_eq!(counters["tokens_ignored"], 4, "{counters}");

    // Without a secret, receipts have no token, and whatever is presented is ignored.
    let plain = Edge::start(&origin.url).await;
    plain.hit(PATH).await;
    let receipt = plain.purge(&json!({ "keys": ["other"] })).await;
    assert_eq!(receipt.json()["token"], json!(null));
    let answer = get_with(&plain, "terrace-after", &forged).await;
    assert!(
        answer.cache_status().contains("after-ignored"),
        "{}",
        answer.cache_status()
    );
    assert!(answer.is_hit());
}

#[tokio::test]
async fn a_fill_from_before_the_save_is_not_waited_for() {
    let origin = TestOrigin::start().await;
    let at = |epoch: &str, body: &str| {
        let fields = [
            ("cache-control", FRESH),
            ("surrogate-key", "plans"),
            (EPOCH_FIELD, epoch),
        ];
        Content::new(body, &fields)
    };
    origin.set(PATH, at("00000000000000aa-4", "old"));
    let edge = Edge::start_signing(&origin.url).await;
    let hold = origin.hold(PATH);
    let client = edge.client.clone();
    let filling = tokio::spawn(async move { client.get(PATH).await });
    hold.arrived().await;
    origin.stop_holding(PATH);
    origin.set(PATH, at("00000000000000aa-5", "new"));
    let token = ReadToken {
        origin: Some("00000000000000aa-5".parse().unwrap()),
        edge: None,
    };
    let token = token.sign(&TokenSecrets::parse(TOKEN_SECRET).unwrap());
    let seen = get_with(&edge, "terrace-after", &token).await;
    assert_eq!(seen.text(), "new", "{}", seen.cache_status());
    assert_eq!(origin.requests(PATH).len(), 2);
    assert_eq!(origin.requests(PATH)[1]["terrace-after"], token);
    hold.release();
    assert_eq!(filling.await.unwrap().text(), "old");
    // Whatever is stored now: for this reader it is the new one.
    let seen = get_with(&edge, "terrace-after", &token).await;
    assert_eq!(seen.text(), "new", "{}", seen.cache_status());
}

#[tokio::test]
async fn an_instance_that_lags_cannot_poison_the_edge_of_which_the_purge_was_told() {
    let (service, url) = Service::start(None).await;
    let edge = Edge::start_signing(&url).await;
    assert_eq!(edge.hit(PATH).await.text(), "old");
    let before = service.cache.epoch().unwrap();
    // The service purges, and the edge is told as the outbox tells it: with the origin's epoch.
    let receipt = service
        .cache
        .purge(Purge::surrogate_key("plans"))
        .await
        .unwrap();
    let told = json!({ "surrogate_keys": ["plans"], "origin_epoch": receipt.epoch });
    assert_eq!(edge.purge(&told).await.status, 200);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lagging_url = format!("http://{}", listener.local_addr().unwrap());
    let lagging = Service::new(None, Some(("old".to_owned(), before.to_string()))).await;
    serve(listener, lagging);
    let stale = Edge::start_signing(&lagging_url).await;
    assert_eq!(stale.purge(&told).await.status, 200);
    for _ in 0..3 {
        let answer = stale.get(PATH).await;
        assert!(!answer.is_hit(), "{}", answer.cache_status());
    }
    assert_eq!(
        edge.hit(PATH).await.text(),
        "old",
        "produced after the purge, and kept"
    );
}

#[tokio::test]
async fn a_shield_with_the_secret_signs_and_heeds_tokens() {
    let origin = TestOrigin::start().await;
    let fields = [("cache-control", FRESH), ("surrogate-key", "plans")];
    origin.set(PATH, Content::new("old", &fields));
    let shield = Shield::start_with(&origin.url, &["--token-secret", TOKEN_SECRET]).await;
    assert_eq!(shield.hit(PATH).await.text(), "old");
    origin.set(PATH, Content::new("new", &fields));
    let receipt = shield
        .purge(&json!({ "surrogate_keys": ["plans"], "mode": "soft" }))
        .await;
    let token = receipt.json()["token"].as_str().unwrap().to_owned();
    let cookie = format!("terrace-after={token}");
    let seen = shield
        .client
        .send(Method::GET, PATH, &[("cookie", &cookie)], "")
        .await;
    assert_eq!(seen.text(), "new", "{}", seen.cache_status());

    let refused = Shield::fail_to_start(&origin.url, &["--token-secret", "short"]).await;
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert!(error.contains("5 bytes long, from 16 to 256"), "{error}");
}

//! Purges on their way to an edge that speaks HTTP: a listener that answers what it is told to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use terrace_origin::{Cache, Edge, EdgeStats, Policy, Purge};
use terrace_shared::purge::wire::{
    PURGE_PATH, PurgeRequest, PurgeState, PurgedTier, Receipt, TierReceipt,
};
use terrace_shared::purge::{Epoch, Incarnation, PurgeMode, Sequence};
use terrace_shared::time::{Milliseconds, TimestampMillis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

/// An edge that answers each call with the next of its answers, and then with the last for ever.
struct FakeEdge {
    url: String,
    told: Mutex<mpsc::UnboundedReceiver<Call>>,
}

/// One call as it came.
struct Call {
    head: String,
    request: PurgeRequest,
}

impl FakeEdge {
    async fn answering(answers: &[&str]) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (calls, told) = mpsc::unbounded_channel();
        let mut answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
        answers.reverse();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(call) = read_call(&mut stream).await else {
                    continue;
                };
                let answer = match answers.len() {
                    0 | 1 => answers.first().cloned().unwrap_or_default(),
                    _ => answers.pop().unwrap_or_default(),
                };
                let _ = calls.send(call);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Arc::new(Self {
            url,
            told: Mutex::new(told),
        })
    }

    async fn next_call(&self) -> Call {
        let mut told = self.told.lock().await;
        let call = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
        call.expect("a call within ten seconds")
            .expect("the edge runs")
    }
}

async fn read_call(stream: &mut TcpStream) -> Option<Call> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4_096];
        let read = stream
            .read(&mut chunk)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        bytes.extend_from_slice(chunk.get(..read)?);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let (_, length) = head.split_once("content-length: ")?;
        let length: usize = length.lines().next()?.parse().ok()?;
        if body.len() < length {
            continue;
        }
        let head = String::from_utf8_lossy(bytes.get(..head.len())?).into_owned();
        let body = bytes.get(head.len() + 4..)?;
        let request = PurgeRequest::from_json(body).expect("a purge request");
        return Some(Call { head, request });
    }
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn taken() -> String {
    let receipt = Receipt {
        epoch: Epoch {
            incarnation: Incarnation::from_random(7),
            sequence: Sequence::new(12),
        },
        mode: PurgeMode::Soft,
        scopes: 1,
        purged_at_ms: TimestampMillis::default(),
        visible_by_ms: None,
        tiers: vec![TierReceipt {
            tier: PurgedTier::Edge,
            name: None,
            state: PurgeState::Done,
            bound_ms: Milliseconds::new(3_000),
            epoch: None,
            detail: None,
        }],
        again_at_ms: None,
        token: None,
    };
    answer("200 OK", &serde_json::to_string(&receipt).expect("JSON"))
}

async fn cache(edge: &FakeEdge) -> Cache {
    let edge = Edge::new(&edge.url, "s3cret");
    Cache::builder(Policy::default())
        .edge(edge)
        .build()
        .await
        .expect("built")
}

/// What is counted of the one edge there is.
fn stats(cache: &Cache) -> EdgeStats {
    let edges = cache.stats().edges;
    edges.into_values().next().expect("there is one")
}

#[tokio::test]
async fn the_edge_is_told_with_token_and_origin_epoch_and_the_receipt_has_its_bound() {
    let edge = FakeEdge::answering(&[&taken()]).await;
    let cache = cache(&edge).await;
    let receipt = cache
        .purge(Purge::surrogate_key("region:TX").soft())
        .await
        .expect("taken");
    let call = edge.next_call().await;
    assert!(
        call.head
            .starts_with(&format!("POST {PURGE_PATH} HTTP/1.1\r\n")),
        "{}",
        call.head
    );
    assert!(
        call.head.contains("authorization: Bearer s3cret"),
        "{}",
        call.head
    );
    assert_eq!(call.request.mode, PurgeMode::Soft);
    assert_eq!(call.request.surrogate_keys, ["region:TX"]);
    assert_eq!(call.request.origin_epoch, Some(receipt.epoch));
    assert_eq!(cache.epoch(), Some(receipt.epoch));
    let told: Vec<_> = receipt
        .tiers
        .iter()
        .map(|tier| (tier.tier, tier.state, tier.bound_ms.as_u64()))
        .collect();
    assert_eq!(
        told,
        [
            (PurgedTier::Memory, PurgeState::Done, 0),
            (PurgedTier::Edge, PurgeState::Done, 3_000)
        ]
    );
    assert!(
        receipt.visible_by_ms
            >= Some(TimestampMillis::from_unix_millis(
                receipt.purged_at_ms.as_unix_millis() + 3_000
            ))
    );
}

#[tokio::test]
async fn an_edge_that_refuses_is_told_again_until_it_takes_the_purge() {
    let denied = answer("401 Unauthorized", "no such token");
    let edge = FakeEdge::answering(&[&denied, "", &taken()]).await;
    let cache = cache(&edge).await;
    let receipt = cache.purge(Purge::key("plan:1")).await.expect("taken");
    let tier = receipt.tiers.last().expect("the edge");
    assert_eq!(
        (tier.tier, tier.state),
        (PurgedTier::Edge, PurgeState::Pending)
    );
    assert_eq!(
        tier.detail.as_deref(),
        Some(
            "the edge answered 401 Unauthorized: no such token; it waits in this process, and is lost if that ends"
        )
    );
    assert_eq!(receipt.visible_by_ms, None);
    let first = edge.next_call().await;
    for _ in 0..2 {
        assert_eq!(edge.next_call().await.request, first.request);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while stats(&cache).counted.delivered_total == 0 {
        assert!(Instant::now() < deadline, "the edge takes it");
        tokio::task::yield_now().await;
    }
    assert_eq!(stats(&cache).counted.failed_attempts_total, 2);
}

#[tokio::test]
async fn an_edge_that_is_not_there_leaves_the_purge_pending_at_once() {
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        format!("http://{}", listener.local_addr().expect("bound"))
    };
    let edge = Edge::new(url, "t");
    let cache = Cache::builder(Policy::default())
        .edge(edge)
        .build()
        .await
        .expect("built");
    for _ in 0..3 {
        let asked = Instant::now();
        let receipt = cache.purge(Purge::everything()).await.expect("taken");
        let tier = receipt.tiers.last().expect("the edge");
        assert_eq!(tier.state, PurgeState::Pending);
        assert!(
            tier.detail
                .as_deref()
                .is_some_and(|detail| detail.contains("cannot be reached")),
            "{tier:?}"
        );
        assert!(asked.elapsed() < Duration::from_millis(900));
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while stats(&cache).waiting < Some(3) {
        assert!(Instant::now() < deadline, "all three wait");
        tokio::task::yield_now().await;
    }
    let failing = stats(&cache).failing.expect("it is not there");
    assert!(failing.contains("cannot be reached"), "{failing}");
}

#[tokio::test]
async fn an_edge_without_a_usable_address_is_refused_when_the_cache_is_built() {
    let built = Cache::builder(Policy::default())
        .edge(Edge::new("edge.example", "t"))
        .build()
        .await;
    let error = built.expect_err("no scheme").to_string();
    assert!(error.contains("edge.example"), "{error}");
    let twins = Cache::builder(Policy::default())
        .edge(Edge::named("eu", "http://127.0.0.1:1", "t"))
        .edge(Edge::named("eu", "http://127.0.0.1:2", "t"))
        .build()
        .await;
    let error = twins.expect_err("one name").to_string();
    assert!(error.contains("two edges are called \"eu\""), "{error}");
}

#[tokio::test]
async fn a_purge_waits_for_its_edges_as_long_as_it_is_told_to() {
    let down = answer("503 Service Unavailable", "soon");
    let edge = FakeEdge::answering(&[&down, &down, &taken()]).await;
    let cache = cache(&edge).await;
    let receipt = cache.purge_wait(Purge::key("plan:1"), Duration::from_secs(10));
    let receipt = receipt.await.expect("taken");
    assert!(receipt.visible_by_ms.is_some(), "{receipt:?}");
    let edges = cache.edges().await.expect("in memory");
    assert!(
        edges.iter().all(|edge| edge.has_taken(receipt.epoch)),
        "{edges:?}"
    );
}

#[tokio::test]
async fn the_same_is_purged_again_later_and_the_edge_is_told_twice() {
    let edge = FakeEdge::answering(&[&taken()]).await;
    let cache = cache(&edge).await;
    let purge = Purge::key("plan:1").again_after(Duration::from_millis(50));
    let receipt = cache.purge(purge).await.expect("taken");
    assert_eq!(
        receipt.again_at_ms.map(TimestampMillis::as_unix_millis),
        Some(receipt.purged_at_ms.as_unix_millis() + 50)
    );
    let detail = receipt.tiers[0].detail.as_deref();
    assert!(
        detail.is_some_and(|detail| detail.contains("lost if that ends")),
        "{detail:?}"
    );
    let (first, second) = (edge.next_call().await, edge.next_call().await);
    assert_eq!(
        (first.request.after_ms, second.request.after_ms),
        (None, None)
    );
    assert_eq!(first.request.keys, second.request.keys);
    let places = [first, second].map(|call| call.request.origin_epoch.expect("a place"));
    assert_eq!(places.map(|epoch| epoch.sequence.as_u64()), [1, 2]);

    let too_late = Purge::everything().again_after(Duration::from_secs(86_401));
    let error = cache.purge(too_late).await.expect_err("more than a day");
    let cause = std::error::Error::source(&error).expect("why").to_string();
    assert!(cause.contains("after_ms is 86401000 ms"), "{cause}");
    assert_eq!(cache.epoch().map(|epoch| epoch.sequence.as_u64()), Some(2));
}

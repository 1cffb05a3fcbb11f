//! The ledger over a real Redis: purges taken, beside a script that does nothing; what a process that comes late waits
//! for; and how soon another process has a purge. `make bench` reports them.

#[path = "../tests/appender/mod.rs"]
mod appender;
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use appender::{LEDGER, Limits, append, connect, exactly};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{RedisServer, wait_until};
use terrace_origin::{Cache, Epoch, Policy, Purge, Redis};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const RECORDS: u32 = 100_000;
const TAGS: usize = 256;
const AT_ONCE: usize = 16;

async fn cache(server: &RedisServer) -> Cache {
    let redis = Redis::connect(server.url()).await.expect("Redis answers");
    let built = Cache::builder(Policy::default()).redis(redis).build().await;
    built.expect("built")
}

/// Some of the many tags that a shop purges.
fn tags(number: usize) -> impl Iterator<Item = String> {
    (0..TAGS).map(move |tag| format!("product:{}", (number * TAGS + tag) % 50_000))
}

/// Purges from one process, with the record, the chain, the channel and its own replica; and the raw call.
fn accepted(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(RedisServer::start());
    let cache = runtime.block_on(cache(&server));
    let raw = runtime.block_on(connect(&server.url()));
    let nothing = redis::Script::new("return redis.call('INCR', KEYS[1])");
    let load = async { nothing.prepare_invoke().load_async(&mut raw.clone()).await };
    let hash = runtime.block_on(load).expect("loaded");
    let batch: Vec<u8> = tags(0)
        .collect::<Vec<_>>()
        .join("surrogate-key")
        .into_bytes();

    let mut group = criterion.benchmark_group("purges taken");
    group.throughput(Throughput::Elements((AT_ONCE * TAGS) as u64));
    group.bench_function("terrace, 16 batches of 256 tags", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut purges = JoinSet::new();
                for number in 0..AT_ONCE {
                    let cache = cache.clone();
                    let purge = Purge::surrogate_keys(tags(number));
                    purges.spawn(async move { cache.purge(purge).await.expect("taken") });
                }
                purges.join_all().await
            })
        });
    });
    group.bench_function("raw EVALSHA, 16 of as many bytes", |bencher| {
        bencher.iter(|| runtime.block_on(raw_calls(&raw, &hash, AT_ONCE, &batch)));
    });
    group.throughput(Throughput::Elements(64));
    group.bench_function("terrace, 64 of one tag", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut purges = JoinSet::new();
                for number in 0..64 {
                    let cache = cache.clone();
                    let purge = Purge::surrogate_key(format!("product:{number}"));
                    purges.spawn(async move { cache.purge(purge).await.expect("taken") });
                }
                purges.join_all().await
            })
        });
    });
    group.bench_function("raw EVALSHA, 64 short ones", |bencher| {
        bencher.iter(|| runtime.block_on(raw_calls(&raw, &hash, 64, b"surrogate-key:product:42")));
    });
    group.finish();
}

async fn raw_calls(
    connection: &redis::aio::MultiplexedConnection,
    hash: &str,
    count: usize,
    bytes: &[u8],
) -> Vec<u64> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let mut connection = connection.clone();
        let mut call = redis::cmd("EVALSHA");
        call.arg(hash).arg(1).arg("raw").arg(bytes);
        calls.spawn(async move { call.query_async(&mut connection).await.expect("done") });
    }
    calls.join_all().await
}

/// A process that starts: all records one by one, or the snapshot that somebody wrote.
fn catch_up(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(RedisServer::start());
    let head = runtime.block_on(async {
        let mut redis = connect(&server.url()).await;
        let purges = (0..RECORDS).map(|number| exactly(&format!("plan:v1:{number}")));
        let head = append(&mut redis, purges, Limits::USUAL).await;
        copy(&server, LEDGER, "records").await;
        let _writer = cache(&server).await;
        wait_until("it has written a snapshot", async || {
            let at: Option<u64> = server.call(&["HGET", LEDGER, "p"]).await;
            at == Some(head.sequence.as_u64())
        })
        .await;
        copy(&server, LEDGER, "snapshot").await;
        head
    });
    let mut group = criterion.benchmark_group("catch-up");
    group.sample_size(10);
    for (name, kept) in [
        ("100,000 records", "records"),
        ("a snapshot of 100,000", "snapshot"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                (0..times)
                    .map(|_| runtime.block_on(one_start(&server, kept, head)))
                    .sum()
            });
        });
    }
    group.finish();
}

/// How long a cache takes until it is built and stands at `head`.
async fn one_start(server: &RedisServer, kept: &str, head: Epoch) -> Duration {
    copy(server, kept, LEDGER).await;
    let redis = Redis::connect(server.url()).await.expect("Redis answers");
    let began = Instant::now();
    let built = Cache::builder(Policy::default()).redis(redis).build().await;
    let cache = built.expect("built");
    while cache.epoch() != Some(head) {
        tokio::task::yield_now().await;
    }
    began.elapsed()
}

async fn copy(server: &RedisServer, from: &str, to: &str) {
    let copied: Option<u64> = server.call(&["COPY", from, to, "REPLACE"]).await;
    assert_eq!(copied, Some(1));
}

/// From the call of one process to the view of another one, a thousand times.
fn seen(_: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut waits = runtime.block_on(async {
        let server = RedisServer::start().await;
        let (one, two) = (cache(&server).await, cache(&server).await);
        let mut waits = Vec::new();
        for number in 0..1_000 {
            let began = Instant::now();
            let purge = one.purge(Purge::key(format!("plan:{number}"))).await;
            let epoch = purge.expect("taken").epoch;
            while two.epoch() != Some(epoch) {
                tokio::task::yield_now().await;
            }
            waits.push(began.elapsed());
        }
        waits
    });
    waits.sort_unstable();
    let millis =
        |per_mille: usize| waits[per_mille * (waits.len() - 1) / 1_000].as_secs_f64() * 1e3;
    let (half, most, all) = (millis(500), millis(990), millis(1_000));
    println!("purge to another view: p50 {half:.2} ms, p99 {most:.2} ms, longest {all:.2} ms");
    let report = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion/purge_seen.json");
    let json = serde_json::json!({ "p50_ms": half, "p99_ms": most, "longest_ms": all });
    let folder = report.parent().expect("it has one");
    fs::create_dir_all(folder).expect("writable");
    fs::write(&report, json.to_string()).expect("writable");
}

criterion_group! {
    name = ledger;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = accepted, catch_up, seen
}
criterion_main!(ledger);

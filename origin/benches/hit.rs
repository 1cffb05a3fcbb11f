//! What a hit costs, beside the stores it stands on: moka for memory, redis-rs for Redis. `make bench` reports the ratios.

#[path = "../tests/support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::RedisServer;
use terrace_origin::{Cache, KeyParts, Namespace, Policy, Purge, Redis, Source, key};
use terrace_shared::policy::KeySpace;
use terrace_shared::time::DeltaSeconds;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// As many as a processor's own caches hold: beyond, the figures are the memory's.
const KEYS: u32 = 500;

fn policy(memory: Option<DeltaSeconds>, redis: Option<DeltaSeconds>) -> Policy {
    let mut space = KeySpace::new("plan", "plan:v{version}:{id}").expect("a template");
    space.lifetimes.memory = memory;
    space.lifetimes.redis = redis;
    Policy::default().with_key_space(space)
}

async fn fill(plans: &Namespace<String>, key: &KeyParts) -> Arc<String> {
    let fill = async |_| Ok::<_, Infallible>("v".repeat(1_024));
    plans
        .get_or_fill(key, fill)
        .await
        .expect("the source answers")
}

/// A hit waits for nothing: one poll where it stands, no runtime in the figure.
fn hit(plans: &Namespace<String>, key: &KeyParts) -> Arc<String> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(fill(plans, key)).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("no hit"),
    }
}

/// How long the slower of two threads takes that read so often at once, each in an order of its own.
fn on_two_threads<R>(times: u64, read: impl Fn(usize) -> R + Sync) -> Duration {
    let run = |first: u32, step: u32| {
        let start = Instant::now();
        let mut turn = first;
        for _ in 0..times {
            turn = (turn + step) % KEYS;
            black_box(read(black_box(turn as usize)));
        }
        start.elapsed()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(KEYS / 2, 283));
        run(0, 211).max(other.join().expect("it does not panic"))
    })
}

/// Memory: a typed hit with its key made and its verdict asked, beside moka's own `get` of an `Arc`.
fn memory(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let lifetime = Some(DeltaSeconds::hours(1));
    let built = runtime.block_on(Cache::builder(policy(lifetime, None)).build());
    let cache = built.expect("built");
    let plans = cache
        .namespace::<String>("plan")
        .expect("the policy has it");
    let plain: moka::sync::Cache<String, Arc<String>> = moka::sync::Cache::new(1 << 20);
    let with_lifetime: moka::sync::Cache<String, Arc<String>> = moka::sync::Cache::builder()
        .max_capacity(1 << 20)
        .time_to_live(Duration::from_hours(1))
        .build();
    runtime.block_on(async {
        for id in 0..KEYS {
            let key = key!(id: id);
            let value = fill(&plans, &key).await;
            let name = plans.key(&key).expect("it fits");
            plain.insert(name.clone(), value.clone());
            with_lifetime.insert(name, value);
            let other = Purge::key(format!("other:{id}"));
            cache.purge(other).await.expect("taken"); // so that there are marks to be asked
        }
        for id in 0..KEYS {
            fill(&plans, &key!(id: id)).await; // so that each is judged once
        }
    });
    let keys: Vec<KeyParts> = (0..KEYS).map(|id| key!(id: id)).collect();
    let names: Vec<String> = keys
        .iter()
        .map(|key| plans.key(key).expect("it fits"))
        .collect();
    let mut group = criterion.benchmark_group("memory hit");
    let mut turn = 0_usize;
    let mut next = || {
        turn = (turn + 211) % keys.len();
        turn
    };
    group.bench_function("terrace, typed", |bencher| {
        bencher.iter(|| hit(&plans, black_box(&keys[next()])));
    });
    group.bench_function("terrace, typed, on each of 2 threads", |bencher| {
        bencher.iter_custom(|times| on_two_threads(times, |at| hit(&plans, &keys[at])));
    });
    group.bench_function("moka, its own lifetime, on each of 2 threads", |bencher| {
        bencher.iter_custom(|times| on_two_threads(times, |at| with_lifetime.get(&names[at])));
    });
    group.bench_function("key from its parts", |bencher| {
        bencher.iter(|| plans.key(black_box(&keys[next()])));
    });
    group.bench_function("moka, no lifetime", |bencher| {
        bencher.iter(|| plain.get(black_box(&names[next()])));
    });
    group.bench_function("moka, its own lifetime", |bencher| {
        bencher.iter(|| with_lifetime.get(black_box(&names[next()])));
    });
    group.finish();
}

/// How long so many reads take of which 64 are always under way, each of another key.
fn in_flight<F>(
    runtime: &Runtime,
    times: u64,
    read: impl Fn(u32) -> F + Clone + Send + 'static,
) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime.block_on(async {
        let start = Instant::now();
        let mut readers = JoinSet::new();
        for id in 0..64 {
            let read = read.clone();
            readers.spawn(async move {
                for _ in 0..times.div_ceil(64) {
                    read(id).await;
                }
            });
        }
        readers.join_all().await;
        start.elapsed()
    })
}

/// Redis: a typed hit of 1 KiB without memory, beside redis-rs' own `GET`, alone and 64 at a time.
fn redis_tier(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(RedisServer::start());
    let (plans, connection) = runtime.block_on(async {
        let redis = Redis::connect(server.url()).await.expect("Redis answers");
        let policy = policy(None, Some(DeltaSeconds::hours(1)));
        let cache = Cache::builder(policy)
            .redis(redis)
            .build()
            .await
            .expect("built");
        let plans = cache
            .namespace::<String>("plan")
            .expect("the policy has it");
        for id in 0..64 {
            fill(&plans, &key!(id: id)).await;
        }
        cache.flush().await;
        let first = key!(id: 1);
        let again = plans.answer_or_fill(&first, async |_| Ok::<_, Infallible>(String::new()));
        assert_eq!(again.await.expect("an answer").source, Source::Redis);
        let client = ::redis::Client::open(server.url()).expect("an address");
        let connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("Redis answers");
        (plans, connection)
    });
    let mut group = criterion.benchmark_group("redis hit");
    for at_once in [1_u32, 64] {
        group.throughput(Throughput::Elements(u64::from(at_once)));
        group.bench_function(format!("terrace, {at_once} at once"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let mut reads = JoinSet::new();
                    for id in 0..at_once {
                        let plans = plans.clone();
                        reads.spawn(async move { fill(&plans, &key!(id: id)).await });
                    }
                    reads.join_all().await
                })
            });
        });
        group.bench_function(format!("redis-rs GET, {at_once} at once"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let mut reads = JoinSet::new();
                    for id in 0..at_once {
                        let mut connection = connection.clone();
                        reads.spawn(async move {
                            let command =
                                ::redis::cmd("GET").arg(format!("plan:v1:{id}")).to_owned();
                            let bytes: Vec<u8> =
                                command.query_async(&mut connection).await.expect("stored");
                            bytes
                        });
                    }
                    reads.join_all().await
                })
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("terrace, 64 in flight", |bencher| {
        bencher.iter_custom(|times| {
            let plans = plans.clone();
            in_flight(&runtime, times, move |id| {
                let plans = plans.clone();
                async move { drop(fill(&plans, &key!(id: id)).await) }
            })
        });
    });
    group.bench_function("redis-rs GET, 64 in flight", |bencher| {
        bencher.iter_custom(|times| {
            let connection = connection.clone();
            in_flight(&runtime, times, move |id| {
                let mut connection = connection.clone();
                async move {
                    let command = ::redis::cmd("GET").arg(format!("plan:v1:{id}")).to_owned();
                    let bytes: Vec<u8> =
                        command.query_async(&mut connection).await.expect("stored");
                    drop(bytes);
                }
            })
        });
    });
    group.finish();
}

criterion_group! {
    name = hits;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = memory, redis_tier
}
criterion_main!(hits);

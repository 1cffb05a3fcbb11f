//! Processes that share one real Redis: what one purges, the others see.

mod process;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use process::{Process, Unfailing};
use support::{RedisServer, wait_until};
use terrace_origin::{Purge, Redis, Source, key};
use terrace_shared::policy::OnLedgerLag;
use terrace_shared::purge::wire::{PurgeState, PurgedTier};

#[tokio::test]
async fn a_purge_in_one_process_is_seen_in_the_others_well_within_the_bound() {
    let server = RedisServer::start().await;
    let (one, two) = (Process::start(&server).await, Process::start(&server).await);
    assert_eq!(one.source(1).await, Source::Filled);
    assert_eq!(two.source(1).await, Source::Redis);
    assert_eq!(two.source(1).await, Source::Memory);

    let asked = Instant::now();
    let receipt = one
        .cache
        .purge(Purge::surrogate_key("region:TX"))
        .await
        .expect("taken");
    let tiers: Vec<_> = receipt
        .tiers
        .iter()
        .map(|tier| (tier.tier, tier.state))
        .collect();
    assert_eq!(
        tiers,
        [
            (PurgedTier::Memory, PurgeState::Done),
            (PurgedTier::Redis, PurgeState::Done)
        ]
    );
    assert_eq!(one.cache.epoch(), Some(receipt.epoch));
    wait_until("the other process has the purge", async || {
        two.cache.epoch() == Some(receipt.epoch)
    })
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    let answer = two.ask(1, "new").await;
    assert_eq!((&**answer.value, answer.source), ("new", Source::Filled));
    let answer = one.ask(1, "unused").await;
    assert_eq!((&**answer.value, answer.source), ("new", Source::Redis));
}

#[tokio::test]
async fn a_fill_in_flight_in_another_process_does_not_survive_a_purge() {
    let server = RedisServer::start().await;
    let (one, two) = (Process::start(&server).await, Process::start(&server).await);
    let (asked, was_asked) = tokio::sync::oneshot::channel();
    let (answer, answered) = tokio::sync::oneshot::channel::<()>();
    let plans = two.plans.clone();
    let filling = tokio::spawn(async move {
        let fill = async |_| {
            asked.send(()).expect("the test waits");
            answered.await.expect("the test answers");
            Ok::<_, Unfailing>("old".to_owned())
        };
        plans
            .answer_or_fill(&key!(id: 1), fill)
            .await
            .expect("an answer")
    });
    was_asked.await.expect("the source is asked");
    let receipt = one.cache.purge(Purge::key("plan:1")).await.expect("taken");
    answer.send(()).expect("the source waits");
    assert_eq!(*filling.await.expect("no panic").value, "old");
    two.cache.flush().await;
    wait_until("the purge is seen", async || {
        two.cache.epoch() == Some(receipt.epoch)
    })
    .await;
    for process in [&two, &one] {
        assert_eq!(*process.ask(1, "new").await.value, "new");
    }
}

#[tokio::test]
async fn purges_from_many_sides_at_once_are_all_seen_by_everybody() {
    let server = RedisServer::start().await;
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(Process::start(&server).await);
    }
    let mut purges = Vec::new();
    for number in 0..400_usize {
        let cache = processes[number % 4].cache.clone();
        purges.push(tokio::spawn(async move {
            let receipt = cache
                .purge(Purge::key(format!("plan:{number}")))
                .await
                .expect("taken");
            assert!(
                receipt
                    .tiers
                    .iter()
                    .all(|tier| tier.state == PurgeState::Done),
                "{receipt:?}"
            );
            let epoch = cache.epoch().expect("a view");
            assert!(
                epoch.sequence >= receipt.epoch.sequence,
                "its own replica has it"
            );
        }));
    }
    for purge in purges {
        purge.await.expect("no panic");
    }
    wait_until("all stand at the last purge", async || {
        processes.iter().all(|process| {
            process
                .cache
                .epoch()
                .is_some_and(|epoch| epoch.sequence.as_u64() == 400)
        })
    })
    .await;
}

#[tokio::test]
async fn a_process_that_starts_later_believes_what_is_still_true_in_redis() {
    let server = RedisServer::start().await;
    let one = Process::start(&server).await;
    for id in 1..=3 {
        one.source(id).await;
    }
    one.cache.purge(Purge::key("plan:2")).await.expect("taken");
    let late = Process::start(&server).await;
    for (id, source) in [(1, Source::Redis), (2, Source::Filled), (3, Source::Redis)] {
        assert_eq!(late.source(id).await, source, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_misses_over_redis_are_one_fill_in_each_process() {
    let server = RedisServer::start().await;
    let fills = Arc::new(AtomicUsize::new(0));
    let processes = [Process::start(&server).await, Process::start(&server).await];
    let mut requests = Vec::new();
    for number in 0..10_000 {
        let (plans, fills) = (processes[number % 2].plans.clone(), fills.clone());
        requests.push(tokio::spawn(async move {
            let fill = async |_| {
                fills.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await; // a source that takes its time
                Ok::<_, Unfailing>("v".to_owned())
            };
            plans
                .get_or_fill(&key!(id: 1), fill)
                .await
                .expect("an answer")
        }));
    }
    for request in requests {
        assert_eq!(*request.await.expect("no panic"), "v");
    }
    assert!((1..=2).contains(&fills.load(Ordering::SeqCst)));
    for process in &processes {
        assert!(process.cache.stats().namespaces["plan"].fills_total <= 1);
    }
}

#[tokio::test]
async fn keys_in_redis_are_readable_and_end_with_their_entries() {
    let server = RedisServer::start().await;
    let redis = Redis::connect(server.url())
        .await
        .expect("Redis answers")
        .prefix("shop:");
    let process = Process::over(redis, OnLedgerLag::Revalidate).await;
    process.source(7).await;
    let left: Option<i64> = server.call(&["PTTL", "shop:plan:7"]).await;
    assert!(
        left.is_some_and(|left| left > 500_000 && left <= 600_000),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_wait_together_go_in_few_commands_and_each_gets_its_own() {
    let server = RedisServer::start().await;
    let redis = async || {
        let redis = Redis::connect(server.url()).await.expect("Redis answers");
        Process::over(redis.prefix("shop:"), OnLedgerLag::Revalidate).await
    };
    let (one, two) = (redis().await, redis().await);
    for id in 0..400 {
        one.ask(id, &format!("plan {id}")).await;
    }
    let _: Option<String> = server.call(&["CONFIG", "RESETSTAT"]).await;
    let found = read_all(&two, 0..500).await;
    for (id, (source, value)) in found.into_iter().enumerate() {
        let expected = match id {
            0..400 => (Source::Redis, format!("plan {id}")),
            _ => (Source::Filled, "filled".to_owned()),
        };
        assert_eq!((source, value), expected, "{id}");
    }
    let (alone, together) = (calls(&server, "get").await, calls(&server, "mget").await);
    assert!(together >= 1, "{alone} and {together} commands");
    assert!(alone + together < 250, "{alone} and {together} commands");
    let stats = two.cache.stats();
    let plans = &stats.namespaces["plan"];
    assert_eq!(
        (plans.redis_hits_total, plans.redis_misses_total),
        (400, 100)
    );
    assert_eq!(plans.redis_errors_total, 0);
}

#[tokio::test]
async fn what_is_no_string_is_of_no_use_to_its_reader_and_no_harm_to_others() {
    let server = RedisServer::start().await;
    let (one, two) = (Process::start(&server).await, Process::start(&server).await);
    for id in 0..20 {
        one.source(id).await;
    }
    for key in ["plan:0", "plan:9"] {
        let _: Option<u64> = server.call(&["DEL", key]).await;
        let _: Option<u64> = server.call(&["RPUSH", key, "x"]).await;
    }
    assert_eq!(two.source(0).await, Source::Filled, "read alone");
    for (id, (source, _)) in (1..20).zip(read_all(&two, 1..20).await) {
        let expected = match id {
            9 => Source::Filled,
            _ => Source::Redis,
        };
        assert_eq!(source, expected, "{id}");
    }
    assert!(calls(&server, "mget").await >= 1);
    assert!(!two.cache.stats().redis.expect("there is one").breaker_open);
}

#[tokio::test]
async fn a_user_who_may_read_one_key_at_a_time_does() {
    let server = RedisServer::start().await;
    let rules = "ACL SETUSER one on >secret ~* &* +@all -mget";
    let rules: Vec<_> = rules.split(' ').collect();
    let _: Option<String> = server.call(&rules).await;
    let redis = async || {
        let url = format!("redis://one:secret@{}", server.address());
        let redis = Redis::connect(url).await.expect("Redis answers");
        Process::over(redis, OnLedgerLag::Revalidate).await
    };
    let (one, two) = (redis().await, redis().await);
    for id in 0..20 {
        one.source(id).await;
    }
    for (source, _) in read_all(&two, 0..20).await {
        assert_eq!(source, Source::Redis);
    }
    let errors: Option<String> = server.call(&["INFO", "errorstats"]).await;
    assert!(errors.is_some_and(|errors| errors.contains("errorstat_NOPERM")));
    assert_eq!(two.cache.stats().namespaces["plan"].redis_errors_total, 0);
}

/// Reads plans at once.
async fn read_all(process: &Process, ids: std::ops::Range<u32>) -> Vec<(Source, String)> {
    let reads = ids.map(async |id| {
        let fill = async |_| Ok::<_, Unfailing>("filled".to_owned());
        let plan = process.plans.answer_or_fill(&key!(id: id), fill).await;
        let plan = plan.expect("an answer");
        (plan.source, plan.value.to_string())
    });
    futures_util::future::join_all(reads).await
}

/// How often a server has been given a command.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let info: Option<String> = server.call(&["INFO", "commandstats"]).await;
    let begin = format!("cmdstat_{command}:calls=");
    let info = info.expect("Redis answers");
    let line = info.lines().find_map(|line| line.strip_prefix(&*begin));
    line.map_or(0, |line| {
        let (calls, _) = line.split_once(',').expect("more follows");
        calls.parse().expect("a number")
    })
}

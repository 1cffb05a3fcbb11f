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

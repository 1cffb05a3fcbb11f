//! A real Redis that goes away, or forgets: memory serves, the source answers, and what is lost nobody believes.

mod process;
mod support;

use std::time::{Duration, Instant};

use process::Process;
use support::{RedisServer, wait_until};
use terrace_origin::{LedgerError, Purge, PurgeError, Redis, Source};
use terrace_shared::policy::OnLedgerLag;

#[tokio::test]
async fn a_flushed_redis_is_a_new_history_and_everything_is_dropped() {
    let server = RedisServer::start().await;
    let (one, two) = (Process::start(&server).await, Process::start(&server).await);
    one.source(1).await;
    two.source(1).await;
    let before = one.cache.epoch().expect("a view").incarnation;
    let _: Option<String> = server.call(&["FLUSHALL"]).await;
    wait_until("both follow the new history", async || {
        let (one, two) = (one.cache.epoch(), two.cache.epoch());
        one == two && one.is_some_and(|epoch| epoch.incarnation != before)
    })
    .await;
    assert_eq!(one.source(1).await, Source::Filled);
    assert_eq!(two.source(1).await, Source::Redis);
}

#[tokio::test]
async fn a_ledger_that_lost_its_last_purges_becomes_a_new_history() {
    let server = RedisServer::start().await;
    let one = Process::start(&server).await;
    one.source(1).await;
    for _ in 0..3 {
        one.cache.purge(Purge::key("plan:9")).await.expect("taken");
    }
    let before = one.cache.epoch().expect("a view");
    // A failover to a copy that had only seen the first purge.
    lose_all_but_the_first(&server).await;
    wait_until("the loss is noticed", async || {
        one.cache
            .epoch()
            .is_some_and(|epoch| epoch.incarnation != before.incarnation)
    })
    .await;
    assert_eq!(one.source(1).await, Source::Filled);
}

#[tokio::test]
async fn numbers_given_again_after_a_failover_are_noticed() {
    let server = RedisServer::start().await;
    let one = Process::start(&server).await;
    for _ in 0..3 {
        one.cache.purge(Purge::key("plan:9")).await.expect("taken");
    }
    let before = one.cache.epoch().expect("a view");
    one.source(1).await;
    lose_all_but_the_first(&server).await;
    // Somebody who had not seen the lost ones purges on: the numbers 2 and 3 name other purges now.
    let script = "local function put(n, c) redis.call('HSET', KEYS[1], n, c .. 'x', 's', n, 'c', c) end \
                  put(2, '00000000000000aa') put(3, '00000000000000ab') return 'OK'";
    let done: Option<String> = server.call(&["EVAL", script, "1", LEDGER]).await;
    assert_eq!(done.as_deref(), Some("OK"));
    wait_until("the loss is noticed", async || {
        one.cache
            .epoch()
            .is_some_and(|epoch| epoch.incarnation != before.incarnation)
    })
    .await;
    assert_eq!(one.source(1).await, Source::Filled);
}

#[tokio::test]
async fn an_older_history_that_comes_back_with_its_values_is_not_believed_again() {
    let server = RedisServer::start().await;
    let one = Process::start(&server).await;
    assert_eq!(one.source(1).await, Source::Filled);
    let older = one.cache.epoch().expect("a view").incarnation;
    let keys: Option<Vec<String>> = server.call(&["KEYS", "*plan:1"]).await;
    let value = keys.expect("keys").pop().expect("the value of plan 1");
    for key in [LEDGER, &value] {
        let copied: Option<u64> = server.call(&["COPY", key, &copy_of(key)]).await;
        assert_eq!(copied, Some(1), "{key}");
    }
    // The ledger is lost, a new history begins, and its first purge is taken.
    let _: Option<u64> = server.call(&["DEL", LEDGER]).await;
    wait_until("a new history is followed", async || {
        let epoch = one.cache.epoch();
        epoch.is_some_and(|epoch| epoch.incarnation != older)
    })
    .await;
    one.cache.purge(Purge::key("plan:1")).await.expect("taken");
    let newer = one.cache.epoch().expect("a view").incarnation;
    // A fail-over to a copy from before all that: of the ledger, and of the value.
    let copies = "for _, key in ipairs(KEYS) do redis.call('COPY', key .. ':old', key, 'REPLACE') end \
                  return 'OK'";
    let done: Option<String> = server.call(&["EVAL", copies, "2", LEDGER, &value]).await;
    assert_eq!(done.as_deref(), Some("OK"));
    wait_until("a third history is followed", async || {
        let epoch = one.cache.epoch();
        epoch.is_some_and(|epoch| epoch.incarnation != newer)
    })
    .await;
    assert_ne!(one.cache.epoch().expect("a view").incarnation, older);
    assert_eq!(one.source(1).await, Source::Filled, "it was purged");
    // Whoever knows one of the three takes the third one for what comes after it.
    let settled = one.cache.epoch();
    let late = Process::start(&server).await;
    assert_eq!(late.cache.epoch(), settled);
}

fn copy_of(key: &str) -> String {
    format!("{key}:old")
}

#[tokio::test]
async fn an_entry_filled_under_purges_that_are_gone_ends_their_history() {
    let server = RedisServer::start().await;
    let one = Process::start(&server).await;
    for _ in 0..3 {
        one.cache.purge(Purge::key("plan:9")).await.expect("taken");
    }
    one.source(1).await; // filled at 3
    drop(one);
    lose_all_but_the_first(&server).await;
    let late = Process::start(&server).await;
    let before = late.cache.epoch().expect("a view");
    assert_eq!(before.sequence.as_u64(), 1);
    assert_eq!(late.source(1).await, Source::Filled);
    wait_until("the loss is noticed", async || {
        late.cache
            .epoch()
            .is_some_and(|epoch| epoch.incarnation != before.incarnation)
    })
    .await;
}

#[tokio::test]
async fn without_redis_memory_serves_the_source_answers_and_purges_fail_clearly() {
    let mut server = RedisServer::start().await;
    let trusting = Process::with(&server, OnLedgerLag::ServeStale).await;
    assert_eq!(trusting.source(1).await, Source::Filled);
    server.kill();
    for _ in 0..3 {
        assert_eq!(trusting.source(1).await, Source::Memory);
    }
    for id in 2..30 {
        let asked = Instant::now();
        assert_eq!(trusting.source(id).await, Source::Filled);
        assert!(asked.elapsed() < Duration::from_secs(1), "fails fast");
        assert_eq!(trusting.source(id).await, Source::Memory);
    }
    let stats = trusting.cache.stats();
    let redis = stats.redis.expect("there is one");
    assert!(
        redis.breaker_open && redis.breaker_opened_total >= 1,
        "{redis:?}"
    );
    assert!(stats.namespaces["plan"].redis_errors_total >= 28);

    wait_until("it is known that Redis is not there", async || {
        let error = trusting
            .cache
            .purge(Purge::everything())
            .await
            .expect_err("no ledger");
        let told = error.to_string();
        match &error {
            PurgeError::Ledger(LedgerError::Unreachable { .. }) => {
                assert_eq!(told, "nothing was purged");
                true
            }
            PurgeError::Ledger(LedgerError::Unconfirmed { .. }) => {
                assert!(told.contains("purge again"), "{told}");
                false
            }
            other => panic!("{other:?}"),
        }
    })
    .await;

    server.restart().await;
    let before = trusting.cache.epoch().expect("the old view");
    wait_until("the empty ledger is a new history", async || {
        trusting
            .cache
            .epoch()
            .is_some_and(|epoch| epoch.incarnation != before.incarnation)
    })
    .await;
    let other = Process::start(&server).await;
    assert_eq!(trusting.source(1).await, Source::Filled);
    wait_until("values are written again", async || {
        trusting.source(50).await;
        trusting
            .cache
            .purge(Purge::key("plan:50"))
            .await
            .expect("taken");
        trusting.source(50).await;
        other.source(50).await != Source::Filled
    })
    .await;
    assert!(
        !trusting
            .cache
            .stats()
            .redis
            .expect("there is one")
            .breaker_open
    );
}

#[tokio::test]
async fn a_process_may_start_before_its_redis() {
    let mut server = RedisServer::start().await;
    server.kill();
    let redis = Redis::lazy(server.url()).expect("an address");
    let early = Process::over(redis, OnLedgerLag::Revalidate).await;
    assert_eq!(early.cache.epoch(), None);
    assert_eq!(early.source(1).await, Source::Filled);
    assert_eq!(early.source(1).await, Source::Filled);
    server.restart().await;
    wait_until("the ledger is found", async || {
        early.cache.epoch().is_some()
    })
    .await;
    wait_until("values are kept again", async || {
        early.source(1).await == Source::Memory
    })
    .await;
}

#[tokio::test]
async fn in_a_redis_that_evicts_anything_no_purge_is_undone() {
    let server = RedisServer::start().await;
    let one = Process::start(&server).await;
    for (name, value) in [("maxmemory-policy", "allkeys-random"), ("maxmemory", "3mb")] {
        let _: Option<String> = server.call(&["CONFIG", "SET", name, value]).await;
    }
    let fill =
        "for n = 1, 3000 do redis.call('SET', KEYS[1] .. n, string.rep('x', 1024)) end return 'OK'";
    let mut histories = std::collections::BTreeSet::new();
    wait_until("the ledger itself was evicted, too", async || {
        let _: Option<String> = server.call(&["EVAL", fill, "1", "other:"]).await;
        let new = format!("version {}", histories.len());
        one.source(1).await;
        let receipt = one.cache.purge(Purge::key("plan:1")).await.expect("taken");
        histories.insert(receipt.epoch.incarnation);
        let _: Option<String> = server.call(&["EVAL", fill, "1", "other:"]).await;
        let late = Process::start(&server).await;
        assert_eq!(*late.ask(1, &new).await.value, new);
        late.cache.purge(Purge::key("plan:1")).await.expect("taken");
        histories.len() >= 2
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_waited_for_a_while_and_found_again() {
    let server = RedisServer::start().await;
    let one = Process::with(&server, OnLedgerLag::ServeStale).await;
    one.source(1).await;
    let _: Option<String> = server.call(&["CLIENT", "PAUSE", "4000", "ALL"]).await;
    let asked = Instant::now();
    match one.cache.purge(Purge::key("plan:1")).await {
        Err(PurgeError::Ledger(LedgerError::Unconfirmed { .. })) => {}
        other => panic!("{other:?}"),
    }
    assert!(asked.elapsed() < Duration::from_secs(4), "it gives up");
    wait_until("it takes purges again", async || {
        one.cache.purge(Purge::key("plan:1")).await.is_ok()
    })
    .await;
    assert_eq!(*one.ask(1, "new").await.value, "new");
}

#[tokio::test]
async fn a_server_that_may_not_write_is_not_believed_to_know_of_all_purges() {
    let server = RedisServer::start().await;
    let one = Process::start(&server).await;
    one.source(1).await;
    let nobody = ["REPLICAOF", "127.0.0.1", "1"];
    for (forbid, allow) in [
        (
            &["CONFIG", "SET", "min-replicas-to-write", "1"][..],
            &["CONFIG", "SET", "min-replicas-to-write", "0"][..],
        ),
        (&nobody[..], &["REPLICAOF", "NO", "ONE"][..]),
    ] {
        let _: Option<String> = server.call(forbid).await;
        match one.cache.purge(Purge::key("plan:1")).await {
            Err(PurgeError::Ledger(LedgerError::Refused { .. })) => {}
            other => panic!("{other:?}"),
        }
        let age = || one.cache.stats().ledger.view_age_ms;
        wait_until("the view grows old", async || {
            age().is_some_and(|age| age.as_u64() > 2_500)
        })
        .await;
        let _: Option<String> = server.call(allow).await;
        wait_until("the view is young again", async || {
            age().is_some_and(|age| age.as_u64() < 1_000)
        })
        .await;
        one.cache.purge(Purge::key("plan:1")).await.expect("taken");
    }
}

const LEDGER: &str = "terrace:{default}:ledger:v2";

/// Puts the ledger back to where it was after its first purge.
async fn lose_all_but_the_first(server: &RedisServer) {
    let script = "redis.call('HDEL', KEYS[1], 2, 3) \
                  redis.call('HSET', KEYS[1], 's', 1, 'c', string.sub(redis.call('HGET', KEYS[1], 1), 1, 16)) \
                  return 'OK'";
    let done: Option<String> = server.call(&["EVAL", script, "1", LEDGER]).await;
    assert_eq!(done.as_deref(), Some("OK"));
}

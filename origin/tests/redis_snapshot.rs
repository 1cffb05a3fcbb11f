//! A ledger with more purges than it keeps one by one: who comes late takes its snapshot, and nothing old is believed.

mod appender;
mod process;
mod support;

use appender::{LEDGER, Limits, append, exactly};
use process::Process;
use support::{RedisServer, wait_until};
use terrace_origin::{Purge, Source};
use terrace_shared::purge::Sequence;

const SMALL: Limits = Limits {
    recent: 64,
    most: 256,
};

/// Another key's purges: what they name is nobody's here.
fn others(count: u32) -> impl Iterator<Item = terrace_shared::purge::Purge> {
    (0..count).map(|number| exactly(&format!("other:{number}")))
}

async fn connection(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("an address");
    let connected = client.get_multiplexed_async_connection().await;
    connected.expect("Redis answers")
}

async fn number(server: &RedisServer, field: &str) -> u64 {
    server.call(&["HGET", LEDGER, field]).await.unwrap_or(0)
}

/// Waits until `process` stands where the ledger does.
async fn level(server: &RedisServer, process: &Process) {
    wait_until("the process has caught up", async || {
        let head = number(server, "s").await;
        let epoch = process.cache.epoch();
        epoch.is_some_and(|epoch| epoch.sequence == Sequence::new(head))
    })
    .await;
}

#[tokio::test]
async fn a_process_that_starts_late_takes_the_snapshot_and_believes_what_is_still_true() {
    let server = RedisServer::start().await;
    let mut redis = connection(&server).await;
    let one = Process::start(&server).await;
    one.source(1).await;
    one.source(2).await;
    one.cache.purge(Purge::key("plan:2")).await.expect("taken");
    append(&mut redis, others(9_000), Limits::USUAL).await;
    wait_until("somebody has written a snapshot", async || {
        number(&server, "p").await > 4_096
    })
    .await;
    wait_until("what it covers is dropped", async || {
        append(&mut redis, others(1), Limits::USUAL).await;
        number(&server, "f").await > 2
    })
    .await;
    let records: Option<u64> = server.call(&["HLEN", LEDGER]).await;
    assert!(
        records.is_some_and(|records| records < 9_000),
        "{records:?}"
    );
    let late = Process::start(&server).await;
    level(&server, &late).await;
    for (id, source) in [(1, Source::Redis), (2, Source::Filled)] {
        assert_eq!(late.source(id).await, source, "{id}");
    }
    assert_eq!(one.source(1).await, Source::Memory);
}

#[tokio::test]
async fn without_snapshots_the_oldest_records_go_and_what_they_could_have_named_is_dropped() {
    let server = RedisServer::start().await;
    let mut redis = connection(&server).await;
    let one = Process::start(&server).await;
    one.source(1).await;
    append(&mut redis, others(700), SMALL).await;
    let floor = number(&server, "f").await;
    assert!((700 - 256..700 - 256 + 64).contains(&floor), "{floor}");
    let kept: Option<u64> = server.call(&["HLEN", LEDGER]).await;
    assert!(kept.is_some_and(|kept| kept < 256 + 64 + 30), "{kept:?}");
    let late = Process::start(&server).await;
    level(&server, &late).await;
    assert_eq!(late.source(1).await, Source::Filled);
    assert_eq!(late.source(1).await, Source::Memory);
}

#[tokio::test]
async fn a_snapshot_of_another_history_is_not_taken() {
    let server = RedisServer::start().await;
    let mut redis = connection(&server).await;
    let epoch = append(&mut redis, others(300), Limits::USUAL).await;
    let text = concat!(
        include_str!("../src/ledger/redis/ledger.lua"),
        "\n",
        include_str!("../src/ledger/redis/snapshot.lua")
    );
    let incarnation = epoch.incarnation.to_string();
    let record: Option<Vec<u8>> = server.call(&["HGET", LEDGER, "200"]).await;
    let record = record.expect("it is kept");
    let chain = std::str::from_utf8(&record[..16]).expect("digits");
    for (incarnation, at, chain, taken) in [
        ("00000000000000aa", "200", chain, 0),
        (&*incarnation, "200", "00000000000000aa", 0),
        (&*incarnation, "301", chain, 0),
        (&*incarnation, "200", chain, 1),
        (&*incarnation, "200", chain, 0), // one that is not newer
    ] {
        let call = [
            "EVAL",
            text,
            "1",
            LEDGER,
            incarnation,
            at,
            chain,
            "bytes",
            "64",
            "131072",
            "1000000",
        ];
        let answer: Option<u64> = server.call(&call).await;
        assert_eq!(answer, Some(taken), "{incarnation} {at} {chain}");
    }
    assert_eq!(number(&server, "p").await, 200);
    assert_eq!(number(&server, "f").await, 192);
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_costs_hits_and_nothing_else() {
    let server = RedisServer::start().await;
    let mut redis = connection(&server).await;
    let one = Process::start(&server).await;
    one.source(1).await;
    append(&mut redis, others(100), Limits::USUAL).await;
    for (field, value) in [("p", "80"), ("S", "no snapshot at all")] {
        let _: Option<u64> = server.call(&["HSET", LEDGER, field, value]).await;
    }
    let late = Process::start(&server).await;
    level(&server, &late).await;
    assert_eq!(late.source(1).await, Source::Filled);
    assert_eq!(late.source(1).await, Source::Memory);
}

#[tokio::test]
async fn a_ledger_with_a_record_missing_becomes_a_new_history() {
    let server = RedisServer::start().await;
    let mut redis = connection(&server).await;
    let epoch = append(&mut redis, others(10), Limits::USUAL).await;
    let _: Option<u64> = server.call(&["HDEL", LEDGER, "10"]).await;
    let late = Process::start(&server).await;
    wait_until("it begins anew", async || {
        let now = late.cache.epoch();
        now.is_some_and(|now| now.incarnation != epoch.incarnation)
    })
    .await;
}

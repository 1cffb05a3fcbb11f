//! A ledger with more purges than it keeps one by one: who comes late takes its snapshot, and nothing old is believed.

mod appender;
mod process;
mod support;

use appender::{LEDGER, Limits, append, connect, exactly};
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
    let mut redis = connect(&server.url()).await;
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
    let mut redis = connect(&server.url()).await;
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
    let mut redis = connect(&server.url()).await;
    let epoch = append(&mut redis, others(300), Limits::USUAL).await;
    let text = concat!(
        include_str!("../src/ledger/redis/ledger.lua"),
        "\n",
        include_str!("../src/ledger/redis/snapshot.lua")
    );
    let incarnation = epoch.incarnation.to_string();
    let chain = &*chain(&server, "200").await;
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
    let mut redis = connect(&server.url()).await;
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
    let mut redis = connect(&server.url()).await;
    let epoch = append(&mut redis, others(10), Limits::USUAL).await;
    let _: Option<u64> = server.call(&["HDEL", LEDGER, "10"]).await;
    let late = Process::start(&server).await;
    wait_until("it begins anew", async || {
        let now = late.cache.epoch();
        now.is_some_and(|now| now.incarnation != epoch.incarnation)
    })
    .await;
}

#[tokio::test]
async fn each_replica_is_told_what_it_lacks_or_that_its_history_is_not_this_one() {
    let server = RedisServer::start().await;
    let mut redis = connect(&server.url()).await;
    append(&mut redis, others(10), SMALL).await;
    let early = chain(&server, "10").await;
    let incarnation = append(&mut redis, others(290), SMALL).await.incarnation;
    let incarnation = incarnation.to_string();
    let late = chain(&server, "299").await;
    let floor = number(&server, "f").await;
    assert!(floor > 10, "{floor}");
    let tail = |since, chain| ask(&server, &incarnation, since, chain);
    let wrong = "00000000000000aa";

    assert_eq!(tail("299", &late).await, ("tail".into(), 299, 1));
    for (since, chain) in [("299", wrong), ("10", wrong), ("301", wrong)] {
        assert_eq!(tail(since, chain).await, ("forked".into(), 0, 0), "{since}");
    }
    let from_the_floor = ("nothing".into(), floor, 300 - floor);
    assert_eq!(tail("10", &early).await, from_the_floor);
    assert_eq!(ask(&server, "", "0", "").await, from_the_floor);

    for (field, value) in [("p", "200"), ("S", "a snapshot")] {
        let _: Option<u64> = server.call(&["HSET", LEDGER, field, value]).await;
    }
    let from_the_snapshot = ("snapshot".into(), 200, 100);
    assert_eq!(tail("10", &early).await, from_the_snapshot);
    assert_eq!(ask(&server, "", "0", "").await, from_the_snapshot);
    // Of a history that this one is not known to come after: it may be the later of the two.
    let forked = ("forked".into(), 0, 0);
    assert_eq!(ask(&server, wrong, "299", &late).await, forked);
    let earlier = format!("00000000000000ab {wrong}");
    let _: Option<u64> = server.call(&["HSET", LEDGER, "a", &earlier]).await;
    assert_eq!(ask(&server, wrong, "299", &late).await, from_the_snapshot);
    assert_eq!(tail("299", &late).await, ("tail".into(), 299, 1));

    // So far behind that its chain is not known any more: nothing that it has can be held against the ledger.
    let _: Option<u64> = server.call(&["HDEL", LEDGER, "k0"]).await;
    assert_eq!(tail("10", &early).await, ("nothing".into(), 300, 0));
}

/// The chain at a record that is kept.
async fn chain(server: &RedisServer, at: &str) -> String {
    let record: Option<Vec<u8>> = server.call(&["HGET", LEDGER, at]).await;
    let digits = record.expect("it is kept")[..16].to_vec();
    String::from_utf8(digits).expect("digits")
}

/// What a replica with this incarnation, head and chain is told: the word, what the records follow, how many there are.
async fn ask(
    server: &RedisServer,
    incarnation: &str,
    head: &str,
    chain: &str,
) -> (String, u64, u64) {
    type Reply = (String, String, u64, u64, String, Vec<Vec<u8>>, Vec<u8>, u64);
    let text = concat!(
        include_str!("../src/ledger/redis/ledger.lua"),
        "\n",
        include_str!("../src/ledger/redis/catch_up.lua")
    );
    let fresh = "00000000000000bb";
    let call = [
        "EVAL",
        text,
        "1",
        LEDGER,
        fresh,
        incarnation,
        head,
        chain,
        "4096",
        "1000000",
        "4096",
        "1000000",
    ];
    let reply: Option<Reply> = server.call(&call).await;
    let (word, _, base, _, _, records, ..) = reply.expect("an answer");
    (word, base, records.len() as u64)
}

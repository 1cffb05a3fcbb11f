//! A master whose replicas do not follow: what it says of purges is not believed, and no receipt is given for what
//! only it has.

mod process;
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use process::Process;
use support::RedisServer;
use terrace_origin::{LedgerError, Purge, PurgeError, Source};

/// A master that demands a replica to write, and its replica, which can be stopped.
struct Pair {
    master: RedisServer,
    replica: RedisServer,
    replica_id: String,
}

impl Pair {
    async fn start() -> Self {
        let (master, replica) = (guarded().await, guarded().await);
        follow(&replica, &master).await;
        let replica_id = field(&replica, "server", "process_id").await;
        Self {
            master,
            replica,
            replica_id: replica_id.expect("an id"),
        }
    }

    /// The master has a replica still, as far as it knows; that one says nothing any more.
    fn silence(&self) {
        signal("-STOP", &self.replica_id);
    }

    fn wake(&self) {
        signal("-CONT", &self.replica_id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_no_replica_has_is_not_confirmed_and_later_ones_are() {
    let pair = Pair::start().await;
    let one = Process::start(&pair.master).await;
    remembers(&one).await;
    one.cache.purge(Purge::key("plan:1")).await.expect("taken");
    pair.silence();
    let error = one.cache.purge(Purge::key("plan:1")).await.err();
    assert!(
        matches!(
            &error,
            Some(PurgeError::Ledger(LedgerError::Unconfirmed { .. }))
        ),
        "{error:?}"
    );
    pair.wake();
    eventually("purges are taken again", async || {
        one.cache.purge(Purge::key("plan:1")).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hides_its_settings_shows_by_its_replicas_that_it_demands_some() {
    let pair = Pair::start().await;
    let _: Option<String> = pair
        .master
        .call(&["ACL", "SETUSER", "default", "-config"])
        .await;
    let hidden: Option<Vec<String>> = pair.master.call(&["CONFIG", "GET", "*"]).await;
    assert_eq!(hidden, None);
    let one = Process::start(&pair.master).await;
    remembers(&one).await;
    one.cache.purge(Purge::key("plan:1")).await.expect("taken");
    pair.silence();
    assert!(one.cache.purge(Purge::key("plan:1")).await.is_err());
    // One that hides that as well is believed as it is.
    let _: Option<String> = pair
        .master
        .call(&["ACL", "SETUSER", "default", "-info"])
        .await;
    let two = Process::start(&pair.master).await;
    two.cache.purge(Purge::key("plan:1")).await.expect("taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_master_says_without_its_replicas_does_not_make_a_view_younger() {
    let pair = Pair::start().await;
    let one = Process::start(&pair.master).await;
    remembers(&one).await;
    pair.silence();
    let bound = 5_000;
    eventually("the view is older than its bound", async || {
        let age = one.cache.stats().ledger.view_age_ms;
        age.is_some_and(|age| age.as_u64() > bound)
    })
    .await;
    assert_ne!(one.source(1).await, Source::Memory, "it may be purged");
    pair.wake();
    eventually("the view is young again", async || {
        let age = one.cache.stats().ledger.view_age_ms;
        age.is_some_and(|age| age.as_u64() < bound)
    })
    .await;
    assert_ne!(one.source(1).await, Source::Filled, "nothing was purged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_another_one_has_replaced_answers_for_its_old_history_no_longer_than_the_bound()
 {
    let pair = Pair::start().await;
    let third = guarded().await;
    follow(&third, &pair.replica).await;
    let old = Process::start(&pair.master).await;
    remembers(&old).await;
    // What a fail-over does, while the old master lives on and some are connected to it.
    let promoted: Option<String> = pair.replica.call(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(promoted.as_deref(), Some("OK"));
    let new = Process::start(&pair.replica).await;
    let mut taken = None;
    eventually(
        "the new one takes purges, as the third one follows",
        async || {
            taken = new.cache.purge(Purge::key("plan:1")).await.ok();
            taken.is_some()
        },
    )
    .await;
    let receipt = taken.expect("a receipt");
    let bound = Duration::from_millis(
        receipt
            .tiers
            .iter()
            .map(|tier| tier.bound_ms.as_u64())
            .max()
            .expect("tiers"),
    );
    let refused = old.cache.purge(Purge::key("plan:2")).await;
    assert!(matches!(refused, Err(PurgeError::Ledger(_))), "{refused:?}");
    let received = Instant::now();
    eventually("the bound has passed", async || received.elapsed() > bound).await;
    assert_eq!(&**old.ask(1, "new").await.value, "new");
}

/// Waits until the process has a value in memory: a replica that has just come says little in its first seconds.
async fn remembers(process: &Process) {
    eventually("the value is kept", async || {
        process.source(1).await == Source::Memory
    })
    .await;
}

/// A server that demands a replica to write.
async fn guarded() -> RedisServer {
    let server = RedisServer::start().await;
    for setting in [
        "repl-diskless-sync-delay 0",
        "min-replicas-to-write 1",
        // The longest lag: that nobody follows is found out by asking, not by waiting for it.
        "min-replicas-max-lag 3600",
    ] {
        let words: Vec<_> = ["CONFIG", "SET"]
            .into_iter()
            .chain(setting.split(' '))
            .collect();
        let done: Option<String> = server.call(&words).await;
        assert_eq!(done.as_deref(), Some("OK"), "{setting}");
    }
    server
}

async fn follow(replica: &RedisServer, master: &RedisServer) {
    let port = master.port().to_string();
    let _: Option<String> = replica.call(&["REPLICAOF", "127.0.0.1", &port]).await;
    eventually("the replica follows", async || {
        let status = field(replica, "replication", "master_link_status").await;
        status.as_deref() == Some("up")
    })
    .await;
}

async fn field(server: &RedisServer, section: &str, name: &str) -> Option<String> {
    let info: String = server.call(&["INFO", section]).await?;
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches(':').to_owned())
}

fn signal(name: &str, process: &str) {
    let status = Command::new("kill").args([name, process]).status();
    assert!(status.expect("there is kill").success());
}

/// Waits until `condition` holds: longer than the bound on the view's age.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! Sentinel and Cluster, real ones: what one process purges the others see, before a fail-over and after it, and a
//! fail-over that lost purges is noticed.

mod process;
mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use process::{Process, Reachable};
use support::{RedisServer, free_port};
use terrace_origin::{Purge, Source};

/// A master, a replica of it, and three Sentinels.
struct Watched {
    master: RedisServer,
    replica: RedisServer,
    sentinels: Vec<RedisServer>,
}

impl Watched {
    async fn start() -> Self {
        let plain = ["--save", "", "--appendonly", "no"];
        let master = RedisServer::start().await;
        let of = master.port().to_string();
        let mut copying = words(&plain);
        copying.extend(words(&["--replicaof", "127.0.0.1", &of]));
        copying.extend(words(&["--masteruser", "copier", "--masterauth", "secret"]));
        copying.extend(words(&["--repl-diskless-sync-delay", "0"]));
        let user = [
            "ACL", "SETUSER", "copier", "on", ">secret", "+@all", "~*", "&*",
        ];
        let _: Option<String> = master.call(&user).await;
        let _: Option<String> = master
            .call(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"])
            .await;
        let replica = RedisServer::start_with(|_, _| copying).await;
        for server in [&master, &replica] {
            let user = [
                "ACL", "SETUSER", "service", "on", ">its own", "+@all", "~*", "&*",
            ];
            let _: Option<String> = server.call(&user).await;
        }
        eventually("the replica has a copy", async || {
            replicates(&replica).await
        })
        .await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let sentinel = |directory: &Path, _| {
                let file = directory.join("sentinel.conf");
                let text = format!(
                    "sentinel monitor shop 127.0.0.1 {of} 2\n\
                     sentinel down-after-milliseconds shop 1000\n\
                     sentinel failover-timeout shop 4000\n"
                );
                std::fs::write(&file, text).expect("written");
                vec![file.display().to_string(), "--sentinel".to_owned()]
            };
            sentinels.push(RedisServer::start_with(sentinel).await);
        }
        for sentinel in &sentinels {
            eventually(
                "the Sentinels know one another and the replica",
                async || {
                    let known: Option<Vec<String>> =
                        sentinel.call(&["SENTINEL", "MASTER", "shop"]).await;
                    let known = known.unwrap_or_default();
                    let number = |name: &str| {
                        let at = known.iter().position(|word| word == name)?;
                        known.get(at + 1)?.parse::<u32>().ok()
                    };
                    number("num-other-sentinels") == Some(2) && number("num-slaves") == Some(1)
                },
            )
            .await;
        }
        Self {
            master,
            replica,
            sentinels,
        }
    }

    /// From now on the replica learns nothing any more.
    async fn part(&self) {
        let _: Option<String> = self.master.call(&["ACL", "SETUSER", "copier", "off"]).await;
        let _: Option<u64> = self
            .master
            .call(&["CLIENT", "KILL", "TYPE", "replica"])
            .await;
        eventually("the replica has lost its master", async || {
            !replicates(&self.replica).await
        })
        .await;
    }

    async fn fail_over(&mut self) {
        self.master.kill();
        eventually("the replica is master", async || {
            let role: Option<redis::Value> = self.replica.call(&["ROLE"]).await;
            role.is_some_and(|role| format!("{role:?}").contains("master"))
        })
        .await;
    }
}

impl Reachable for Watched {
    fn url(&self) -> String {
        let sentinels: Vec<_> = self.sentinels.iter().map(RedisServer::address).collect();
        format!(
            "redis+sentinel://service:its%20own@{}/shop/1",
            sentinels.join(",")
        )
    }
}

/// Three masters, and a replica of the one that has the ledger.
struct Cluster {
    nodes: Vec<RedisServer>,
    /// The ledger's master; its replica is the last of the nodes.
    owner: usize,
}

impl Cluster {
    async fn start() -> Self {
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..4 {
            let bus = free_port().to_string();
            let node = words(&[
                "--save",
                "",
                "--appendonly",
                "no",
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1500",
                "--cluster-port",
                &bus,
                "--repl-diskless-sync-delay",
                "0",
                "--masteruser",
                "copier",
                "--masterauth",
                "secret",
                "--cluster-require-full-coverage",
                "no",
            ]);
            let node = RedisServer::start_with(|_, _| node).await;
            let user = [
                "ACL", "SETUSER", "copier", "on", ">secret", "+@all", "~*", "&*",
            ];
            let _: Option<String> = node.call(&user).await;
            nodes.push(node);
            buses.push(bus);
        }
        for (node, slots) in
            nodes
                .iter()
                .zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")])
        {
            let _: Option<String> = node
                .call(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1])
                .await;
            let epoch = slots.0.len().to_string(); // epochs of their own, so that they need not settle on some
            let _: Option<String> = node.call(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            let port = node.port().to_string();
            let _: Option<String> = nodes[0]
                .call(&["CLUSTER", "MEET", "127.0.0.1", &port, bus])
                .await;
        }
        let slot: Option<u64> = nodes[0].call(&["CLUSTER", "KEYSLOT", LEDGER]).await;
        let owner = usize::try_from(slot.expect("a slot") / 5_461).expect("one of three");
        let id: Option<String> = nodes[owner].call(&["CLUSTER", "MYID"]).await;
        let id = id.expect("an id");
        eventually("the replica knows its master", async || {
            let done: Option<String> = nodes[3].call(&["CLUSTER", "REPLICATE", &id]).await;
            done.is_some()
        })
        .await;
        let cluster = Self { nodes, owner };
        eventually("the cluster is one", async || {
            for node in &cluster.nodes {
                let info: Option<String> = node.call(&["CLUSTER", "INFO"]).await;
                let info = info.unwrap_or_default();
                if !info.contains("cluster_state:ok") || !info.contains("cluster_known_nodes:4") {
                    return false;
                }
            }
            replicates(&cluster.nodes[3]).await
        })
        .await;
        cluster
    }

    /// From now on the ledger's replica learns nothing any more.
    async fn part(&self) {
        let master = &self.nodes[self.owner];
        let _: Option<String> = master.call(&["ACL", "SETUSER", "copier", "off"]).await;
        let _: Option<u64> = master.call(&["CLIENT", "KILL", "TYPE", "replica"]).await;
        eventually("the replica has lost its master", async || {
            !replicates(&self.nodes[3]).await
        })
        .await;
    }

    async fn fail_over(&mut self) {
        self.nodes[self.owner].kill();
        eventually("the replica is master", async || {
            let role: Option<redis::Value> = self.nodes[3].call(&["ROLE"]).await;
            role.is_some_and(|role| format!("{role:?}").contains("master"))
        })
        .await;
    }
}

impl Reachable for Cluster {
    fn url(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(RedisServer::address).collect();
        format!("redis+cluster://{}", nodes.join(","))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_by_sentinel_is_followed_and_keeps_what_is_true() {
    let mut watched = Watched::start().await;
    let (one, two) = (
        Process::start(&watched).await,
        Process::start(&watched).await,
    );
    sees_purges(&one, &two).await;
    both_listen([&watched.master]).await;
    copied(&watched.master, &watched.replica).await;
    let before = one.cache.epoch().expect("a view");
    watched.fail_over().await;
    still_sees_purges(&one, &two).await;
    both_listen([&watched.replica]).await;
    let clients: Option<String> = watched.replica.call(&["CLIENT", "LIST"]).await;
    let clients = clients.unwrap_or_default();
    let ours = clients
        .lines()
        .filter(|client| client.contains(" user=service "));
    assert!(
        ours.filter(|client| client.contains(" db=1 ")).count() >= 4,
        "{clients}"
    );
    let after = one.cache.epoch().expect("a view");
    assert_eq!(after.incarnation, before.incarnation, "nothing was lost");
    assert_eq!(two.source(2).await, Source::Memory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_by_sentinel_that_lost_purges_is_noticed() {
    let mut watched = Watched::start().await;
    let (one, two) = (
        Process::start(&watched).await,
        Process::start(&watched).await,
    );
    sees_purges(&one, &two).await;
    watched.part().await;
    let before = lose_a_purge(&one, &two).await;
    watched.fail_over().await;
    begins_anew(&one, &two, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_in_a_cluster_is_followed_and_keeps_what_is_true() {
    let mut cluster = Cluster::start().await;
    let (one, two) = (
        Process::start(&cluster).await,
        Process::start(&cluster).await,
    );
    sees_purges(&one, &two).await;
    both_listen(&cluster.nodes).await;
    copied(&cluster.nodes[cluster.owner], &cluster.nodes[3]).await;
    let before = one.cache.epoch().expect("a view");
    cluster.fail_over().await;
    still_sees_purges(&one, &two).await;
    both_listen(&cluster.nodes).await;
    let after = one.cache.epoch().expect("a view");
    assert_eq!(after.incarnation, before.incarnation, "nothing was lost");
    assert_eq!(two.source(2).await, Source::Memory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_in_a_cluster_that_lost_purges_is_noticed() {
    let mut cluster = Cluster::start().await;
    let (one, two) = (
        Process::start(&cluster).await,
        Process::start(&cluster).await,
    );
    sees_purges(&one, &two).await;
    cluster.part().await;
    let before = lose_a_purge(&one, &two).await;
    cluster.fail_over().await;
    begins_anew(&one, &two, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_at_once_find_what_lies_on_many_slots_of_a_cluster() {
    let cluster = Cluster::start().await;
    let (one, two) = (
        Process::start(&cluster).await,
        Process::start(&cluster).await,
    );
    for id in 0..50 {
        one.ask(id, &format!("plan {id}")).await;
    }
    let reads = (0..50).map(|id| two.ask(id, "filled"));
    for (id, plan) in futures_util::future::join_all(reads)
        .await
        .iter()
        .enumerate()
    {
        assert_eq!(plan.source, Source::Redis, "{id}");
        assert_eq!(**plan.value, format!("plan {id}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_that_demands_replicas_a_purge_that_none_has_is_not_confirmed() {
    let cluster = Cluster::start().await;
    let (owner, replica) = (&cluster.nodes[cluster.owner], &cluster.nodes[3]);
    // The ledger's master alone: what it demands counts, not what the others do.
    let demand = ["CONFIG", "SET", "min-replicas-to-write", "1"];
    let demanded: Option<String> = owner.call(&demand).await;
    assert_eq!(demanded.as_deref(), Some("OK"));
    let one = Process::start(&cluster).await;
    eventually("purges are taken", async || {
        one.cache.purge(Purge::key("plan:1")).await.is_ok()
    })
    .await;
    let info: Option<String> = replica.call(&["INFO", "server"]).await;
    let info = info.expect("an answer");
    let id = info
        .lines()
        .find_map(|line| line.strip_prefix("process_id:"));
    let id = id.expect("an id");
    signal("-STOP", id);
    let silent = one.cache.purge(Purge::key("plan:1")).await;
    signal("-CONT", id);
    assert!(silent.is_err(), "{silent:?}");
    eventually("purges are taken again", async || {
        one.cache.purge(Purge::key("plan:1")).await.is_ok()
    })
    .await;
}

fn signal(name: &str, process: &str) {
    let status = Command::new("kill").args([name, process]).status();
    assert!(status.expect("there is kill").success());
}

/// Values and purges pass between the two.
async fn sees_purges(one: &Process, two: &Process) {
    for id in 1..=6 {
        assert_eq!(one.source(id).await, Source::Filled);
        assert_eq!(two.source(id).await, Source::Redis);
    }
    let receipt = one.cache.purge(Purge::key("plan:1")).await.expect("taken");
    eventually("the other has the purge", async || {
        two.cache.epoch() == Some(receipt.epoch)
    })
    .await;
    assert_eq!(&**two.ask(1, "new").await.value, "new");
}

/// Each of the two listens to one of the servers.
async fn both_listen(servers: impl IntoIterator<Item = &RedisServer> + Clone) {
    eventually("both listen", async || {
        let mut listeners = 0;
        for server in servers.clone() {
            let channel = ["PUBSUB", "NUMSUB", "terrace:{default}:purges:v2"];
            let told: Option<(String, u64)> = server.call(&channel).await;
            listeners += told.map_or(0, |(_, listeners)| listeners);
        }
        listeners == 2
    })
    .await;
}

/// After a fail-over: what one purges, the other sees.
async fn still_sees_purges(one: &Process, two: &Process) {
    let mut receipt = None;
    eventually("the new master takes purges", async || {
        receipt = one.cache.purge(Purge::key("plan:1")).await.ok();
        receipt.is_some()
    })
    .await;
    let purged = receipt.expect("taken").epoch;
    eventually("the other has the purge", async || {
        let epoch = two.cache.epoch();
        epoch.is_some_and(|epoch| epoch.sequence >= purged.sequence)
    })
    .await;
    eventually("the other's view is young", async || {
        let age = two.cache.stats().ledger.view_age_ms;
        age.is_some_and(|age| age.as_u64() < 2_000)
    })
    .await;
    assert_eq!(&**two.ask(1, "newer").await.value, "newer");
}

/// A purge that only the old master has.
async fn lose_a_purge(one: &Process, two: &Process) -> terrace_origin::Epoch {
    let lost = one
        .cache
        .purge(Purge::key("plan:3"))
        .await
        .expect("taken")
        .epoch;
    eventually("both have it", async || {
        one.cache.epoch() == Some(lost) && two.cache.epoch() == Some(lost)
    })
    .await;
    assert_eq!(one.source(4).await, Source::Memory);
    lost
}

/// Nothing of the lost history is believed.
async fn begins_anew(one: &Process, two: &Process, before: terrace_origin::Epoch) {
    eventually("both follow the new history", async || {
        let (one, two) = (one.cache.epoch(), two.cache.epoch());
        one == two && one.is_some_and(|epoch| epoch.incarnation != before.incarnation)
    })
    .await;
    assert_eq!(&**one.ask(4, "new").await.value, "new");
}

/// The key of a ledger of the default name.
const LEDGER: &str = "terrace:{default}:ledger:v2";

async fn replicates(replica: &RedisServer) -> bool {
    let info: Option<String> = replica.call(&["INFO", "replication"]).await;
    info.is_some_and(|info| info.contains("master_link_status:up"))
}

/// Waits until the replica has all that the master has now.
async fn copied(master: &RedisServer, replica: &RedisServer) {
    let offset = async |server: &RedisServer, name: &str| {
        let info: Option<String> = server.call(&["INFO", "replication"]).await;
        let info = info?;
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').parse::<u64>().ok()
    };
    let all = offset(master, "master_repl_offset").await;
    eventually("the replica has everything", async || {
        all.is_some() && offset(replica, "slave_repl_offset").await >= all
    })
    .await;
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Waits until `condition` holds: longer than elsewhere, as votes are taken meanwhile.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

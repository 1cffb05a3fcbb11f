//! Real Redis servers: one, one with a replica under Sentinels, or a cluster.
//!
//! Where there are replicas, each primary has one and demands it to write (`min-replicas-to-write 1`): what is
//! promised across a fail-over is promised for primaries that demand all of their replicas.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::faults::Topology;

/// The Redis of a world.
pub struct Servers {
    topology: Topology,
    directory: tempfile::TempDir,
    nodes: Vec<Node>,
    sentinels: Vec<Node>,
}

/// One `redis-server`.
struct Node {
    port: u16,
    arguments: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Servers {
    /// The name by which Sentinels know the primary.
    const PRIMARY: &'static str = "main";

    /// How long a server must be silent for Sentinels, or the cluster, to take it for dead, in milliseconds.
    const DOWN_AFTER: u32 = 1_000;

    /// Starts what the topology has.
    ///
    /// # Panics
    /// When something of it does not start.
    pub async fn start(topology: Topology) -> Self {
        let mut servers = Self {
            topology,
            directory: tempfile::tempdir().unwrap(),
            nodes: Vec::new(),
            sentinels: Vec::new(),
        };
        match topology {
            Topology::Standalone => servers.nodes.push(Node::new(free_port().await, &[])),
            Topology::Sentinel => servers.add_watched().await,
            Topology::Cluster => servers.add_cluster().await,
        }
        if topology != Topology::Standalone {
            for node in &mut servers.nodes {
                let demand = [
                    "--min-replicas-to-write",
                    "1",
                    "--min-replicas-max-lag",
                    "2",
                ];
                node.arguments.extend(demand.map(str::to_owned));
                let soon = ["--repl-diskless-sync-delay", "0"];
                node.arguments.extend(soon.map(str::to_owned));
            }
        }
        for node in servers.nodes.iter().chain(&servers.sentinels) {
            node.start(&servers.directory).await;
        }
        if topology == Topology::Cluster {
            servers.join().await;
        }
        servers.replicate().await;
        servers
    }

    async fn add_watched(&mut self) {
        let primary = free_port().await;
        self.nodes.push(Node::new(primary, &[]));
        let replica = ["--replicaof", "127.0.0.1", &primary.to_string()].map(str::to_owned);
        self.nodes.push(Node::new(free_port().await, &replica));
        for _ in 0..3 {
            let port = free_port().await;
            let name = Self::PRIMARY;
            let file = self.directory.path().join(format!("sentinel-{port}.conf"));
            let settings = format!(
                "sentinel monitor {name} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {name} {}\n\
                 sentinel failover-timeout {name} 4000\n",
                Self::DOWN_AFTER,
            );
            std::fs::write(&file, settings).unwrap();
            let mut sentinel = Node::new(port, &["--sentinel".to_owned()]);
            sentinel
                .arguments
                .insert(0, file.to_str().unwrap().to_owned());
            self.sentinels.push(sentinel);
        }
    }

    async fn add_cluster(&mut self) {
        for _ in 0..6 {
            let port = free_port().await;
            let file = format!("nodes-{port}.conf");
            let timeout = Self::DOWN_AFTER.to_string();
            let arguments = [
                "--cluster-enabled",
                "yes",
                "--cluster-config-file",
                &file,
                "--cluster-node-timeout",
                &timeout,
                "--cluster-require-full-coverage",
                "no",
            ];
            self.nodes
                .push(Node::new(port, &arguments.map(str::to_owned)));
        }
    }

    async fn join(&self) {
        let addresses = self.nodes.iter().map(|node| node.address().to_string());
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&created.stdout);
        assert!(created.status.success(), "{said}");
        wait_until("the cluster is up on every node", async || {
            for node in &self.nodes {
                let info = node.command("CLUSTER INFO").await?;
                if !info.contains("cluster_state:ok") {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Waits until every replica has what its primary has: before that, none takes over.
    async fn replicate(&self) {
        let replicas = match self.topology {
            Topology::Standalone => 0,
            Topology::Sentinel => 1,
            Topology::Cluster => self.nodes.len() / 2,
        };
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let mut in_step = 0;
            for node in &self.nodes {
                let info = node.command("INFO replication").await.unwrap_or_default();
                in_step += usize::from(info.contains("master_link_status:up"));
            }
            if in_step >= replicas {
                return;
            }
            assert!(Instant::now() < deadline, "the replicas do not follow");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where it can be reached; none if only by its servers' own addresses.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.topology {
            Topology::Standalone => Some(self.nodes[0].address()),
            Topology::Sentinel | Topology::Cluster => None,
        }
    }

    /// The URL by which processes know it, over a link to it if there is one.
    pub fn url(&self, link: Option<SocketAddr>) -> String {
        let list = |nodes: &[Node]| {
            let addresses: Vec<_> = nodes
                .iter()
                .map(|node| node.address().to_string())
                .collect();
            addresses.join(",")
        };
        match self.topology {
            Topology::Standalone => {
                let address = link.unwrap_or_else(|| self.nodes[0].address());
                format!("redis://{address}/")
            }
            Topology::Sentinel => {
                format!(
                    "redis+sentinel://{}/{}",
                    list(&self.sentinels),
                    Self::PRIMARY
                )
            }
            Topology::Cluster => format!("redis+cluster://{}", list(&self.nodes)),
        }
    }

    /// Has every server carry out `command`; those that are down do not.
    pub async fn everywhere(&self, command: &str) {
        for node in &self.nodes {
            let _ = node.command(command).await;
        }
    }

    /// A server that is a primary now, a random one; none while none says so.
    pub async fn primary(&self) -> Option<usize> {
        fastrand::choice(self.primaries().await)
    }

    async fn primaries(&self) -> Vec<usize> {
        let mut primaries = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let role = node.command("ROLE").await.unwrap_or_default();
            if role.contains("master") {
                primaries.push(at);
            }
        }
        primaries
    }

    /// Kills a server, as a crash would.
    pub async fn kill(&self, server: usize) {
        let child = self.nodes[server].child.lock().await.take();
        if let Some(mut child) = child {
            child.kill().await.unwrap();
        }
    }

    /// Starts a server that was killed: empty, as none keeps anything.
    pub async fn restart(&self, server: usize) {
        self.nodes[server].start(&self.directory).await;
    }

    /// Sends a server this signal, such as `STOP`.
    pub async fn signal(&self, server: usize, name: &str) {
        let child = self.nodes[server].child.lock().await;
        let id = child.as_ref().and_then(|child| child.id());
        drop(child);
        if let Some(id) = id {
            crate::world::signal(id, name).await;
        }
    }
}

impl Node {
    fn new(port: u16, arguments: &[String]) -> Self {
        Self {
            port,
            arguments: arguments.to_vec(),
            child: Mutex::new(None),
        }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    async fn start(&self, directory: &tempfile::TempDir) {
        // What a replica was sent in full lies in a file, which a server that starts again would read.
        let kept = format!("{}.rdb", self.port);
        let _ = std::fs::remove_file(directory.path().join(&kept)); // there may be none
        let mut arguments = self.arguments.clone();
        let port = ["--port", &self.port.to_string(), "--bind", "127.0.0.1"].map(str::to_owned);
        // A configuration file comes first.
        let file = usize::from(!arguments.first().is_none_or(|word| word.starts_with("--")));
        arguments.splice(file..file, port);
        if !arguments.contains(&"--sentinel".to_owned()) {
            arguments.extend(["--save", "", "--appendonly", "no"].map(str::to_owned));
            arguments.extend(["--dbfilename".to_owned(), kept]);
        }
        let child = Command::new("redis-server")
            .args(arguments)
            .arg("--dir")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server: {error}; apt-get install redis-server"));
        *self.child.lock().await = Some(child);
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.command("PING").await.as_deref() != Some("+PONG\r\n") {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends one inline command and gives back the raw beginning of its answer.
    async fn command(&self, command: &str) -> Option<String> {
        let limit = Duration::from_secs(2);
        let answer = async {
            let mut stream = TcpStream::connect(self.address()).await.ok()?;
            let line = format!("{command}\r\n");
            stream.write_all(line.as_bytes()).await.ok()?;
            let mut answer = vec![0; 4_096];
            let length = stream.read(&mut answer).await.ok()?;
            answer.truncate(length);
            Some(String::from_utf8_lossy(&answer).into_owned())
        };
        tokio::time::timeout(limit, answer).await.ok()?
    }
}

/// A port that nobody listens on.
pub async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_replicated_redis_has_another_primary_after_one_is_killed_and_takes_it_back_as_a_replica()
     {
        for topology in [Topology::Sentinel, Topology::Cluster] {
            let servers = Servers::start(topology).await;
            let killed = servers.primary().await.unwrap();
            servers.kill(killed).await;
            let before = servers.primaries().await.len();
            wait_until("a replica takes over", async || {
                (servers.primaries().await.len() > before).then_some(())
            })
            .await;
            servers.restart(killed).await;
            wait_until("it is a replica now", async || {
                (!servers.primaries().await.contains(&killed)).then_some(())
            })
            .await;
        }
    }
}

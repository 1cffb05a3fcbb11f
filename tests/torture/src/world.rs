//! What is tortured: origin processes, Redis, data centres, and the links between them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use e2e::{PURGE_TOKEN, Process, root, token_list};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::TOKEN_SECRET;
use crate::faults::Size;
use crate::proxy::Link;
use crate::source::Source;
use crate::topology::{Servers, free_port};

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Origin processes, data centres, and the kind of Redis.
    pub size: Size,
    /// Isolates in each data centre.
    pub isolates: usize,
    /// Of what is random in it.
    pub seed: u64,
    /// Where the worker was built.
    pub build: PathBuf,
    /// A rule of the ledger to be broken.
    pub broken: Option<String>,
    /// Where its processes write what they have to say.
    pub logs: PathBuf,
}

/// A running world.
pub struct World {
    /// What is cached.
    pub source: Arc<Source>,
    /// The processes.
    pub origins: Vec<Origin>,
    /// The data centres.
    pub centres: Vec<Centre>,
    /// Redis.
    pub redis: Servers,
    /// From the processes to the edge.
    pub to_edge: Link,
    /// The worker that holds the edge's ledger, and serves nothing.
    authority: Process,
}

/// An origin process, or the place of one that is down.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    /// From it to Redis, where that can be on a link.
    pub to_redis: Option<Link>,
    process: Mutex<Option<Process>>,
    arguments: Vec<String>,
    log: PathBuf,
}

/// A data centre: isolates that share one Cache API.
pub struct Centre {
    /// Where its isolates listen.
    pub isolates: Vec<SocketAddr>,
    /// From it to the processes.
    pub to_origins: Link,
    process: Process,
}

impl World {
    /// Starts everything, and waits until it is up.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(plan: &Plan) -> Self {
        std::fs::create_dir_all(&plan.logs).unwrap();
        let Size {
            processes, centres, ..
        } = plan.size;
        let source = Source::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source_at = listener.local_addr().unwrap();
        tokio::spawn(source.clone().serve(listener, plan.seed));
        let redis = Servers::start(plan.size.topology).await;

        let mut listening = Vec::new();
        for _ in 0..processes {
            listening.push(SocketAddr::from(([127, 0, 0, 1], free_port().await)));
        }
        let registry = plan.logs.join("registry");
        let authority = start_authority(plan, &registry).await;
        let mut all_centres = Vec::new();
        for number in 0..centres {
            all_centres.push(Centre::start(plan, number, &registry, &listening).await);
        }
        let isolates = all_centres
            .iter()
            .flat_map(|centre| centre.isolates.clone());
        let to_edge = Link::to(isolates.collect()).await;

        let mut origins = Vec::new();
        for (number, address) in listening.iter().enumerate() {
            let to_redis = match redis.address() {
                Some(address) => Some(Link::to(vec![address]).await),
                None => None,
            };
            let url = redis.url(to_redis.as_ref().map(|link| link.address));
            let mut arguments = vec![
                format!("--listen={address}"),
                format!("--redis={url}"),
                format!("--source={source_at}"),
                format!("--edge=http://{}", to_edge.address),
                format!("--edge-token={PURGE_TOKEN}"),
            ];
            arguments.extend(plan.broken.iter().map(|rule| format!("--break={rule}")));
            let origin = Origin {
                address: *address,
                to_redis,
                process: Mutex::new(None),
                arguments,
                log: plan.logs.join(format!("origin-{number}.log")),
            };
            origin.start().await;
            origins.push(origin);
        }
        Self {
            source,
            origins,
            centres: all_centres,
            redis,
            to_edge,
            authority,
        }
    }

    /// Kills the worker with the edge's ledger; its runtime starts it again.
    pub async fn kill_authority(&self) {
        kill_worker(&self.authority).await;
    }
}

impl Origin {
    /// Starts the process.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(&self) {
        let mut process = self.process.lock().await;
        let binary = std::env::current_exe()
            .unwrap()
            .with_file_name("torture-origin");
        let mut command = Command::new(binary);
        command.args(&self.arguments).stderr(log(&self.log));
        let (started, _) = Process::start("an origin process", &mut command).await;
        *process = Some(started);
    }

    /// Kills the process, as a crash would; nothing happens while it is down.
    pub async fn kill(&self) {
        let mut process = self.process.lock().await;
        if let Some(process) = process.take() {
            process.kill().await;
        }
    }

    /// Sends the process this signal, such as `STOP`; nothing happens while it is down.
    pub async fn signal(&self, name: &str) {
        let process = self.process.lock().await;
        let id = process.as_ref().and_then(|process| process.id());
        drop(process);
        if let Some(id) = id {
            signal(id, name).await;
        }
    }
}

impl Centre {
    async fn start(plan: &Plan, number: usize, registry: &Path, origins: &[SocketAddr]) -> Self {
        let to_origins = Link::to(origins.to_vec()).await;
        let origin = format!("http://{}", to_origins.address);
        let mut command = edge(plan, registry, &format!("centre-{number}"), &origin);
        command.args(["--ledger", LEDGER, "--isolates"]);
        command.arg(plan.isolates.to_string());
        let (process, ready) = Process::start("a data centre", &mut command).await;
        let urls = ready["urls"].as_array().unwrap().iter();
        let isolates = urls.map(|url| address_in(url.as_str().unwrap())).collect();
        Self {
            isolates,
            to_origins,
            process,
        }
    }

    /// Kills its workers; their runtime starts them again.
    pub async fn kill_worker(&self) {
        kill_worker(&self.process).await;
    }
}

/// The name of the worker that holds the edge's ledger.
const LEDGER: &str = "terrace-ledger";

async fn start_authority(plan: &Plan, registry: &Path) -> Process {
    let mut command = edge(plan, registry, LEDGER, "http://127.0.0.1:1");
    Process::start("the edge's ledger", &mut command).await.0
}

fn edge(plan: &Plan, registry: &Path, name: &str, origin: &str) -> Command {
    let mut command = Command::new(root().join("node_modules/.bin/node"));
    command.arg("tests/torture/centre.mjs");
    command.arg("--build").arg(&plan.build);
    command.arg("--registry").arg(registry);
    command.args(["--name", name]);
    let vars = [
        ("ORIGIN", origin),
        ("TERRACE_PURGE_TOKENS", &token_list()),
        ("TERRACE_TOKEN_SECRET", TOKEN_SECRET),
        ("TERRACE_ORIGIN_TIMEOUT_MS", "10000"),
        ("TERRACE_BREAK", plan.broken.as_deref().unwrap_or_default()),
    ];
    for (name, value) in vars {
        command.arg("--var").arg(format!("{name}={value}"));
    }
    command.stderr(log(&plan.logs.join(format!("{name}.log"))));
    command
}

/// Sends a process this signal, such as `STOP`.
///
/// # Panics
/// When there is no `kill`.
pub async fn signal(id: u32, name: &str) {
    let mut kill = Command::new("kill");
    // An error means that the process has just ended.
    let _ = kill
        .args([&format!("-{name}"), &id.to_string()])
        .status()
        .await
        .unwrap();
}

/// Kills the workerd that this process of Node has started.
async fn kill_worker(process: &Process) {
    let Some(node) = process.id() else { return };
    let tasks = std::fs::read_dir(format!("/proc/{node}/task"))
        .into_iter()
        .flatten();
    for task in tasks.flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
            let name = std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if name.trim() == "workerd" {
                signal(child, "KILL").await;
            }
        }
    }
}

fn address_in(url: &str) -> SocketAddr {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    address
        .parse()
        .unwrap_or_else(|_| panic!("{url} is no address"))
}

fn log(path: &Path) -> Stdio {
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    file.unwrap().into()
}

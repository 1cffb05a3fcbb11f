//! The shield, as its own process.

use std::process::{ExitStatus, Output};

use tokio::process::Command;

use crate::client::{Answer, Client};
use crate::edge::{PRODUCTS_TOKEN, PURGE_TOKEN, token_list};
use crate::process::{Process, root, wait_until};
use crate::raw::RawConnection;

/// A running shield.
pub struct Shield {
    /// Sends requests to it.
    pub client: Client,
    /// What it said when it was up.
    pub line: String,
    address: String,
    process: Process,
}

impl Shield {
    /// Starts one before `upstream`, with [`PURGE_TOKEN`] and [`PRODUCTS_TOKEN`].
    pub async fn start(upstream: &str) -> Self {
        Self::start_with(upstream, &[]).await
    }

    /// Starts one with these arguments as well.
    pub async fn start_with(upstream: &str, arguments: &[&str]) -> Self {
        let mut command = command(upstream, arguments);
        command.env("TERRACE_PURGE_TOKENS", token_list());
        Self::start_as(&mut command).await
    }

    /// Starts one that nobody may purge.
    pub async fn start_without_tokens(upstream: &str) -> Self {
        Self::start_as(&mut command(upstream, &[])).await
    }

    async fn start_as(command: &mut Command) -> Self {
        let (process, line) = Process::start_saying("the shield", command).await;
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("it said {line:?}"));
        Self {
            client: Client::new(url),
            address: url.trim_start_matches("http://").to_owned(),
            line,
            process,
        }
    }

    /// What one says that cannot start.
    pub async fn fail_to_start(upstream: &str, arguments: &[&str]) -> Output {
        command(upstream, arguments).output().await.unwrap()
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A connection to it.
    pub async fn connect(&self) -> RawConnection {
        RawConnection::to(&self.address).await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.client.get(path).await
    }

    /// `GET`, again and again until what was answered before is stored.
    pub async fn hit(&self, path: &str) -> Answer {
        wait_until(&format!("{path} is a hit"), async || {
            Some(self.get(path).await).filter(Answer::is_hit)
        })
        .await
    }

    /// Purges with [`PURGE_TOKEN`].
    pub async fn purge(&self, request: &serde_json::Value) -> Answer {
        self.purge_as(PURGE_TOKEN, request).await
    }

    /// Purges with [`PRODUCTS_TOKEN`].
    pub async fn purge_products(&self, request: &serde_json::Value) -> Answer {
        self.purge_as(PRODUCTS_TOKEN, request).await
    }

    async fn purge_as(&self, token: &str, request: &serde_json::Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str())];
        self.client.post("/.terrace/purge", &fields, request).await
    }

    /// The most memory that it has had, in bytes.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn peak_memory(&self) -> u64 {
        let id = self.process.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
        kibibytes.parse::<u64>().unwrap() * 1_024
    }

    /// Tells it to end.
    pub async fn terminate(&self) {
        self.process.terminate().await;
    }

    /// How it ended, once it has.
    pub async fn ended(&mut self) -> ExitStatus {
        self.process.ended().await
    }
}

fn command(upstream: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join("target/debug/terrace"));
    command
        .args(["shield", "--upstream", upstream])
        .args(arguments)
        .env_remove("TERRACE_PURGE_TOKENS")
        .env_remove("TERRACE_REDIS_URL")
        .env_remove("TERRACE_EDGE_URL")
        .current_dir(root())
        .kill_on_drop(true);
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command
}

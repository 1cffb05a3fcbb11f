//! A real `redis-server` on a free port, and waiting with a deadline.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A `redis-server` process of this test's own; it ends with this value.
pub(crate) struct RedisServer {
    port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    /// When there is no `redis-server`, or it does not come up.
    pub(crate) async fn start() -> Self {
        let plain = ["--save", "", "--appendonly", "no"].map(str::to_owned);
        Self::start_with(|_, _| plain.to_vec()).await
    }

    /// Starts one with arguments of its own, made from its directory and its port.
    pub(crate) async fn start_with(arguments: impl FnOnce(&Path, u16) -> Vec<String>) -> Self {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("terrace-redis-{port}"));
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        let arguments = arguments(&directory, port);
        let mut server = Self {
            port,
            directory,
            arguments,
            process: None,
        };
        server.restart().await;
        server
    }

    /// Starts it again, empty, on the same port.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        let started = Command::new("redis-server")
            .args(&self.arguments)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(&self.directory)
            .stdout(Stdio::null())
            .spawn();
        let process = started.expect("redis-server is needed: apt-get install redis-server");
        self.process = Some(process);
        wait_until("Redis answers", async || {
            let reply: Option<String> = self.call(&["PING"]).await;
            reply.is_some()
        })
        .await;
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it was ours");
        }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Its port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// What it answers to one command; none if it is an error, or nothing.
    pub(crate) async fn call<R: redis::FromRedisValue>(&self, words: &[&str]) -> Option<R> {
        let client = redis::Client::open(self.url()).expect("an address");
        let patient = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(5)))
            .set_response_timeout(Some(Duration::from_secs(5)));
        let connected = client.get_multiplexed_async_connection_with_config(&patient);
        let mut connection = connected.await.ok()?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut connection).await.ok()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within ten seconds.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

//! A Redis server of the test's own.

use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::process::wait_until;

/// A `redis-server` on a free port, with a directory of its own.
pub struct RedisServer {
    port: u16,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let mut server = Self {
            port,
            directory: tempfile::tempdir().unwrap(),
            child: None,
        };
        server.restart().await;
        server
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Starts it again, empty, on the same port.
    pub async fn restart(&mut self) {
        self.kill().await;
        let child = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--port",
            ])
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server: {error}; apt-get install redis-server"));
        self.child = Some(child);
        wait_until("redis-server answers", async || {
            (self.command("PING").await? == "+PONG\r\n").then_some(())
        })
        .await;
    }

    /// Sends one inline command and gives back the raw beginning of its answer.
    pub async fn command(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await
            .ok()?;
        let mut answer = vec![0; 4_096];
        let length = stream.read(&mut answer).await.ok()?;
        answer.truncate(length);
        Some(String::from_utf8_lossy(&answer).into_owned())
    }
}

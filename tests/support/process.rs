//! Child processes that say where they listen, and cannot outlive their test.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, timeout};

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// How long anything may take that should take a moment: machines are shared and slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until `condition` gives a value, and fails after a minute.
///
/// # Panics
/// When it never does.
pub async fn wait_until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited a minute for this: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A child that is ended when this is dropped.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Its temporary files: one that is killed leaves them behind.
    _temporary: TempDir,
}

impl Process {
    /// Starts `command` and waits for the line of JSON that it prints when it is up.
    ///
    /// # Panics
    /// When it stops before that, or prints something else.
    pub async fn start(what: &str, command: &mut Command) -> (Self, serde_json::Value) {
        let (process, line) = Self::start_saying(what, command).await;
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{what} printed {line:?}: {error}"));
        (process, ready)
    }

    /// Starts `command` and waits for the line that it prints when it is up.
    ///
    /// # Panics
    /// When it stops before that.
    pub async fn start_saying(what: &str, command: &mut Command) -> (Self, String) {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = command
            .current_dir(root())
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{what} did not start ({error}); make test builds it"));
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line())
            .await
            .unwrap_or_else(|_| panic!("{what} was not up within a minute"))
            .unwrap()
            .unwrap_or_else(|| panic!("{what} stopped before it was up"));
        // Its later lines go nowhere, but its pipe stays open.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let process = Self {
            child,
            stdin,
            _temporary: temporary,
        };
        (process, line)
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends it SIGTERM.
    ///
    /// # Panics
    /// When it runs no more.
    pub async fn terminate(&self) {
        let id = self.id().unwrap().to_string();
        let mut kill = Command::new("kill");
        let sent = kill.args(["-TERM", &id]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Kills it, as a crash would.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn kill(mut self) {
        timeout(PATIENCE, self.child.kill()).await.unwrap().unwrap();
    }

    /// How it ended, once it has.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }

    /// Ends it the way its parent's death would: its standard input closes.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn stop(mut self) {
        drop(self.stdin.take());
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
    }
}

/// The `url` in the line that a process printed.
pub(crate) fn url_of(ready: &serde_json::Value) -> String {
    ready["url"].as_str().unwrap().to_owned()
}

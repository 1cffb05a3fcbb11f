//! A process that is stopped, and wakes with an old view: it believes it no longer than the bound, and then catches up.

mod appender;
mod process;
mod support;

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use appender::{Limits, append, connect, exactly};
use process::Process;
use support::{RedisServer, wait_until};
use terrace_origin::Redis;
use terrace_shared::policy::OnLedgerLag;

const REDIS: &str = "TERRACE_TEST_REDIS";

/// A cache in a process of its own, asked over its input.
struct Sleeper {
    child: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Sleeper {
    fn start(server: &RedisServer) -> Self {
        let this = std::env::current_exe().expect("this test");
        let started = Command::new(this)
            .args(["--exact", "the_other_process", "--ignored", "--nocapture"])
            .env(REDIS, server.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = started.expect("it starts");
        let ask = child.stdin.take().expect("an input");
        let answers = BufReader::new(child.stdout.take().expect("an output")).lines();
        Self {
            child,
            ask,
            answers,
        }
    }

    /// Where it got plan `id` from.
    fn source(&mut self, id: u32) -> String {
        self.told(&id.to_string())
    }

    /// What it answers to a line.
    fn told(&mut self, line: &str) -> String {
        writeln!(self.ask, "{line}").expect("it listens");
        loop {
            let line = self.answers.next().expect("it answers").expect("text");
            if let Some(answer) = line.strip_prefix("answer ") {
                return answer.to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(status.expect("there is kill").success());
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
#[ignore = "the other process of the test below"]
async fn the_other_process() {
    let Ok(url) = std::env::var(REDIS) else {
        return;
    };
    let redis = Redis::connect(url).await.expect("Redis answers");
    let process = Process::over(redis, OnLedgerLag::Revalidate).await;
    loop {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = line.await.expect("no panic").expect("text");
        if line.is_empty() {
            return;
        }
        let Ok(id) = line.trim().parse() else {
            wait_until("its view is young", async || {
                let age = process.cache.stats().ledger.view_age_ms;
                age.is_some_and(|age| age.as_u64() < 2_000)
            })
            .await;
            println!("\nanswer level");
            continue;
        };
        println!("\nanswer {:?}", process.source(id).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_through_thousands_of_purges_believes_nothing_that_they_named() {
    let server = RedisServer::start().await;
    let awake = Process::start(&server).await;
    let mut sleeper = Sleeper::start(&server);
    assert_eq!(sleeper.source(1), "Filled");
    assert_eq!(sleeper.source(2), "Filled");
    assert_eq!(sleeper.source(1), "Memory");
    sleeper.signal("-STOP");
    let stopped = std::time::Instant::now();

    let mut redis = connect(&server.url()).await;
    append(&mut redis, [exactly("plan:1")], Limits::USUAL).await;
    let others = (0..9_000).map(|number| exactly(&format!("other:{number}")));
    append(&mut redis, others, Limits::USUAL).await;
    wait_until("the sleeper's place is only in the snapshot", async || {
        append(&mut redis, [exactly("other")], Limits::USUAL).await;
        let floor: Option<u64> = server.call(&["HGET", appender::LEDGER, "f"]).await;
        floor.is_some_and(|floor| floor > 64)
    })
    .await;
    assert_eq!(
        awake.ask(1, "new").await.source,
        terrace_origin::Source::Filled
    );
    wait_until("the bound has passed", async || {
        stopped.elapsed().as_secs() >= 6
    })
    .await;

    sleeper.signal("-CONT");
    assert_ne!(
        sleeper.source(1),
        "Memory",
        "its copy is from before the purge"
    );
    assert_eq!(sleeper.told("catch up"), "level");
    assert_eq!(sleeper.source(2), "Memory", "nothing has named it");
}

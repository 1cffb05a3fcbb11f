//! Bodies that are longer than any memory should hold.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::rfc::wire::Framing;
use e2e::rfc::{Answer, Connection, Driver};
use tokio::io::AsyncReadExt as _;

use crate::at_the_edge;

/// What flows through at once.
const LENGTH: u64 = 100 << 20;

/// Most that a process may grow by while that flows through it: a Worker's isolate has 128 MB for everything.
const MOST_GROWTH: u64 = 64 << 20;

#[tokio::test]
async fn a_hundred_megabytes_flow_through_the_edge_and_leave_no_trace_in_memory() {
    at_the_edge(async |site| {
        site.is_well("start").await;
        let parent = site.cache.process_id().unwrap();
        let workers = descendants(parent);
        let workerd = workers
            .into_iter()
            .find(|id| name_of(*id) == "workerd")
            .expect("workerd runs");
        for (name, fields) in [
            (
                "sized",
                format!("Cache-Control: max-age=3600\r\nContent-Length: {LENGTH}\r\n"),
            ),
            (
                "until-close",
                "Cache-Control: max-age=3600\r\nConnection: close\r\n".to_owned(),
            ),
            (
                "private",
                format!("Cache-Control: no-store\r\nContent-Length: {LENGTH}\r\n"),
            ),
        ] {
            let page = site.page(name);
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes();
            page.answers([Answer::Flood {
                head,
                bytes: LENGTH,
            }]);
            let before = resident(workerd);
            let done = AtomicBool::new(false);
            let (read, peak) = tokio::join!(
                async {
                    let read = drain(site.cache.authority(), &page.request(&[])).await;
                    done.store(true, Ordering::Relaxed);
                    read
                },
                highest(workerd, &done),
            );
            assert_eq!(read, LENGTH, "{name}");
            let growth = peak.saturating_sub(before) >> 20;
            println!(
                "{name}: {} MiB before, {growth} MiB more at most",
                before >> 20
            );
            assert!(growth <= MOST_GROWTH >> 20, "{name}: grew by {growth} MiB");
        }
        site.is_well("floods").await;
    })
    .await;
}

/// How many bytes of content come; none is kept.
async fn drain(authority: &str, request: &e2e::rfc::Sent) -> u64 {
    let mut connection = Connection::open(authority).await.unwrap();
    connection.send(request).await.unwrap();
    let (_, head) = connection.read_heads().await.unwrap();
    assert_eq!(head.status(), 200);
    if head.response_framing("GET") == Framing::Chunked {
        return connection.count_chunks().await.unwrap();
    }
    let mut buffer = vec![0; 256 << 10];
    let mut all = 0;
    while all < LENGTH {
        match connection.stream().read(&mut buffer).await.unwrap() {
            0 => break,
            read => all += u64::try_from(read).unwrap(),
        }
    }
    all
}

/// The highest resident size of `process` until it is done.
async fn highest(process: u32, done: &AtomicBool) -> u64 {
    let mut highest = 0;
    while !done.load(Ordering::Relaxed) {
        highest = highest.max(resident(process));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    highest
}

/// The resident size of a process in bytes.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
    kibibytes.unwrap().parse::<u64>().unwrap() << 10
}

fn name_of(process: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

/// All processes that `process` has started, and those that they have.
fn descendants(process: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let mut parents = vec![process];
    while let Some(parent) = parents.pop() {
        let threads = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|id| id.parse().ok());
            let children: Vec<u32> = children.collect();
            parents.extend(&children);
            all.extend(children);
        }
    }
    all
}

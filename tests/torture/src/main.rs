//! `make torture`: runs a world under faults, and reports what the checker found.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use e2e::root;
use serde_json::json;
use terrace_torture::actors::Run;
use terrace_torture::faults::{Fault, Planned, Size, Topology, schedule};
use terrace_torture::proxy::{Link, LinkState};
use terrace_torture::report::table;
use terrace_torture::world::{Plan, World};

/// Tortures origin processes, Redis and data centres, and holds every read against the purges before it.
#[derive(Parser)]
struct Arguments {
    /// How long, in seconds.
    #[arg(long, default_value_t = 45)]
    seconds: u64,
    /// How Redis is set up.
    #[arg(long, value_enum, default_value_t)]
    topology: Topology,
    /// Of everything that is random; a new one each time if none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// A rule of the ledger to be broken: the run ends well only if the checker finds it.
    #[arg(long = "break", value_name = "RULE")]
    broken: Option<String>,
    /// Origin processes.
    #[arg(long, default_value_t = 3)]
    processes: usize,
    /// Data centres.
    #[arg(long, default_value_t = 2)]
    centres: usize,
    /// Isolates in each of them.
    #[arg(long, default_value_t = 2)]
    isolates: usize,
    /// Longest rest of a reader between two reads, in microseconds.
    #[arg(long, default_value_t = 2_000)]
    pace: u64,
    /// Where the worker was built.
    #[arg(long, default_value = "edge/build")]
    build: PathBuf,
    /// Where the report and the logs go.
    #[arg(long, default_value = "target/torture")]
    out: PathBuf,
    /// Adds the run to tests/torture/results.md.
    #[arg(long)]
    update: bool,
    /// No faults: what is left is the load.
    #[arg(long)]
    calm: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let size = Size {
        processes: arguments.processes.max(1),
        centres: arguments.centres.max(1),
        topology: arguments.topology,
    };
    let out = root().join(&arguments.out);
    let plan = Plan {
        size,
        isolates: arguments.isolates.max(1),
        seed,
        build: arguments.build.clone(),
        broken: arguments.broken.clone(),
        logs: out.join("logs"),
    };
    // Of an earlier run; there may be none.
    let _ = std::fs::remove_dir_all(&plan.logs);
    eprintln!(
        "seed {seed}: {:?}, {} s",
        arguments.topology, arguments.seconds
    );
    let world = World::start(&plan).await;
    let run = Run::new(world, Duration::from_micros(arguments.pace));
    run.begin(seed);
    let length = Duration::from_secs(arguments.seconds);
    let mut faults = Vec::new();
    if !arguments.calm {
        for planned in schedule(seed, length, size) {
            faults.push(format!(
                "{} ms: {:?} for {} ms",
                planned.at.as_millis(),
                planned.fault,
                planned.lasts.as_millis()
            ));
            tokio::spawn(carry_out(run.clone(), planned));
        }
    }
    let found_after = watch(&run, length, arguments.broken.is_some()).await;

    let setting = json!({
        "seed": seed,
        "seconds": run.now().as_secs(),
        "topology": format!("{:?}", arguments.topology).to_lowercase(),
        "processes": size.processes,
        "data_centres": size.centres,
        "isolates": size.centres * plan.isolates,
        "source_reads": run.world.source.reads(),
        "broken": arguments.broken,
        "faults": faults,
        "at": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    });
    let report = run.report.json(&setting);
    let text = serde_json::to_string_pretty(&report).unwrap();
    std::fs::write(out.join("report.json"), text).unwrap();
    println!("{}", table(&report));
    if arguments.update {
        add_to_results(&report);
    }
    match (&arguments.broken, found_after, run.report.violated()) {
        (Some(rule), Some(after), _) => {
            println!(
                "{rule} was broken, and found after {:.1} s.",
                after.as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        (Some(rule), None, _) => {
            println!("{rule} was broken, and nobody has noticed.");
            ExitCode::FAILURE
        }
        (None, _, 0) => ExitCode::SUCCESS,
        (None, _, count) => {
            println!(
                "{count} reads were older than a purge allows. Again: make torture SEED={seed}"
            );
            println!(
                "The schedules of the model by that seed: TERRACE_MODEL_SEED={seed} cargo test -p terrace-shared model"
            );
            ExitCode::FAILURE
        }
    }
}

/// Adds the run to what the project says of itself, in the place of an earlier one of the same topology and seed.
fn add_to_results(report: &serde_json::Value) {
    let path = root().join("tests/torture/results.md");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let own = report["run"].clone();
    let topology = own["topology"].as_str().unwrap_or_default();
    let heading = format!("## {topology}, seed {}\n", own["seed"]);
    let mut sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    let title = heading.trim_start_matches("## ").trim_end();
    sections.retain(|section| section.lines().next() != Some(title));
    let kept = sections
        .iter()
        .map(|section| format!("\n## {}\n", section.trim_end()));
    let kept: String = kept.collect();
    let text = format!("{RESULTS}{kept}\n{heading}\n{}", table(report));
    std::fs::write(path, text).unwrap();
}

/// What results.md begins with.
const RESULTS: &str = "\
# Torture: what was seen

Written by `make torture UPDATE=1`: origin processes, data centres with the real worker and a real Redis under faults
from a seed, and every read held against the receipts of the purges before it. A violation is a read older than a purge
whose bound had passed when the read began.
";

/// Waits for the end, and with a broken rule for the first violation: when that was.
async fn watch(run: &Arc<Run>, length: Duration, broken: bool) -> Option<Duration> {
    let mut said = Duration::ZERO;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = run.now();
        if broken && run.report.violated() > 0 {
            return Some(now);
        }
        if now >= length {
            return None;
        }
        if now >= said + Duration::from_secs(15) {
            said = now;
            let (reads, violated) = (run.report.total_reads(), run.report.violated());
            eprintln!("{} s: {reads} reads, {violated} violations", now.as_secs());
        }
    }
}

/// Makes one thing go wrong in its time, and puts it right again.
async fn carry_out(run: Arc<Run>, planned: Planned) {
    let Planned { at, lasts, fault } = planned;
    tokio::time::sleep(at.saturating_sub(run.now())).await;
    run.report.count("faults", fault.as_str());
    eprintln!(
        "{} ms: {fault:?} for {} ms",
        run.now().as_millis(),
        lasts.as_millis()
    );
    let world = &run.world;
    match fault {
        Fault::Kill(process) => {
            world.origins[process].kill().await;
            tokio::time::sleep(lasts).await;
            world.origins[process].start().await;
        }
        Fault::Stop(process) => {
            world.origins[process].signal("STOP").await;
            tokio::time::sleep(lasts).await;
            world.origins[process].signal("CONT").await;
        }
        Fault::CutRedis(process) => on_way_to_redis(&run, process, LinkState::Cut, lasts).await,
        Fault::StallRedis(process) => {
            on_way_to_redis(&run, process, LinkState::Stalled, lasts).await;
        }
        Fault::SlowRedis(process) => {
            let slow = LinkState::Slow(Duration::from_millis(40));
            on_way_to_redis(&run, process, slow, lasts).await;
        }
        Fault::CutEdge => on_link(&world.to_edge, LinkState::Cut, lasts).await,
        Fault::SlowEdge => {
            let slow = LinkState::Slow(Duration::from_millis(60));
            on_link(&world.to_edge, slow, lasts).await;
        }
        Fault::CutOrigins(centre) => {
            on_link(&world.centres[centre].to_origins, LinkState::Cut, lasts).await;
        }
        Fault::Flush => {
            run.losses.fetch_add(1, Ordering::SeqCst);
            world.redis.everywhere("FLUSHALL").await;
        }
        Fault::RestartRedis => {
            run.losses.fetch_add(1, Ordering::SeqCst);
            world.redis.kill(0).await;
            tokio::time::sleep(lasts).await;
            world.redis.restart(0).await;
        }
        Fault::FailOver => {
            run.losses.fetch_add(1, Ordering::SeqCst);
            if let Some(primary) = world.redis.primary().await {
                world.redis.kill(primary).await;
                tokio::time::sleep(lasts).await;
                world.redis.restart(primary).await;
            }
        }
        Fault::Evict => {
            run.losses.fetch_add(1, Ordering::SeqCst);
            world
                .redis
                .everywhere("CONFIG SET maxmemory-policy allkeys-lru")
                .await;
            world.redis.everywhere("CONFIG SET maxmemory 1800000").await;
            tokio::time::sleep(lasts).await;
            world.redis.everywhere("CONFIG SET maxmemory 0").await;
        }
        Fault::JumpClock(process, minutes) => {
            let path = format!("/torture/clock?milliseconds={}", minutes * 60_000);
            run.tell(process, &path).await;
        }
        Fault::KillCentre(centre) => world.centres[centre].kill_worker().await,
        Fault::KillAuthority => world.kill_authority().await,
    }
}

async fn on_link(link: &Link, state: LinkState, lasts: Duration) {
    link.set(state);
    tokio::time::sleep(lasts).await;
    link.set(LinkState::Open);
}

async fn on_way_to_redis(run: &Run, process: usize, state: LinkState, lasts: Duration) {
    match &run.world.origins[process].to_redis {
        Some(link) => on_link(link, state, lasts).await,
        None => stop_primary(run, lasts).await,
    }
}

/// A primary that stands still: what stands in for a link, where processes find Redis by themselves.
async fn stop_primary(run: &Run, lasts: Duration) {
    if let Some(primary) = run.world.redis.primary().await {
        run.losses.fetch_add(1, Ordering::SeqCst);
        run.world.redis.signal(primary, "STOP").await;
        tokio::time::sleep(lasts).await;
        run.world.redis.signal(primary, "CONT").await;
    }
}

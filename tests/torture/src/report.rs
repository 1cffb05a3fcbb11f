//! What a run has seen: counted, and written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;

/// How something is read.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Way {
    /// By `get_or_fill`, in an origin process.
    Value,
    /// Through `CacheLayer`, in an origin process.
    Page,
    /// From a data centre.
    Edge,
}

/// A tier that a purge becomes visible in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Seen {
    /// By the process that purged.
    Here,
    /// By another process.
    Elsewhere,
    /// By an isolate of a data centre.
    Edge,
}

/// A read that was given something older than it may be.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// Of what, by its path.
    pub what: String,
    /// Where it was read, and how.
    pub place: String,
    /// What it was given.
    pub version: u64,
    /// What was demanded.
    pub demanded: String,
    /// When it began, in milliseconds since the run began.
    pub began_ms: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What the caches said of it.
    pub said: String,
    /// What the process that it comes from said of its view of the ledger.
    pub view: String,
    /// The last purges of it.
    pub history: Vec<String>,
}

/// Everything that a run counts.
#[derive(Default)]
pub struct Report {
    reads: [AtomicU64; 3],
    held: [AtomicU64; 3],
    hits: [AtomicU64; 3],
    stale: AtomicU64,
    with_token: AtomicU64,
    counts: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    lags: Mutex<BTreeMap<Seen, Histogram<u64>>>,
    violations: Mutex<Vec<Violation>>,
    violated: AtomicU64,
}

impl Way {
    const ALL: [Self; 3] = [Self::Value, Self::Page, Self::Edge];

    /// Its word in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Value => "get_or_fill",
            Self::Page => "layer",
            Self::Edge => "edge",
        }
    }
}

impl Seen {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Here => "purging process",
            Self::Elsewhere => "other process",
            Self::Edge => "data centre",
        }
    }
}

impl Report {
    /// Most violations that are kept whole.
    const MOST: usize = 20;

    /// Counts a read, and whether there was anything to hold it against; `said` is the nearest cache's word.
    pub fn read(&self, way: Way, demanded: Option<()>, said: &str) {
        self.reads[way as usize].fetch_add(1, Ordering::Relaxed);
        if demanded.is_some() {
            self.held[way as usize].fetch_add(1, Ordering::Relaxed);
        }
        if said
            .rsplit("Terrace; ")
            .next()
            .is_some_and(|own| own.starts_with("hit"))
        {
            self.hits[way as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an answer that was labelled stale.
    pub fn stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a read that presented a token.
    pub fn with_token(&self) {
        self.with_token.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one more `what` of this kind.
    pub fn count(&self, kind: &'static str, what: &'static str) {
        *self.counts.lock().entry((kind, what)).or_default() += 1;
    }

    /// Notes how long after its receipt a purge was seen.
    pub fn lag(&self, seen: Seen, lag: Duration) {
        let mut lags = self.lags.lock();
        let histogram = lags
            .entry(seen)
            .or_insert_with(|| Histogram::new(3).unwrap());
        let millis = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        histogram.record(millis).unwrap();
    }

    /// Notes a violation, and prints it if there have not been many, nor another one of the same there.
    pub fn violation(&self, violation: Violation) {
        self.violated.fetch_add(1, Ordering::Relaxed);
        let mut violations = self.violations.lock();
        let alike =
            |other: &Violation| other.what == violation.what && other.place == violation.place;
        if violations.len() < Self::MOST && !violations.iter().any(alike) {
            let text = serde_json::to_string_pretty(&violation).unwrap();
            eprintln!("VIOLATION {text}");
            violations.push(violation);
        }
    }

    /// How many violations there have been.
    pub fn violated(&self) -> u64 {
        self.violated.load(Ordering::Relaxed)
    }

    /// How many reads there have been.
    pub fn total_reads(&self) -> u64 {
        let reads = self.reads.iter();
        reads.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// All of it as JSON, with what the run was.
    pub fn json(&self, run: &serde_json::Value) -> serde_json::Value {
        let by_way = |counts: &[AtomicU64; 3]| -> BTreeMap<_, _> {
            let load = |way: Way| counts[way as usize].load(Ordering::Relaxed);
            Way::ALL.map(|way| (way.as_str(), load(way))).into()
        };
        let mut counts: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        for ((kind, what), count) in &*self.counts.lock() {
            counts.entry(kind).or_default().insert(what, *count);
        }
        let lags: BTreeMap<_, _> = self
            .lags
            .lock()
            .iter()
            .map(|(seen, histogram)| {
                let summary = json!({
                    "count": histogram.len(),
                    "p50_ms": histogram.value_at_quantile(0.5),
                    "p99_ms": histogram.value_at_quantile(0.99),
                    "max_ms": histogram.max(),
                });
                (seen.as_str(), summary)
            })
            .collect();
        json!({
            "run": run,
            "reads": { "total": self.total_reads(), "by_place": by_way(&self.reads) },
            "reads_held_against_a_purge": by_way(&self.held),
            "hits": by_way(&self.hits),
            "stale_labelled": self.stale.load(Ordering::Relaxed),
            "with_token": self.with_token.load(Ordering::Relaxed),
            "counts": counts,
            "purge_to_visible": lags,
            "violations": self.violated(),
            "first_violations": *self.violations.lock(),
        })
    }
}

/// The report as a table in Markdown.
pub fn table(report: &serde_json::Value) -> String {
    let mut text = String::new();
    let run = &report["run"];
    let _ = writeln!(
        text,
        "| {} of {} s, seed {} | |\n|---|---:|",
        run["topology"].as_str().unwrap_or_default(),
        run["seconds"],
        run["seed"],
    );
    let _ = writeln!(text, "| reads | {} |", report["reads"]["total"]);
    let rows = |name: &str, map: &serde_json::Value, text: &mut String| {
        for (what, count) in map.as_object().into_iter().flatten() {
            let _ = writeln!(text, "| {name}: {what} | {count} |");
        }
    };
    rows("reads", &report["reads"]["by_place"], &mut text);
    rows(
        "held against a purge",
        &report["reads_held_against_a_purge"],
        &mut text,
    );
    let _ = writeln!(text, "| labelled stale | {} |", report["stale_labelled"]);
    let _ = writeln!(text, "| with a token | {} |", report["with_token"]);
    for (kind, map) in report["counts"].as_object().into_iter().flatten() {
        rows(kind, map, &mut text);
    }
    for (tier, lag) in report["purge_to_visible"].as_object().into_iter().flatten() {
        let _ = writeln!(
            text,
            "| receipt to visible, {tier}: p50 / p99 / max | {} / {} / {} ms |",
            lag["p50_ms"], lag["p99_ms"], lag["max_ms"]
        );
    }
    let _ = writeln!(text, "| **violations** | **{}** |", report["violations"]);
    text
}

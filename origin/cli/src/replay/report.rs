//! What a replay counted, and how it is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::http_client::Answer;

/// An origin's counters, as its `/stats` shows them.
#[derive(Debug, Deserialize)]
pub(super) struct OriginCounts {
    namespaces: BTreeMap<String, NamespaceCounts>,
    /// The Redis tier's own counters; none without Redis.
    redis: Option<serde_json::Value>,
}

/// What a replay reads of one namespace's.
#[derive(Debug, Deserialize)]
struct NamespaceCounts {
    #[serde(rename = "memory_hits_total")]
    memory_hits: u64,
    #[serde(rename = "redis_hits_total")]
    redis_hits: u64,
    #[serde(rename = "fills_total")]
    fills: u64,
}

impl OriginCounts {
    fn sum(&self, count: fn(&NamespaceCounts) -> u64) -> u64 {
        self.namespaces.values().map(count).sum()
    }
}

/// What became of the requests.
pub(super) struct Tally {
    latency: Histogram<u64>,
    hits: u64,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            // From a microsecond to a minute, to three digits.
            latency: Histogram::new_with_bounds(1, 60_000_000, 3)
                .expect("the bounds are ones that a histogram can have"),
            hits: 0,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }
}

impl Tally {
    pub(super) fn answered(&mut self, answer: &Answer, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros.max(1));
        self.hits += u64::from(answer.is_hit());
        *self.statuses.entry(answer.status).or_default() += 1;
    }

    pub(super) fn failed(&mut self, error: &str) {
        *self.errors.entry(error.to_owned()).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        // The histograms have the same bounds.
        self.latency += other.latency;
        self.hits += other.hits;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }

    /// The commonest error, if nothing was answered at all.
    pub(super) fn unreachable(&self) -> Option<&str> {
        let commonest = self.errors.iter().max_by_key(|(_, count)| **count);
        commonest
            .filter(|_| self.latency.is_empty())
            .map(|(error, _)| error.as_str())
    }
}

/// The report, as it is printed.
pub(super) fn text(
    tally: &Tally,
    took: Duration,
    before: Option<&OriginCounts>,
    after: Option<&OriginCounts>,
) -> String {
    let answered = tally.latency.len();
    let failed: u64 = tally.errors.values().sum();
    let mut text = format!(
        "{answered} requests answered, {failed} failed, in {:.1} s: {:.0} a second\n",
        took.as_secs_f64(),
        ratio(answered, 1) / took.as_secs_f64().max(0.001),
    );
    let mut line = |name: &str, count: u64, of: u64, what: &str| {
        let percent = 100.0 * ratio(count, of);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name:<8}{percent:>6.2} % hit   {count:>8} of {of} {what}"
        );
    };
    line("edge", tally.hits, answered, "requests");
    if let (Some(before), Some(after)) = (before, after) {
        let grown = |count| after.sum(count).saturating_sub(before.sum(count));
        let memory = grown(|counts| counts.memory_hits);
        let redis = grown(|counts| counts.redis_hits);
        let fills = grown(|counts| counts.fills);
        let asked = memory + redis + fills;
        line("memory", memory, asked, "that reached the origin");
        if after.redis.is_some() {
            line("redis", redis, asked - memory, "that memory did not have");
        }
        line(
            "overall",
            answered.saturating_sub(fills),
            answered,
            "without the database",
        );
    }
    let at = |quantile| ratio(tally.latency.value_at_quantile(quantile), 1_000);
    let _ = writeln!(
        text,
        "latency p50 {:.2} ms, p99 {:.2} ms",
        at(0.5),
        at(0.99)
    );
    for (status, count) in tally.statuses.iter().filter(|(status, _)| **status != 200) {
        let _ = writeln!(text, "status {status}: {count}");
    }
    for (error, count) in &tally.errors {
        let _ = writeln!(text, "{error}: {count}");
    }
    text
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts here stay far below 2^52"
)]
fn ratio(count: u64, of: u64) -> f64 {
    if of == 0 {
        0.0
    } else {
        count as f64 / of as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_counts_by_tier() {
        let mut tally = Tally::default();
        for (cache_status, count) in [("Terrace; hit; ttl=3", 95), ("Terrace; fwd=uri-miss", 5)] {
            for _ in 0..count {
                let answer = Answer {
                    status: 200,
                    cache_status: cache_status.to_owned(),
                    body: bytes::Bytes::new(),
                };
                tally.answered(&answer, Duration::from_millis(2));
            }
        }
        let counts = |memory_hits, redis_hits, fills| OriginCounts {
            redis: Some(serde_json::json!({})),
            namespaces: BTreeMap::from([(
                "product".to_owned(),
                NamespaceCounts {
                    memory_hits,
                    redis_hits,
                    fills,
                },
            )]),
        };
        let report = text(
            &tally,
            Duration::from_secs(1),
            Some(&counts(1, 1, 1)),
            Some(&counts(3, 2, 3)),
        );
        assert!(
            report.contains("edge     95.00 % hit         95 of 100"),
            "{report}"
        );
        assert!(
            report.contains("memory   40.00 % hit          2 of 5"),
            "{report}"
        );
        assert!(
            report.contains("redis    33.33 % hit          1 of 3"),
            "{report}"
        );
        assert!(report.contains("latency p50 2.00 ms"), "{report}");
        assert!(
            report.contains("overall  98.00 % hit         98 of 100"),
            "{report}"
        );
    }
}

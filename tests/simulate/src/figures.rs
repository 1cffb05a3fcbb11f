//! What a simulation measured.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::Span;
use crate::object::Usage;

/// The figures of one scenario. Times in milliseconds, rates a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// From a purge's place in the ledger to the last answer of an isolate that did not know of it, over the
    /// isolates that gave such an answer.
    pub(crate) visible: Quantiles,
    /// From a purge's arrival at the authority to its receipt.
    pub(crate) receipt: Quantiles,
    pub(crate) authority: ObjectFigures,
    /// The regions' replicas together.
    pub(crate) replicas: Option<ObjectFigures>,
    /// Of all visitors' requests, in parts of a hundred: those that waited for the ledger.
    pub(crate) waited_percent: f64,
    pub(crate) waits: Quantiles,
    /// Those that were answered although the view was beyond its bound, as the policy says.
    pub(crate) lagged_percent: f64,
    /// Times an isolate brought its view up to date, and records it took over thereby.
    pub(crate) refreshes_per_second: f64,
    pub(crate) records_applied_per_second: f64,
    /// Bytes of whole ledgers that isolates took over, or encoded for others.
    pub(crate) snapshot_bytes_applied_per_second: f64,
    /// Bytes of answers put together that isolates copied to find what they had missed.
    pub(crate) bytes_copied_per_second: f64,
    /// Whole ledgers that isolates encoded for others.
    pub(crate) snapshots_left_per_second: f64,
    pub(crate) shared_percent: f64,
    /// After an outage: seconds from its end until the last request that was answered beyond the bound, or after more
    /// than a second; none if there was none.
    pub(crate) recovery_seconds: Option<f64>,
    pub(crate) checks: Checks,
}

/// What must hold, counted where it did not; and how much was looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Checks {
    /// Purges looked for in isolates.
    pub(crate) sightings: u64,
    /// Old answers after receipt + bound.
    pub(crate) late: u64,
    /// Views that count as younger than a receipt which they do not know (R7).
    pub(crate) hidden: u64,
    /// Updates read by witnesses.
    pub(crate) witnessed: u64,
    /// Witnesses whose ledger says otherwise than the model.
    pub(crate) disagreed: u64,
}

/// What objects did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ObjectFigures {
    pub(crate) count: usize,
    pub(crate) requests_per_second: f64,
    /// The most requests in one second, of one object.
    pub(crate) peak: u64,
    /// The share of time in which the busiest object works, in parts of a hundred.
    pub(crate) busy_percent: f64,
    pub(crate) queued: Quantiles,
    pub(crate) refused_per_second: f64,
    pub(crate) snapshots_per_second: f64,
    pub(crate) bytes_per_second: f64,
    pub(crate) rows_read_per_second: f64,
    pub(crate) rows_written_per_second: f64,
}

/// Half are below the first, ninety-nine of a hundred below the second, all below the third.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// An empty histogram of microseconds, up to ten minutes.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(600_000_000, 3).expect("the limits are those of the type")
}

impl Quantiles {
    /// The quantiles, in milliseconds, of microseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let millis = |micros: u64| micros as f64 / 1e3;
        Self {
            count: histogram.len(),
            p50: millis(histogram.value_at_quantile(0.5)),
            p99: millis(histogram.value_at_quantile(0.99)),
            max: millis(histogram.max()),
        }
    }
}

impl ObjectFigures {
    /// The figures of objects that did `usages` in `measured`.
    pub(crate) fn of<'a>(usages: impl IntoIterator<Item = &'a Usage>, measured: Span) -> Self {
        let seconds = measured.as_seconds();
        let mut queued = histogram();
        let mut figures = Self {
            count: 0,
            requests_per_second: 0.0,
            peak: 0,
            busy_percent: 0.0,
            queued: Quantiles::of(&queued),
            refused_per_second: 0.0,
            snapshots_per_second: 0.0,
            bytes_per_second: 0.0,
            rows_read_per_second: 0.0,
            rows_written_per_second: 0.0,
        };
        for usage in usages {
            let busy = 100.0 * usage.busy.as_seconds() / seconds;
            queued
                .add(&usage.queued)
                .expect("both have the same limits");
            figures.count += 1;
            figures.requests_per_second += usage.requests() as f64 / seconds;
            figures.peak = figures.peak.max(usage.peak());
            figures.busy_percent = figures.busy_percent.max(busy);
            figures.refused_per_second += usage.refused as f64 / seconds;
            figures.snapshots_per_second += usage.snapshots as f64 / seconds;
            figures.bytes_per_second += usage.bytes as f64 / seconds;
            figures.rows_read_per_second += usage.rows_read as f64 / seconds;
            figures.rows_written_per_second += usage.rows_written as f64 / seconds;
        }
        figures.queued = Quantiles::of(&queued);
        figures
    }
}

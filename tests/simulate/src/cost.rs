//! What a month of it costs, by Cloudflare's public list prices.

use serde::Serialize;

use crate::figures::{Figures, ObjectFigures};
use crate::scenario::Scenario;

/// A price, where it stands, and what is free of it each month.
pub(crate) struct Price {
    pub(crate) what: &'static str,
    /// Dollars for a million.
    pub(crate) dollars: f64,
    /// How many of it a month are included.
    pub(crate) included: f64,
    pub(crate) page: &'static str,
}

/// A month's bill in dollars, beyond the plan's own five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Bill {
    pub(crate) object_requests: f64,
    pub(crate) object_duration: f64,
    pub(crate) rows_read: f64,
    pub(crate) rows_written: f64,
    /// Purge calls, as requests to the Worker.
    pub(crate) worker_requests: f64,
    /// Refreshing views, behind visitors' requests.
    pub(crate) worker_cpu: f64,
}

const OBJECTS: &str = "developers.cloudflare.com/durable-objects/platform/pricing";
const WORKERS: &str = "developers.cloudflare.com/workers/platform/pricing";

pub(crate) const OBJECT_REQUESTS: Price = Price {
    what: "Durable Object requests",
    dollars: 0.15,
    included: 1e6,
    page: OBJECTS,
};
pub(crate) const OBJECT_DURATION: Price = Price {
    what: "Durable Object duration, GB-s (128 MB an object)",
    dollars: 12.50,
    included: 4e5,
    page: OBJECTS,
};
pub(crate) const ROWS_READ: Price = Price {
    what: "SQLite rows read",
    dollars: 0.001,
    included: 25e9,
    page: OBJECTS,
};
pub(crate) const ROWS_WRITTEN: Price = Price {
    what: "SQLite rows written; a deletion counts as one",
    dollars: 1.0,
    included: 50e6,
    page: OBJECTS,
};
pub(crate) const WORKER_REQUESTS: Price = Price {
    what: "Worker requests",
    dollars: 0.30,
    included: 0.0,
    page: WORKERS,
};
pub(crate) const WORKER_CPU: Price = Price {
    what: "Worker CPU, ms",
    dollars: 0.02,
    included: 0.0,
    page: WORKERS,
};

pub(crate) const PRICES: [&Price; 6] = [
    &OBJECT_REQUESTS,
    &OBJECT_DURATION,
    &ROWS_READ,
    &ROWS_WRITTEN,
    &WORKER_REQUESTS,
    &WORKER_CPU,
];

/// Seconds in a month of thirty days.
const MONTH: f64 = 2_592_000.0;

/// Gigabytes that are billed for each object.
const GIGABYTES: f64 = 0.128;

/// CPU milliseconds for a look or a question, for each record taken over, and for each byte of a whole ledger.
pub(crate) const CPU_REFRESH: f64 = 0.1;
pub(crate) const CPU_RECORD: f64 = 0.001;
pub(crate) const CPU_BYTE: f64 = 0.000_01;

/// And for each byte that is only copied.
const CPU_COPIED: f64 = 0.000_001;

impl Price {
    /// What so many a second cost in a month.
    fn monthly(&self, per_second: f64) -> f64 {
        (per_second * MONTH - self.included).max(0.0) / 1e6 * self.dollars
    }
}

impl Bill {
    /// The bill of a month that goes on as `figures` say.
    pub(crate) fn of(scenario: &Scenario, figures: &Figures) -> Self {
        let objects: Vec<&ObjectFigures> = std::iter::once(&figures.authority)
            .chain(&figures.replicas)
            .collect();
        let sum = |of: fn(&ObjectFigures) -> f64| objects.iter().map(|object| of(object)).sum();
        let calls = f64::from(scenario.purges.per_second) / f64::from(scenario.purges.in_a_call);
        let cpu = figures.refreshes_per_second * CPU_REFRESH
            + figures.records_applied_per_second * CPU_RECORD
            + figures.snapshot_bytes_applied_per_second * CPU_BYTE
            + figures.bytes_copied_per_second * CPU_COPIED;
        Self {
            object_requests: OBJECT_REQUESTS.monthly(sum(|object| object.requests_per_second)),
            object_duration: OBJECT_DURATION.monthly(sum(|object| object.count as f64 * GIGABYTES)),
            rows_read: ROWS_READ.monthly(sum(|object| object.rows_read_per_second)),
            rows_written: ROWS_WRITTEN.monthly(sum(|object| object.rows_written_per_second)),
            worker_requests: WORKER_REQUESTS.monthly(calls),
            worker_cpu: WORKER_CPU.monthly(cpu),
        }
    }

    pub(crate) fn total(&self) -> f64 {
        self.object_requests
            + self.object_duration
            + self.rows_read
            + self.rows_written
            + self.worker_requests
            + self.worker_cpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_included_costs_nothing_and_the_rest_its_price() {
        // One request a second is 2,592,000 a month, the first million of which are free.
        assert!((OBJECT_REQUESTS.monthly(1.0) - 0.2388).abs() < 1e-9);
        assert!((OBJECT_REQUESTS.monthly(0.1) - 0.0).abs() < 1e-9);
        // One object that never sleeps is within what is included.
        assert!((OBJECT_DURATION.monthly(GIGABYTES) - 0.0).abs() < 1e-9);
    }
}

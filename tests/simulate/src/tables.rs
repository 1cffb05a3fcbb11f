//! The scenarios, in the tables of `docs/scale.md`.

use crate::clock::Span;
use crate::network::Region;
use crate::scenario::{Incident, Purges, Scenario, Sharing, Traffic};

/// A table of scenarios, each of which is a row.
pub(crate) struct Table {
    /// Its place in the file: between `<!-- simulate:NAME -->` and `<!-- end -->`.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) scenarios: Vec<Scenario>,
}

/// What a table tells of its scenarios.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// How fast, how much, how dear.
    Steady,
    /// What one object can bear.
    Capacity,
    /// What becomes of it when something breaks.
    Incident,
    /// The bill by its parts.
    Cost,
}

const WAYS: [Sharing; 4] = [
    Sharing::None,
    Sharing::Entry,
    Sharing::Together,
    Sharing::Regional,
];

/// All tables, in the order of the file.
pub(crate) fn all() -> Vec<Table> {
    let table = |name, kind, scenarios| Table {
        name,
        kind,
        scenarios,
    };
    vec![
        table("steady", Kind::Steady, steady()),
        table("cost", Kind::Cost, costs()),
        table("delta", Kind::Capacity, deltas()),
        table("capacity", Kind::Capacity, capacity()),
        table("incidents", Kind::Incident, incidents()),
    ]
}

const fn one_by_one(per_second: u32) -> Purges {
    Purges {
        per_second,
        in_a_call: 1,
    }
}

const fn in_batches(per_second: u32) -> Purges {
    Purges {
        per_second,
        in_a_call: 16,
    }
}

fn steady() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for sharing in WAYS {
        for (data_centres, traffic) in [
            (30, Traffic::Busy),
            (300, Traffic::Idle),
            (300, Traffic::LongTail),
            (300, Traffic::Busy),
        ] {
            for purges in [one_by_one(1), one_by_one(100), in_batches(1_000)] {
                // They are too many at any rate of purges: one row says so.
                if drowns(sharing, data_centres, traffic) && purges.per_second > 1 {
                    continue;
                }
                scenarios.push(Scenario {
                    data_centres,
                    traffic,
                    purges,
                    ..Scenario::new(sharing)
                });
            }
        }
    }
    scenarios
}

/// Whether isolates that do not share ask one object more than it can answer.
fn drowns(sharing: Sharing, data_centres: u16, traffic: Traffic) -> bool {
    sharing == Sharing::None && data_centres == 300 && traffic != Traffic::Idle
}

fn costs() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for sharing in WAYS {
        for traffic in [Traffic::Idle, Traffic::Busy] {
            for purges in [one_by_one(1), in_batches(1_000)] {
                if drowns(sharing, 300, traffic) {
                    continue;
                }
                scenarios.push(Scenario {
                    traffic,
                    purges,
                    ..Scenario::new(sharing)
                });
            }
        }
    }
    scenarios
}

fn deltas() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for sharing in [Sharing::Entry, Sharing::Together] {
        for most_in_delta in [1_000, 10_000] {
            for traffic in [Traffic::Idle, Traffic::Busy] {
                scenarios.push(Scenario {
                    traffic,
                    purges: one_by_one(300),
                    most_in_delta,
                    ..Scenario::new(sharing)
                });
            }
        }
    }
    scenarios
}

fn capacity() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for sharing in [Sharing::Entry, Sharing::Regional] {
        for purges in [
            one_by_one(300),
            one_by_one(600),
            one_by_one(1_000),
            in_batches(1_000),
            in_batches(4_000),
        ] {
            scenarios.push(Scenario {
                purges,
                ..Scenario::new(sharing)
            });
        }
    }
    scenarios
}

fn incidents() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for incident in [
        Incident::Outage {
            length: Span::seconds(30),
            to: Region::WesternEurope,
        },
        Incident::Deployment,
    ] {
        for sharing in [Sharing::Entry, Sharing::Together, Sharing::Regional] {
            scenarios.push(Scenario {
                traffic: Traffic::LongTail,
                purges: one_by_one(10),
                incident,
                measured: Span::seconds(50),
                ..Scenario::new(sharing)
            });
        }
    }
    scenarios
}

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
    /// Whether one object is enough.
    Answer,
    /// How fast, how much, how dear.
    Steady,
    /// What one object can bear.
    Capacity,
    /// What becomes of it when something breaks.
    Incident,
    /// The bill by its parts.
    Cost,
}

const SHARED: [Sharing; 2] = [Sharing::Shared, Sharing::Regional];

/// All tables, in the order of the file.
pub(crate) fn all() -> Vec<Table> {
    let table = |name, kind, scenarios| Table {
        name,
        kind,
        scenarios,
    };
    vec![
        table("answer", Kind::Answer, answer()),
        table("steady", Kind::Steady, steady()),
        table("cost", Kind::Cost, costs()),
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

fn answer() -> Vec<Scenario> {
    let scenario = |purges, keys| Scenario {
        purges,
        keys,
        ..Scenario::new(Sharing::Shared)
    };
    vec![
        scenario(one_by_one(100), 5_000),
        scenario(one_by_one(100), 50_000),
        scenario(one_by_one(100), 130_000),
        scenario(one_by_one(300), 50_000),
        scenario(one_by_one(400), 50_000),
        scenario(in_batches(1_000), 50_000),
        scenario(in_batches(2_000), 50_000),
        scenario(one_by_one(1_000), 50_000),
    ]
}

fn steady() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = [
        (30, Traffic::Busy),
        (300, Traffic::Idle),
        (300, Traffic::Busy),
    ]
    .into_iter()
    .map(|(data_centres, traffic)| Scenario {
        data_centres,
        traffic,
        ..Scenario::new(Sharing::None)
    })
    .collect();
    for sharing in SHARED {
        for (data_centres, traffic, purges) in [
            (30, Traffic::Busy, one_by_one(100)),
            (300, Traffic::Idle, one_by_one(100)),
            (300, Traffic::LongTail, one_by_one(100)),
            (300, Traffic::Busy, one_by_one(1)),
            (300, Traffic::Busy, one_by_one(100)),
            (300, Traffic::Busy, in_batches(1_000)),
        ] {
            scenarios.push(Scenario {
                data_centres,
                traffic,
                purges,
                ..Scenario::new(sharing)
            });
        }
    }
    scenarios
}

fn costs() -> Vec<Scenario> {
    let mut scenarios = steady();
    scenarios.retain(|scenario| scenario.data_centres == 300 && scenario.traffic == Traffic::Busy);
    scenarios
}

fn capacity() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for sharing in SHARED {
        for purges in [
            one_by_one(300),
            one_by_one(400),
            one_by_one(600),
            one_by_one(1_000),
            in_batches(2_000),
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
        Incident::ColdStart,
    ] {
        for sharing in SHARED {
            for traffic in [Traffic::LongTail, Traffic::Busy] {
                scenarios.push(Scenario {
                    traffic,
                    purges: one_by_one(10),
                    incident,
                    measured: Span::seconds(50),
                    ..Scenario::new(sharing)
                });
            }
        }
    }
    scenarios
}

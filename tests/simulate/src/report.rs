//! The tables, as text.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cost::{Bill, PRICES};
use crate::figures::{Figures, Quantiles};
use crate::scenario::{Incident, Scenario, Sharing, Traffic};
use crate::simulation;
use crate::tables::{self, Kind, Table};

/// Where the figures go.
pub(crate) enum Output {
    Tables,
    Json,
    /// Between the marks of this file.
    File(PathBuf),
}

/// The report could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("there is no table {name:?}: answer, steady, cost, capacity and incidents are")]
    NoSuchTable { name: String },
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} has no line {mark:?} with `<!-- end -->` after it", path.display())]
    NoMark { path: PathBuf, mark: String },
    #[error(
        "a rule is broken: {rows} scenarios have old answers after the bound, hidden purges or witnesses that disagree"
    )]
    RuleBroken { rows: usize },
}

/// Simulates every table, or the one named `only`, and puts it where it belongs.
pub(crate) fn run(seed: u64, only: Option<&str>, output: Output) -> Result<(), ReportError> {
    let mut tables = tables::all();
    if let Some(name) = only {
        tables.retain(|table| table.name == name);
        if tables.is_empty() {
            let name = name.to_owned();
            return Err(ReportError::NoSuchTable { name });
        }
    }
    let mut broken = 0;
    let mut parts = vec![("prices", prices())];
    let mut known = Vec::new();
    for table in &tables {
        eprintln!("{}: {} scenarios", table.name, table.scenarios.len());
        let figures = simulate(&table.scenarios, seed, &mut known);
        broken += figures.iter().filter(|figures| is_broken(figures)).count();
        match output {
            Output::Json => {
                for (scenario, figures) in table.scenarios.iter().zip(&figures) {
                    println!("{}", json(table.name, scenario, figures));
                }
            }
            Output::Tables => println!("{}\n\n{}", table.name, render(table, &figures)),
            Output::File(_) => parts.push((table.name, render(table, &figures))),
        }
    }
    if let Output::File(path) = output {
        let error = |source| ReportError::File {
            path: path.clone(),
            source,
        };
        let mut text = std::fs::read_to_string(&path).map_err(error)?;
        for (name, part) in parts {
            let mark = format!("<!-- simulate:{name} -->");
            text = put(&text, &mark, &part).ok_or_else(|| ReportError::NoMark {
                path: path.clone(),
                mark,
            })?;
        }
        std::fs::write(&path, text).map_err(error)?;
    }
    if broken > 0 {
        return Err(ReportError::RuleBroken { rows: broken });
    }
    Ok(())
}

/// The figures of each scenario, in order; as many at once as there are cores, and those `known` not again.
fn simulate(
    scenarios: &[Scenario],
    seed: u64,
    known: &mut Vec<(Scenario, Figures)>,
) -> Vec<Figures> {
    let new: Vec<&Scenario> = scenarios
        .iter()
        .filter(|scenario| find(known, scenario).is_none())
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(known);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(scenario) = new.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let figures = simulation::run(scenario, seed);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push(((*scenario).clone(), figures));
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    scenarios
        .iter()
        .filter_map(|scenario| find(done, scenario).cloned())
        .collect()
}

fn find<'a>(known: &'a [(Scenario, Figures)], wanted: &Scenario) -> Option<&'a Figures> {
    let (_, figures) = known.iter().find(|(scenario, _)| scenario == wanted)?;
    Some(figures)
}

fn is_broken(figures: &Figures) -> bool {
    let checks = figures.checks;
    checks.late + checks.hidden + checks.disagreed > 0
}

fn json(table: &str, scenario: &Scenario, figures: &Figures) -> String {
    serde_json::json!({
        "table": table,
        "data_centres": scenario.data_centres,
        "traffic": traffic(scenario.traffic),
        "purges_per_second": scenario.purges.per_second,
        "scopes_in_a_call": scenario.purges.in_a_call,
        "sharing": sharing(scenario.sharing),
        "keys": scenario.keys,
        "figures": figures,
        "dollars_a_month": Bill::of(scenario, figures),
    })
    .to_string()
}

/// `text` with `part` between `mark` and the next `<!-- end -->`; none if they are not there.
fn put(text: &str, mark: &str, part: &str) -> Option<String> {
    let (before, rest) = text.split_once(mark)?;
    let (_, after) = rest.split_once("<!-- end -->")?;
    Some(format!("{before}{mark}\n{part}<!-- end -->{after}"))
}

fn prices() -> String {
    let mut rows = vec![
        "| | dollars a million | included a month | page |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    for price in PRICES {
        let included = if price.included > 0.0 {
            format!("{} million", price.included / 1e6)
        } else {
            "used up by visitors".to_owned()
        };
        let (what, dollars, page) = (price.what, price.dollars, price.page);
        rows.push(format!("| {what} | {dollars} | {included} | {page} |"));
    }
    rows.join("\n") + "\n"
}

fn render(table: &Table, figures: &[Figures]) -> String {
    type Row = fn(&Scenario, &Figures) -> Vec<String>;
    let (head, row): (&[&str], Row) = match table.kind {
        Kind::Answer => (&ANSWER, answer),
        Kind::Steady => (&STEADY, steady),
        Kind::Cost => (&COST, cost),
        Kind::Capacity => (&CAPACITY, capacity),
        Kind::Incident => (&INCIDENT, incident),
    };
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for (scenario, figures) in table.scenarios.iter().zip(figures) {
        text.extend(["| ", &row(scenario, figures).join(" | "), " |\n"]);
    }
    text
}

const ANSWER: [&str; 6] = [
    "purges/s",
    "keys",
    "requests/s at the object",
    "busy",
    "longest in its queue, of 99 in 100",
    "enough, with a margin",
];

fn answer(scenario: &Scenario, figures: &Figures) -> Vec<String> {
    /// A margin is what is left above this load.
    const MOST_BUSY_PERCENT: f64 = 70.0;
    let object = &figures.authority;
    let is_refused = object.refused_per_second > 0.0;
    vec![
        purges(scenario),
        scenario.keys.to_string(),
        format!("{:.0}", object.requests_per_second),
        percent(object.busy_percent),
        time(object.queued.p99),
        match object.busy_percent {
            _ if is_refused => "no: questions are refused".to_owned(),
            busy if busy > MOST_BUSY_PERCENT => "no margin".to_owned(),
            _ => "yes".to_owned(),
        },
    ]
}

const STEADY: [&str; 10] = [
    "asks",
    "data centres",
    "traffic",
    "purges/s",
    "requests/s at one object: mean, peak",
    "busy",
    "KB/s",
    "purge → last old answer: p50, p99, max",
    "requests that waited",
    "$ a month",
];

fn steady(scenario: &Scenario, figures: &Figures) -> Vec<String> {
    let busiest = busiest(figures);
    vec![
        sharing(scenario.sharing).to_owned(),
        scenario.data_centres.to_string(),
        traffic(scenario.traffic).to_owned(),
        purges(scenario),
        format!("{:.0}, {}", busiest.0, busiest.1),
        percent(busiest.2),
        format!("{:.0}", figures.authority.bytes_per_second / 1e3),
        quantiles(&figures.visible),
        percent(figures.waited_percent),
        dollars(Bill::of(scenario, figures).total()),
    ]
}

const COST: [&str; 11] = [
    "asks",
    "data centres",
    "traffic",
    "purges/s",
    "object requests",
    "duration",
    "rows read",
    "rows written",
    "purge calls",
    "refreshing (CPU)",
    "$ a month",
];

fn cost(scenario: &Scenario, figures: &Figures) -> Vec<String> {
    let bill = Bill::of(scenario, figures);
    vec![
        sharing(scenario.sharing).to_owned(),
        scenario.data_centres.to_string(),
        traffic(scenario.traffic).to_owned(),
        purges(scenario),
        dollars(bill.object_requests),
        dollars(bill.object_duration),
        dollars(bill.rows_read),
        dollars(bill.rows_written),
        dollars(bill.worker_requests),
        dollars(bill.worker_cpu),
        dollars(bill.total()),
    ]
}

const CAPACITY: [&str; 10] = [
    "asks",
    "traffic",
    "purges/s",
    "keys",
    "requests/s at the authority",
    "busy",
    "queue p99",
    "refused/s",
    "whole ledgers/s: from it, from isolates",
    "purge → last old answer: p50, p99, max",
];

fn capacity(scenario: &Scenario, figures: &Figures) -> Vec<String> {
    vec![
        sharing(scenario.sharing).to_owned(),
        traffic(scenario.traffic).to_owned(),
        purges(scenario),
        scenario.keys.to_string(),
        format!("{:.0}", figures.authority.requests_per_second),
        percent(figures.authority.busy_percent),
        time(figures.authority.queued.p99),
        format!("{:.0}", figures.authority.refused_per_second),
        format!(
            "{:.1}, {:.1}",
            figures.authority.snapshots_per_second, figures.snapshots_left_per_second
        ),
        quantiles(&figures.visible),
    ]
}

const INCIDENT: [&str; 9] = [
    "what",
    "asks",
    "traffic",
    "peak requests/s at one object",
    "requests that waited",
    "their wait: p50, p99, max",
    "answered beyond the bound",
    "last such, or wait above 1 s, after its end",
    "purge → last old answer: p50, p99, max",
];

fn incident(scenario: &Scenario, figures: &Figures) -> Vec<String> {
    vec![
        match scenario.incident {
            Incident::None => "nothing".to_owned(),
            Incident::Outage { length, to } => {
                format!("outage of {:.0} s, wakes in {to}", length.as_seconds())
            }
            Incident::Deployment => "deployment".to_owned(),
            Incident::ColdStart => "all begin anew, without entries".to_owned(),
        },
        sharing(scenario.sharing).to_owned(),
        traffic(scenario.traffic).to_owned(),
        busiest(figures).1.to_string(),
        percent(figures.waited_percent),
        quantiles(&figures.waits),
        percent(figures.lagged_percent),
        figures
            .recovery_seconds
            .map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.1} s")),
        quantiles(&figures.visible),
    ]
}

/// Requests a second, their peak and the load of the object that has most to do.
fn busiest(figures: &Figures) -> (f64, u64, f64) {
    let authority = &figures.authority;
    let (requests, peak, busy) = (
        authority.requests_per_second,
        authority.peak,
        authority.busy_percent,
    );
    match &figures.replicas {
        None => (requests, peak, busy),
        Some(replicas) => {
            let each = replicas.requests_per_second / replicas.count as f64;
            (
                requests.max(each),
                peak.max(replicas.peak),
                busy.max(replicas.busy_percent),
            )
        }
    }
}

const fn sharing(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::None => "each isolate",
        Sharing::Shared => "one of a data centre",
        Sharing::Regional => "a regional replica",
    }
}

fn traffic(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::Idle => "idle",
        Traffic::LongTail => "long tail",
        Traffic::Busy => "busy",
        #[cfg(test)]
        Traffic::Even(_) => "even",
    }
}

fn purges(scenario: &Scenario) -> String {
    let (purges, each) = (scenario.purges.per_second, scenario.purges.in_a_call);
    match each {
        1 => purges.to_string(),
        _ => format!("{purges} in calls of {each}"),
    }
}

fn quantiles(quantiles: &Quantiles) -> String {
    if quantiles.count == 0 {
        return "none".to_owned();
    }
    let Quantiles { p50, p99, max, .. } = *quantiles;
    format!("{}, {}, {}", time(p50), time(p99), time(max))
}

fn time(millis: f64) -> String {
    if millis < 1_000.0 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.2} s", millis / 1e3)
    }
}

fn percent(percent: f64) -> String {
    if percent < 1.0 {
        format!("{percent:.2} %")
    } else {
        format!("{percent:.0} %")
    }
}

fn dollars(dollars: f64) -> String {
    if dollars < 10.0 {
        format!("{dollars:.2}")
    } else {
        format!("{dollars:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_put_between_its_marks_and_nothing_else_changes() {
        let text = "a\n<!-- simulate:x -->\nold\n<!-- end -->\nb\n<!-- simulate:y --><!-- end -->";
        let put_x = put(text, "<!-- simulate:x -->", "new\n");
        let expected =
            "a\n<!-- simulate:x -->\nnew\n<!-- end -->\nb\n<!-- simulate:y --><!-- end -->";
        assert_eq!(put_x.as_deref(), Some(expected));
        assert_eq!(put(text, "<!-- simulate:z -->", "new\n"), None);
    }
}

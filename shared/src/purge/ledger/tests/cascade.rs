//! Two ledgers, the origin's and the edge's, with an outbox between them: R8 and R9.
//!
//! What happens within one ledger is the other model's. Here a data centre fills its cache from processes whose views of
//! the origin ledger lag, while purges are on their way to the edge, once or more often. The checker holds each read from
//! the edge's cache against the purges that the reader's isolate has heard of.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::super::*;
use super::model::{first_failure, random_schedules};
use crate::key::SurrogateKey;
use crate::purge::Replica;
use crate::time::TimestampMillis;

const KEYS: usize = 3;
const PROCESSES: usize = 2;
const ISOLATES: usize = 2;

/// A rule, to be broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    /// R8: the edge is told first, and the origin ledger takes the purge later.
    LedgerBeforeEdge,
    /// R9: the edge does not note the position that a response was produced under.
    OriginEpoch,
    /// R9: a process says where its view stands when its answer is complete, not before it was begun.
    EpochBeforeAnswer,
}

#[derive(Clone, Debug)]
enum Event {
    /// The source's value changes; nobody is told.
    Write { key: usize },
    /// A key is purged; the origin ledger takes it, and the outbox.
    Purge { key: usize, mode: PurgeMode },
    /// With R8 broken: the origin ledger takes the oldest purge that only the edge has been told of.
    Append,
    /// The origin ledger is lost, and begins another history; the edge is to be told to purge everything.
    Lose,
    /// A process hears of what it missed.
    Deliver { process: usize },
    /// The edge takes the oldest purge of the outbox; it may be told again.
    Tell { again: bool },
    /// An isolate hears of what it missed.
    Refresh { isolate: usize },
    /// An isolate reads: from the cache, or else it begins to fill.
    Read { isolate: usize, key: usize },
    /// A process begins to answer a fill: from its memory, or from the source.
    Ask { fill: usize, process: usize },
    /// A process's answer is complete.
    Answer { fill: usize },
    /// An answer is stored in the cache.
    Land { fill: usize },
}

fn event() -> impl Strategy<Value = Event> {
    let key = 0..KEYS;
    let isolate = 0..ISOLATES;
    let mode = prop_oneof![Just(PurgeMode::Hard), Just(PurgeMode::Soft)];
    prop_oneof![
        2 => key.clone().prop_map(|key| Event::Write { key }),
        4 => (key.clone(), mode).prop_map(|(key, mode)| Event::Purge { key, mode }),
        2 => Just(Event::Append),
        1 => Just(Event::Lose),
        3 => (0..PROCESSES).prop_map(|process| Event::Deliver { process }),
        5 => any::<bool>().prop_map(|again| Event::Tell { again }),
        6 => isolate.clone().prop_map(|isolate| Event::Refresh { isolate }),
        12 => (isolate, key).prop_map(|(isolate, key)| Event::Read { isolate, key }),
        8 => (any::<usize>(), 0..PROCESSES)
            .prop_map(|(fill, process)| Event::Ask { fill, process }),
        8 => any::<usize>().prop_map(|fill| Event::Answer { fill }),
        8 => any::<usize>().prop_map(|fill| Event::Land { fill }),
    ]
}

#[derive(Clone, Debug)]
struct Entry {
    version: u64,
    fence: Fence,
}

struct Process {
    replica: Replica,
    memory: HashMap<usize, Entry>,
}

/// A fill of the edge's, as far as it has come.
struct Fill {
    key: usize,
    fence: Fence,
    process: Option<usize>,
    version: Option<u64>,
    complete: bool,
}

struct World {
    broken: Option<Rule>,
    source: [u64; KEYS],
    origin: Authority,
    edge: Authority,
    processes: Vec<Process>,
    isolates: Vec<Replica>,
    /// Each with the demands that it makes binding.
    outbox: VecDeque<(Purge, Vec<usize>)>,
    histories: u64,
    /// With R8 broken: what the edge has been told of and the origin ledger has not taken.
    owed: VecDeque<Purge>,
    cache: HashMap<usize, Entry>,
    fills: Vec<Fill>,
    /// For each purge the key, the version that was purged for, and the edge's first place for it.
    demands: Vec<Demand>,
    served: usize,
}

struct Demand {
    key: usize,
    mode: PurgeMode,
    version: u64,
    told_at: Option<Sequence>,
}

struct Authority {
    ledger: Ledger,
    log: Vec<Record>,
}

impl Authority {
    fn new(incarnation: u64) -> Self {
        let incarnation = Incarnation::from_random(incarnation);
        let limits = LedgerLimits {
            marks: 64,
            patterns: 2,
            ..LedgerLimits::default()
        };
        Self {
            ledger: Ledger::new(incarnation, limits),
            log: Vec::new(),
        }
    }

    fn append(&mut self, purge: Purge) -> Epoch {
        self.log.push(self.ledger.append(purge));
        self.ledger.epoch()
    }

    fn deliver(&self, replica: &mut Replica) {
        let known = replica.epoch().unwrap();
        if known.incarnation != self.ledger.epoch().incarnation {
            *replica = Replica::of(self.ledger.clone(), NOW);
            return;
        }
        let since = known.sequence;
        let missed = |record: &&Record| record.sequence > since;
        let update = Update::Delta {
            incarnation: self.ledger.epoch().incarnation,
            head: self.ledger.epoch().sequence,
            records: self.log.iter().filter(missed).cloned().collect(),
        };
        replica.update(update, NOW).unwrap();
    }
}

const NOW: TimestampMillis = TimestampMillis::from_unix_millis(1);

fn scopes(key: usize) -> EntryScopes {
    let name = SurrogateKey::parse(&format!("key:{key}")).unwrap();
    EntryScopes::of_url("shop.example", &format!("/{key}"), [&name])
}

impl World {
    fn new(broken: Option<Rule>) -> Self {
        let (origin, edge) = (Authority::new(1), Authority::new(2));
        let process = || Process {
            replica: Replica::of(origin.ledger.clone(), NOW),
            memory: HashMap::new(),
        };
        Self {
            broken,
            source: [0; KEYS],
            processes: (0..PROCESSES).map(|_| process()).collect(),
            isolates: vec![Replica::of(edge.ledger.clone(), NOW); ISOLATES],
            origin,
            edge,
            outbox: VecDeque::new(),
            histories: 0,
            owed: VecDeque::new(),
            cache: HashMap::new(),
            fills: Vec::new(),
            demands: Vec::new(),
            served: 0,
        }
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.broken == Some(rule)
    }

    fn step(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Write { key } => self.source[key] += 1,
            Event::Purge { key, mode } => self.purge(key, mode),
            Event::Append => {
                if let Some(purge) = self.owed.pop_front() {
                    self.origin.append(purge);
                }
            }
            Event::Lose => self.lose(),
            Event::Deliver { process } => {
                self.origin.deliver(&mut self.processes[process].replica);
            }
            Event::Tell { again } => self.tell(again),
            Event::Refresh { isolate } => self.edge.deliver(&mut self.isolates[isolate]),
            Event::Read { isolate, key } => return self.read(isolate, key),
            Event::Ask { fill, process } => self.ask(fill, process),
            Event::Answer { fill } => self.answer(fill),
            Event::Land { fill } => {
                let landing = nth(&self.fills, fill, |fill| fill.complete);
                if let Some(at) = landing {
                    let fill = self.fills.remove(at);
                    let version = fill.version.unwrap_or_default();
                    let fence = fill.fence;
                    self.cache.insert(fill.key, Entry { version, fence });
                }
            }
        }
        Ok(())
    }

    fn purge(&mut self, key: usize, mode: PurgeMode) {
        let mut purge = Purge {
            mode,
            scopes: vec![format!("surrogate-key:key:{key}").parse().unwrap()],
            at: NOW,
            origin_epoch: None,
        };
        if self.breaks(Rule::LedgerBeforeEdge) {
            self.owed.push_back(purge.clone());
        } else {
            let epoch = self.origin.append(purge.clone());
            purge.origin_epoch = Some(epoch);
        }
        self.outbox.push_back((purge, vec![self.demands.len()]));
        self.demands.push(Demand {
            key,
            mode,
            version: self.source[key],
            told_at: None,
        });
    }

    fn lose(&mut self) {
        const FIRST: u64 = 10;
        self.origin = Authority::new(FIRST + self.histories);
        self.histories += 1;
        self.owed.clear();
        let everything = Purge {
            mode: PurgeMode::Hard,
            scopes: vec![Scope::All],
            at: NOW,
            origin_epoch: Some(self.origin.ledger.epoch()),
        };
        let demands = self.outbox.drain(..).flat_map(|(_, demands)| demands);
        let demands = demands.collect();
        self.outbox.push_back((everything, demands));
    }

    fn tell(&mut self, again: bool) {
        let Some((purge, demands)) = self.outbox.front().cloned() else {
            return;
        };
        let epoch = self.edge.append(purge);
        for demand in demands {
            self.demands[demand].told_at.get_or_insert(epoch.sequence);
        }
        if !again {
            self.outbox.pop_front();
        }
    }

    fn read(&mut self, isolate: usize, key: usize) -> Result<(), String> {
        let replica = &self.isolates[isolate];
        let heard = replica.epoch().unwrap();
        if let Some(entry) = self.cache.get(&key) {
            let verdict = replica.verdict(&entry.fence, &scopes(key));
            if verdict != Verdict::Dropped {
                self.served += 1;
                let demanded = self
                    .demands
                    .iter()
                    .filter(|demand| demand.key == key)
                    .filter(|demand| {
                        demand.mode == PurgeMode::Hard || verdict == Verdict::Untouched
                    })
                    .filter(|demand| demand.told_at.is_some_and(|at| at <= heard.sequence))
                    .map(|demand| demand.version)
                    .max();
                if demanded.is_some_and(|demanded| entry.version < demanded) {
                    let version = entry.version;
                    return Err(format!(
                        "isolate {isolate} served {version} of {key} as {verdict:?}, older than {demanded:?}"
                    ));
                }
                return Ok(());
            }
        }
        self.fills.push(Fill {
            key,
            fence: Fence::at(heard), // R1
            process: None,
            version: None,
            complete: false,
        });
        Ok(())
    }

    fn ask(&mut self, fill: usize, process: usize) {
        let Some(at) = nth(&self.fills, fill, |fill| fill.process.is_none()) else {
            return;
        };
        let fill = &mut self.fills[at];
        let Process { replica, memory } = &mut self.processes[process];
        let here = replica.epoch().unwrap();
        let verdict = |entry: &Entry| replica.verdict(&entry.fence, &scopes(fill.key));
        let known = memory
            .get(&fill.key)
            .map(|entry| (entry.clone(), verdict(entry)));
        let produced_at = match known {
            Some((entry, Verdict::Untouched)) => {
                fill.version = Some(entry.version);
                here
            }
            // Served stale: it is no younger than what it was filled under.
            Some((entry, Verdict::Softened)) => {
                fill.version = Some(entry.version);
                entry.fence.filled_at
            }
            Some((_, Verdict::Dropped)) | None => {
                let version = self.source[fill.key];
                let fence = Fence::at(here);
                memory.insert(fill.key, Entry { version, fence });
                fill.version = Some(version);
                here
            }
        };
        fill.process = Some(process);
        fill.fence.produced_at = Some(produced_at);
    }

    fn answer(&mut self, fill: usize) {
        let Some(at) = nth(&self.fills, fill, |fill| {
            fill.process.is_some() && !fill.complete
        }) else {
            return;
        };
        let late = self.breaks(Rule::EpochBeforeAnswer);
        let ignored = self.breaks(Rule::OriginEpoch);
        let fill = &mut self.fills[at];
        fill.complete = true;
        if let (Some(process), true) = (fill.process, late) {
            fill.fence.produced_at = self.processes[process].replica.epoch();
        }
        if ignored {
            fill.fence.produced_at = None;
        }
    }
}

/// The place of one of the fills that `which` says; none if there is none.
fn nth(fills: &[Fill], number: usize, which: impl Fn(&Fill) -> bool) -> Option<usize> {
    let places: Vec<_> = (0..fills.len()).filter(|at| which(&fills[*at])).collect();
    places.get(number.checked_rem(places.len())?).copied()
}

fn run(events: &[Event], broken: Option<Rule>) -> Result<usize, String> {
    let mut world = World::new(broken);
    for (at, event) in events.iter().enumerate() {
        world
            .step(event)
            .map_err(|violation| format!("event {at} ({event:?}): {violation}"))?;
    }
    Ok(world.served)
}

#[test]
fn no_schedule_shows_at_the_edge_what_a_purge_it_was_told_of_has_overtaken() {
    for seed in [7, 8] {
        let failure = first_failure(event(), seed, 250, |events| run(events, None));
        assert_eq!(failure, None, "seed {seed}");
    }
}

#[test]
fn schedules_of_a_given_seed_show_nothing_old_at_the_edge() {
    if let Some(seed) = super::model::given_seed() {
        let failure = first_failure(event(), seed, 4_000, |events| run(events, None));
        assert_eq!(failure, None, "seed {seed}");
    }
}

#[test]
fn breaking_a_rule_between_the_ledgers_is_noticed() {
    for rule in [
        Rule::LedgerBeforeEdge,
        Rule::OriginEpoch,
        Rule::EpochBeforeAnswer,
    ] {
        let failure = first_failure(event(), 7, 4_000, |events| run(events, Some(rule)));
        assert!(
            failure.is_some(),
            "{rule:?} can be broken without any schedule showing it"
        );
    }
}

#[test]
fn the_edge_serves_from_its_cache_and_does_not_only_fill() {
    let served: usize = random_schedules(event(), 7)
        .take(200)
        .map(|events| run(&events, None).unwrap())
        .sum();
    assert!(
        served > 500,
        "only {served} reads were answered from the cache"
    );
}

/// The edge's ledger after the origin's has purged key 0 in its first history, and key 1 in its second.
fn edge_of_two_histories() -> Ledger {
    let mut edge = Authority::new(2).ledger;
    for (history, key) in [(1, 0), (3, 1)] {
        edge.append(Purge {
            mode: PurgeMode::Hard,
            scopes: vec![format!("surrogate-key:key:{key}").parse().unwrap()],
            at: NOW,
            origin_epoch: Some(position(history, 5)),
        });
    }
    edge
}

const fn position(history: u64, sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(history),
        sequence: Sequence::new(sequence),
    }
}

#[test]
fn what_an_origin_ledger_has_purged_is_remembered_when_that_is_lost() {
    let edge = edge_of_two_histories();
    let fence = Fence {
        filled_at: position(2, 1), // after the first purge was told, from a process that had not heard of it
        produced_at: Some(position(1, 4)),
    };
    assert_eq!(edge.verdict(&fence, &scopes(0)), Verdict::Dropped);
}

#[test]
fn an_answer_from_a_lost_history_is_not_believed_after_a_purge_of_the_next_one() {
    let edge = edge_of_two_histories();
    let fence = Fence {
        filled_at: edge.epoch(),
        produced_at: Some(position(1, 9)), // of a process that has not noticed the loss yet
    };
    assert_eq!(edge.verdict(&fence, &scopes(1)), Verdict::Dropped);
}

#[test]
fn an_answer_from_a_history_that_the_edge_never_heard_of_is_not_believed() {
    let edge = edge_of_two_histories();
    let fence = Fence {
        filled_at: edge.epoch(),
        produced_at: Some(position(4, 9)), // between the two, or after both: nobody here can say
    };
    assert_eq!(edge.verdict(&fence, &scopes(1)), Verdict::Dropped);
    let heard_of_none = Authority::new(2).ledger;
    let fence = Fence {
        filled_at: heard_of_none.epoch(),
        ..fence
    };
    assert_eq!(
        heard_of_none.verdict(&fence, &scopes(1)),
        Verdict::Untouched
    );
}

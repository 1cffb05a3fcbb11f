//! A world of processes that share a source, a Redis and a ledger, and a checker that holds each
//! read against the purges the reader had heard of.
//!
//! Every rule can be broken on purpose. Whole, no schedule may show an old value; with one rule
//! broken, some schedule must, or this test could not fail.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::*;
use crate::key::SurrogateKey;
use crate::purge::Replica;
use crate::time::TimestampMillis;

const KEYS: usize = 4;
const PROCESSES: usize = 2;

/// A rule, to be broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    /// R1: the fill carries the position at its end, not at its beginning.
    FenceBeforeSource,
    /// R1: a promoted copy gets a position of its own.
    PromotionKeepsFence,
    /// R2: the last purge of a scope is all that counts.
    HardBehindSoft,
    /// R3: Redis is believed without a verdict.
    EveryTierAsks,
    /// R4: a 304 lifts the entry to the position at its end.
    FreshenToBeginning,
    /// R5: a request joins whatever fill is under way and takes what it brings.
    JoinAfterPurge,
    /// R6: positions of another history are compared by number.
    Incarnation,
}

#[derive(Clone, Debug)]
enum Event {
    /// The source's value changes; nobody is told.
    Write { key: usize },
    /// A scope of the key is purged, at the authority.
    Purge {
        key: usize,
        scope: u8,
        mode: PurgeMode,
    },
    /// A process hears of what it missed.
    Deliver { process: usize },
    /// A process hears of the newest record only: it may leave a gap.
    Push { process: usize },
    /// A process fetches the whole ledger, as bytes.
    Snapshot { process: usize },
    /// A process reads: memory, Redis, or else it begins or joins a fill.
    Read { process: usize, key: usize },
    /// A fill, or a validation, asks the source.
    Ask { flight: usize },
    /// A fill, or a validation, is stored in both tiers.
    Land { flight: usize },
    /// A process asks the source whether its copy is still right.
    Revalidate { process: usize, key: usize },
    /// A process loses its memory and its replica.
    Crash { process: usize },
    /// The authority loses its ledger and begins another history.
    LoseLedger,
    /// The authority forgets what lies beyond its horizon.
    Compact,
}

fn event() -> impl Strategy<Value = Event> {
    let process = 0..PROCESSES;
    let key = 0..KEYS;
    let mode = prop_oneof![Just(PurgeMode::Hard), Just(PurgeMode::Soft)];
    prop_oneof![
        2 => key.clone().prop_map(|key| Event::Write { key }),
        4 => (key.clone(), 0..6_u8, mode)
            .prop_map(|(key, scope, mode)| Event::Purge { key, scope, mode }),
        8 => process.clone().prop_map(|process| Event::Deliver { process }),
        1 => process.clone().prop_map(|process| Event::Push { process }),
        1 => process.clone().prop_map(|process| Event::Snapshot { process }),
        16 => (process.clone(), key.clone()).prop_map(|(process, key)| Event::Read { process, key }),
        8 => any::<usize>().prop_map(|flight| Event::Ask { flight }),
        8 => any::<usize>().prop_map(|flight| Event::Land { flight }),
        2 => (process.clone(), key).prop_map(|(process, key)| Event::Revalidate { process, key }),
        1 => process.prop_map(|process| Event::Crash { process }),
        1 => Just(Event::LoseLedger),
        1 => Just(Event::Compact),
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

struct Flight {
    process: usize,
    key: usize,
    fence: Fence,
    /// What the source answered, once it has been asked.
    version: Option<u64>,
    /// For a validation: the copy that it asked about.
    about: Option<u64>,
    /// The oldest value that each request which joined may be given.
    followers: Vec<u64>,
}

/// What a purge demands of everybody who has heard of it.
struct Demand {
    epoch: Epoch,
    key: usize,
    mode: PurgeMode,
    version: u64,
}

struct World {
    broken: Option<Rule>,
    now: TimestampMillis,
    source: [u64; KEYS],
    authority: Ledger,
    /// The records of the present history, as its delta log keeps them.
    log: Vec<Record>,
    processes: Vec<Process>,
    redis: HashMap<usize, Entry>,
    flights: Vec<Flight>,
    demands: Vec<Demand>,
    /// For the broken R2 only: the last purge of each key.
    last: HashMap<usize, (Sequence, PurgeMode)>,
    served: usize,
}

/// Keys 0 and 1 are data entries, 2 and 3 stored responses; the even and the odd ones share a prefix and a surrogate key.
fn is_response(key: usize) -> bool {
    key >= 2
}

fn entry_scopes<'a>(key: usize, groups: impl IntoIterator<Item = &'a SurrogateKey>) -> EntryScopes {
    let half = key % 2;
    if is_response(key) {
        EntryScopes::of_url("shop.example", &format!("/n/{half}/{key}"), groups)
    } else {
        EntryScopes::of_key("n", &format!("n:{half}:{key}"), groups)
    }
}

fn scopes(key: usize) -> EntryScopes {
    let group = SurrogateKey::parse(&format!("group:{}", key % 2)).unwrap();
    entry_scopes(key, [&group])
}

/// What is known of a key before its value has come: all but its surrogate keys.
fn known_scopes(key: usize) -> EntryScopes {
    entry_scopes(key, [])
}

/// A scope that names the key, and which keys it names.
fn scope_of(key: usize, kind: u8) -> (Scope, Vec<usize>) {
    let half = key % 2;
    let like =
        |same: fn(usize, usize) -> bool| (0..KEYS).filter(|other| same(*other, key)).collect();
    let (text, keys): (String, Vec<usize>) = match (kind, is_response(key)) {
        (0, false) => (format!("exact:n:{half}:{key}"), vec![key]),
        (0, true) => (format!("exact:shop.example/n/{half}/{key}"), vec![key]),
        (1, _) => (
            format!("surrogate-key:group:{half}"),
            like(|a, b| a % 2 == b % 2),
        ),
        (2, false) => (format!("prefix:n:{half}:"), vec![key]),
        (2, true) => (format!("prefix:/n/{half}/"), vec![key]),
        (3, false) => (format!("pattern:n:*:{key}"), vec![key]),
        (3, true) => (format!("pattern:/n/*/{key}"), vec![key]),
        (4, false) => (
            "namespace:n".to_owned(),
            like(|a, b| is_response(a) == is_response(b)),
        ),
        (4, true) => (
            "host:shop.example".to_owned(),
            like(|a, b| is_response(a) == is_response(b)),
        ),
        _ => ("all".to_owned(), (0..KEYS).collect()),
    };
    (text.parse().unwrap(), keys)
}

impl World {
    fn new(broken: Option<Rule>) -> Self {
        let limits = LedgerLimits {
            marks: 3,
            patterns: 2,
            horizon: DeltaSeconds::hours(3),
        };
        let authority = Ledger::new(Incarnation::from_random(1), limits);
        let now = TimestampMillis::from_unix_millis(0);
        let process = || Process {
            replica: Replica::of(authority.clone(), now),
            memory: HashMap::new(),
        };
        Self {
            broken,
            now,
            source: [0; KEYS],
            log: Vec::new(),
            processes: (0..PROCESSES).map(|_| process()).collect(),
            authority,
            redis: HashMap::new(),
            flights: Vec::new(),
            demands: Vec::new(),
            last: HashMap::new(),
            served: 0,
        }
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.broken == Some(rule)
    }

    fn step(&mut self, event: &Event) -> Result<(), String> {
        self.now = TimestampMillis::from_unix_millis(self.now.as_unix_millis() + 600_000);
        match *event {
            Event::Write { key } => self.source[key] += 1,
            Event::Purge { key, scope, mode } => self.purge(key, scope, mode),
            Event::Deliver { process } => self.deliver(process),
            Event::Push { process } => {
                if let Some(newest) = self.log.last() {
                    let replica = &mut self.processes[process].replica;
                    let same = replica.epoch().map(|epoch| epoch.incarnation)
                        == Some(self.authority.epoch().incarnation);
                    if same {
                        // A gap is refused, and the process stays where it was.
                        let _: Result<(), ApplyError> = replica.push(newest);
                    }
                }
            }
            Event::Snapshot { process } => self.snapshot(process),
            Event::Read { process, key } => return self.read(process, key),
            Event::Ask { flight } => self.ask(flight),
            Event::Land { flight } => return self.land(flight),
            Event::Revalidate { process, key } => {
                let replica = &self.processes[process].replica;
                let about = self.processes[process].memory.get(&key);
                if let (Some(epoch), Some(entry)) = (replica.epoch(), about) {
                    let about = Some(entry.version);
                    self.begin(process, key, epoch, about);
                }
            }
            Event::Crash { process } => {
                self.processes[process].memory.clear();
                self.processes[process].replica.forget();
                self.flights.retain(|flight| flight.process != process);
            }
            Event::LoseLedger => {
                let next = self.authority.epoch().incarnation.as_u64() + 1;
                let limits = self.authority.limits;
                self.authority = Ledger::new(Incarnation::from_random(next), limits);
                self.log.clear();
                self.last.clear();
            }
            Event::Compact => self.authority.compact(self.now.timestamp()),
        }
        Ok(())
    }

    fn purge(&mut self, key: usize, scope: u8, mode: PurgeMode) {
        let (scope, keys) = scope_of(key, scope);
        let record = self.authority.append(Purge {
            mode,
            scopes: vec![scope],
            at: self.now,
            origin_epoch: None,
        });
        for key in keys {
            self.last.insert(key, (record.sequence, mode));
            self.demands.push(Demand {
                epoch: self.authority.epoch(),
                key,
                mode,
                version: self.source[key],
            });
        }
        self.log.push(record);
    }

    fn deliver(&mut self, process: usize) {
        let authority = self.authority.epoch();
        let replica = &mut self.processes[process].replica;
        match replica.epoch() {
            Some(epoch) if epoch.incarnation == authority.incarnation => {
                let missed = |record: &&Record| record.sequence > epoch.sequence;
                let update = Update::Delta {
                    incarnation: authority.incarnation,
                    head: authority.sequence,
                    records: self.log.iter().filter(missed).cloned().collect(),
                };
                replica.update(update, self.now).unwrap();
            }
            _ => self.snapshot(process),
        }
    }

    fn snapshot(&mut self, process: usize) {
        let bytes = Update::Snapshot(self.authority.clone()).encode();
        let update = Update::decode(&bytes, self.authority.limits).unwrap();
        let replica = &mut self.processes[process].replica;
        replica.update(update, self.now).unwrap();
        assert_eq!(replica.epoch(), Some(self.authority.epoch()));
    }

    /// The verdict of the process's replica, or what a broken rule makes of it.
    fn verdict(&self, process: usize, key: usize, fence: &Fence, scopes: &EntryScopes) -> Verdict {
        let replica = &self.processes[process].replica;
        let Some(epoch) = replica.epoch() else {
            return Verdict::Dropped;
        };
        if self.breaks(Rule::HardBehindSoft) {
            return match self.last.get(&key) {
                Some((sequence, mode)) if *sequence > fence.filled_at.sequence => severity(*mode),
                _ => Verdict::Untouched,
            };
        }
        let mut fence = *fence;
        if self.breaks(Rule::Incarnation) {
            fence.filled_at.incarnation = epoch.incarnation;
        }
        replica.verdict(&fence, scopes)
    }

    fn read(&mut self, process: usize, key: usize) -> Result<(), String> {
        let Some(epoch) = self.processes[process].replica.epoch() else {
            return Ok(()); // no view: nothing is believed, nothing may be stored
        };
        if let Some(entry) = self.processes[process].memory.get(&key).cloned() {
            let verdict = self.verdict(process, key, &entry.fence, &scopes(key));
            if verdict != Verdict::Dropped {
                return self.serve(process, key, entry.version, verdict);
            }
        }
        if let Some(mut entry) = self.redis.get(&key).cloned() {
            let verdict = if self.breaks(Rule::EveryTierAsks) {
                Verdict::Untouched
            } else {
                self.verdict(process, key, &entry.fence, &scopes(key))
            };
            if verdict != Verdict::Dropped {
                let version = entry.version;
                if self.breaks(Rule::PromotionKeepsFence) {
                    entry.fence = Fence::at(epoch);
                }
                self.processes[process].memory.insert(key, entry);
                return self.serve(process, key, version, verdict);
            }
        }
        let under_way = self.flights.iter().position(|flight| {
            flight.process == process && flight.key == key && flight.about.is_none()
        });
        if let Some(flight) = under_way {
            let began = self.flights[flight].fence;
            let known = known_scopes(key);
            let may_join = self.breaks(Rule::JoinAfterPurge)
                || self.verdict(process, key, &began, &known) == Verdict::Untouched;
            if may_join {
                let demanded = self.demanded(process, key, Verdict::Untouched);
                self.flights[flight].followers.push(demanded);
                return Ok(());
            }
        }
        self.begin(process, key, epoch, None);
        Ok(())
    }

    fn begin(&mut self, process: usize, key: usize, epoch: Epoch, about: Option<u64>) {
        self.flights.push(Flight {
            process,
            key,
            fence: Fence::at(epoch),
            version: None,
            about,
            followers: Vec::new(),
        });
    }

    fn ask(&mut self, flight: usize) {
        let waiting = self
            .flights
            .iter_mut()
            .filter(|flight| flight.version.is_none());
        let waiting: Vec<_> = waiting.collect();
        let count = waiting.len();
        if let Some(flight) = waiting
            .into_iter()
            .nth(flight.checked_rem(count).unwrap_or(0))
        {
            flight.version = Some(self.source[flight.key]);
        }
    }

    fn land(&mut self, flight: usize) -> Result<(), String> {
        let answered: Vec<_> = (0..self.flights.len())
            .filter(|at| self.flights[*at].version.is_some())
            .collect();
        let Some(at) = flight
            .checked_rem(answered.len())
            .and_then(|place| answered.get(place))
        else {
            return Ok(());
        };
        let flight = self.flights.remove(*at);
        let (process, key) = (flight.process, flight.key);
        let version = flight.version.unwrap();
        let late = self.processes[process].replica.epoch().map(Fence::at);
        let fence = match flight.about {
            None if self.breaks(Rule::FenceBeforeSource) => late.unwrap_or(flight.fence),
            Some(_) if self.breaks(Rule::FreshenToBeginning) => late.unwrap_or(flight.fence),
            _ => flight.fence,
        };
        if flight.about.is_some_and(|about| about != version) {
            return Ok(()); // the copy was no longer right: a 200 would have come, and a fill covers that
        }
        let entry = Entry { version, fence };
        self.processes[process].memory.insert(key, entry.clone());
        self.redis.insert(key, entry);
        for demanded in flight.followers {
            let judged = self.verdict(process, key, &flight.fence, &scopes(key));
            let taken = self.breaks(Rule::JoinAfterPurge) || judged != Verdict::Dropped;
            if taken && version < demanded && judged != Verdict::Softened {
                return Err(format!(
                    "a request that joined was given {version} of {key}, older than {demanded}"
                ));
            }
        }
        Ok(())
    }

    /// The oldest version that this process may serve as what `verdict` says.
    fn demanded(&self, process: usize, key: usize, verdict: Verdict) -> u64 {
        let Some(heard) = self.processes[process].replica.epoch() else {
            return 0;
        };
        self.demands
            .iter()
            .filter(|demand| demand.key == key)
            .filter(|demand| demand.mode == PurgeMode::Hard || verdict == Verdict::Untouched)
            .filter(|demand| {
                demand.epoch.incarnation < heard.incarnation
                    || (demand.epoch.incarnation == heard.incarnation
                        && demand.epoch.sequence <= heard.sequence)
            })
            .map(|demand| demand.version)
            .max()
            .unwrap_or(0)
    }

    fn serve(
        &mut self,
        process: usize,
        key: usize,
        version: u64,
        verdict: Verdict,
    ) -> Result<(), String> {
        self.served += 1;
        let demanded = self.demanded(process, key, verdict);
        if version < demanded {
            return Err(format!(
                "process {process} served {version} of {key} as {verdict:?}, older than {demanded}"
            ));
        }
        Ok(())
    }
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_schedule_shows_a_value_older_than_a_purge_the_reader_has_heard_of(
        events in prop::collection::vec(event(), 1..160)
    ) {
        prop_assert!(run(&events, None).is_ok(), "{:?}", run(&events, None));
    }
}

/// Schedules from a fixed seed, so that a rule's breaking is found in every run or in none.
fn schedules() -> impl Iterator<Item = Vec<Event>> {
    random_schedules(event(), 7).take(4_000)
}

/// The schedules of a seed, without end.
pub(super) fn random_schedules<S: Strategy>(
    event: S,
    seed: u64,
) -> impl Iterator<Item = Vec<S::Value>> {
    let seed = [seed.to_le_bytes(); 4].concat();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = prop::collection::vec(event, 160);
    std::iter::repeat_with(move || strategy.new_tree(&mut runner).unwrap().current())
}

/// What is wrong with the first of `count` schedules of a seed in which something is, and its events up to there.
pub(super) fn first_failure<S: Strategy>(
    event: S,
    seed: u64,
    count: usize,
    run: impl Fn(&[S::Value]) -> Result<usize, String>,
) -> Option<String> {
    random_schedules(event, seed)
        .take(count)
        .find_map(|mut events| {
            let violation = run(&events).err()?;
            // Whatever can be left out without the violation going is.
            let mut at = 0;
            while at < events.len() {
                let left_out = events.remove(at);
                if run(&events).is_ok() {
                    events.insert(at, left_out);
                    at += 1;
                }
            }
            Some(format!("{violation}; at its shortest: {events:#?}"))
        })
}

/// The seed that the environment gives, as a failed torture prints it.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no other way to be given one"
)]
pub(super) fn given_seed() -> Option<u64> {
    let seed = std::env::var("TERRACE_MODEL_SEED").ok()?;
    Some(seed.parse().expect("TERRACE_MODEL_SEED is a number"))
}

#[test]
fn schedules_of_a_given_seed_show_nothing_old() {
    if let Some(seed) = given_seed() {
        let failure = first_failure(event(), seed, 4_000, |events| run(events, None));
        assert_eq!(failure, None, "seed {seed}");
    }
}

#[test]
fn breaking_any_one_rule_is_noticed() {
    for rule in [
        Rule::FenceBeforeSource,
        Rule::PromotionKeepsFence,
        Rule::HardBehindSoft,
        Rule::EveryTierAsks,
        Rule::FreshenToBeginning,
        Rule::JoinAfterPurge,
        Rule::Incarnation,
    ] {
        let noticed = schedules().any(|events| run(&events, Some(rule)).is_err());
        assert!(
            noticed,
            "{rule:?} can be broken without any schedule showing it"
        );
    }
}

#[test]
fn the_model_serves_from_its_tiers_and_does_not_only_miss() {
    let served: usize = schedules()
        .take(200)
        .map(|events| run(&events, None).unwrap())
        .sum();
    assert!(
        served > 1_000,
        "only {served} reads were answered from a tier"
    );
}

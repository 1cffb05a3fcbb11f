//! An origin whose instances lag, an edge that is told of purges late, and readers with tokens: whatever the order,
//! nothing older than a reader's token is usable for it.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::key::SurrogateKey;
use crate::purge::{EntryScopes, Ledger, LedgerLimits, Purge, Replica, Scope};

/// Part of the rule, to be broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// The view is not brought up to the token first.
    CatchUp,
    /// What an instance produced that had not heard of the purge is used.
    Produced,
    /// What is softly purged is served within its grace.
    Softened,
}

#[derive(Clone, Debug)]
enum Event {
    /// The source changes, and the origin's ledger takes the purge.
    Save(PurgeMode),
    /// The same, but for something else than what is read.
    SaveOther,
    /// The source changes, and the edge's ledger alone is told.
    SaveAtEdge(PurgeMode),
    /// The edge's authority is told of the next purge of the origin.
    Deliver,
    /// An isolate of the edge asks the authority.
    Refresh,
    /// The edge begins to fill.
    Begin,
    /// An instance of the origin answers, whose view is so far behind, and stores nothing newer than it must.
    Answer { behind: u64 },
    /// A reader with the token of an earlier purge reads; the authority may be out of reach.
    Read { token: usize, reachable: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let mode = prop_oneof![Just(PurgeMode::Hard), Just(PurgeMode::Soft)];
    prop_oneof![
        3 => mode.clone().prop_map(Event::Save),
        1 => Just(Event::SaveOther),
        1 => mode.prop_map(Event::SaveAtEdge),
        3 => Just(Event::Deliver),
        3 => Just(Event::Refresh),
        4 => Just(Event::Begin),
        4 => (0..3_u64).prop_map(|behind| Event::Answer { behind }),
        6 => (any::<usize>(), prop::bool::weighted(0.8))
            .prop_map(|(token, reachable)| Event::Read { token, reachable }),
    ]
}

struct World {
    broken: Option<Part>,
    /// The source's version.
    version: u64,
    /// The one of the newest save that the origin's ledger knows of.
    saved: u64,
    /// By sequence of the origin's ledger: the version that whoever has heard of it must have.
    at_origin: Vec<u64>,
    /// Purges that the edge has not been told of.
    outbox: Vec<Purge>,
    authority: Ledger,
    /// What the source must have answered at least since the newest purge at the edge alone.
    since_edge: u64,
    view: Replica,
    gone: GoneHistories,
    filling: Option<Fence>,
    stored: Option<(Fence, u64)>,
    receipts: Vec<(ReadToken, u64)>,
    used: usize,
}

fn purge(mode: PurgeMode, key: &str, origin_epoch: Option<Epoch>) -> Purge {
    Purge {
        mode,
        scopes: vec![Scope::surrogate_key(key).unwrap()],
        at: TimestampMillis::from_unix_millis(1),
        origin_epoch,
    }
}

impl World {
    fn new(broken: Option<Part>) -> Self {
        let authority = Ledger::new(Incarnation::from_random(2), LedgerLimits::default());
        Self {
            broken,
            version: 0,
            saved: 0,
            at_origin: vec![0],
            outbox: Vec::new(),
            view: Replica::of(authority.clone(), TimestampMillis::from_unix_millis(0)),
            authority,
            since_edge: 0,
            gone: GoneHistories::default(),
            filling: None,
            stored: None,
            receipts: Vec::new(),
            used: 0,
        }
    }

    fn origin_head(&self) -> Epoch {
        epoch(1, self.at_origin.len() as u64 - 1)
    }

    fn save(&mut self, mode: PurgeMode, key: &str) {
        if key == "read" {
            self.version += 1;
            self.saved = self.version;
        }
        self.at_origin.push(self.saved);
        let place = self.origin_head();
        self.outbox.push(purge(mode, key, Some(place)));
        let token = ReadToken {
            origin: Some(place),
            edge: None,
        };
        self.receipts.push((token, self.saved));
    }

    fn step(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Save(mode) => self.save(mode, "read"),
            Event::SaveOther => self.save(PurgeMode::Hard, "other"),
            Event::SaveAtEdge(mode) => {
                self.version += 1;
                self.since_edge = self.version;
                self.authority.append(purge(mode, "read", None));
                let token = ReadToken {
                    origin: None,
                    edge: Some(self.authority.epoch()),
                };
                self.receipts.push((token, self.version));
            }
            Event::Deliver if !self.outbox.is_empty() => {
                self.authority.append(self.outbox.remove(0));
            }
            Event::Deliver => {}
            Event::Refresh => self.refresh(),
            Event::Begin => self.filling = self.view.epoch().map(Fence::at),
            Event::Answer { behind } => {
                let Some(fence) = self.filling.take() else {
                    return Ok(());
                };
                let place = self.origin_head().sequence.as_u64().saturating_sub(behind);
                let version = self.at_origin[usize::try_from(place).unwrap()].max(self.since_edge);
                let produced_at = Some(epoch(1, place));
                self.stored = Some((
                    Fence {
                        produced_at,
                        ..fence
                    },
                    version,
                ));
            }
            Event::Read { token, reachable } => return self.read(token, reachable),
        }
        Ok(())
    }

    fn refresh(&mut self) {
        self.view = Replica::of(self.authority.clone(), TimestampMillis::from_unix_millis(0));
    }

    fn read(&mut self, token: usize, reachable: bool) -> Result<(), String> {
        let (Some((fence, version)), Some(at)) =
            (self.stored, token.checked_rem(self.receipts.len()))
        else {
            return Ok(());
        };
        let (token, demanded) = self.receipts[at];
        let after = After::of(&token);
        let here = |world: &Self| after.edge.reach(world.view.epoch(), &world.gone);
        if here(self) == Reach::Behind && reachable {
            self.refresh();
            self.gone.note(&after.edge, self.authority.epoch());
        }
        let reach = match self.broken {
            Some(Part::CatchUp) => Reach::Reached,
            _ => here(self),
        };
        let told = match self.broken {
            Some(Part::Produced) => token.origin,
            _ => self.view.ledger().and_then(Ledger::origin_head),
        };
        let key = SurrogateKey::parse("read").unwrap();
        let scopes = EntryScopes::of_url("a.example", "/", [&key]);
        let said = match (self.broken, self.view.verdict(&fence, &scopes)) {
            (Some(Part::Softened), Verdict::Softened) => Verdict::Untouched,
            (_, verdict) => verdict,
        };
        if after.verdict_at_edge(said, &fence, reach, told) == Verdict::Dropped {
            return Ok(());
        }
        self.used += 1;
        if version < demanded {
            return Err(format!(
                "{version} answers {token:?}, which asks for {demanded}"
            ));
        }
        Ok(())
    }
}

fn run(events: &[Event], broken: Option<Part>) -> Result<usize, String> {
    let mut world = World::new(broken);
    for event in events {
        world.step(event)?;
    }
    Ok(world.used)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_older_than_its_token_answers_a_reader(events in prop::collection::vec(event(), 1..80)) {
        let ran = run(&events, None);
        prop_assert!(ran.is_ok(), "{:?}", ran);
    }

    #[test]
    fn any_text_is_a_token_of_ours_or_none(text in ".{0,130}", places in any::<[u64; 4]>()) {
        let ours = secrets(ONE);
        prop_assert!(ReadToken::verify(&text, &ours).is_err());
        let token = ReadToken {
            origin: Some(epoch(places[0], places[1])),
            edge: (places[3] % 2 == 0).then(|| epoch(places[2], places[3])),
        };
        let signed = token.sign(&ours);
        prop_assert!(signed.len() <= ReadToken::LONGEST);
        prop_assert_eq!(ReadToken::verify(&signed, &ours), Ok(token));
    }
}

/// Schedules from a fixed seed, so that what is broken is found in every run or in none.
fn schedules() -> impl Iterator<Item = Vec<Event>> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = prop::collection::vec(event(), 80);
    (0..2_000).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

#[test]
fn breaking_any_part_of_it_is_noticed_and_readers_with_tokens_are_answered_from_the_store() {
    for part in [Part::CatchUp, Part::Produced, Part::Softened] {
        let noticed = schedules().any(|events| run(&events, Some(part)).is_err());
        assert!(
            noticed,
            "{part:?} can be broken without any schedule showing it"
        );
    }
    let used: usize = schedules()
        .take(200)
        .map(|events| run(&events, None).unwrap())
        .sum();
    assert!(used > 200, "only {used} reads were answered from the store");
}

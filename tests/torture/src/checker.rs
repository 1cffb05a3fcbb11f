//! What every read is held against: the purges whose receipts said, before it began, that it must see them.
//!
//! Plain data and no clock: moments are lengths of time since the run began, on the driver's one monotonic clock.

use std::time::Duration;

use parking_lot::Mutex;
use terrace_shared::purge::PurgeMode;
use terrace_shared::purge::wire::{PurgeState, PurgedTier, Receipt};

use crate::names::Key;

/// Where a read takes place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// In this origin process.
    Process(usize),
    /// In any data centre.
    Edge,
}

/// Which readers a purge binds, once its moment has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Those of the process that purged.
    Process(usize),
    /// Those of every process.
    Processes,
    /// Those of every data centre.
    Edge,
}

/// What the readers of one place are bound to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Floor {
    /// Nothing older than this version, whatever it is called.
    pub hard: u64,
    /// Nothing older than this version, unless it is called stale.
    pub soft: u64,
}

/// A purge of one key, as it binds some readers from a moment on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// The oldest version they may be given.
    pub version: u64,
    /// Whether stale answers are excepted.
    pub mode: PurgeMode,
    /// Whom it binds.
    pub reach: Reach,
    /// From when on.
    pub from: Duration,
}

/// How an answer was labelled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Label {
    /// As fresh, or as validated.
    Current,
    /// As stale.
    Stale,
}

/// A read that was given something older than it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offence {
    /// Older than a hard purge, or than a token.
    Hard,
    /// Older than a soft purge, and not called stale.
    Soft,
}

/// All demands there are, by key.
pub struct Checker {
    processes: usize,
    keys: Vec<Mutex<Demands>>,
}

struct Demands {
    /// For each process, and then for the edge: what binds already.
    floors: Vec<Floor>,
    /// What will bind.
    pending: Vec<Demand>,
}

impl Checker {
    /// Added to every moment from which a demand binds, for clocks that are read in whole milliseconds.
    pub const MARGIN: Duration = Duration::from_millis(10);

    /// One for this many processes, which demands nothing yet.
    pub fn new(processes: usize) -> Self {
        let demands = || Demands {
            floors: vec![Floor::default(); processes + 1],
            pending: Vec::new(),
        };
        let keys = Key::all().map(|_| Mutex::new(demands())).collect();
        Self { processes, keys }
    }

    /// Demands this of readers of `key`.
    pub fn demand(&self, key: Key, demand: Demand) {
        self.keys[key.index()].lock().pending.push(demand);
    }

    /// What binds a read of `key` that begins in `place` at `now`.
    pub fn floor(&self, key: Key, place: Place, now: Duration) -> Floor {
        let mut demands = self.keys[key.index()].lock();
        let demands = &mut *demands;
        let floors = &mut demands.floors;
        demands.pending.retain(|demand| {
            let binds = demand.from + Self::MARGIN <= now;
            if binds {
                let bound = match demand.reach {
                    Reach::Process(process) => &mut floors[process..=process],
                    Reach::Processes => &mut floors[..self.processes],
                    Reach::Edge => &mut floors[self.processes..],
                };
                for floor in bound {
                    floor.raise(demand);
                }
            }
            !binds
        });
        match place {
            Place::Process(process) => floors[process],
            Place::Edge => floors[self.processes],
        }
    }
}

impl Floor {
    /// What a token binds its reader to besides, at once.
    #[must_use]
    pub fn at_least(self, version: u64) -> Self {
        Self {
            hard: self.hard.max(version),
            ..self
        }
    }

    /// What is wrong with `version`, if anything is.
    pub fn offence(self, version: u64, label: Label) -> Option<Offence> {
        if version < self.hard {
            return Some(Offence::Hard);
        }
        (version < self.soft && label == Label::Current).then_some(Offence::Soft)
    }

    fn raise(&mut self, demand: &Demand) {
        let floor = match demand.mode {
            PurgeMode::Hard => &mut self.hard,
            PurgeMode::Soft => &mut self.soft,
        };
        *floor = (*floor).max(demand.version);
    }
}

/// Whom a receipt binds that was received at `now` from the process `by`, or from the edge itself, and from when on.
///
/// The receipt's own moment is on the clock of whoever wrote it, which may have been set. It was written before it
/// was received, so the bound counted from `now` ends no earlier.
pub fn bindings(receipt: &Receipt, by: Option<usize>, now: Duration) -> Vec<(Reach, Duration)> {
    let after = |bound: u64| now + Duration::from_millis(bound);
    let mut bindings = Vec::new();
    for tier in &receipt.tiers {
        let from = after(tier.bound_ms.as_u64());
        match (tier.tier, tier.state, by) {
            (PurgedTier::Memory, PurgeState::Done, Some(process)) => {
                bindings.push((Reach::Process(process), from));
            }
            (PurgedTier::Redis, PurgeState::Done, _) => bindings.push((Reach::Processes, from)),
            (PurgedTier::Memory | PurgedTier::Redis, _, _) | (PurgedTier::Edge, _, _) => {}
        }
    }
    let mut edges = receipt
        .tiers
        .iter()
        .filter(|tier| tier.tier == PurgedTier::Edge)
        .peekable();
    if edges.peek().is_some() && edges.all(|tier| tier.state == PurgeState::Done) {
        bindings.push((Reach::Edge, after(longest_bound(receipt))));
    }
    bindings
}

/// Whether some edge has not taken the purge yet.
pub fn is_pending_at_edge(receipt: &Receipt) -> bool {
    receipt
        .tiers
        .iter()
        .any(|tier| tier.tier == PurgedTier::Edge && tier.state == PurgeState::Pending)
}

/// The longest bound of any tier, in milliseconds: what the edge is filled from is bound by its own.
pub fn longest_bound(receipt: &Receipt) -> u64 {
    let bounds = receipt.tiers.iter().map(|tier| tier.bound_ms.as_u64());
    bounds.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn demand(version: u64, mode: PurgeMode, reach: Reach, from: u64) -> Demand {
        Demand {
            version,
            mode,
            reach,
            from: at(from),
        }
    }

    #[test]
    fn a_demand_binds_its_readers_from_its_moment_on_and_no_others() {
        let checker = Checker::new(2);
        let key = Key::at(3).unwrap();
        checker.demand(key, demand(7, PurgeMode::Hard, Reach::Processes, 5_000));
        checker.demand(key, demand(8, PurgeMode::Hard, Reach::Process(1), 1_000));
        let hard = |place, now| checker.floor(key, place, at(now)).hard;
        assert_eq!(hard(Place::Process(1), 1_009), 0);
        assert_eq!(hard(Place::Process(1), 1_010), 8);
        assert_eq!(hard(Place::Process(0), 5_009), 0);
        assert_eq!(hard(Place::Process(0), 5_010), 7);
        assert_eq!(hard(Place::Process(1), 5_010), 8);
        assert_eq!(hard(Place::Edge, 9_000), 0);
        let other = checker.floor(Key::at(4).unwrap(), Place::Process(1), at(9_000));
        assert_eq!(other, Floor::default());
    }

    #[test]
    fn an_older_version_is_an_offence_and_after_a_soft_purge_only_unlabelled() {
        let floor = Floor { hard: 3, soft: 5 };
        for (version, label, offence) in [
            (2, Label::Current, Some(Offence::Hard)),
            (2, Label::Stale, Some(Offence::Hard)),
            (3, Label::Stale, None),
            (4, Label::Current, Some(Offence::Soft)),
            (5, Label::Current, None),
        ] {
            assert_eq!(
                floor.offence(version, label),
                offence,
                "{version} {label:?}"
            );
        }
        assert_eq!(
            floor.at_least(6).offence(5, Label::Stale),
            Some(Offence::Hard)
        );
    }

    #[test]
    fn a_receipt_binds_the_tiers_that_have_taken_the_purge() {
        let receipt = |edge: &str| -> Receipt {
            serde_json::from_value(serde_json::json!({
                "epoch": "0000000000000001-1", "mode": "hard", "scopes": 1, "purged_at_ms": 0,
                "tiers": [
                    { "tier": "memory", "state": "done", "bound_ms": 0 },
                    { "tier": "redis", "state": "done", "bound_ms": 4_000 },
                    { "tier": "edge", "state": edge, "bound_ms": 5_000 },
                ],
            }))
            .unwrap()
        };
        let origin = [(Reach::Process(1), at(100)), (Reach::Processes, at(4_100))];
        assert_eq!(bindings(&receipt("pending"), Some(1), at(100)), origin);
        assert!(is_pending_at_edge(&receipt("pending")));
        let all = [&origin[..], &[(Reach::Edge, at(5_100))]].concat();
        assert_eq!(bindings(&receipt("done"), Some(1), at(100)), all);
    }
}

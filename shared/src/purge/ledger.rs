//! The ledger itself: records in, verdicts out.

mod encode;

use super::entry::EntryScopes;
use super::marks::{MarkTable, Marks, Sketch};
use super::pattern::Pattern;
use super::scope::{Purge, PurgeMode, Scope};
use super::{Epoch, Fence, Incarnation, Sequence};
use crate::sabotage::{self, Rule};
use crate::time::{DeltaSeconds, Timestamp};

/// What the ledger says of a stored entry.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[must_use]
pub enum Verdict {
    /// No purge has named it since it was filled.
    Untouched,
    /// A soft purge has: it is stale, and may be served within grace.
    Softened,
    /// A hard purge has, or nobody can know: it must not be used.
    Dropped,
}

impl Verdict {
    /// The harder of the two.
    pub fn worse(self, other: Self) -> Self {
        self.max(other)
    }
}

/// A purge in its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Its place.
    pub sequence: Sequence,
    /// What was purged.
    pub purge: Purge,
}

/// How much a ledger may keep (R11).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LedgerLimits {
    /// Scopes kept one by one; the oldest beyond that go into a sketch. Default: 131,072.
    pub marks: usize,
    /// Patterns kept; before the oldest of more, every entry counts as dropped. Default: 1,024.
    pub patterns: usize,
    /// How long a purge matters: longest lifetime + grace + bound on lag. Default: 400 days.
    pub horizon: DeltaSeconds,
}

impl Default for LedgerLimits {
    fn default() -> Self {
        Self {
            marks: 1 << 17,
            patterns: 1 << 10,
            horizon: DeltaSeconds::days(400),
        }
    }
}

/// What brings a replica's ledger up to its authority's.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an update is taken apart where it is made or received, and kept nowhere"
)]
pub enum Update {
    /// The records after the sequence that the replica asked from, oldest first.
    Delta {
        /// Which history they belong to.
        incarnation: Incarnation,
        /// Where that history stands.
        head: Sequence,
        /// The records after the replica's own head.
        records: Vec<Record>,
    },
    /// The whole ledger: the replica knew another history, or was too far behind.
    Snapshot(Ledger),
}

/// An update that does not fit the ledger it was given to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Records are missing between the ledger's head and this one: ask again from the head.
    #[error(
        "the ledger stands at {head:?}, the next record is {next:?}: what lies between is missing"
    )]
    Gap {
        /// Where the ledger stands.
        head: Sequence,
        /// The record that was given.
        next: Sequence,
    },
    /// The records belong to another history: ask for a snapshot.
    #[error("the records belong to incarnation {theirs}, the ledger is {ours}")]
    OtherIncarnation {
        /// The ledger's history.
        ours: Incarnation,
        /// The records' history.
        theirs: Incarnation,
    },
    /// The authority stands before this replica: it has lost part of its history (R6).
    #[error(
        "the ledger stands at {ours:?}, its authority only at {theirs:?}: part of its history is lost"
    )]
    Regressed {
        /// Where this replica stands.
        ours: Sequence,
        /// Where its authority stands.
        theirs: Sequence,
    },
}

/// A bounded memory of every purge that can still matter, and the judge of stored entries.
///
/// The same type serves as the authority, which gives purges their places, and as a replica of it.
#[derive(Clone, Debug)]
pub struct Ledger {
    limits: LedgerLimits,
    incarnation: Incarnation,
    head: Sequence,
    /// Entries filled before this are dropped unseen: the records that could have named them are gone.
    floor: Sequence,
    everything: Marks,
    marks: MarkTable,
    patterns: Vec<PatternMark>,
    /// The origin ledger's marks, which came with purges sent on from there (R9).
    origin: Option<OriginMarks>,
    /// Where the ledger stood in the past, oldest first, at most one an hour.
    milestones: Vec<Milestone>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct PatternMark {
    pattern: Pattern,
    mode: PurgeMode,
    sequence: Sequence,
    origin: Option<Epoch>,
}

/// The purges of about an hour: the last one's place, and when the first and the last were asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Milestone {
    began: Timestamp,
    ended: Timestamp,
    sequence: Sequence,
}

#[derive(Clone, Debug)]
struct OriginMarks {
    incarnation: Incarnation,
    /// The newest purge that was sent on: no mark is newer.
    head: Sequence,
    /// The histories before this one, the latest last: purges of theirs that are sent on late change nothing.
    replaced: Vec<Incarnation>,
    everything: Marks,
    marks: MarkTable,
}

impl OriginMarks {
    /// Most histories that are remembered as replaced.
    const MOST_REPLACED: usize = 16;
}

impl Ledger {
    /// A ledger that begins a new history.
    pub fn new(incarnation: Incarnation, limits: LedgerLimits) -> Self {
        Self {
            limits,
            incarnation,
            head: Sequence::ZERO,
            floor: Sequence::ZERO,
            everything: Marks::default(),
            marks: MarkTable::new(limits.marks),
            patterns: Vec::new(),
            origin: None,
            milestones: Vec::new(),
        }
    }

    /// A ledger whose records up to `floor` are not known: entries filled before it count as dropped.
    pub fn starting_at(incarnation: Incarnation, floor: Sequence, limits: LedgerLimits) -> Self {
        Self {
            head: floor,
            floor,
            ..Self::new(incarnation, limits)
        }
    }

    /// Gives `purge` the next place, as only the authority may.
    pub fn append(&mut self, purge: Purge) -> Record {
        let record = Record {
            sequence: self.head.next(),
            purge,
        };
        self.take(&record);
        record
    }

    /// Takes over a record of the authority's; one already known changes nothing.
    ///
    /// # Errors
    /// When records between the ledger's head and this one are missing.
    pub fn apply(&mut self, record: &Record) -> Result<(), ApplyError> {
        if record.sequence > self.head.next() {
            return Err(ApplyError::Gap {
                head: self.head,
                next: record.sequence,
            });
        }
        if record.sequence > self.head {
            self.take(record);
        }
        Ok(())
    }

    /// Takes over an update of the authority's.
    ///
    /// # Errors
    /// When a delta does not follow on from here; the ledger has then taken what did.
    pub fn update(&mut self, update: Update) -> Result<(), ApplyError> {
        match update {
            Update::Snapshot(ledger) => {
                let limits = self.limits;
                *self = ledger;
                self.limits = limits;
                Ok(())
            }
            Update::Delta {
                incarnation,
                head,
                records,
            } => {
                if incarnation != self.incarnation {
                    return Err(ApplyError::OtherIncarnation {
                        ours: self.incarnation,
                        theirs: incarnation,
                    });
                }
                if head < self.head {
                    return Err(ApplyError::Regressed {
                        ours: self.head,
                        theirs: head,
                    });
                }
                for record in &records {
                    self.apply(record)?;
                }
                if self.head < head {
                    return Err(ApplyError::Gap {
                        head: self.head,
                        next: head,
                    });
                }
                Ok(())
            }
        }
    }

    /// Forgets what lies beyond the horizon at `now` (R11).
    ///
    /// Entries filled before the forgotten records count as dropped from then on; they are older
    /// than any lifetime allows anyway.
    pub fn compact(&mut self, now: Timestamp) {
        let horizon = self.limits.horizon;
        let passed = self
            .milestones
            .partition_point(|milestone| now.saturating_since(milestone.ended) > horizon);
        let last = self.milestones.drain(..passed).next_back();
        if let Some(last) = last {
            self.raise_floor(last.sequence);
        }
    }

    /// Where this ledger stands; what a fill must read before it asks its source (R1).
    pub fn epoch(&self) -> Epoch {
        Epoch {
            incarnation: self.incarnation,
            sequence: self.head,
        }
    }

    /// How far along the origin's ledger the purges go that were sent on from there; they come in their order (R9).
    pub fn origin_head(&self) -> Option<Epoch> {
        self.origin.as_ref().map(|origin| Epoch {
            incarnation: origin.incarnation,
            sequence: origin.head,
        })
    }

    /// The position before which entries are dropped unseen.
    pub fn floor(&self) -> Sequence {
        self.floor
    }

    /// Scopes remembered one by one.
    pub fn mark_count(&self) -> usize {
        self.marks.len()
    }

    /// Judges the entry that was filled under `fence` and answers to `scopes` (R2).
    ///
    /// A reader may remember an `Untouched` together with [`Self::epoch`]: as long as the ledger
    /// stands there, the verdict stands too.
    pub fn verdict(&self, fence: &Fence, scopes: &EntryScopes) -> Verdict {
        let broken = sabotage::breaks(Rule::Incarnation);
        if fence.filled_at.incarnation != self.incarnation && !broken {
            return Verdict::Dropped; // R6
        }
        // An answer that was produced under this very ledger, by an instance whose view was behind this one (R9).
        let produced_here = fence
            .produced_at
            .filter(|at| at.incarnation == self.incarnation);
        let filled_at = produced_here.map_or(fence.filled_at.sequence, |at| {
            at.sequence.min(fence.filled_at.sequence)
        });
        let own = if filled_at >= self.head {
            Verdict::Untouched
        } else {
            self.own_verdict(filled_at, scopes)
        };
        match (own, &self.origin, fence.produced_at) {
            (Verdict::Untouched | Verdict::Softened, Some(origin), Some(produced_at))
                if !sabotage::breaks(Rule::OriginEpoch) =>
            {
                own.worse(self.origin_verdict(origin, produced_at, scopes))
            }
            (verdict, ..) => verdict,
        }
    }

    fn own_verdict(&self, filled_at: Sequence, scopes: &EntryScopes) -> Verdict {
        if filled_at < self.floor {
            return Verdict::Dropped;
        }
        let mut verdict = self.everything.verdict(filled_at);
        for scope in scopes.fingerprints() {
            verdict = verdict.worse(self.marks.verdict(*scope, filled_at));
        }
        let newer = |mark: &&PatternMark| mark.sequence > filled_at;
        for mark in self.patterns.iter().rev().take_while(newer) {
            if verdict < severity(mark.mode) && mark.pattern.matches(scopes.name()) {
                verdict = severity(mark.mode);
            }
        }
        verdict
    }

    fn origin_verdict(
        &self,
        origin: &OriginMarks,
        produced_at: Epoch,
        scopes: &EntryScopes,
    ) -> Verdict {
        if produced_at.incarnation != origin.incarnation {
            // An instance answered that did not know that its ledger is lost. Or the edge has not heard of the loss
            // yet: nobody here can tell the two apart, and the next purge that is sent on ends it.
            return Verdict::Dropped; // R6
        }
        let produced_at = produced_at.sequence;
        let mut verdict = origin.everything.verdict(produced_at);
        for scope in scopes.fingerprints() {
            verdict = verdict.worse(origin.marks.verdict(*scope, produced_at));
        }
        for mark in &self.patterns {
            let newer = mark.origin.is_some_and(|epoch| {
                epoch.incarnation == origin.incarnation && epoch.sequence > produced_at
            });
            if newer && verdict < severity(mark.mode) && mark.pattern.matches(scopes.name()) {
                verdict = severity(mark.mode);
            }
        }
        verdict
    }

    fn take(&mut self, record: &Record) {
        self.head = record.sequence;
        self.note_milestone(record.purge.at.timestamp());
        let Purge {
            mode,
            scopes,
            origin_epoch,
            ..
        } = &record.purge;
        if let Some(epoch) = origin_epoch {
            self.take_origin(*epoch, *mode, scopes);
        }
        for scope in scopes {
            match (scope, scope.fingerprint()) {
                (_, Some(fingerprint)) => self.marks.raise(fingerprint, *mode, self.head),
                (Scope::Pattern(pattern), None) => self.patterns.push(PatternMark {
                    pattern: pattern.clone(),
                    mode: *mode,
                    sequence: self.head,
                    origin: *origin_epoch,
                }),
                (_, None) => self.everything.raise(*mode, self.head),
            }
        }
        let spare = self.patterns.len().saturating_sub(self.limits.patterns);
        let last = self.patterns.drain(..spare).next_back();
        if let Some(last) = last {
            self.raise_floor(last.sequence);
        }
    }

    fn take_origin(&mut self, epoch: Epoch, mode: PurgeMode, scopes: &[Scope]) {
        let mut replaced = Vec::new();
        match &self.origin {
            // Sent on late: all that was produced under that history is dropped anyway.
            Some(origin) if origin.replaced.contains(&epoch.incarnation) => return,
            Some(origin) if origin.incarnation != epoch.incarnation => {
                let spare = (origin.replaced.len() + 1).saturating_sub(OriginMarks::MOST_REPLACED);
                replaced.extend(origin.replaced.iter().skip(spare));
                replaced.push(origin.incarnation);
            }
            Some(_) | None => {}
        }
        // Another incarnation replaces the marks: what it purged before, it no longer remembers either.
        let origin = match &mut self.origin {
            Some(origin) if origin.incarnation == epoch.incarnation => origin,
            other => other.insert(OriginMarks {
                incarnation: epoch.incarnation,
                head: Sequence::ZERO,
                replaced,
                everything: Marks::default(),
                marks: MarkTable::new(self.limits.marks),
            }),
        };
        origin.head = origin.head.max(epoch.sequence);
        for scope in scopes {
            match (scope, scope.fingerprint()) {
                (_, Some(fingerprint)) => origin.marks.raise(fingerprint, mode, epoch.sequence),
                (Scope::Pattern(_), None) => {} // kept once, in `patterns`
                (_, None) => origin.everything.raise(mode, epoch.sequence),
            }
        }
    }

    fn note_milestone(&mut self, at: Timestamp) {
        let hour = DeltaSeconds::hours(1);
        match self.milestones.last_mut() {
            Some(last) if at.saturating_since(last.began) < hour => {
                last.ended = last.ended.max(at);
                last.sequence = self.head;
            }
            _ => self.milestones.push(Milestone {
                began: at,
                ended: at,
                sequence: self.head,
            }),
        }
    }

    fn raise_floor(&mut self, floor: Sequence) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        self.marks.forget_up_to(floor);
        self.patterns.retain(|mark| mark.sequence > floor);
        if self.everything.hard <= floor {
            self.everything.hard = Sequence::ZERO;
        }
        if self.everything.soft <= floor {
            self.everything.soft = Sequence::ZERO;
        }
    }
}

const fn severity(mode: PurgeMode) -> Verdict {
    match mode {
        PurgeMode::Soft => Verdict::Softened,
        PurgeMode::Hard => Verdict::Dropped,
    }
}

#[cfg(test)]
mod tests;

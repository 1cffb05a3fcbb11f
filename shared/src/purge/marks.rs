//! The newest purges of each scope, in bounded memory.

mod packed;
mod sketch;

use self::packed::PackedMarks;
pub(super) use self::sketch::Sketch;
use super::entry::Fingerprint;
use super::scope::PurgeMode;
use super::{Sequence, Verdict};

/// Where a scope was last purged, hard and soft apart: a later soft purge must not hide an earlier hard one (R2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Marks {
    pub(super) hard: Sequence,
    pub(super) soft: Sequence,
}

impl Marks {
    /// Of one purge.
    fn of(mode: PurgeMode, at: Sequence) -> Self {
        let mut marks = Self::default();
        marks.raise(mode, at);
        marks
    }

    pub(super) fn raise(&mut self, mode: PurgeMode, to: Sequence) {
        let mark = match mode {
            PurgeMode::Hard => &mut self.hard,
            PurgeMode::Soft => &mut self.soft,
        };
        *mark = (*mark).max(to);
    }

    /// What these purges say of an entry that was filled at `filled_at`.
    pub(super) fn verdict(self, filled_at: Sequence) -> Verdict {
        if self.hard > filled_at {
            Verdict::Dropped
        } else if self.soft > filled_at {
            Verdict::Softened
        } else {
            Verdict::Untouched
        }
    }

    pub(super) fn newest(self) -> Sequence {
        self.hard.max(self.soft)
    }

    fn max(self, other: Self) -> Self {
        Self {
            hard: self.hard.max(other.hard),
            soft: self.soft.max(other.soft),
        }
    }

    fn min(self, other: Self) -> Self {
        Self {
            hard: self.hard.min(other.hard),
            soft: self.soft.min(other.soft),
        }
    }
}

/// Marks by fingerprint; above its capacity the oldest go into a sketch of fixed size (R11).
#[derive(Clone, Debug)]
pub(super) struct MarkTable {
    exact: PackedMarks,
    capacity: usize,
    sketch: Option<Sketch>,
}

impl MarkTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            exact: PackedMarks::default(),
            capacity: capacity.max(2),
            sketch: None,
        }
    }

    pub(super) fn raise(&mut self, scope: Fingerprint, mode: PurgeMode, to: Sequence) {
        self.exact.raise(scope, Marks::of(mode, to));
        if self.exact.len() > self.capacity {
            self.fold_oldest();
        }
    }

    /// Puts back marks as a snapshot carries them: in order, for which there must be room beforehand.
    pub(super) fn restore(&mut self, marks: &[(Fingerprint, Marks)]) {
        self.exact.make_room_for(marks.len());
        // Once for all: what is lifted to the base stands where it stood in the snapshot.
        let newest = marks.iter().map(|(_, marks)| marks.newest()).max();
        self.exact.reach(newest.unwrap_or_default());
        for (scope, marks) in marks {
            self.exact.raise(*scope, *marks);
        }
        while self.exact.len() > self.capacity {
            self.fold_oldest();
        }
    }

    pub(super) fn verdict(&self, scope: Fingerprint, filled_at: Sequence) -> Verdict {
        let exact = self.exact.marks(scope).verdict(filled_at);
        match &self.sketch {
            Some(sketch) => exact.worse(sketch.marks(scope).verdict(filled_at)),
            None => exact,
        }
    }

    /// Forgets every mark at or before `floor`; the caller drops all entries that were filled before it.
    pub(super) fn forget_up_to(&mut self, floor: Sequence) {
        self.exact.retain(|_, marks| marks.newest() > floor);
        if self
            .sketch
            .as_ref()
            .is_some_and(|sketch| sketch.newest() <= floor)
        {
            self.sketch = None;
        }
    }

    /// The newest mark of any scope.
    pub(super) fn newest(&self) -> Sequence {
        let exact = self.exact.iter().map(|(_, marks)| marks.newest());
        let sketch = self.sketch.as_ref().map(Sketch::newest);
        exact.chain(sketch).max().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.exact.len()
    }

    /// Bytes of heap that the marks take one by one; the sketch is not among them.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.exact.heap_bytes()
    }

    /// The most places that a look-up of a mark goes through.
    #[cfg(test)]
    pub(super) fn longest_way(&self) -> usize {
        self.exact.longest_way()
    }

    /// Marks in a stable order, for a snapshot.
    pub(super) fn sorted(&self) -> Vec<(Fingerprint, Marks)> {
        self.exact.iter().collect()
    }

    pub(super) fn sketch(&self) -> Option<&Sketch> {
        self.sketch.as_ref()
    }

    pub(super) fn restore_sketch(&mut self, sketch: Sketch) {
        self.sketch = Some(sketch);
    }

    /// Moves the oldest quarter into the sketch; entries filled since those purges notice nothing.
    fn fold_oldest(&mut self) {
        let mut newest: Vec<_> = self.exact.iter().map(|(_, marks)| marks.newest()).collect();
        let quarter = newest.len() / 4;
        let (_, &mut last, _) = newest.select_nth_unstable(quarter);
        let sketch = self.sketch.get_or_insert_with(Sketch::new);
        self.exact.retain(|scope, marks| {
            let keep = marks.newest() > last;
            if !keep {
                sketch.raise(scope, marks);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests;

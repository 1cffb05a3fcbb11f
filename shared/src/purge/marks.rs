//! The newest purges of each scope, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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
    exact: HashMap<Fingerprint, Marks, BuildHasherDefault<AlreadyHashed>>,
    capacity: usize,
    sketch: Option<Sketch>,
}

impl MarkTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            exact: HashMap::default(),
            capacity: capacity.max(2),
            sketch: None,
        }
    }

    pub(super) fn raise(&mut self, scope: Fingerprint, mode: PurgeMode, to: Sequence) {
        self.exact.entry(scope).or_default().raise(mode, to);
        if self.exact.len() > self.capacity {
            self.fold_older_half();
        }
    }

    /// Puts back marks as a snapshot carries them.
    pub(super) fn restore(&mut self, scope: Fingerprint, marks: Marks) {
        let slot = self.exact.entry(scope).or_default();
        *slot = slot.max(marks);
        if self.exact.len() > self.capacity {
            self.fold_older_half();
        }
    }

    pub(super) fn verdict(&self, scope: Fingerprint, filled_at: Sequence) -> Verdict {
        let exact = self
            .exact
            .get(&scope)
            .map_or(Verdict::Untouched, |marks| marks.verdict(filled_at));
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
        let exact = self.exact.values().map(|marks| marks.newest());
        let sketch = self.sketch.as_ref().map(Sketch::newest);
        exact.chain(sketch).max().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.exact.len()
    }

    /// Marks in a stable order, for a snapshot.
    pub(super) fn sorted(&self) -> Vec<(Fingerprint, Marks)> {
        let mut marks: Vec<_> = self
            .exact
            .iter()
            .map(|(scope, marks)| (*scope, *marks))
            .collect();
        marks.sort_unstable_by_key(|(scope, _)| *scope);
        marks
    }

    pub(super) fn sketch(&self) -> Option<&Sketch> {
        self.sketch.as_ref()
    }

    pub(super) fn restore_sketch(&mut self, sketch: Sketch) {
        self.sketch = Some(sketch);
    }

    fn fold_older_half(&mut self) {
        let mut newest: Vec<_> = self.exact.values().map(|marks| marks.newest()).collect();
        let middle = newest.len() / 2;
        let (_, &mut median, _) = newest.select_nth_unstable(middle);
        let sketch = self.sketch.get_or_insert_with(Sketch::new);
        self.exact.retain(|scope, marks| {
            let keep = marks.newest() > median;
            if !keep {
                sketch.raise(*scope, *marks);
            }
            keep
        });
    }
}

/// Two rows of marks; a scope's own are never lower than the lower of its two cells.
///
/// Purges of other scopes that share both cells are taken for its own, so it only ever purges too much (R11).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sketch {
    rows: [Box<[Marks]>; 2],
}

impl Sketch {
    /// Cells in a row: 2 rows × 8,192 cells × 16 bytes = 256 KiB.
    pub(super) const CELLS: usize = 1 << 13;

    pub(super) fn new() -> Self {
        let row = || vec![Marks::default(); Self::CELLS].into_boxed_slice();
        Self {
            rows: [row(), row()],
        }
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = Marks> {
        self.rows.iter().flat_map(|row| row.iter().copied())
    }

    pub(super) fn cells_mut(&mut self) -> impl Iterator<Item = &mut Marks> {
        self.rows.iter_mut().flat_map(|row| row.iter_mut())
    }

    fn places(scope: Fingerprint) -> [usize; 2] {
        let bits = scope.as_bits();
        let mask = Self::CELLS as u64 - 1;
        [bits & mask, (bits >> 32) & mask].map(|place| usize::try_from(place).unwrap_or_default())
    }

    fn raise(&mut self, scope: Fingerprint, marks: Marks) {
        for (row, place) in self.rows.iter_mut().zip(Self::places(scope)) {
            if let Some(cell) = row.get_mut(place) {
                *cell = cell.max(marks);
            }
        }
    }

    fn marks(&self, scope: Fingerprint) -> Marks {
        let [first, second] = Self::places(scope);
        let [top, bottom] = &self.rows;
        let cell = |row: &[Marks], place: usize| row.get(place).copied().unwrap_or_default();
        cell(top, first).min(cell(bottom, second))
    }

    fn newest(&self) -> Sequence {
        self.cells().map(Marks::newest).max().unwrap_or_default()
    }
}

/// Fingerprints are hashes already; hashing them again would only cost time.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, bits: u64) {
        self.0 = bits;
    }
}

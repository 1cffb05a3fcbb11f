//! Marks of more scopes than can be kept one by one.

use super::Marks;
use super::packed::bits;
use crate::purge::{Fingerprint, Sequence};

/// Two rows of marks; a scope's own are never lower than the lower of its two cells.
///
/// Purges of other scopes that share both cells are taken for its own, so it only ever purges too much (R11): of
/// scopes older than all that is in it, 1 % with a thousand in it, 14 % with four thousand, 70 % with sixteen
/// thousand. Entries filled since those purges are not touched, however many there are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::purge) struct Sketch {
    rows: [Box<[Marks]>; 2],
}

impl Sketch {
    /// Cells in a row: 2 rows × 8,192 cells × 16 bytes = 256 KiB.
    pub(in crate::purge) const CELLS: usize = 1 << 13;

    pub(in crate::purge) fn new() -> Self {
        let row = || vec![Marks::default(); Self::CELLS].into_boxed_slice();
        Self {
            rows: [row(), row()],
        }
    }

    pub(in crate::purge) fn cells(&self) -> impl Iterator<Item = Marks> {
        self.rows.iter().flat_map(|row| row.iter().copied())
    }

    pub(in crate::purge) fn cells_mut(&mut self) -> impl Iterator<Item = &mut Marks> {
        self.rows.iter_mut().flat_map(|row| row.iter_mut())
    }

    pub(super) fn raise(&mut self, scope: Fingerprint, marks: Marks) {
        for (row, place) in self.rows.iter_mut().zip(Self::places(scope)) {
            if let Some(cell) = row.get_mut(place) {
                *cell = cell.max(marks);
            }
        }
    }

    pub(super) fn marks(&self, scope: Fingerprint) -> Marks {
        let [first, second] = Self::places(scope);
        let [top, bottom] = &self.rows;
        let cell = |row: &[Marks], place: usize| row.get(place).copied().unwrap_or_default();
        cell(top, first).min(cell(bottom, second))
    }

    pub(super) fn newest(&self) -> Sequence {
        self.cells().map(Marks::newest).max().unwrap_or_default()
    }

    fn places(scope: Fingerprint) -> [usize; 2] {
        let bits = bits(scope);
        let mask = Self::CELLS as u64 - 1;
        [bits & mask, (bits >> 32) & mask].map(|place| usize::try_from(place).unwrap_or_default())
    }
}

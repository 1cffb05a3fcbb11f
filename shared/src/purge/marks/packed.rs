//! Marks one by one, sixteen bytes a place.

use super::Marks;
use crate::purge::{Fingerprint, Sequence};

/// Marks in the order of their fingerprints, with gaps, so that a look-up begins where the scope belongs.
///
/// A fingerprint's home is its share of the table: evenly spread hashes have evenly spread homes, in the same
/// order. From its home it stands as far on as it must, behind smaller ones and with no gap between; so a
/// look-up ends at the first gap or larger fingerprint. Nothing is ever taken out but by building anew. Marks come in
/// any order but a sorted one: those would crowd into the part of the table that is theirs, unless room was made
/// for all of them ([`Self::make_room_for`]).
///
/// Sequences are kept as 32 bits above a base. Should a ledger live to see four thousand million purges, the
/// base moves on, and marks from before it are lifted to it: they then purge too much, never too little (R11).
#[derive(Clone, Debug, Default)]
pub(super) struct PackedMarks {
    /// Zero where nobody stands.
    scopes: Vec<u64>,
    offsets: Vec<Offsets>,
    /// Places that can be a home; the few after them take what is pushed beyond the last.
    homes: usize,
    len: usize,
    base: u64,
}

/// How far above the base a scope was purged last; zero for never.
#[derive(Clone, Copy, Debug, Default)]
struct Offsets {
    hard: u32,
    soft: u32,
}

impl PackedMarks {
    /// Places beyond the last home, and how many are added when those are not enough.
    const BEYOND: usize = 32;

    /// From so many places on, the table is kept full and grows in small steps: 16 bytes ÷ 0.818 at most, for each mark.
    const LARGE: usize = 1 << 16;

    /// Raises the marks of `scope` to at least `marks`.
    pub(super) fn raise(&mut self, scope: Fingerprint, marks: Marks) {
        self.reach(marks.newest());
        let raised = self.offsets_of(marks);
        let scope = bits(scope);
        match self.find(scope) {
            Ok(place) => {
                if let Some(offsets) = self.offsets.get_mut(place) {
                    *offsets = offsets.max(raised);
                }
            }
            Err(_) if Self::are_full(self.homes, self.len) => {
                self.rebuild(Self::grown(self.homes));
                let (Ok(place) | Err(place)) = self.find(scope);
                self.insert(place, scope, raised);
            }
            Err(place) => self.insert(place, scope, raised),
        }
    }

    /// Moves the base to where marks as new as that can be kept.
    pub(super) fn reach(&mut self, newest: Sequence) {
        let newest = newest.as_u64();
        if newest.saturating_sub(self.base) > u64::from(u32::MAX) {
            self.move_base(newest - u64::from(u32::MAX / 2));
        }
    }

    /// Makes room for so many more.
    pub(super) fn make_room_for(&mut self, more: usize) {
        let homes = Self::homes_for(self.len + more);
        if homes > self.homes {
            self.rebuild(homes);
        }
    }

    /// The marks of `scope`; zero if it has none.
    pub(super) fn marks(&self, scope: Fingerprint) -> Marks {
        match self.find(bits(scope)) {
            Ok(place) => self.marks_at(place),
            Err(_) => Marks::default(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// All of them, the smallest fingerprint first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Fingerprint, Marks)> {
        let places = self.scopes.iter().enumerate();
        let taken = places.filter(|(_, scope)| **scope != VACANT);
        taken.map(|(place, scope)| (Fingerprint::from_bits(*scope), self.marks_at(place)))
    }

    /// Keeps those that `keep` says yes to.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Fingerprint, Marks) -> bool) {
        let mut kept = 0;
        for place in 0..self.scopes.len() {
            let marks = self.marks_at(place);
            match self.scopes.get_mut(place) {
                Some(scope) if *scope == VACANT => {}
                Some(scope) if keep(Fingerprint::from_bits(*scope), marks) => kept += 1,
                Some(scope) => *scope = VACANT,
                None => {}
            }
        }
        if kept < self.len {
            self.rebuild(Self::homes_for(kept));
        }
    }

    /// Bytes of heap that all of it takes.
    #[cfg(test)]
    pub(super) const fn heap_bytes(&self) -> usize {
        self.scopes.capacity() * size_of::<u64>() + self.offsets.capacity() * size_of::<Offsets>()
    }

    /// How far from home anybody stands.
    #[cfg(test)]
    pub(super) fn longest_way(&self) -> usize {
        let places = self.scopes.iter().enumerate();
        let taken = places.filter(|(_, scope)| **scope != VACANT);
        let ways = taken.map(|(place, scope)| place.saturating_sub(self.home(*scope)));
        ways.max().unwrap_or_default()
    }

    /// Where the scope stands, or else where it belongs.
    fn find(&self, scope: u64) -> Result<usize, usize> {
        let home = self.home(scope);
        let run = self.scopes.get(home..).unwrap_or_default();
        for (place, found) in (home..).zip(run) {
            if *found == scope {
                return Ok(place);
            }
            if *found == VACANT || *found > scope {
                return Err(place);
            }
        }
        Err(self.scopes.len())
    }

    fn home(&self, scope: u64) -> usize {
        let share = (u128::from(scope) * self.homes as u128) >> u64::BITS;
        usize::try_from(share).unwrap_or_default()
    }

    /// Puts a scope where it belongs; what stands from there up to the next gap moves on by one.
    fn insert(&mut self, place: usize, scope: u64, offsets: Offsets) {
        let run = self.scopes.get(place..).unwrap_or_default();
        let gap = run.iter().position(|found| *found == VACANT);
        let gap = gap.map_or(self.scopes.len(), |ahead| place + ahead);
        if gap == self.scopes.len() {
            self.scopes.reserve_exact(Self::BEYOND);
            self.scopes.resize(gap + Self::BEYOND, VACANT);
            self.offsets.reserve_exact(Self::BEYOND);
            self.offsets.resize(gap + Self::BEYOND, Offsets::default());
        }
        if let (Some(scopes), Some(marks)) = (
            self.scopes.get_mut(place..=gap),
            self.offsets.get_mut(place..=gap),
        ) {
            scopes.rotate_right(1);
            marks.rotate_right(1);
            if let ([first, ..], [mark, ..]) = (scopes, marks) {
                *first = scope;
                *mark = offsets;
            }
        }
        self.len += 1;
    }

    /// Whether `len` marks are as many as so many homes should have.
    const fn are_full(homes: usize, len: usize) -> bool {
        if homes < Self::LARGE {
            len * 4 >= homes * 3
        } else {
            len * 25 >= homes * 23
        }
    }

    /// Homes after the next growth.
    const fn grown(homes: usize) -> usize {
        if homes < Self::LARGE {
            if homes == 0 { 16 } else { homes * 2 }
        } else {
            homes + homes / 8
        }
    }

    /// Homes for `len` marks and some more.
    const fn homes_for(len: usize) -> usize {
        let mut homes = Self::grown(0);
        while Self::are_full(homes, len) {
            homes = Self::grown(homes);
        }
        homes
    }

    /// Builds it anew with so many homes; in ascending order, so each mark goes behind the one before.
    fn rebuild(&mut self, homes: usize) {
        let places = homes + Self::BEYOND;
        let scopes = std::mem::replace(&mut self.scopes, vec![VACANT; places]);
        let offsets = std::mem::replace(&mut self.offsets, vec![Offsets::default(); places]);
        self.homes = homes;
        self.len = 0;
        for (scope, offsets) in scopes.into_iter().zip(offsets) {
            if scope != VACANT {
                let (Ok(place) | Err(place)) = self.find(scope);
                self.insert(place, scope, offsets);
            }
        }
    }

    fn marks_at(&self, place: usize) -> Marks {
        let offsets = self.offsets.get(place).copied().unwrap_or_default();
        let sequence = |offset: u32| match offset {
            0 => Sequence::ZERO,
            above => Sequence::new(self.base + u64::from(above)),
        };
        Marks {
            hard: sequence(offsets.hard),
            soft: sequence(offsets.soft),
        }
    }

    fn offsets_of(&self, marks: Marks) -> Offsets {
        let offset = |sequence: Sequence| match sequence {
            Sequence::ZERO => 0,
            // A mark from before the base is lifted to it.
            later => {
                u32::try_from(later.as_u64().saturating_sub(self.base).max(1)).unwrap_or(u32::MAX)
            }
        };
        Offsets {
            hard: offset(marks.hard),
            soft: offset(marks.soft),
        }
    }

    fn move_base(&mut self, base: u64) {
        let up = u32::try_from(base - self.base).unwrap_or(u32::MAX);
        let lower = |offset: u32| match offset {
            0 => 0,
            above => above.saturating_sub(up).max(1),
        };
        for offsets in &mut self.offsets {
            offsets.hard = lower(offsets.hard);
            offsets.soft = lower(offsets.soft);
        }
        self.base = base;
    }
}

impl Offsets {
    fn max(self, other: Self) -> Self {
        Self {
            hard: self.hard.max(other.hard),
            soft: self.soft.max(other.soft),
        }
    }
}

/// What stands where nobody does.
const VACANT: u64 = 0;

/// The bits of a fingerprint. The one that would look like a gap shares its marks with its neighbour.
pub(super) const fn bits(scope: Fingerprint) -> u64 {
    match scope.as_bits() {
        VACANT => 1,
        bits => bits,
    }
}

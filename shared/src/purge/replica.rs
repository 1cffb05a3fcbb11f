//! A ledger's copy in a reader's memory, which knows how old its view is (R7).

use super::entry::EntryScopes;
use super::ledger::{ApplyError, Ledger, Record, Update, Verdict};
use super::{Epoch, Fence, Sequence};
use crate::time::{Milliseconds, TimestampMillis};

/// A copy of an authority's ledger.
///
/// It knows nothing before its first update, and says so: every entry is dropped and no fill may be
/// stored until then.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    ledger: Option<Ledger>,
    confirmed_at: Option<TimestampMillis>,
}

/// How far behind its authority a replica may be, against a bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Lag {
    /// Every purge older than the bound is known here.
    Within,
    /// The view is this old, which is more than the bound; a purge may be missing.
    Beyond(Milliseconds),
    /// There has been no view yet.
    Unknown,
}

impl Replica {
    /// A replica that is its own authority, such as an in-process ledger; keep it confirmed with [`Self::confirm`].
    pub fn of(ledger: Ledger, confirmed_at: TimestampMillis) -> Self {
        Self {
            ledger: Some(ledger),
            confirmed_at: Some(confirmed_at),
        }
    }

    /// Takes over what the authority answered to a question that was asked at `asked_at`.
    ///
    /// # Errors
    /// When the update does not follow on from here: ask again, from [`Self::epoch`] after a gap and
    /// from nothing ([`Self::forget`]) otherwise.
    pub fn update(&mut self, update: Update, asked_at: TimestampMillis) -> Result<(), ApplyError> {
        match (&mut self.ledger, update) {
            (Some(ledger), update) => ledger.update(update)?,
            (empty @ None, Update::Snapshot(ledger)) => *empty = Some(ledger),
            // A delta needs something to follow on from.
            (None, Update::Delta { head, .. }) => {
                return Err(ApplyError::Gap {
                    head: Sequence::ZERO,
                    next: head,
                });
            }
        }
        self.confirm(asked_at);
        Ok(())
    }

    /// Takes over one record that the authority pushed; this does not make the view younger.
    ///
    /// # Errors
    /// When records before it are missing.
    pub fn push(&mut self, record: &Record) -> Result<(), ApplyError> {
        match &mut self.ledger {
            Some(ledger) => ledger.apply(record),
            None => Err(ApplyError::Gap {
                head: Sequence::ZERO,
                next: record.sequence,
            }),
        }
    }

    /// Notes that the authority stood where this replica stands at `asked_at`.
    pub fn confirm(&mut self, asked_at: TimestampMillis) {
        self.confirmed_at = self.confirmed_at.max(Some(asked_at));
    }

    /// Gives up the view, as after the authority lost part of its history (R6).
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The ledger, once there has been one.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// The ledger to append to, for a replica that is its own authority.
    pub fn ledger_mut(&mut self) -> Option<&mut Ledger> {
        self.ledger.as_mut()
    }

    /// Where this replica stands; what a fill must read before it asks its source (R1).
    pub fn epoch(&self) -> Option<Epoch> {
        self.ledger.as_ref().map(Ledger::epoch)
    }

    /// Judges a stored entry; dropped while there is no view.
    pub fn verdict(&self, fence: &Fence, scopes: &EntryScopes) -> Verdict {
        match &self.ledger {
            Some(ledger) => ledger.verdict(fence, scopes),
            None => Verdict::Dropped,
        }
    }

    /// How old the view is at `now`, against `bound` (R7).
    pub fn lag(&self, now: TimestampMillis, bound: Milliseconds) -> Lag {
        match self.confirmed_at {
            None => Lag::Unknown,
            Some(at) => {
                let age = now.saturating_since(at);
                if age > bound {
                    Lag::Beyond(age)
                } else {
                    Lag::Within
                }
            }
        }
    }

    /// How old the view is at `now`.
    pub fn view_age(&self, now: TimestampMillis) -> Option<Milliseconds> {
        self.confirmed_at.map(|at| now.saturating_since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::{Incarnation, LedgerLimits};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const fn at(milliseconds: u64) -> TimestampMillis {
        TimestampMillis::from_unix_millis(milliseconds)
    }

    #[test]
    fn an_empty_replica_drops_everything_and_takes_only_a_snapshot() {
        let mut replica = Replica::default();
        let ledger = Ledger::new(Incarnation::from_random(1), LedgerLimits::default());
        let fence = Fence::at(ledger.epoch());
        let scopes = EntryScopes::of_key("n", "n:1", []);
        assert_eq!(replica.verdict(&fence, &scopes), Verdict::Dropped);
        assert_eq!(replica.epoch(), None);
        assert_eq!(replica.lag(at(0), Milliseconds::new(5)), Lag::Unknown);
        let delta = Update::Delta {
            incarnation: Incarnation::from_random(1),
            head: Sequence::ZERO,
            records: Vec::new(),
        };
        assert!(replica.update(delta, at(1)).is_err());
        assert_eq!(replica.update(Update::Snapshot(ledger), at(2)), Ok(()));
        assert_eq!(replica.verdict(&fence, &scopes), Verdict::Untouched);
    }

    #[test]
    fn a_view_is_as_old_as_the_question_it_answered() {
        let ledger = Ledger::new(Incarnation::from_random(1), LedgerLimits::default());
        let mut replica = Replica::of(ledger, at(1_000));
        let bound = Milliseconds::new(5_000);
        assert_eq!(replica.lag(at(6_000), bound), Lag::Within);
        assert_eq!(
            replica.lag(at(6_001), bound),
            Lag::Beyond(Milliseconds::new(5_001))
        );
        replica.confirm(at(3_000));
        replica.confirm(at(2_000)); // a late answer does not make the view older
        assert_eq!(replica.lag(at(8_000), bound), Lag::Within);
    }
}

//! This process's replica of the purge ledger, made for one comparison on a warm hit.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use terrace_shared::purge::token::{GoneHistories, Reach, Wanted};
use terrace_shared::purge::{
    EntryScopes, Epoch, Fence, Incarnation, Lag, Ledger, LedgerLimits, Replica, Verdict,
};
use terrace_shared::time::{Milliseconds, Timestamp, TimestampMillis};
use tokio::sync::watch;

use super::Judged;
use crate::clock::{Clock, Moment};

/// What this process knows of the ledger.
///
/// Every change of the replica moves `generation` on. An entry remembers the generation in which it was
/// judged untouched; as long as the two are equal, the verdict stands and no lock is taken (R2).
#[derive(Debug)]
pub(crate) struct View {
    authority: Authority,
    replica: RwLock<Replica>,
    generation: AtomicU64,
    /// How far along with the replica the authority itself has said that it is. What the replica was only told of lies
    /// beyond: a fail-over may have given its numbers to other purges (R10).
    vouched: Mutex<Option<Epoch>>,
    /// Histories that tokens have named, and that the authority has left behind.
    gone: Mutex<GoneHistories>,
    /// When the replica was last known to be the authority's equal; zero on the wall clock while it never was.
    confirmed_wall: AtomicU64,
    confirmed_steady: AtomicU64,
    /// Tells of each new generation.
    news: watch::Sender<u64>,
}

/// Who gives purges their places.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Authority {
    /// This process: its view is never behind.
    Here,
    /// Somebody else: the view is as old as its last confirmation (R7).
    Elsewhere,
}

/// What a fill, or a flight, begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Began {
    /// Where the replica stood; none while there is no view (R1).
    pub(crate) epoch: Option<Epoch>,
    /// How far along with it the authority had said that it is.
    vouched: Option<Epoch>,
    /// The view's generation then.
    pub(crate) generation: u64,
    /// When.
    pub(crate) at: Moment,
}

impl Began {
    /// The fence of an entry filled since; none while there is no view, and then nothing may be stored.
    pub(crate) fn fence(&self) -> Option<Fence> {
        self.epoch.map(Fence::at)
    }
}

impl View {
    /// The view of a process that is the authority itself.
    pub(crate) fn authority(incarnation: Incarnation, limits: LedgerLimits, now: Moment) -> Self {
        let ledger = Ledger::new(incarnation, limits);
        Self {
            authority: Authority::Here,
            replica: RwLock::new(Replica::of(ledger, now.wall)),
            ..Self::empty()
        }
    }

    /// A view that knows nothing yet.
    pub(crate) fn empty() -> Self {
        Self {
            authority: Authority::Elsewhere,
            replica: RwLock::new(Replica::default()),
            generation: AtomicU64::new(0),
            vouched: Mutex::default(),
            gone: Mutex::default(),
            confirmed_wall: AtomicU64::new(0),
            confirmed_steady: AtomicU64::new(0),
            news: watch::Sender::new(0),
        }
    }

    /// What a fill that begins now begins with. Call it BEFORE the source is asked (R1).
    pub(crate) fn begin(&self, clock: &Clock) -> Began {
        let replica = self.replica.read();
        Began {
            epoch: replica.epoch(),
            vouched: self.vouched(&replica),
            generation: self.generation(),
            at: clock.moment(),
        }
    }

    /// Where the replica stands.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.replica.read().epoch()
    }

    /// A copy of all that the replica knows.
    #[cfg(feature = "redis")]
    pub(crate) fn ledger(&self) -> Option<Ledger> {
        self.replica.read().ledger().cloned()
    }

    /// Moves on with every change of the replica.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Judges a stored entry; one comparison if nothing was purged since the last time.
    pub(crate) fn judge(&self, entry: &impl Judged) -> Verdict {
        let standing = entry.standing();
        if standing.judged_in() == self.generation() {
            return Verdict::Untouched;
        }
        let replica = self.replica.read();
        let verdict = replica.verdict(&standing.fence(), entry.scopes());
        if let (Verdict::Untouched, Some(epoch)) = (verdict, replica.epoch()) {
            // Under the lock the generation stands still, so the two belong together.
            standing.lift(epoch, self.generation());
        }
        verdict
    }

    /// Judges what is not, or not yet, an entry.
    pub(crate) fn verdict(&self, fence: &Fence, scopes: &EntryScopes) -> Verdict {
        self.replica.read().verdict(fence, scopes)
    }

    /// How the view stands against the purges that tokens name (R10).
    pub(crate) fn reach(&self, wanted: &Wanted) -> Reach {
        let vouched = self.vouched(&self.replica.read());
        wanted.reach(vouched, &self.gone.lock())
    }

    /// How whatever began so stands against them.
    pub(crate) fn reach_of(&self, began: &Began, wanted: &Wanted) -> Reach {
        wanted.reach(began.vouched, &self.gone.lock())
    }

    /// Notes that the authority itself has said that it has, or had, come along with the replica as far as `epoch`.
    #[cfg(any(test, feature = "redis"))]
    pub(crate) fn vouch(&self, epoch: Epoch) {
        let mut vouched = self.vouched.lock();
        match &mut *vouched {
            Some(known) if known.incarnation == epoch.incarnation => {
                known.sequence = known.sequence.max(epoch.sequence);
            }
            other => *other = Some(epoch),
        }
    }

    fn vouched(&self, replica: &Replica) -> Option<Epoch> {
        match self.authority {
            Authority::Here => replica.epoch(),
            Authority::Elsewhere => {
                let here = replica.epoch()?.incarnation;
                let vouched = *self.vouched.lock();
                vouched.filter(|vouched| vouched.incarnation == here)
            }
        }
    }

    /// Notes that the authority has answered a question asked after `wanted` was presented: what the view does not
    /// know of then is another history's, and is not asked for again.
    pub(crate) fn note_gone(&self, wanted: &Wanted) {
        if let Some(here) = self.epoch() {
            self.gone.lock().note(wanted, here);
        }
    }

    /// How far behind the authority the view may be, against `bound` (R7).
    pub(crate) fn lag(&self, clock: &Clock, bound: Milliseconds) -> Lag {
        if self.authority == Authority::Here {
            return Lag::Within;
        }
        if self.age_at(clock.latest()).is_some_and(|age| age <= bound) {
            return Lag::Within;
        }
        match self.age(clock) {
            None => Lag::Unknown,
            Some(age) if age > bound => Lag::Beyond(age),
            Some(_) => Lag::Within,
        }
    }

    /// How old the view is; none while there is none.
    pub(crate) fn age(&self, clock: &Clock) -> Option<Milliseconds> {
        self.age_at(clock.moment())
    }

    fn age_at(&self, now: Moment) -> Option<Milliseconds> {
        if self.authority == Authority::Here {
            return Some(Milliseconds::default());
        }
        // Torn between two confirmations, the older half decides: the view seems older, never younger.
        let confirmed = Moment {
            wall: TimestampMillis::from_unix_millis(self.confirmed_wall.load(Ordering::Acquire)),
            steady: TimestampMillis::from_unix_millis(
                self.confirmed_steady.load(Ordering::Acquire),
            ),
        };
        if confirmed.wall == TimestampMillis::default() {
            return None;
        }
        Some(now.saturating_since(confirmed))
    }

    /// Notes that the replica stood where the authority stood at `asked_at`.
    pub(crate) fn confirm(&self, asked_at: Moment) {
        let wall = asked_at.wall.as_unix_millis();
        self.confirmed_steady
            .fetch_max(asked_at.steady.as_unix_millis(), Ordering::AcqRel);
        // Not the larger one: after the clock was set back, the newest confirmation is the smaller.
        self.confirmed_wall.store(wall, Ordering::Release);
    }

    /// Changes the replica; every entry is judged anew afterwards.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Replica) -> R) -> R {
        let mut replica = self.replica.write();
        let result = change(&mut replica);
        let before = self.generation.fetch_add(1, Ordering::AcqRel);
        self.news.send_replace(before.wrapping_add(1));
        result
    }

    /// Moves whenever the replica has changed.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Forgets purges that lie beyond the horizon at `now` (R11).
    pub(crate) fn compact(&self, now: Timestamp) {
        let mut replica = self.replica.write();
        let Some(ledger) = replica.ledger_mut() else {
            return;
        };
        let floor = ledger.floor();
        ledger.compact(now);
        if ledger.floor() != floor {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use terrace_shared::purge::token::{After, ReadToken};
    use terrace_shared::purge::{Purge, PurgeMode, Record, Sequence, Update};

    use super::*;

    #[test]
    fn a_purge_that_was_only_told_of_is_not_taken_for_the_one_that_a_token_names() {
        let history = Incarnation::from_random(7);
        let at = |number| Epoch {
            incarnation: history,
            sequence: Sequence::new(number),
        };
        let token = ReadToken {
            origin: Some(at(1)),
            edge: None,
        };
        let wanted = After::of(&token).origin;
        let view = View::empty();
        let ledger = Ledger::new(history, LedgerLimits::default());
        let asked_at = TimestampMillis::from_unix_millis(1);
        let updated = view.change(|replica| replica.update(Update::Snapshot(ledger), asked_at));
        assert_eq!(updated, Ok(()));
        view.vouch(at(0));
        // Told by a master that another one had replaced, which then gave the number to another purge.
        let told = Record {
            sequence: Sequence::new(1),
            purge: Purge {
                mode: PurgeMode::Hard,
                scopes: Vec::new(),
                at: asked_at,
                origin_epoch: None,
            },
        };
        assert_eq!(view.change(|replica| replica.push(&told)), Ok(()));
        assert_eq!(view.epoch(), Some(at(1)));
        assert_eq!(view.reach(&wanted), Reach::Behind);
        view.vouch(at(1));
        assert_eq!(view.reach(&wanted), Reach::Reached);
        // What was vouched for in another history is nothing here.
        let other = Ledger::new(Incarnation::from_random(8), LedgerLimits::default());
        let updated = view.change(|replica| replica.update(Update::Snapshot(other), asked_at));
        assert_eq!(updated, Ok(()));
        assert_eq!(view.reach(&wanted), Reach::Behind);
    }
}

//! An isolate: a replica of the ledger, and the rules by which requests there look after it.
//!
//! The rules, the replica and its age are the product's own. What it holds of the ledger is only how far it reaches:
//! 15,000 whole copies would not fit here. A witness holds all of it.

use std::collections::VecDeque;

use terrace_shared::purge::refresh::{Asking, Bounds, Refresh};
use terrace_shared::purge::{Epoch, Lag, Ledger, LedgerLimits, Replica, Update};
use terrace_shared::time::{Milliseconds, TimestampMillis};

use crate::clock::Moment;
use crate::history::History;

/// One isolate and the requests that wait in it.
pub(crate) struct Isolate {
    pub(crate) data_centre: u16,
    /// Requests a second.
    pub(crate) rate: f64,
    replica: Replica,
    /// When its view was confirmed; the replica says the same as an age.
    confirmed_at: Option<TimestampMillis>,
    /// What came of its questions.
    pub(crate) asking: Asking,
    /// Since when requests are answered beyond the bound, as nobody answers; none since there has been an answer.
    failing_since: Option<Moment>,
    /// All questions that are not answered yet.
    open: Vec<TimestampMillis>,
    /// How old its view may be: what is configured, and some more before it refreshes, so that not all ask at once.
    pub(crate) bounds: Bounds,
    /// When requests came that wait for a younger view, the oldest first.
    pub(crate) waiting: VecDeque<Moment>,
    /// The last request that is known to have been answered by this view.
    pub(crate) answered_at: Option<Moment>,
    /// Counts the times at which its next request was drawn anew; older ones are void.
    pub(crate) draws: u32,
    /// Counts the isolates that were here before.
    pub(crate) life: u32,
    pub(crate) witness: Option<Box<Replica>>,
}

impl Isolate {
    pub(crate) fn new(data_centre: u16, rate: f64, bounds: Bounds) -> Self {
        Self {
            data_centre,
            rate,
            replica: Replica::default(),
            confirmed_at: None,
            asking: Asking::default(),
            failing_since: None,
            open: Vec::new(),
            bounds,
            waiting: VecDeque::new(),
            answered_at: None,
            draws: 0,
            life: 0,
            witness: None,
        }
    }

    /// Begins again with nothing, as a new isolate does.
    pub(crate) fn restart(&mut self) {
        let witness = self.witness.is_some().then(Box::default);
        *self = Self {
            draws: self.draws + 1,
            life: self.life + 1,
            witness,
            ..Self::new(self.data_centre, self.rate, self.bounds)
        };
    }

    /// What a request at `now` does.
    pub(crate) fn plan(&self, now: Moment) -> Refresh {
        let now = now.timestamp();
        let age = self.replica.view_age(now);
        self.asking.plan(age, self.bounds, now)
    }

    /// From when on a request would find something to do about the view.
    pub(crate) fn due(&self, now: Moment) -> Moment {
        let due = self
            .asking
            .due(self.confirmed_at, self.bounds, now.timestamp());
        Moment::of(due).max(now)
    }

    /// Notes that the question of `asked` got no answer, or none that helps; `lot` is drawn for the next one.
    pub(crate) fn fail(&mut self, asked: TimestampMillis, now: Moment, lot: u8) {
        self.asking.fail(asked, now.timestamp());
        self.asking.draw(lot);
        self.failing_since = self.failing_since.or(Some(now));
    }

    /// Since when requests are answered beyond the bound; asked once there is a view within it again.
    pub(crate) fn end_failing(&mut self) -> Option<Moment> {
        self.failing_since.take()
    }

    /// Notes that a question is asked at `now`.
    pub(crate) fn ask(&mut self, now: Moment) -> TimestampMillis {
        let asked = now.timestamp();
        self.asking.ask(asked);
        self.open.push(asked);
        asked
    }

    /// Whether the question of `asked` waits for an answer; it does not from now on.
    pub(crate) fn close(&mut self, asked: TimestampMillis) -> bool {
        self.asking.give_up(asked);
        match self.open.iter().position(|open| *open == asked) {
            Some(place) => {
                self.open.swap_remove(place);
                true
            }
            None => false,
        }
    }

    pub(crate) fn is_open(&self, asked: TimestampMillis) -> bool {
        self.open.contains(&asked)
    }

    /// Takes over an answer that reaches up to `head` and was true at `confirmed_at`; says where the view stood before.
    pub(crate) fn take(
        &mut self,
        history: &History,
        head: u64,
        confirmed_at: TimestampMillis,
    ) -> Option<u64> {
        let here = self.position();
        if here.is_some_and(|here| head <= here) {
            self.replica.confirm(confirmed_at);
        } else {
            let epoch = history.epoch(head);
            let limits = LedgerLimits::default();
            let ledger = Ledger::starting_at(epoch.incarnation, epoch.sequence, limits);
            self.replica
                .update(Update::Snapshot(ledger), confirmed_at)
                .expect("a snapshot follows on from anything");
        }
        self.confirmed_at = self.confirmed_at.max(Some(confirmed_at));
        here
    }

    /// How far its view reaches; none while there is none.
    pub(crate) fn position(&self) -> Option<u64> {
        self.replica.epoch().map(|epoch| epoch.sequence.as_u64())
    }

    pub(crate) fn confirmed_at(&self) -> Option<TimestampMillis> {
        self.confirmed_at
    }

    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.replica.epoch()
    }

    pub(crate) fn is_within(&self, now: Moment, bound: Milliseconds) -> bool {
        self.replica.lag(now.timestamp(), bound) == Lag::Within
    }

    /// How old its view is; none while there is none.
    pub(crate) fn age(&self, now: Moment) -> Option<Milliseconds> {
        self.replica.view_age(now.timestamp())
    }
}

//! An isolate: a replica of the ledger, and the rules by which requests there look after it.
//!
//! The rules are those of the edge's `purge::view`, which only builds as a Worker; the replica and its age are
//! the product's own. What it holds of the ledger is only how far it reaches: 15,000 whole copies would not fit
//! here. A witness holds all of it.

use std::collections::VecDeque;

use terrace_shared::purge::{Lag, Ledger, LedgerLimits, Replica, Update};
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
    /// When the newest question was asked that is not answered yet.
    pub(crate) asking_since: Option<TimestampMillis>,
    /// When a question was last found to get no answer, and when that was first so; none since there has been one.
    failed_at: Option<TimestampMillis>,
    failing_since: Option<Moment>,
    /// All questions that are not answered yet.
    open: Vec<TimestampMillis>,
    /// From which age on it refreshes its view: what is configured, and some more so that not all ask at once.
    pub(crate) refresh_after: Milliseconds,
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

/// What a request must do about the view before it uses it (`view::Refresh`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Refresh {
    NotNeeded,
    Behind,
    Soon,
    First,
}

impl Isolate {
    /// A question without an answer is given up after this long (`View::PATIENCE`).
    pub(crate) const PATIENCE: Milliseconds = Milliseconds::new(2_000);

    /// For how long after a failure no request waits for an answer (`View::OUTAGE`).
    const OUTAGE: Milliseconds = Milliseconds::new(10_000);

    /// How long a request beyond the bound looks for the answer to another's question (`View::COURTESY`).
    pub(crate) const COURTESY: Milliseconds = Milliseconds::new(200);

    pub(crate) fn new(data_centre: u16, rate: f64, refresh_after: Milliseconds) -> Self {
        Self {
            data_centre,
            rate,
            replica: Replica::default(),
            confirmed_at: None,
            asking_since: None,
            failed_at: None,
            failing_since: None,
            open: Vec::new(),
            refresh_after,
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
            ..Self::new(self.data_centre, self.rate, self.refresh_after)
        };
    }

    /// What a request at `now` does.
    pub(crate) fn plan(&self, now: Moment, bound: Milliseconds) -> Refresh {
        let now = now.timestamp();
        let asked_within = |length| {
            self.asking_since
                .is_some_and(|since| now.saturating_since(since) < length)
        };
        match self.replica.lag(now, bound) {
            Lag::Beyond(_) | Lag::Unknown if self.is_out(now) => {
                if asked_within(Self::PATIENCE) {
                    Refresh::NotNeeded
                } else {
                    Refresh::Behind
                }
            }
            Lag::Beyond(_) | Lag::Unknown if asked_within(Self::COURTESY) => Refresh::Soon,
            Lag::Beyond(_) | Lag::Unknown => Refresh::First,
            Lag::Within if self.replica.lag(now, self.refresh_after) == Lag::Within => {
                Refresh::NotNeeded
            }
            Lag::Within if asked_within(Self::PATIENCE) => Refresh::NotNeeded,
            Lag::Within => Refresh::Behind,
        }
    }

    /// From when on a request would find something to do about the view.
    pub(crate) fn due(&self, now: Moment, bound: Milliseconds) -> Moment {
        let later =
            |due: TimestampMillis| Moment::of(due.saturating_add(Milliseconds::new(1))).max(now);
        if !self.is_within(now, bound) {
            return match (self.failed_at, self.asking_since) {
                (Some(failed), Some(since)) if self.is_out(now.timestamp()) => {
                    let given_up = since.saturating_add(Self::PATIENCE);
                    later(given_up.min(failed.saturating_add(Self::OUTAGE)))
                }
                _ => now,
            };
        }
        let confirmed_at = self.confirmed_at.unwrap_or_default();
        let beyond = confirmed_at.saturating_add(bound);
        let due = match self.asking_since {
            Some(since) => since.saturating_add(Self::PATIENCE).min(beyond),
            None => confirmed_at.saturating_add(self.refresh_after).min(beyond),
        };
        later(due)
    }

    /// Notes that a question got no answer, or none that helps.
    pub(crate) fn fail(&mut self, now: Moment) {
        self.failed_at = Some(now.timestamp());
        self.failing_since = self.failing_since.or(Some(now));
    }

    /// Since when questions get no answer; asked once there is one again.
    pub(crate) fn end_failing(&mut self) -> Option<Moment> {
        self.failed_at = None;
        self.failing_since.take()
    }

    /// Whether requests go on without an answer.
    pub(crate) fn is_out(&self, now: TimestampMillis) -> bool {
        self.failed_at
            .is_some_and(|at| now.saturating_since(at) < Self::OUTAGE)
    }

    /// Notes that a question is asked at `now`.
    pub(crate) fn ask(&mut self, now: Moment) -> TimestampMillis {
        let asked = now.timestamp();
        self.asking_since = Some(asked);
        self.open.push(asked);
        asked
    }

    /// Whether the question of `asked` waits for an answer; it does not from now on.
    pub(crate) fn close(&mut self, asked: TimestampMillis) -> bool {
        if self.asking_since == Some(asked) {
            self.asking_since = None;
        }
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

    pub(crate) fn is_within(&self, now: Moment, bound: Milliseconds) -> bool {
        self.replica.lag(now.timestamp(), bound) == Lag::Within
    }

    /// How old its view is; without one, older than any bound.
    pub(crate) fn age(&self, now: Moment) -> Milliseconds {
        let age = self.replica.view_age(now.timestamp());
        age.unwrap_or(Milliseconds::new(u64::MAX))
    }
}

//! When a replica that asks for news does so: how often, after whom, and how long it waits after failures.
//!
//! An edge has thousands of replicas and one authority. So one replica of a data centre asks while the others wait
//! for what it learns, no two draw the same moment, and who got no answer waits for a time drawn by lot. None of
//! this makes a view younger than it is: it decides who asks, never what is believed (R7).

use super::Epoch;
use crate::time::{Milliseconds, TimestampMillis};

/// How old a view may be for a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Older than this, it is refreshed behind the answer.
    pub refresh_after: Milliseconds,
    /// Older than this, it is refreshed first.
    pub bound: Milliseconds,
}

/// What a request must do about the view before it uses it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Refresh {
    /// Nothing: it is young, or another request is asking already, or the authority is left alone for a while.
    NotNeeded,
    /// Use it, and ask behind the answer.
    Behind,
    /// Look again in a moment: it is older than the route's bound, and another request has just asked.
    Soon,
    /// Ask first, itself: it is older than the route's bound.
    First,
}

/// A question that is asked of the authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Question {
    /// Where the view stood; none asks for the whole ledger.
    pub since: Option<Epoch>,
    /// When it was asked: the view is as old as that once it is answered.
    pub asked_at: TimestampMillis,
}

/// Whether a request waits for the news.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Urgency {
    /// None does: they are wanted behind an answer.
    Behind,
    /// One does.
    First,
}

/// The questions of one replica: what is under way, and what came of the last ones.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Asking {
    /// When the newest question was asked that is not answered yet; it may have been cancelled since.
    since: Option<TimestampMillis>,
    /// When a question was last found to get no answer; none since there has been one.
    failed_at: Option<TimestampMillis>,
    /// How many have been so, one after the other.
    failures: u32,
    /// The lot that was drawn for when to ask next.
    lot: u8,
}

impl Bounds {
    /// The same for one of many replicas that share what they learn, when `lot` is its own in this round.
    ///
    /// Lots are spread over half an interval, so that one replica asks and the others find its answer; but
    /// well within the bound, so that no request has to wait for it.
    #[must_use]
    pub fn spread(self, lot: u8) -> Self {
        let (refresh, bound) = (self.refresh_after.as_u64(), self.bound.as_u64());
        let spread = refresh.saturating_mul(lot.into()) / (2 * u64::from(u8::MAX));
        let latest = refresh.max(refresh.midpoint(bound));
        let after = refresh.saturating_add(SKEW.as_u64() + spread);
        Self {
            refresh_after: Milliseconds::new(after.min(latest)),
            ..self
        }
    }
}

impl Asking {
    /// A question whose answer has not come after this long is taken for cancelled.
    pub const PATIENCE: Milliseconds = Milliseconds::new(2_000);

    /// How long requests beyond the bound look for the answer to another one's question, instead of
    /// asking all at once. None awaits it: one that was cancelled costs them this much and no more.
    pub const COURTESY: Milliseconds = Milliseconds::new(200);

    /// For how long after a question without an answer nobody waits for another one: requests are answered as their
    /// route says for a late view (R7), and the authority is asked behind them.
    pub const OUTAGE: Milliseconds = Milliseconds::new(10_000);

    /// The longest wait after a first failure; it doubles with each further one, up to [`Self::LONGEST_WAIT`].
    const FIRST_WAIT: Milliseconds = Milliseconds::new(500);

    /// The longest wait after any failure.
    pub const LONGEST_WAIT: Milliseconds = Milliseconds::new(4_000);

    /// What to do at `now` about a view of this `age`; none is one that does not exist.
    pub fn plan(&self, age: Option<Milliseconds>, bounds: Bounds, now: TimestampMillis) -> Refresh {
        let is_within = age.is_some_and(|age| age <= bounds.bound);
        if is_within && age.is_some_and(|age| age <= bounds.refresh_after) {
            return Refresh::NotNeeded;
        }
        let within = |since: Option<TimestampMillis>, length| {
            since.is_some_and(|since| now.saturating_since(since) < length)
        };
        if is_within || within(self.failed_at, Self::OUTAGE) {
            let waits = within(self.failed_at, self.wait(age, bounds.bound, now));
            if waits || within(self.since, Self::PATIENCE) {
                return Refresh::NotNeeded;
            }
            return Refresh::Behind;
        }
        if within(self.since, Self::COURTESY) {
            Refresh::Soon
        } else {
            Refresh::First
        }
    }

    /// The first moment from `now` on at which [`Self::plan`] finds something to do for a view that was confirmed at
    /// `confirmed_at`, if nothing happens until then.
    pub fn due(
        &self,
        confirmed_at: Option<TimestampMillis>,
        bounds: Bounds,
        now: TimestampMillis,
    ) -> TimestampMillis {
        const NEXT: Milliseconds = Milliseconds::new(1);
        let after = |since: Option<TimestampMillis>, length| {
            since.map(|since: TimestampMillis| since.saturating_add(length))
        };
        let past = |length| after(after(confirmed_at, length), NEXT);
        let age = |at: TimestampMillis| confirmed_at.map(|since| at.saturating_since(since));
        let wait = |at| after(self.failed_at, self.wait(age(at), bounds.bound, at));
        let beyond = past(bounds.bound);
        // The plan changes at these moments and at no others.
        let mut moments = [
            Some(now),
            past(bounds.refresh_after),
            beyond,
            after(self.since, Self::COURTESY),
            after(self.since, Self::PATIENCE),
            after(self.failed_at, Self::OUTAGE),
            wait(now),
            beyond.and_then(wait),
        ];
        moments.sort_unstable();
        let mut moments = moments.into_iter().flatten().filter(|at| *at >= now);
        let found = moments.find(|at| self.plan(age(*at), bounds, *at) != Refresh::NotNeeded);
        found.unwrap_or(now)
    }

    /// Notes that a question is asked at `now`.
    pub fn ask(&mut self, now: TimestampMillis) {
        self.since = Some(now);
    }

    /// When the newest question was asked that is not answered yet.
    pub fn since(&self) -> Option<TimestampMillis> {
        self.since
    }

    /// Notes that the question of `asked_at` needs no answer any more.
    pub fn give_up(&mut self, asked_at: TimestampMillis) {
        if self.since == Some(asked_at) {
            self.since = None;
        }
    }

    /// Notes at `now` that the question of `asked_at` got no answer.
    pub fn fail(&mut self, asked_at: TimestampMillis, now: TimestampMillis) {
        self.give_up(asked_at);
        self.failed_at = Some(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes that the authority has answered a question of `asked_at`, this replica's or another one's.
    pub fn answered(&mut self, asked_at: TimestampMillis) {
        self.give_up(asked_at);
        if self.failed_at.is_some_and(|failed_at| asked_at < failed_at) {
            return;
        }
        self.succeed();
    }

    /// Notes that a question has just been answered.
    pub fn succeed(&mut self) {
        self.failed_at = None;
        self.failures = 0;
    }

    /// Whether questions have not been answered lately, so that no request waits for one.
    pub fn is_out(&self, now: TimestampMillis) -> bool {
        let ago = |at| now.saturating_since(at);
        self.failed_at.is_some_and(|at| ago(at) < Self::OUTAGE)
    }

    /// Draws a lot for when to ask next.
    pub fn draw(&mut self, lot: u8) {
        self.lot = lot;
    }

    /// The lot that was drawn.
    pub fn lot(&self) -> u8 {
        self.lot
    }

    /// How long after the last failure the authority is not asked again: anything from nothing up to a length that
    /// doubles, and never so long that a view which was within its bound then is not asked for before it is past that.
    fn wait(
        &self,
        age: Option<Milliseconds>,
        bound: Milliseconds,
        now: TimestampMillis,
    ) -> Milliseconds {
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = Self::LONGEST_WAIT.as_u64();
        let mut most = longest.min(Self::FIRST_WAIT.as_u64() << doublings);
        if let (Some(age), Some(failed_at)) = (age, self.failed_at) {
            let ago = now.saturating_since(failed_at).as_u64();
            let left = (bound.as_u64() + ago).saturating_sub(age.as_u64());
            if left > 0 {
                most = most.min(left / 2);
            }
        }
        Milliseconds::new(most * u64::from(self.lot) / u64::from(u8::MAX))
    }
}

/// Waits before each look at what others have left while one of them asks: together about as long as a question may take.
const PAUSES: [u64; 8] = [0, 40, 80, 160, 320, 480, 480, 480];

/// How long to wait before the look after `looks` others; none when there has been no answer for so long that the
/// question counts as not answered. It is not asked then: whoever asks has the same trouble.
pub fn pause_before_look(looks: usize) -> Option<Milliseconds> {
    PAUSES.get(looks).copied().map(Milliseconds::new)
}

/// How a replica that is behind is brought up to its authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Telling {
    /// By the records that it misses.
    Records,
    /// By the whole ledger, which is shorter.
    Whole,
}

impl Telling {
    /// Records that are sent one by one in any case.
    const FEW: u64 = 1_000;

    /// About how many bytes each mark of a whole ledger takes.
    const MARK: usize = 24;

    /// What to tell a replica that misses so many records, which are `length` bytes long, when the ledger has so many marks.
    pub fn of(missing: u64, length: usize, marks: usize) -> Self {
        if missing > Self::FEW && length > marks * Self::MARK {
            Self::Whole
        } else {
            Self::Records
        }
    }
}

/// How much the clocks of one data centre may differ. What another one asked counts as so much older.
pub const SKEW: Milliseconds = Milliseconds::new(100);

impl Urgency {
    /// For how long it counts that somebody has begun to ask: as long as his question may take, and less when a request
    /// waits. He may have been cancelled.
    pub const fn claim(self) -> Milliseconds {
        match self {
            Self::Behind => Asking::PATIENCE,
            Self::First => Milliseconds::new(600),
        }
    }

    /// Whether somebody who said at `since` that he asks is still waited for at `now`, when the newest answer that lies
    /// here was asked for at `answered_at`.
    pub fn is_claimed(
        self,
        since: TimestampMillis,
        answered_at: Option<TimestampMillis>,
        now: TimestampMillis,
    ) -> bool {
        let is_answered = answered_at.is_some_and(|at| at >= since);
        let is_known = since <= now.saturating_add(SKEW);
        is_known && !is_answered && now.saturating_since(since) < self.claim()
    }
}

#[cfg(test)]
mod tests;

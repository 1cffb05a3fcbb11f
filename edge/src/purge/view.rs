//! This isolate's view of the ledger: what it knows, how old that is, and when to ask again.
//!
//! Plain data, no I/O: [`super::client`] asks, this decides. Simulated time in the tests.

use terrace_shared::purge::token::{GoneHistories, Reach, Wanted};
use terrace_shared::purge::{
    EntryScopes, Epoch, Fence, Lag, Ledger, Purge, Record, Replica, Update, Verdict,
};
use terrace_shared::time::{Milliseconds, TimestampMillis};

use super::sharing::{Label, Worth};

/// A replica of the ledger, and the questions that are under way for it.
#[derive(Debug, Default)]
pub(crate) struct View {
    replica: Replica,
    /// When the newest question was asked that is not answered yet; it may have been cancelled since.
    asking_since: Option<TimestampMillis>,
    /// When a question was last found to get no answer; none since there has been one.
    failed_at: Option<TimestampMillis>,
    /// This isolate's lot for when it wants news next.
    lot: u8,
    /// Histories that tokens have named, and that the authority has left behind.
    gone: GoneHistories,
}

/// What a request must do about the view before it uses it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Refresh {
    /// Nothing: it is young, or another request is asking already and there is no use in waiting for that.
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
pub(crate) struct Question {
    /// Where the view stood; none asks for the whole ledger.
    pub(crate) since: Option<Epoch>,
    /// When it was asked: the view is as old as that once it is answered.
    pub(crate) asked_at: TimestampMillis,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Absorbed {
    /// The view is up to it, or further.
    Taken,
    /// It does not follow on: ask for the whole ledger.
    AskForAll,
}

impl View {
    /// A question whose answer has not come after this long is taken for cancelled.
    pub(crate) const PATIENCE: Milliseconds = Milliseconds::new(2_000);

    /// How long requests beyond the bound look for the answer to another one's question, instead of
    /// asking all at once. None awaits it: one that was cancelled costs them this much and no more.
    const COURTESY: Milliseconds = Milliseconds::new(200);

    /// For how long after a question without an answer nobody waits for another one: requests are answered as their
    /// route says for a late view (R7), and the authority is asked behind them.
    const OUTAGE: Milliseconds = Milliseconds::new(10_000);

    /// What to do at `now` when the view should be younger than `refresh_after`, and must be within `bound`.
    pub(crate) fn plan(
        &self,
        now: TimestampMillis,
        refresh_after: Milliseconds,
        bound: Milliseconds,
    ) -> Refresh {
        let asked_within = |length| {
            self.asking_since
                .is_some_and(|since| now.saturating_since(since) < length)
        };
        let is_out = self
            .failed_at
            .is_some_and(|at| now.saturating_since(at) < Self::OUTAGE);
        match self.replica.lag(now, bound) {
            Lag::Beyond(_) | Lag::Unknown if is_out => {
                if asked_within(Self::PATIENCE) {
                    Refresh::NotNeeded
                } else {
                    Refresh::Behind
                }
            }
            Lag::Beyond(_) | Lag::Unknown if asked_within(Self::COURTESY) => Refresh::Soon,
            Lag::Beyond(_) | Lag::Unknown => Refresh::First,
            Lag::Within if self.replica.lag(now, refresh_after) == Lag::Within => {
                Refresh::NotNeeded
            }
            Lag::Within if asked_within(Self::PATIENCE) => Refresh::NotNeeded,
            Lag::Within => Refresh::Behind,
        }
    }

    /// The question to ask at `now`; notes that it is under way.
    pub(crate) fn ask(&mut self, now: TimestampMillis) -> Question {
        self.asking_since = Some(now);
        Question {
            since: self.replica.epoch(),
            asked_at: now,
        }
    }

    /// Notes at `now` that `question` got no answer.
    pub(crate) fn fail(&mut self, question: Question, now: TimestampMillis) {
        self.give_up(question);
        self.failed_at = Some(now);
    }

    /// Notes that `question` needs no answer any more.
    pub(crate) fn give_up(&mut self, question: Question) {
        if self.asking_since == Some(question.asked_at) {
            self.asking_since = None;
        }
    }

    /// Takes over the answer to `question`, however late it comes.
    ///
    /// Questions of several requests overlap, and a purge handled here may have gone ahead of them:
    /// an answer that knows less than the view is no loss of history, unless it knows less than the
    /// view did when it was asked.
    pub(crate) fn absorb(&mut self, question: Question, update: Update) -> Absorbed {
        self.give_up(question);
        self.failed_at = None;
        let Label {
            head: Epoch {
                incarnation,
                sequence: head,
            },
            ..
        } = Label::of(question, &update);
        if let Some(here) = self.replica.epoch() {
            if here.incarnation == incarnation {
                let regressed = question
                    .since
                    .is_some_and(|since| since.incarnation == incarnation && since.sequence > head);
                if regressed {
                    self.replica.forget();
                    return Absorbed::AskForAll;
                }
                if head <= here.sequence {
                    self.replica.confirm(question.asked_at);
                    return Absorbed::Taken;
                }
            } else if self.confirmed_after(question.asked_at) {
                return Absorbed::Taken; // of a history that a later answer has replaced
            }
        }
        match self.replica.update(update, question.asked_at) {
            Ok(()) => Absorbed::Taken,
            Err(_) => Absorbed::AskForAll,
        }
    }

    /// What an answer that another isolate left is worth at `now` (see [`Label::worth`]).
    pub(crate) fn worth(
        &self,
        label: &Label,
        now: TimestampMillis,
        refresh: Milliseconds,
    ) -> Worth {
        label.worth(self.epoch(), self.replica.view_age(now), now, refresh)
    }

    /// Takes note that nothing has been purged by when the answer under `label` was asked for.
    pub(crate) fn confirm_shared(&mut self, label: &Label) {
        self.replica.confirm(label.counts_from());
    }

    /// Takes over an answer that another isolate left, if it is what its label says and still of use.
    pub(crate) fn absorb_shared(
        &mut self,
        label: &Label,
        update: Update,
        now: TimestampMillis,
        refresh: Milliseconds,
    ) -> Absorbed {
        let question = Question {
            since: label.from,
            asked_at: label.asked_at,
        };
        if Label::of(question, &update) != *label {
            return Absorbed::AskForAll;
        }
        match self.worth(label, now, refresh) {
            Worth::Nothing => Absorbed::AskForAll,
            Worth::Confirms => {
                self.confirm_shared(label);
                Absorbed::Taken
            }
            Worth::Brings => match self.replica.update(update, label.counts_from()) {
                Ok(()) => Absorbed::Taken,
                Err(_) => Absorbed::AskForAll,
            },
        }
    }

    /// Draws a lot for when this isolate wants news next.
    pub(crate) fn draw(&mut self, lot: u8) {
        self.lot = lot;
    }

    /// The lot it has drawn.
    pub(crate) fn lot(&self) -> u8 {
        self.lot
    }

    /// Takes over a purge that this isolate has just sent to the authority, if it is the next one.
    pub(crate) fn note(&mut self, epoch: Epoch, purge: Purge) -> Absorbed {
        if self.replica.epoch().map(|here| here.incarnation) != Some(epoch.incarnation) {
            return Absorbed::AskForAll;
        }
        let record = Record {
            sequence: epoch.sequence,
            purge,
        };
        match self.replica.push(&record) {
            Ok(()) => Absorbed::Taken,
            Err(_) => Absorbed::AskForAll,
        }
    }

    /// Where the view stands: what a fill notes before it asks the origin (R1).
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.replica.epoch()
    }

    /// How the view stands against the purges that tokens name (R10).
    pub(crate) fn reach(&self, wanted: &Wanted) -> Reach {
        wanted.reach(self.replica.epoch(), &self.gone)
    }

    /// Notes that the authority has answered a question asked after `wanted` was presented: what the view does not
    /// know of then is another history's, and is not asked for again.
    pub(crate) fn note_gone(&mut self, wanted: &Wanted) {
        if let Some(here) = self.replica.epoch() {
            self.gone.note(wanted, here);
        }
    }

    /// How far along the origin's ledger this one has been told of purges (R9).
    pub(crate) fn told(&self) -> Option<Epoch> {
        self.replica.ledger().and_then(Ledger::origin_head)
    }

    /// Judges a stored response (R2).
    pub(crate) fn verdict(&self, fence: &Fence, scopes: &EntryScopes) -> Verdict {
        self.replica.verdict(fence, scopes)
    }

    /// How old the view is at `now`, against `bound` (R7).
    pub(crate) fn lag(&self, now: TimestampMillis, bound: Milliseconds) -> Lag {
        self.replica.lag(now, bound)
    }

    fn confirmed_after(&self, moment: TimestampMillis) -> bool {
        // The view's age at `moment` is zero exactly when it was confirmed then or later.
        self.replica.lag(moment, Milliseconds::new(0)) == Lag::Within
    }
}

#[cfg(test)]
mod tests {
    use terrace_shared::purge::token::{After, ReadToken};
    use terrace_shared::purge::{Incarnation, LedgerLimits, PurgeMode, Scope, Sequence};

    use super::*;

    const REFRESH: Milliseconds = Milliseconds::new(1_000);
    const BOUND: Milliseconds = Milliseconds::new(5_000);

    const fn at(milliseconds: u64) -> TimestampMillis {
        TimestampMillis::from_unix_millis(milliseconds)
    }

    fn purge() -> Purge {
        Purge {
            mode: PurgeMode::Hard,
            scopes: vec![Scope::All],
            at: at(0),
            origin_epoch: None,
        }
    }

    fn authority(incarnation: u64, purges: u64) -> Ledger {
        let mut ledger = Ledger::new(
            Incarnation::from_random(incarnation),
            LedgerLimits::default(),
        );
        for _ in 0..purges {
            ledger.append(purge());
        }
        ledger
    }

    fn delta(ledger: &Ledger, since: u64) -> Update {
        let head = ledger.epoch().sequence;
        Update::Delta {
            incarnation: ledger.epoch().incarnation,
            head,
            records: (since + 1..=head.as_u64())
                .map(|number| Record {
                    sequence: Sequence::new(number),
                    purge: purge(),
                })
                .collect(),
        }
    }

    /// A view that got the whole of `ledger` at `asked_at`.
    fn view_of(ledger: &Ledger, asked_at: TimestampMillis) -> View {
        let mut view = View::default();
        let question = view.ask(asked_at);
        assert_eq!(
            view.absorb(question, Update::Snapshot(ledger.clone())),
            Absorbed::Taken
        );
        view
    }

    #[test]
    fn a_young_view_costs_nothing_an_older_one_is_refreshed_behind_and_a_late_one_first() {
        let view = view_of(&authority(1, 0), at(10_000));
        for (now, plan) in [
            (10_000, Refresh::NotNeeded),
            (11_000, Refresh::NotNeeded),
            (11_001, Refresh::Behind),
            (15_000, Refresh::Behind),
            (15_001, Refresh::First),
        ] {
            assert_eq!(view.plan(at(now), REFRESH, BOUND), plan, "{now}");
        }
        assert_eq!(View::default().plan(at(0), REFRESH, BOUND), Refresh::First);
    }

    #[test]
    fn one_request_asks_behind_and_a_cancelled_question_does_not_block_the_next() {
        let mut view = view_of(&authority(1, 0), at(10_000));
        let question = view.ask(at(11_500));
        assert_eq!(view.plan(at(11_600), REFRESH, BOUND), Refresh::NotNeeded);
        // Never answered: after a while somebody else asks.
        assert_eq!(view.plan(at(13_500), REFRESH, BOUND), Refresh::Behind);
        // Answered with an error: at once.
        view.give_up(question);
        assert_eq!(view.plan(at(11_700), REFRESH, BOUND), Refresh::Behind);
    }

    #[test]
    fn beyond_the_bound_requests_look_for_an_answer_under_way_and_then_ask_themselves() {
        let mut view = view_of(&authority(1, 0), at(10_000));
        let question = view.ask(at(15_500));
        assert_eq!(view.plan(at(15_600), REFRESH, BOUND), Refresh::Soon);
        assert_eq!(view.plan(at(15_700), REFRESH, BOUND), Refresh::First);
        view.give_up(question);
        assert_eq!(view.plan(at(15_600), REFRESH, BOUND), Refresh::First);
    }

    #[test]
    fn in_an_outage_nobody_waits_and_one_asks_behind() {
        let mut view = view_of(&authority(1, 0), at(10_000));
        let question = view.ask(at(15_500));
        view.fail(question, at(17_500));
        assert_eq!(view.plan(at(17_500), REFRESH, BOUND), Refresh::Behind);
        assert_ne!(view.lag(at(17_500), BOUND), Lag::Within);
        let question = view.ask(at(17_600));
        assert_eq!(view.plan(at(19_599), REFRESH, BOUND), Refresh::NotNeeded);
        assert_eq!(view.plan(at(19_600), REFRESH, BOUND), Refresh::Behind);
        view.fail(question, at(19_600));
        // Long after the last failure the next request gives it a chance.
        assert_eq!(view.plan(at(29_599), REFRESH, BOUND), Refresh::Behind);
        assert_eq!(view.plan(at(29_600), REFRESH, BOUND), Refresh::First);
        // One answer, and all is as before.
        let question = view.ask(at(20_000));
        assert_eq!(
            view.absorb(question, delta(&authority(1, 1), 0)),
            Absorbed::Taken
        );
        assert_eq!(view.plan(at(25_001), REFRESH, BOUND), Refresh::First);
    }

    #[test]
    fn overlapping_answers_in_any_order_end_at_the_newest() {
        let mut view = view_of(&authority(1, 1), at(1_000));
        let early = view.ask(at(2_000));
        let late = view.ask(at(2_100));
        assert_eq!(
            view.absorb(late, delta(&authority(1, 3), 1)),
            Absorbed::Taken
        );
        assert_eq!(
            view.absorb(early, delta(&authority(1, 2), 1)),
            Absorbed::Taken
        );
        assert_eq!(view.epoch().unwrap().sequence, Sequence::new(3));
        assert_eq!(view.plan(at(3_100), REFRESH, BOUND), Refresh::NotNeeded);
    }

    #[test]
    fn a_purge_handled_here_is_seen_at_once_and_is_no_loss_to_an_answer_under_way() {
        let mut ledger = authority(1, 1);
        let mut view = view_of(&ledger, at(1_000));
        let question = view.ask(at(2_000));
        let behind = delta(&ledger, 1);
        let epoch = Epoch {
            sequence: ledger.append(purge()).sequence,
            ..ledger.epoch()
        };
        assert_eq!(view.note(epoch, purge()), Absorbed::Taken);
        assert_eq!(view.epoch(), Some(epoch));
        assert_eq!(view.absorb(question, behind), Absorbed::Taken);
        assert_eq!(view.epoch(), Some(epoch));
    }

    #[test]
    fn a_purge_after_others_that_are_not_known_here_asks_for_them() {
        let mut view = view_of(&authority(1, 1), at(1_000));
        let epoch = |incarnation, sequence| Epoch {
            incarnation: Incarnation::from_random(incarnation),
            sequence: Sequence::new(sequence),
        };
        assert_eq!(view.note(epoch(1, 4), purge()), Absorbed::AskForAll);
        assert_eq!(view.note(epoch(2, 2), purge()), Absorbed::AskForAll);
        assert_eq!(
            View::default().note(epoch(1, 1), purge()),
            Absorbed::AskForAll
        );
    }

    #[test]
    fn an_authority_that_lost_its_tail_is_noticed() {
        let mut view = view_of(&authority(1, 5), at(1_000));
        let question = view.ask(at(2_000));
        assert_eq!(
            view.absorb(question, delta(&authority(1, 4), 4)),
            Absorbed::AskForAll
        );
        assert_eq!(view.epoch(), None);
    }

    #[test]
    fn another_history_replaces_this_one_and_is_not_replaced_by_a_late_answer_of_it() {
        let old = authority(1, 5);
        let mut view = view_of(&old, at(1_000));
        let late = view.ask(at(2_000));
        let question = view.ask(at(3_000));
        let new = Update::Snapshot(authority(2, 0));
        assert_eq!(view.absorb(question, new), Absorbed::Taken);
        let outdated = Update::Snapshot(old);
        assert_eq!(view.absorb(late, outdated), Absorbed::Taken);
        assert_eq!(
            view.epoch().unwrap().incarnation,
            Incarnation::from_random(2)
        );
    }

    #[test]
    fn a_token_is_reached_by_a_newer_view_and_one_of_a_lost_history_asks_once() {
        let token = |incarnation, sequence| {
            let edge = Some(Epoch {
                incarnation: Incarnation::from_random(incarnation),
                sequence: Sequence::new(sequence),
            });
            After::of(&ReadToken { origin: None, edge }).edge
        };
        let mut view = view_of(&authority(1, 1), at(1_000));
        assert_eq!(view.reach(&token(1, 1)), Reach::Reached);
        assert_eq!(view.reach(&token(1, 3)), Reach::Behind);
        let question = view.ask(at(2_000));
        assert_eq!(
            view.absorb(question, delta(&authority(1, 2), 1)),
            Absorbed::Taken
        );
        view.note_gone(&token(1, 3));
        assert_eq!(view.reach(&token(1, 3)), Reach::Behind, "beyond the head");
        assert_eq!(view.reach(&token(9, 1)), Reach::Behind);
        view.note_gone(&token(9, 1));
        assert_eq!(view.reach(&token(9, 1)), Reach::Reached);
        assert_eq!(View::default().reach(&token(1, 1)), Reach::Behind);
    }

    #[test]
    fn a_delta_of_another_history_asks_for_the_whole_of_it() {
        let mut view = view_of(&authority(1, 5), at(1_000));
        let question = view.ask(at(2_000));
        assert_eq!(
            view.absorb(question, delta(&authority(2, 6), 5)),
            Absorbed::AskForAll
        );
    }

    /// The label and the answer that an isolate leaves which stood at `since` and asked at `asked_at`.
    fn left(ledger: &Ledger, since: Option<u64>, asked_at: TimestampMillis) -> (Label, Update) {
        let update = match since {
            None => Update::Snapshot(ledger.clone()),
            Some(since) => delta(ledger, since),
        };
        let since = since.map(|sequence| Epoch {
            sequence: Sequence::new(sequence),
            ..ledger.epoch()
        });
        (Label::of(Question { since, asked_at }, &update), update)
    }

    #[test]
    fn what_another_isolate_learnt_is_as_old_as_its_question_and_a_little_more() {
        let mut view = view_of(&authority(1, 1), at(1_000));
        let (label, update) = left(&authority(1, 3), Some(1), at(9_000));
        let taken = view.absorb_shared(&label, update, at(9_500), REFRESH);
        assert_eq!(taken, Absorbed::Taken);
        assert_eq!(view.epoch().unwrap().sequence, Sequence::new(3));
        let bound = Milliseconds::new(600);
        assert_eq!(view.lag(at(9_500), bound), Lag::Within);
        let age = Milliseconds::new(601);
        assert_eq!(view.lag(at(9_501), bound), Lag::Beyond(age));
    }

    #[test]
    fn a_purge_made_here_is_not_hidden_by_what_another_isolate_learnt_before_it() {
        let mut ledger = authority(1, 3);
        let mut view = view_of(&authority(1, 1), at(1_000));
        let shared = [None, Some(1), Some(3)].map(|since| left(&ledger, since, at(9_000)));
        let (_, update) = left(&ledger, Some(1), at(8_000));
        let question = view.ask(at(8_000));
        assert_eq!(view.absorb(question, update), Absorbed::Taken);
        ledger.append(purge());
        assert_eq!(view.note(ledger.epoch(), purge()), Absorbed::Taken);
        for (label, update) in shared {
            let taken = view.absorb_shared(&label, update, at(9_500), REFRESH);
            assert_eq!(taken, Absorbed::AskForAll);
            assert_eq!(view.epoch(), Some(ledger.epoch()));
        }
        assert_eq!(
            view.lag(at(9_500), Milliseconds::new(1_500)),
            Lag::Within,
            "and its age is still that of its own question"
        );
        assert_ne!(view.lag(at(9_501), Milliseconds::new(1_500)), Lag::Within);
    }

    #[test]
    fn an_answer_that_is_not_what_its_label_says_is_not_taken() {
        let mut view = view_of(&authority(1, 1), at(1_000));
        let (label, _) = left(&authority(1, 3), Some(1), at(9_000));
        for other in [
            delta(&authority(1, 2), 1),
            delta(&authority(2, 3), 1),
            Update::Snapshot(authority(1, 3)),
        ] {
            let taken = view.absorb_shared(&label, other, at(9_500), REFRESH);
            assert_eq!(taken, Absorbed::AskForAll);
            assert_eq!(view.epoch().unwrap().sequence, Sequence::new(1));
        }
    }

    #[test]
    fn an_empty_view_takes_the_whole_ledger_from_another_isolate() {
        let mut view = View::default();
        let (label, update) = left(&authority(1, 3), Some(1), at(9_000));
        assert_eq!(view.worth(&label, at(9_100), REFRESH), Worth::Nothing);
        let taken = view.absorb_shared(&label, update, at(9_100), REFRESH);
        assert_eq!(taken, Absorbed::AskForAll);
        let (label, update) = left(&authority(1, 3), None, at(9_000));
        let taken = view.absorb_shared(&label, update, at(9_100), REFRESH);
        assert_eq!(taken, Absorbed::Taken);
        assert_eq!(view.epoch(), Some(label.head));
    }
}

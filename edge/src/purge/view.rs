//! This isolate's view of the ledger: what it knows, how old that is, and when to ask again.
//!
//! Plain data, no I/O: [`super::client`] asks, this decides. Simulated time in the tests.

use std::cmp::Ordering;

use terrace_shared::purge::bulletin::{Label, Worth};
use terrace_shared::purge::refresh::{Asking, Bounds, Question, Refresh};
use terrace_shared::purge::token::{GoneHistories, Reach, Wanted};
use terrace_shared::purge::{
    EntryScopes, Epoch, Fence, Lag, Ledger, Purge, Record, Replica, Update, Verdict,
};
use terrace_shared::time::{Milliseconds, TimestampMillis};

/// A replica of the ledger, and the questions that are under way for it.
#[derive(Debug, Default)]
pub(crate) struct View {
    replica: Replica,
    asking: Asking,
    /// Histories that tokens have named, and that the authority has left behind.
    gone: GoneHistories,
}

/// What other isolates left, as far as it was found to be of use.
#[derive(Debug)]
pub(crate) struct Left {
    /// What is said of the news.
    pub(crate) label: Label,
    /// The whole ledger, where they begin after what is known here.
    pub(crate) whole: Option<(Label, Ledger)>,
    /// What they tell after that; nothing if they only confirm it.
    pub(crate) news: Option<Update>,
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
    /// What to do at `now` when the view must be within `bounds`.
    pub(crate) fn plan(&self, bounds: Bounds, now: TimestampMillis) -> Refresh {
        self.asking.plan(self.age(now), bounds, now)
    }

    /// The question to ask at `now`; notes that it is under way.
    pub(crate) fn ask(&mut self, now: TimestampMillis) -> Question {
        self.asking.ask(now);
        Question {
            since: self.replica.epoch(),
            asked_at: now,
        }
    }

    /// Notes at `now` that `question` got no answer.
    pub(crate) fn fail(&mut self, question: Question, now: TimestampMillis) {
        self.asking.fail(question.asked_at, now);
    }

    /// Notes that `question` needs no answer any more.
    pub(crate) fn give_up(&mut self, question: Question) {
        self.asking.give_up(question.asked_at);
    }

    /// Takes over the answer to `question`, however late it comes.
    ///
    /// Questions of several requests overlap, and a purge handled here may have gone ahead of them:
    /// an answer that knows less than the view is no loss of history, unless it knows less than the
    /// view did when it was asked.
    pub(crate) fn absorb(&mut self, question: Question, update: Update) -> Absorbed {
        self.give_up(question);
        self.asking.succeed();
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

    /// What answers that other isolates left are worth at `now` (see [`Label::worth`]).
    pub(crate) fn worth(&self, label: &Label, now: TimestampMillis) -> Worth {
        label.worth(self.epoch(), self.age(now), now)
    }

    /// Takes over what other isolates left, as far as it is what its labels say and still of use at `now`.
    ///
    /// The whole ledger is as old as it says, and may be left with that age if the news after it are none.
    pub(crate) fn absorb_shared(&mut self, left: Left, now: TimestampMillis) -> Absorbed {
        let Left { label, whole, news } = left;
        let mut worth = self.worth(&label, now);
        if let Some((said, ledger)) = whole {
            let is_wanted = worth == Worth::BringsAfterWhole && said.leads_to(&label, self.epoch());
            if !is_wanted || ledger.epoch() != said.head {
                return Absorbed::AskForAll;
            }
            if self.epoch().map(|here| here.incarnation) != Some(said.head.incarnation) {
                self.replica.forget(); // how old the view of that history was says nothing of this one
            }
            let confirmed_at = said.counts_from().min(label.counts_from());
            let whole = Update::Snapshot(ledger);
            if self.replica.update(whole, confirmed_at).is_err() {
                return Absorbed::AskForAll;
            }
            worth = match label.head.sequence.cmp(&said.head.sequence) {
                Ordering::Less => Worth::Nothing,
                Ordering::Equal => Worth::Confirms,
                Ordering::Greater => Worth::Brings,
            };
        }
        let asked_of = Question {
            since: label.from,
            asked_at: label.asked_at,
        };
        let taken = match (worth, news) {
            (Worth::Confirms, _) => {
                self.replica.confirm(label.counts_from());
                true
            }
            (Worth::Brings, Some(news)) if Label::of(asked_of, &news) == label => {
                self.replica.update(news, label.counts_from()).is_ok()
            }
            (Worth::Brings | Worth::BringsAfterWhole | Worth::Nothing, _) => false,
        };
        if !taken {
            return Absorbed::AskForAll;
        }
        self.asking.answered(label.asked_at);
        Absorbed::Taken
    }

    /// The whole ledger for others as it is known here, and what is said of it; none without one that leads to the
    /// answers under `news`.
    pub(crate) fn whole(&mut self, news: &Label, now: TimestampMillis) -> Option<(Label, Vec<u8>)> {
        let age = self.age(now)?.as_u64();
        let label = Label {
            asked_at: TimestampMillis::from_unix_millis(now.as_unix_millis().saturating_sub(age)),
            from: None,
            head: self.epoch()?,
        };
        if !label.leads_to(news, None) {
            return None;
        }
        let ledger = self.replica.ledger_mut()?;
        ledger.compact(now.timestamp()); // what goes from hand to hand must not grow older than the horizon
        Some((label, Update::Snapshot(ledger.clone()).encode()))
    }

    /// Draws a lot for when this isolate wants news next.
    pub(crate) fn draw(&mut self, lot: u8) {
        self.asking.draw(lot);
    }

    /// The lot it has drawn.
    pub(crate) fn lot(&self) -> u8 {
        self.asking.lot()
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

    /// How old the view is at `now`; none while there is none.
    pub(crate) fn age(&self, now: TimestampMillis) -> Option<Milliseconds> {
        self.replica.view_age(now)
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

    const BOUND: Milliseconds = Milliseconds::new(5_000);
    const BOUNDS: Bounds = Bounds {
        refresh_after: Milliseconds::new(1_000),
        bound: BOUND,
    };

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
            assert_eq!(view.plan(BOUNDS, at(now)), plan, "{now}");
        }
        assert_eq!(View::default().plan(BOUNDS, at(0)), Refresh::First);
    }

    #[test]
    fn one_request_asks_behind_and_a_cancelled_question_does_not_block_the_next() {
        let mut view = view_of(&authority(1, 0), at(10_000));
        let question = view.ask(at(11_500));
        assert_eq!(view.plan(BOUNDS, at(11_600)), Refresh::NotNeeded);
        // Never answered: after a while somebody else asks.
        assert_eq!(view.plan(BOUNDS, at(13_500)), Refresh::Behind);
        // Answered with an error: at once.
        view.give_up(question);
        assert_eq!(view.plan(BOUNDS, at(11_700)), Refresh::Behind);
    }

    #[test]
    fn beyond_the_bound_requests_look_for_an_answer_under_way_and_then_ask_themselves() {
        let mut view = view_of(&authority(1, 0), at(10_000));
        let question = view.ask(at(15_500));
        assert_eq!(view.plan(BOUNDS, at(15_600)), Refresh::Soon);
        assert_eq!(view.plan(BOUNDS, at(15_700)), Refresh::First);
        view.give_up(question);
        assert_eq!(view.plan(BOUNDS, at(15_600)), Refresh::First);
    }

    #[test]
    fn in_an_outage_nobody_waits_and_one_asks_behind() {
        let mut view = view_of(&authority(1, 0), at(10_000));
        let question = view.ask(at(15_500));
        view.fail(question, at(17_500));
        assert_eq!(view.plan(BOUNDS, at(17_500)), Refresh::Behind);
        assert_ne!(view.lag(at(17_500), BOUND), Lag::Within);
        let question = view.ask(at(17_600));
        assert_eq!(view.plan(BOUNDS, at(19_599)), Refresh::NotNeeded);
        assert_eq!(view.plan(BOUNDS, at(19_600)), Refresh::Behind);
        view.fail(question, at(19_600));
        // Long after the last failure the next request gives it a chance.
        assert_eq!(view.plan(BOUNDS, at(29_599)), Refresh::Behind);
        assert_eq!(view.plan(BOUNDS, at(29_600)), Refresh::First);
        // One answer, and all is as before.
        let question = view.ask(at(20_000));
        assert_eq!(
            view.absorb(question, delta(&authority(1, 1), 0)),
            Absorbed::Taken
        );
        assert_eq!(view.plan(BOUNDS, at(25_001)), Refresh::First);
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
        assert_eq!(view.plan(BOUNDS, at(3_100)), Refresh::NotNeeded);
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

    /// What an isolate leaves that stood at `since` and asked at `asked_at`.
    fn left(ledger: &Ledger, since: u64, asked_at: TimestampMillis) -> Left {
        let news = delta(ledger, since);
        let since = Some(Epoch {
            sequence: Sequence::new(since),
            ..ledger.epoch()
        });
        Left {
            label: Label::of(Question { since, asked_at }, &news),
            whole: None,
            news: Some(news),
        }
    }

    /// The same after the whole of `before`, which was asked for at `whole_at`.
    fn left_after(before: &Ledger, whole_at: TimestampMillis, left: Left) -> Left {
        let label = Label {
            asked_at: whole_at,
            from: None,
            head: before.epoch(),
        };
        Left {
            whole: Some((label, before.clone())),
            ..left
        }
    }

    #[test]
    fn what_another_isolate_learnt_is_as_old_as_its_question_and_a_little_more() {
        let mut view = view_of(&authority(1, 1), at(1_000));
        let left = left(&authority(1, 3), 1, at(9_000));
        assert_eq!(view.absorb_shared(left, at(9_500)), Absorbed::Taken);
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
        let question = view.ask(at(8_000));
        assert_eq!(view.absorb(question, delta(&ledger, 1)), Absorbed::Taken);
        let before = ledger.clone();
        ledger.append(purge());
        assert_eq!(view.note(ledger.epoch(), purge()), Absorbed::Taken);
        for since in [1, 3] {
            let left = left(&before, since, at(9_000));
            let whole = left_after(&before, at(9_000), self::left(&before, since, at(9_000)));
            for left in [left, whole] {
                assert_eq!(view.absorb_shared(left, at(9_500)), Absorbed::AskForAll);
                assert_eq!(view.epoch(), Some(ledger.epoch()));
            }
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
        for other in [
            delta(&authority(1, 2), 1),
            delta(&authority(2, 3), 1),
            Update::Snapshot(authority(1, 3)),
        ] {
            let left = Left {
                news: Some(other),
                ..left(&authority(1, 3), 1, at(9_000))
            };
            assert_eq!(view.absorb_shared(left, at(9_500)), Absorbed::AskForAll);
            assert_eq!(view.epoch().unwrap().sequence, Sequence::new(1));
        }
        let mut empty = View::default();
        let left = left_after(
            &authority(1, 2),
            at(9_000),
            left(&authority(1, 3), 1, at(9_000)),
        );
        let (label, _) = left.whole.unwrap();
        let whole = Some((label, authority(1, 3)));
        let left = Left { whole, ..left };
        assert_eq!(empty.absorb_shared(left, at(9_500)), Absorbed::AskForAll);
        assert_eq!(empty.epoch(), None);
    }

    #[test]
    fn an_empty_view_takes_the_whole_ledger_and_the_news_after_it_and_is_as_old_as_those() {
        let mut view = View::default();
        let news = || left(&authority(1, 3), 2, at(9_000));
        assert_eq!(
            view.worth(&news().label, at(9_100)),
            Worth::BringsAfterWhole
        );
        assert_eq!(view.absorb_shared(news(), at(9_100)), Absorbed::AskForAll);
        assert_eq!(view.epoch(), None);
        let left = left_after(&authority(1, 2), at(2_000), news());
        assert_eq!(view.absorb_shared(left, at(9_100)), Absorbed::Taken);
        assert_eq!(view.epoch(), Some(authority(1, 3).epoch()));
        assert_eq!(view.lag(at(9_100), Milliseconds::new(200)), Lag::Within);
    }

    #[test]
    fn a_whole_ledger_that_was_left_with_its_news_is_all_there_is_to_take() {
        for (whole_at, age) in [(9_000, 200), (9_050, 200), (8_000, 200)] {
            let mut view = View::default();
            let news = left(&authority(1, 3), 3, at(9_000));
            let left = left_after(&authority(1, 3), at(whole_at), news);
            assert_eq!(view.absorb_shared(left, at(9_100)), Absorbed::Taken);
            assert_eq!(view.age(at(9_100)), Some(Milliseconds::new(age)));
        }
        // One that is ahead of them is no older for it, and no younger.
        let mut view = View::default();
        let news = left(&authority(1, 3), 2, at(9_000));
        let left = left_after(&authority(1, 4), at(9_050), news);
        assert_eq!(view.absorb_shared(left, at(9_100)), Absorbed::AskForAll);
        assert_eq!(view.epoch(), Some(authority(1, 4).epoch()));
        assert_eq!(view.age(at(9_100)), Some(Milliseconds::new(200)));
    }

    #[test]
    fn a_whole_ledger_without_its_news_is_as_old_as_it_says() {
        let mut view = View::default();
        let left = Left {
            news: None,
            ..left_after(
                &authority(1, 2),
                at(2_000),
                left(&authority(1, 3), 2, at(9_000)),
            )
        };
        assert_eq!(view.absorb_shared(left, at(9_100)), Absorbed::AskForAll);
        assert_eq!(view.ask(at(9_100)).since, Some(authority(1, 2).epoch()));
        let age = Milliseconds::new(7_200);
        assert_eq!(view.lag(at(9_100), BOUND), Lag::Beyond(age));
    }

    #[test]
    fn the_age_of_a_lost_history_is_not_that_of_the_one_which_replaced_it() {
        let mut view = view_of(&authority(1, 5), at(8_000));
        let left = Left {
            news: None,
            ..left_after(
                &authority(2, 2),
                at(2_000),
                left(&authority(2, 3), 2, at(9_000)),
            )
        };
        assert_eq!(view.absorb_shared(left, at(9_100)), Absorbed::AskForAll);
        assert_eq!(view.epoch(), Some(authority(2, 2).epoch()));
        let age = Milliseconds::new(7_200);
        assert_eq!(view.lag(at(9_100), BOUND), Lag::Beyond(age));
    }

    #[test]
    fn what_lies_there_of_a_lost_history_does_not_bring_it_back() {
        let mut view = view_of(&authority(2, 1), at(8_000));
        let old = left_after(
            &authority(1, 5),
            at(9_000),
            left(&authority(1, 5), 5, at(7_900)),
        );
        assert_eq!(view.absorb_shared(old, at(9_100)), Absorbed::AskForAll);
        assert_eq!(view.epoch(), Some(authority(2, 1).epoch()));
    }

    #[test]
    fn the_whole_ledger_for_others_is_as_old_as_the_view_and_leads_to_the_news() {
        let mut view = view_of(&authority(1, 3), at(8_000));
        let news = left(&authority(1, 4), 3, at(9_000)).label;
        let (label, bytes) = view.whole(&news, at(9_500)).unwrap();
        assert_eq!((label.asked_at, label.from), (at(8_000), None));
        assert_eq!(label.head, authority(1, 3).epoch());
        let Ok(Update::Snapshot(ledger)) = Update::decode(&bytes, LedgerLimits::default()) else {
            panic!("it is the whole ledger");
        };
        let left = Left {
            whole: Some((label, ledger)),
            ..left(&authority(1, 4), 3, at(9_000))
        };
        let mut other = View::default();
        assert_eq!(other.absorb_shared(left, at(9_600)), Absorbed::Taken);
        let later = self::left(&authority(1, 6), 5, at(9_000)).label;
        assert_eq!(view.whole(&later, at(9_500)), None);
        assert_eq!(View::default().whole(&news, at(9_500)), None);
    }

    #[test]
    fn what_others_learn_after_a_failure_ends_the_outage_here() {
        let mut view = view_of(&authority(1, 1), at(1_000));
        let question = view.ask(at(7_000));
        view.fail(question, at(9_000));
        let early = left(&authority(1, 1), 1, at(8_500));
        assert_eq!(view.absorb_shared(early, at(9_100)), Absorbed::Taken);
        assert_eq!(view.plan(BOUNDS, at(14_000)), Refresh::Behind);
        let late = left(&authority(1, 1), 1, at(9_050));
        assert_eq!(view.absorb_shared(late, at(9_200)), Absorbed::Taken);
        assert_eq!(view.plan(BOUNDS, at(14_001)), Refresh::First);
    }
}

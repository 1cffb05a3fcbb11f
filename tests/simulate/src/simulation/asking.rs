//! Questions on their way: to the data centre's entries, to an object, and back.

use terrace_shared::purge::bulletin::Label;
use terrace_shared::purge::refresh::{Asking, Urgency, pause_before_look};
use terrace_shared::time::TimestampMillis;

use super::measure::Measures;
use super::{Event, Leaving, Question, Simulation, Who};
use crate::clock::Span;
use crate::data_centre::{DataCentre, Shared, Whole};
use crate::history::News;
use crate::object::encoding;
#[cfg(test)]
use crate::scenario::Mistake;
use crate::scenario::Sharing;

impl Simulation<'_> {
    /// Looks for what others have left and asks if that is not enough, as the edge's `LedgerClient::news` does.
    pub(super) fn on_look(
        &mut self,
        who: Who,
        asked: TimestampMillis,
        urgency: Urgency,
        looks: usize,
    ) {
        let isolate = &self.isolates[who.isolate];
        if !self.is_alive(who) || !isolate.is_open(asked) {
            return;
        }
        let data_centre = usize::from(isolate.data_centre);
        let centre = &self.data_centres[data_centre];
        let mut found = centre.look(isolate.epoch(), isolate.age(self.now), self.now);
        for shared in &mut found.steps {
            shared.confirmed_at = self.age_of_shared(shared.confirmed_at);
        }
        let bounds = isolate.bounds;
        if !found.steps.is_empty() {
            self.measures.note_shared(self.now, found.copied);
            self.take(who, &found.steps);
            if let Some(answered_at) = found.answered_at {
                self.isolates[who.isolate].asking.answered(answered_at);
            }
        }
        let wanted = match urgency {
            Urgency::Behind => bounds.refresh_after,
            Urgency::First => bounds.bound,
        };
        let isolate = &mut self.isolates[who.isolate];
        if isolate.is_within(self.now, wanted) {
            isolate.close(asked);
            self.draw_request(who.isolate);
            return;
        }
        let centre = &mut self.data_centres[data_centre];
        if centre.is_claimed(urgency, found.answered_at, self.now) {
            let Some(pause) = pause_before_look(looks + 1) else {
                return self.on_failure(who, asked);
            };
            let again = Event::Look(who, asked, urgency, looks + 1);
            return self.later(Span::from(pause).plus(DataCentre::READ), again);
        }
        centre.claim(self.now);
        self.later(DataCentre::WRITE, Event::Ask(who, asked));
    }

    /// The question that was looked for is asked now.
    pub(super) fn on_ask(&mut self, who: Who, asked: TimestampMillis) {
        if self.is_alive(who) && self.isolates[who.isolate].close(asked) {
            let asked = self.isolates[who.isolate].ask(self.now);
            self.ask_object(who, asked);
            if !self.isolates[who.isolate].waiting.is_empty() {
                self.later(Span::from(Asking::COURTESY), Event::Courtesy(who, asked));
            }
            self.draw_request(who.isolate);
        }
    }

    /// When a shared answer was true, as the isolate believes that takes it.
    fn age_of_shared(&self, confirmed_at: TimestampMillis) -> TimestampMillis {
        match self.scenario.mistake {
            #[cfg(test)]
            Mistake::SharedAnswersLookYoung => self.now.timestamp(),
            _ => confirmed_at,
        }
    }

    /// When an answer was true, as the isolate believes that asked.
    fn age_of_answer(&self, confirmed_at: TimestampMillis) -> TimestampMillis {
        match self.scenario.mistake {
            #[cfg(test)]
            Mistake::AnswersLookYoung => self.now.timestamp(),
            _ => confirmed_at,
        }
    }

    pub(super) fn ask_object(&mut self, who: Who, asked: TimestampMillis) {
        let isolate = &self.isolates[who.isolate];
        let question = Box::new(Question {
            who,
            asked,
            sent: self.now,
            since: isolate.position(),
        });
        let round_trip = self.round_trip(who);
        let wait = self.dice.one_way(round_trip);
        self.later(wait, Event::Arrive(question));
        self.later(Span::from(Asking::PATIENCE), Event::Patience(who, asked));
    }

    pub(super) fn on_answer(&mut self, question: &Question, answer: Option<Box<Shared>>) {
        let who = question.who;
        let is_given_up =
            !self.is_alive(who) || !self.isolates[who.isolate].is_open(question.asked);
        let Some(mut answer) = answer else {
            return self.on_failure(who, question.asked);
        };
        if is_given_up {
            return;
        }
        answer.confirmed_at = self.age_of_answer(answer.confirmed_at);
        let isolate = &mut self.isolates[who.isolate];
        isolate.close(question.asked);
        isolate.asking.succeed();
        let data_centre = usize::from(isolate.data_centre);
        if self.scenario.sharing != Sharing::None {
            let leaving = self.leaving(data_centre, &answer);
            self.later(DataCentre::WRITE, Event::Put(who, Box::new(leaving)));
        }
        self.take(who, &[*answer]);
        if !self.isolates[who.isolate].is_within(self.now, self.scenario.bounds.bound) {
            self.go_on_without(who, question.asked); // too old, as from a replica without a lease
        }
        self.draw_request(who.isolate);
    }

    fn leaving(&self, data_centre: usize, answer: &Shared) -> Leaving {
        let (from, length, whole) = match &answer.news {
            News::Snapshot(bytes) => (None, 0, bytes.clone()),
            News::Delta { since } => {
                let bytes = self.history.delta_bytes(*since, answer.head);
                (
                    Some(self.history.epoch(*since)),
                    bytes.as_u64() as usize,
                    None,
                )
            }
        };
        let label = Label {
            asked_at: answer.confirmed_at,
            from,
            head: self.history.epoch(answer.head),
        };
        Leaving {
            data_centre,
            label,
            length,
            whole,
        }
    }

    /// An answer can be read by others, as the edge's `LedgerClient::leave` puts it.
    pub(super) fn on_put(&mut self, who: Who, leaving: Leaving) {
        let Leaving {
            data_centre,
            label,
            length,
            whole,
        } = leaving;
        let centre = &mut self.data_centres[data_centre];
        if label.from.is_none() {
            let whole = Whole {
                label,
                bytes: whole,
            };
            centre.put_whole(whole, self.now);
        }
        let Some(news) = centre.put(label, length, self.now) else {
            return;
        };
        if self.is_alive(who) {
            self.leave_whole(who, news);
        }
    }

    /// An isolate leaves the whole ledger as it knows it, where none leads to the answers under `news`.
    fn leave_whole(&mut self, who: Who, news: Label) {
        let isolate = &self.isolates[who.isolate];
        let data_centre = usize::from(isolate.data_centre);
        let (Some(head), Some(asked_at)) = (isolate.epoch(), isolate.confirmed_at()) else {
            return;
        };
        let label = Label {
            asked_at,
            from: None,
            head,
        };
        if !label.leads_to(&news, None) {
            return;
        }
        let is_read = self.data_centres[data_centre].has_witness;
        let bytes = is_read.then(|| self.history.snapshot_at(head.sequence.as_u64()));
        let whole = Box::new(Whole { label, bytes });
        let length = self.history.whole_bytes();
        self.measures.note_encoded(self.now, length);
        let wait = encoding(length).plus(DataCentre::WRITE);
        self.later(wait, Event::PutWhole { data_centre, whole });
    }

    /// Gives an isolate what its view follows on with, and lets those go on that waited for it.
    fn take(&mut self, who: Who, found: &[Shared]) {
        let isolate = &mut self.isolates[who.isolate];
        let last_answer = Measures::last_answer(
            isolate,
            self.scenario.bounds.bound,
            self.now,
            &mut self.dice,
        );
        let mut before = None;
        for (step, shared) in found.iter().enumerate() {
            if let Some(witness) = &mut isolate.witness {
                let (news, head) = (&shared.news, shared.head);
                self.measures
                    .show(witness, &self.history, news, head, shared.confirmed_at);
            }
            let here = isolate.take(&self.history, shared.head, shared.confirmed_at);
            self.measures
                .note_taken(self.now, &self.history, shared, here);
            if step == 0 {
                before = here;
            }
        }
        self.measures.check_view(isolate, &self.history, self.now);
        if let (Some(before), Some(last_answer)) = (before, last_answer) {
            let here = isolate.position().unwrap_or(before);
            self.measures
                .note_seen(&self.history, before, here, last_answer);
        }
        isolate.answered_at = None;
        if isolate.is_within(self.now, self.scenario.bounds.bound) {
            if let Some(since) = isolate.end_failing() {
                self.measures.note_lagged(self.now, since, isolate.rate);
            }
            for came in std::mem::take(&mut isolate.waiting) {
                self.measures.note_wait(self.now, came);
                isolate.answered_at = Some(self.now);
            }
        }
        let bounds = self.draw_bounds();
        self.isolates[who.isolate].bounds = bounds;
    }

    /// From an isolate to the object that it asks and back.
    pub(super) fn round_trip(&self, who: Who) -> Span {
        let centre = &self.data_centres[usize::from(self.isolates[who.isolate].data_centre)];
        let object = &self.objects[self.object_of(who)];
        centre
            .region
            .round_trip(object.region)
            .plus(centre.remoteness)
    }

    /// Which object an isolate asks: its region's replica, or the authority.
    pub(super) fn object_of(&self, who: Who) -> usize {
        let centre = usize::from(self.isolates[who.isolate].data_centre);
        if self.mirrors.is_empty() {
            0
        } else {
            1 + self.data_centres[centre].region.index()
        }
    }
}

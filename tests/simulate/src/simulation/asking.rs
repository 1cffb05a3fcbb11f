//! Questions on their way: to the data centre's entries, to an object, and back.

use terrace_shared::time::TimestampMillis;

use super::measure::Measures;
use super::{Event, Question, Simulation, Who};
use crate::clock::Span;
use crate::data_centre::{DataCentre, Shared};
#[cfg(test)]
use crate::scenario::Mistake;
use crate::scenario::Sharing;

impl Simulation<'_> {
    /// How often an isolate looks for the answer to another's question (`Sharing::LOOKS`), each time somewhat later.
    const LOOK_AGAIN: Span = Span::millis(40);

    /// How many looks: 0.4 s as the edge is built, 2 s where answers are kept together.
    const fn looks(sharing: Sharing) -> u8 {
        match sharing {
            Sharing::None | Sharing::Entry => 5,
            Sharing::Together | Sharing::Regional => 15,
        }
    }

    pub(super) fn on_look(&mut self, who: Who, asked: TimestampMillis, looks: u8) {
        let isolate = &self.isolates[who.isolate];
        if !self.is_alive(who) || !isolate.is_open(asked) {
            return;
        }
        let sharing = self.scenario.sharing;
        let refresh_after = self.scenario.refresh_after;
        let centre = &self.data_centres[usize::from(isolate.data_centre)];
        let mut found = centre.look(sharing, isolate.position(), refresh_after, self.now);
        found.retain(|shared| isolate.confirmed_at() < Some(shared.confirmed_at));
        for shared in &mut found {
            shared.confirmed_at = self.age_of_shared(shared.confirmed_at);
        }
        if !found.is_empty() {
            self.measures.note_shared(self.now);
            self.take(who, &found);
        }
        let isolate = &mut self.isolates[who.isolate];
        if isolate.age(self.now) <= isolate.refresh_after {
            isolate.close(asked);
            self.draw_request(who.isolate);
            return;
        }
        let is_waited_for = !isolate.waiting.is_empty();
        let centre = &mut self.data_centres[usize::from(isolate.data_centre)];
        if is_waited_for {
            self.ask_object(who, asked);
        } else if centre.is_claimed(sharing, self.now) && looks < Self::looks(sharing) {
            let again = Self::LOOK_AGAIN.times(f64::from(looks.min(4)));
            self.later(again, Event::Look(who, asked, looks + 1));
        } else {
            centre.claim(self.now.after(DataCentre::WRITE));
            self.ask_object(who, asked);
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
    }

    pub(super) fn on_answer(&mut self, question: &Question, answer: Option<Box<Shared>>) {
        let who = question.who;
        let Some(mut answer) = answer else {
            return self.on_failure(who, question.asked);
        };
        answer.confirmed_at = self.age_of_answer(answer.confirmed_at);
        if self.scenario.sharing != Sharing::None {
            let isolate = &self.isolates[who.isolate];
            let data_centre = usize::from(isolate.data_centre);
            let shared = answer.clone();
            self.later(
                DataCentre::WRITE,
                Event::Put {
                    data_centre,
                    shared,
                },
            );
        }
        if self.is_alive(who) {
            self.isolates[who.isolate].close(question.asked);
            self.take(who, &[*answer]);
            if !self.isolates[who.isolate].is_within(self.now, self.scenario.bound) {
                self.go_on_without(who); // too old, as from a replica without a lease
            }
            self.draw_request(who.isolate);
        }
    }

    pub(super) fn on_put(&mut self, data_centre: usize, shared: Shared) {
        let shared = Shared {
            began: self.now,
            ..shared
        };
        let (sharing, most) = (self.scenario.sharing, self.scenario.most_in_delta);
        self.data_centres[data_centre].put(sharing, shared, most, self.now);
    }

    /// Gives an isolate what its view follows on with, and lets those go on that waited for it.
    fn take(&mut self, who: Who, found: &[Shared]) {
        let isolate = &mut self.isolates[who.isolate];
        let last_answer =
            Measures::last_answer(isolate, self.scenario.bound, self.now, &mut self.dice);
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
        if isolate.is_within(self.now, self.scenario.bound) {
            if let Some(since) = isolate.end_failing() {
                self.measures.note_lagged(self.now, since, isolate.rate);
            }
            for came in std::mem::take(&mut isolate.waiting) {
                self.measures.note_wait(self.now, came);
                isolate.answered_at = Some(self.now);
            }
        }
        self.isolates[who.isolate].refresh_after = self.refresh_after();
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

//! Visitors' requests, and what they do about their isolate's view.

use terrace_shared::purge::refresh::{Asking, Refresh, Urgency};
use terrace_shared::time::TimestampMillis;

use super::{Event, Simulation, Who};
use crate::clock::{Moment, Span};
use crate::data_centre::DataCentre;
use crate::scenario::Sharing;

impl Simulation<'_> {
    /// Draws when the isolate's next request comes that may have something to do.
    ///
    /// Requests come at no set times, so those that would do nothing need not be drawn: how long the first one
    /// after any moment takes does not depend on when the last one came.
    pub(super) fn draw_request(&mut self, place: usize) {
        let isolate = &mut self.isolates[place];
        isolate.draws += 1;
        let draw = isolate.draws;
        let due = isolate.due(self.now);
        let at = due.after(self.dice.wait(isolate.rate));
        if at < self.until {
            let isolate = place;
            self.at(at, Event::Request { isolate, draw });
        }
    }

    pub(super) fn on_request(&mut self, place: usize, draw: u32) {
        let isolate = &mut self.isolates[place];
        if isolate.draws != draw {
            return;
        }
        let bound = self.scenario.bounds.bound;
        if isolate.is_within(self.now, bound) {
            isolate.answered_at = Some(self.now); // beyond it, the policy has the origin asked
        }
        match isolate.plan(self.now) {
            Refresh::NotNeeded => {}
            Refresh::Behind => {
                self.begin_question(place, Urgency::Behind);
            }
            Refresh::Soon => self.wait(place),
            Refresh::First => {
                isolate.waiting.push_back(self.now);
                self.ask_first(place);
            }
        }
        self.draw_request(place);
    }

    /// A question that requests wait for.
    pub(super) fn ask_first(&mut self, place: usize) {
        let asked = self.begin_question(place, Urgency::First);
        let courtesy = Event::Courtesy(self.who(place), asked);
        self.later(Span::from(Asking::COURTESY), courtesy);
    }

    /// A request that looks for the answer to another one's question, for a while.
    fn wait(&mut self, place: usize) {
        let isolate = &mut self.isolates[place];
        let is_first = isolate.waiting.is_empty();
        isolate.waiting.push_back(self.now);
        if let Some(asked) = isolate.asking.since().filter(|_| is_first) {
            let ends = Moment::of(asked).after(Span::from(Asking::COURTESY));
            let courtesy = Event::Courtesy(self.who(place), asked);
            self.at(ends.max(self.now), courtesy);
        }
    }

    fn begin_question(&mut self, place: usize, urgency: Urgency) -> TimestampMillis {
        let asked = self.isolates[place].ask(self.now);
        let who = self.who(place);
        match self.scenario.sharing {
            Sharing::None => self.ask_object(who, asked),
            Sharing::Shared | Sharing::Regional => {
                self.later(DataCentre::READ, Event::Look(who, asked, urgency, 0));
            }
        }
        asked
    }

    /// No answer yet: one of the requests that look for it asks itself.
    pub(super) fn on_courtesy(&mut self, who: Who, asked: TimestampMillis) {
        let isolate = &self.isolates[who.isolate];
        let is_newest = isolate.asking.since() == Some(asked);
        if self.is_alive(who) && is_newest && !isolate.waiting.is_empty() {
            self.ask_first(who.isolate);
        }
    }

    /// A question was refused, or is given up.
    pub(super) fn on_failure(&mut self, who: Who, asked: TimestampMillis) {
        if !self.is_alive(who) || !self.isolates[who.isolate].close(asked) {
            return;
        }
        self.go_on_without(who, asked);
        self.draw_request(who.isolate);
    }

    /// There is no answer, or none that helps: requests go on with what is known, although that is beyond the bound.
    pub(super) fn go_on_without(&mut self, who: Who, asked: TimestampMillis) {
        let lot = self.draw_lot();
        let bounds = self.draw_bounds();
        let isolate = &mut self.isolates[who.isolate];
        isolate.bounds = bounds;
        isolate.fail(asked, self.now, lot);
        for came in std::mem::take(&mut isolate.waiting) {
            self.measures.note_wait(self.now, came);
            self.measures.note_trouble(self.now);
        }
    }

    pub(super) fn on_restart(&mut self, place: usize, life: u32) {
        let isolate = &mut self.isolates[place];
        if isolate.life != life {
            return;
        }
        for came in std::mem::take(&mut isolate.waiting) {
            self.measures.note_wait(self.now, came);
        }
        isolate.restart();
        let life = isolate.life;
        let lasts = self.dice.wait(1.0 / Self::LIFE.as_seconds());
        let isolate = place;
        self.later(lasts, Event::Restart { isolate, life });
        self.draw_request(place);
    }
}

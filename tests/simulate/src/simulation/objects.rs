//! The authority, and the replicas of regions that hold leases from it.

use terrace_shared::time::ByteCount;

use super::{Event, Question, Simulation};
use crate::clock::{Moment, Span};
use crate::data_centre::Shared;
use crate::history::News;
use crate::network::Region;
use crate::object::{Turn, encoding};
use crate::scenario::Sharing;

/// A region's replica of the ledger, and its lease.
pub(crate) struct Mirror {
    head: u64,
    /// When the authority sent what it knows.
    current_at: Moment,
    /// Until then, no receipt is given for a purge that it does not know.
    leased_until: Moment,
    /// How far it has acknowledged.
    acknowledged: u64,
}

impl Mirror {
    pub(crate) fn new(head: u64) -> Self {
        Self {
            head,
            current_at: Moment::BEGIN,
            leased_until: Moment::BEGIN,
            acknowledged: head,
        }
    }
}

impl Simulation<'_> {
    /// From the place that a purge gets until it is safe on disk; the object does other things meanwhile.
    const COMMIT: Span = Span::millis(10);

    /// What the authority takes to read its ledger from disk and begin, before it answers again.
    const COLD_START: Span = Span::seconds(1);

    /// Records after which the authority writes a snapshot and forgets as many (`Authority::SLACK`).
    const TRIM: u64 = 1_000;

    /// Bytes of a snapshot in a row.
    const ROW: u64 = 1 << 20;

    /// How long a replica may answer for the authority after it heard from it.
    pub(crate) const LEASE: Span = Span::seconds(2);

    /// How often the authority pushes while there is something new, and how often it renews leases otherwise.
    const PUSH_EVERY: Span = Span::millis(50);
    const RENEW_EVERY: Span = Span::millis(500);

    pub(super) fn on_arrive(&mut self, question: Box<Question>) {
        let place = self.object_of(question.who);
        if place == 0 && self.is_down() {
            return; // it is given up after a while
        }
        let (head, confirmed_at) = self.knowledge_of(place, &question);
        let (news, bytes, rows) = self.answer_with(&question, head);
        let is_whole = matches!(news, News::Snapshot(_));
        let is_encoded = place == 0 && is_whole && self.encoded == Some(head);
        let object = &mut self.objects[place];
        let turn = if is_encoded {
            object.serve_encoded(self.now, bytes)
        } else {
            object.serve(self.now, bytes)
        };
        let answer = match turn {
            Turn::Done(at) => {
                if place == 0 {
                    object.read_rows(self.now, rows);
                }
                if is_whole {
                    object.note_snapshot(self.now);
                    self.encoded = if place == 0 { Some(head) } else { self.encoded };
                }
                let shared = Shared {
                    news,
                    head,
                    confirmed_at: confirmed_at.timestamp(),
                };
                (at, Some(Box::new(shared)))
            }
            Turn::Refused => (self.now, None),
        };
        let round_trip = self.round_trip(question.who);
        let way = self.dice.one_way(round_trip);
        let (done, answer) = answer;
        self.at(done.after(way), Event::Answer(question, answer));
    }

    /// How far an object knows the ledger, and for what moment it can vouch.
    fn knowledge_of(&self, place: usize, question: &Question) -> (u64, Moment) {
        match place.checked_sub(1).map(|mirror| &self.mirrors[mirror]) {
            None => (self.history.head(), question.sent),
            Some(mirror) if self.now < mirror.leased_until => (mirror.head, question.sent),
            Some(mirror) => (mirror.head, mirror.current_at.min(question.sent)),
        }
    }

    /// What a question is answered with by an object that knows the ledger up to `head`.
    fn answer_with(&mut self, question: &Question, head: u64) -> (News, ByteCount, u64) {
        if let Some(since) = question.since {
            let since = since.min(head);
            if self.history.answers_with_records(since, head) {
                let bytes = self.history.delta_bytes(since, head);
                return (News::Delta { since }, bytes, head - since);
            }
        }
        let bytes = self.history.snapshot_bytes();
        let isolate = &self.isolates[question.who.isolate];
        let centre = &self.data_centres[usize::from(isolate.data_centre)];
        let is_read = isolate.witness.is_some() || centre.has_witness;
        let snapshot = is_read.then(|| self.history.snapshot_at(head));
        (News::Snapshot(snapshot), bytes, 0)
    }

    pub(super) fn draw_purge(&mut self) {
        let purges = self.scenario.purges;
        let calls = f64::from(purges.per_second) / f64::from(purges.in_a_call.max(1));
        let wait = self.dice.wait(calls);
        let arrived = self.now.after(wait);
        if arrived < self.until {
            self.at(arrived, Event::Purge { arrived });
        }
    }

    pub(super) fn on_purge(&mut self, arrived: Moment) {
        /// Who was refused, or got no answer, asks again after so long.
        const RETRY: Span = Span::seconds(1);
        if arrived == self.now {
            self.draw_purge();
        }
        if self.is_down() {
            return self.later(RETRY, Event::Purge { arrived });
        }
        match self.objects[0].serve(self.now, ByteCount::bytes(0)) {
            Turn::Refused => self.later(RETRY, Event::Purge { arrived }),
            Turn::Done(at) => {
                let scopes = self.scenario.purges.in_a_call;
                let sequence = self.history.append(scopes, &mut self.dice, at);
                self.objects[0].write_rows(self.now, 2); // it is written now, and deleted later
                if sequence.is_multiple_of(Self::TRIM) {
                    self.trim();
                }
                if self.scenario.sharing == Sharing::Regional {
                    self.measures.note_call(sequence, arrived);
                } else {
                    let given = at.after(Self::COMMIT);
                    self.at(given, Event::Receipt { sequence, arrived });
                }
            }
        }
    }

    fn trim(&mut self) {
        let bytes = self.history.snapshot_bytes();
        let rows = 2 * bytes.as_u64().div_ceil(Self::ROW);
        self.objects[0].write_rows(self.now, rows);
        self.objects[0].work(self.now, encoding(bytes));
    }

    pub(super) fn on_receipt(&mut self, sequence: u64, arrived: Moment) {
        self.history.promise(sequence, self.now);
        self.measures.note_receipt(self.now, arrived);
    }

    pub(super) fn on_push(&mut self) {
        let (pushed, at) = self.pushed;
        let head = self.known_by(self.now);
        if !self.is_down() && (head > pushed || self.now.since(at) >= Self::RENEW_EVERY) {
            self.pushed = (head, self.now);
            let message = self.history.delta_bytes(pushed, head);
            for mirror in 0..self.mirrors.len() {
                self.objects[0].push(self.now, message);
                let region = self.objects[mirror + 1].region;
                let round_trip = self.objects[0].region.round_trip(region);
                let way = self.dice.one_way(round_trip);
                let sent = self.now;
                self.later(way, Event::Pushed { mirror, head, sent });
            }
        }
        self.later(Self::PUSH_EVERY, Event::Push);
    }

    /// The newest purge that has its place at `now`: those in the queue have none yet.
    fn known_by(&self, now: Moment) -> u64 {
        let mut head = self.history.head();
        while self.history.taken_at(head).is_some_and(|taken| taken > now) {
            head -= 1;
        }
        head
    }

    pub(super) fn on_pushed(&mut self, place: usize, head: u64, sent: Moment) {
        let Turn::Done(at) = self.objects[place + 1].serve(self.now, ByteCount::bytes(0)) else {
            return;
        };
        let mirror = &mut self.mirrors[place];
        mirror.head = mirror.head.max(head);
        mirror.current_at = mirror.current_at.max(sent);
        mirror.leased_until = mirror.current_at.after(Self::LEASE);
        let region = self.objects[place + 1].region;
        let round_trip = region.round_trip(self.objects[0].region);
        let way = self.dice.one_way(round_trip);
        let mirror = place;
        self.at(at.after(way), Event::Acknowledged { mirror, head });
    }

    /// A receipt is given once every replica has acknowledged the purge, or holds no lease any more.
    pub(super) fn on_acknowledged(&mut self, place: usize, head: u64) {
        let mirror = &mut self.mirrors[place];
        mirror.acknowledged = mirror.acknowledged.max(head);
        let holders = self
            .mirrors
            .iter()
            .filter(|mirror| self.now < mirror.leased_until);
        let known = holders.map(|mirror| mirror.acknowledged).min();
        if let Some(known) = known {
            self.history.promise(known, self.now);
            self.measures.note_receipts_up_to(known, self.now);
        }
    }

    pub(super) fn on_wake(&mut self, region: Region) {
        // A purge taken before the old leases have run out might be unknown to their holders.
        let leases = if self.mirrors.is_empty() {
            Span::ZERO
        } else {
            Self::LEASE
        };
        let at = self.now.after(Self::COLD_START).after(leases);
        self.objects[0].wake(region, at);
    }
}

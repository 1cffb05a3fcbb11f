//! A Durable Object: one thread, one request at a time, in the order in which they come.

use hdrhistogram::Histogram;
use terrace_shared::time::ByteCount;

use crate::clock::{Moment, Span};
use crate::figures::histogram;
use crate::network::Region;

/// The queue before one object, and what went through it.
pub(crate) struct Object {
    pub(crate) region: Region,
    free_at: Moment,
    usage: Usage,
}

/// What an object did while it was measured.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    from: Moment,
    until: Moment,
    /// Requests that came, in each second.
    pub(crate) each_second: Vec<u64>,
    /// Requests that were refused, as the queue was too long.
    pub(crate) refused: u64,
    pub(crate) snapshots: u64,
    pub(crate) busy: Span,
    pub(crate) bytes: u64,
    pub(crate) rows_read: u64,
    pub(crate) rows_written: u64,
    /// How long requests stood in the queue, in microseconds.
    pub(crate) queued: Histogram<u64>,
}

/// When a request is carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Turn {
    /// Its turn comes at once or after others; it is done then.
    Done(Moment),
    /// Too many wait.
    Refused,
}

impl Object {
    /// What a request costs: the platform's soft limit is 1,000 a second for an object.
    pub(crate) const REQUEST: Span = Span::millis(1);

    /// A byte to be encoded and sent, in nanoseconds.
    const BYTE_NANOSECONDS: u64 = 10;

    /// A byte that has been encoded, to be copied and sent.
    const SENT_BYTE_NANOSECONDS: u64 = 1;

    /// Who would wait longer is refused ("overloaded").
    const LONGEST_QUEUE: Span = Span::seconds(10);

    pub(crate) fn new(region: Region, from: Moment, until: Moment) -> Self {
        Self {
            region,
            free_at: Moment::default(),
            usage: Usage {
                from,
                until,
                each_second: vec![0; until.since(from).as_seconds().ceil() as usize],
                refused: 0,
                snapshots: 0,
                busy: Span::ZERO,
                bytes: 0,
                rows_read: 0,
                rows_written: 0,
                queued: histogram(),
            },
        }
    }

    /// Takes a request that comes at `now` and is answered with so many bytes.
    pub(crate) fn serve(&mut self, now: Moment, answer: ByteCount) -> Turn {
        self.serve_for(now, answer, encoding(answer))
    }

    /// Takes one that is answered with bytes which have been encoded already.
    pub(crate) fn serve_encoded(&mut self, now: Moment, answer: ByteCount) -> Turn {
        let sending = answer.as_u64() * Self::SENT_BYTE_NANOSECONDS / 1_000;
        self.serve_for(now, answer, Span::micros(sending))
    }

    fn serve_for(&mut self, now: Moment, answer: ByteCount, work: Span) -> Turn {
        let queued = self.free_at.since(now);
        let counted = self.is_counted(now);
        if counted {
            let second = now.since(self.usage.from).as_seconds() as usize;
            if let Some(count) = self.usage.each_second.get_mut(second) {
                *count += 1;
            }
        }
        if queued > Self::LONGEST_QUEUE {
            self.usage.refused += u64::from(counted);
            return Turn::Refused;
        }
        let cost = Self::REQUEST.plus(work);
        if counted {
            self.usage.bytes += answer.as_u64();
            self.usage.queued.saturating_record(queued.as_micros());
        }
        self.work(now, cost);
        Turn::Done(self.free_at)
    }

    /// Keeps the object busy for `cost` beyond what it does already.
    pub(crate) fn work(&mut self, now: Moment, cost: Span) {
        self.free_at = self.free_at.max(now).after(cost);
        if self.is_counted(now) {
            self.usage.busy = self.usage.busy.plus(cost);
        }
    }

    /// Wakes elsewhere, with nothing to do before `at`.
    pub(crate) fn wake(&mut self, region: Region, at: Moment) {
        self.region = region;
        self.free_at = at;
    }

    /// Sends so many bytes to another object, without waiting for its answer.
    pub(crate) fn push(&mut self, now: Moment, message: ByteCount) {
        const PUSH: Span = Span::micros(200);
        self.work(now, PUSH.plus(encoding(message)));
        if self.is_counted(now) {
            self.usage.bytes += message.as_u64();
        }
    }

    pub(crate) fn read_rows(&mut self, now: Moment, rows: u64) {
        if self.is_counted(now) {
            self.usage.rows_read += rows;
        }
    }

    pub(crate) fn write_rows(&mut self, now: Moment, rows: u64) {
        if self.is_counted(now) {
            self.usage.rows_written += rows;
        }
    }

    pub(crate) fn note_snapshot(&mut self, now: Moment) {
        if self.is_counted(now) {
            self.usage.snapshots += 1;
        }
    }

    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    fn is_counted(&self, now: Moment) -> bool {
        self.usage.from <= now && now < self.usage.until
    }
}

impl Usage {
    pub(crate) fn requests(&self) -> u64 {
        self.each_second.iter().sum()
    }

    pub(crate) fn peak(&self) -> u64 {
        self.each_second.iter().copied().max().unwrap_or_default()
    }
}

/// What it takes to encode and send so many bytes.
pub(crate) fn encoding(bytes: ByteCount) -> Span {
    Span::micros(bytes.as_u64() * Object::BYTE_NANOSECONDS / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_served_one_after_the_other_and_refused_when_too_many_wait() {
        let (from, until) = (Moment::BEGIN, Moment::BEGIN.after(Span::seconds(60)));
        let mut object = Object::new(Region::WesternEurope, from, until);
        let none = ByteCount::bytes(0);
        for served in 1..=10_001 {
            let done = from.after(Span::millis(served));
            assert_eq!(object.serve(from, none), Turn::Done(done));
        }
        assert_eq!(object.serve(from, none), Turn::Refused);
        let later = from.after(Span::seconds(30));
        let done = later.after(Span::millis(2));
        assert_eq!(
            object.serve(later, ByteCount::bytes(100_000)),
            Turn::Done(done)
        );
        assert_eq!(
            (object.usage().requests(), object.usage().refused),
            (10_003, 1)
        );
    }
}

//! What a client's connection waits for, and since when: so that nothing waits for ever.
//!
//! The connection notes it in passing, in a few atomic numbers; one timer per connection looks at them when the
//! earliest of them could be over. So a request that is answered at once costs no timer.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::framing::Seen;
use super::limits::Patience;

/// What a connection is doing; shared with whatever holds one of its exchanges.
#[derive(Debug)]
pub(crate) struct Activity {
    since: Instant,
    /// In milliseconds after `since`, plus one; zero while it is not so. So are the next three.
    read_waits: AtomicU64,
    write_waits: AtomicU64,
    head_began: AtomicU64,
    body_began: AtomicU64,
    exchanges: AtomicUsize,
}

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Check {
    /// Nothing; look again after this long.
    Again(Duration),
    /// It rests for too long: end it in order.
    Idle,
    /// The client is too slow: cut it.
    TooSlow,
}

impl Default for Activity {
    /// A new connection owes a request.
    fn default() -> Self {
        Self {
            since: Instant::now(),
            read_waits: AtomicU64::new(0),
            write_waits: AtomicU64::new(0),
            head_began: AtomicU64::new(1),
            body_began: AtomicU64::new(0),
            exchanges: AtomicUsize::new(0),
        }
    }
}

impl Activity {
    /// Nothing more is there to read.
    pub(crate) fn read_waits(&self) {
        if self.read_waits.load(Ordering::Relaxed) == 0 {
            self.read_waits.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Something was read; afterwards the connection stands there.
    pub(crate) fn read(&self, seen: Seen) {
        self.read_waits.store(0, Ordering::Relaxed);
        match seen {
            Seen::Head => {
                if self.head_began.load(Ordering::Relaxed) == 0 {
                    self.head_began.store(self.now(), Ordering::Relaxed);
                }
            }
            Seen::Between | Seen::Opaque => {
                self.head_began.store(0, Ordering::Relaxed);
                self.body_began.store(0, Ordering::Relaxed);
            }
            Seen::Body | Seen::Ambiguous => {
                self.head_began.store(0, Ordering::Relaxed);
                self.body_began.store(1, Ordering::Relaxed);
            }
        }
    }

    /// The client takes no more at the moment.
    pub(crate) fn write_waits(&self) {
        if self.write_waits.load(Ordering::Relaxed) == 0 {
            self.write_waits.store(self.now(), Ordering::Relaxed);
        }
    }

    /// It has taken something.
    pub(crate) fn wrote(&self) {
        self.write_waits.store(0, Ordering::Relaxed);
    }

    /// A request begins to be answered.
    pub(crate) fn exchange_begins(&self) {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
    }

    /// Its answer is gone, whole or not.
    pub(crate) fn exchange_ends(&self) {
        // A rest begins when the connection is next read from, not when it was during the exchange.
        self.read_waits.store(0, Ordering::Relaxed);
        self.exchanges.fetch_sub(1, Ordering::Relaxed);
    }

    /// What is to be done about the connection now.
    pub(crate) fn check(&self, patience: &Patience) -> Check {
        self.check_at(self.now(), patience)
    }

    fn check_at(&self, now: u64, patience: &Patience) -> Check {
        let read_waits = self.read_waits.load(Ordering::Relaxed);
        let in_body = self.body_began.load(Ordering::Relaxed) != 0;
        let idle = self.exchanges.load(Ordering::Relaxed) == 0 && read_waits != 0;
        let waits = [
            (
                self.head_began.load(Ordering::Relaxed),
                patience.head,
                Check::TooSlow,
            ),
            (
                self.write_waits.load(Ordering::Relaxed),
                patience.client,
                Check::TooSlow,
            ),
            (
                if in_body { read_waits } else { 0 },
                patience.client,
                Check::TooSlow,
            ),
            (
                if idle { read_waits } else { 0 },
                patience.idle,
                Check::Idle,
            ),
        ];
        // What has not begun yet is over in its whole time at the earliest.
        let mut next = patience.head.min(patience.client).min(patience.idle);
        for (began, longest, over) in waits {
            if began == 0 {
                continue;
            }
            let waited = Duration::from_millis(now.saturating_sub(began));
            match longest.checked_sub(waited) {
                Some(left) if !left.is_zero() => next = next.min(left),
                Some(_) | None => return over,
            }
        }
        Check::Again(next.max(Duration::from_millis(10)))
    }

    fn now(&self) -> u64 {
        let elapsed = self.since.elapsed().as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(20),
        client: Duration::from_secs(30),
        connect: Duration::ZERO,
        first_byte: Duration::ZERO,
        read: Duration::ZERO,
        upstream_idle: Duration::ZERO,
        drain: Duration::ZERO,
    };

    /// What is to be done right before and right after this many seconds.
    fn around(activity: &Activity, seconds: u64) -> (bool, Check) {
        // What was noted was noted within the first second of this test.
        let before = activity.check_at(seconds * 1_000 - 1_000, &PATIENCE);
        let after = activity.check_at(seconds * 1_000 + 1_000, &PATIENCE);
        (matches!(before, Check::Again(_)), after)
    }

    #[test]
    fn a_new_connection_owes_a_request_and_one_that_has_had_one_may_rest() {
        let activity = Activity::default();
        activity.read_waits();
        assert_eq!(around(&activity, 10), (true, Check::TooSlow));
        activity.read(Seen::Between);
        activity.read_waits();
        assert_eq!(around(&activity, 20), (true, Check::Idle));
        activity.read(Seen::Head);
        activity.read_waits();
        assert_eq!(around(&activity, 10), (true, Check::TooSlow));
    }

    #[test]
    fn while_an_answer_is_under_way_only_the_client_can_be_too_slow() {
        let activity = Activity::default();
        activity.read(Seen::Between);
        activity.read_waits();
        activity.exchange_begins();
        assert!(matches!(
            activity.check_at(1_000_000, &PATIENCE),
            Check::Again(_)
        ));
        activity.write_waits();
        assert_eq!(around(&activity, 30), (true, Check::TooSlow));
        activity.wrote();
        assert!(matches!(
            activity.check_at(1_000_000, &PATIENCE),
            Check::Again(_)
        ));
        activity.exchange_ends();
        let rests = activity.check_at(1_000_000, &PATIENCE);
        assert!(matches!(rests, Check::Again(_)), "its rest has only begun");
        activity.read_waits();
        assert_eq!(around(&activity, 20), (true, Check::Idle));
    }

    #[test]
    fn a_body_is_waited_for_only_while_it_is_read() {
        let activity = Activity::default();
        activity.exchange_begins();
        activity.read(Seen::Body);
        assert!(matches!(
            activity.check_at(1_000_000, &PATIENCE),
            Check::Again(_)
        ));
        activity.read_waits();
        assert_eq!(around(&activity, 30), (true, Check::TooSlow));
    }
}

//! Pauses between attempts: twice as long each time, never in step with anybody else's.

use std::time::Duration;

/// Doubles from `shortest` to `longest`; each pause is drawn between half of that and all of it.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    shortest: Duration,
    longest: Duration,
    current: Option<Duration>,
    last: Duration,
}

impl Backoff {
    pub(crate) const fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            current: None,
            last: shortest,
        }
    }

    /// The next pause.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let current = match self.current {
            None => self.shortest,
            Some(current) => current.saturating_mul(2).min(self.longest),
        };
        self.current = Some(current);
        let half = current / 2;
        self.last = half + half.mul_f64(fastrand::f64());
        self.last
    }

    /// The pause that was drawn last, or the shortest one.
    pub(crate) const fn last(&self) -> Duration {
        self.last
    }

    /// Begins again with the shortest.
    pub(crate) const fn reset(&mut self) {
        self.current = None;
        self.last = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_drawn_from_the_upper_half() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for expected in [100, 200, 350, 350] {
            let pause = backoff.next_pause();
            assert!(pause >= Duration::from_millis(expected / 2), "{pause:?}");
            assert!(pause <= Duration::from_millis(expected), "{pause:?}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(100));
    }
}

//! What happens when: events in the order of their times, and of their scheduling where those are the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::{Moment, Span};

/// Events to come.
///
/// There are so many that one heap of all of them does not fit a processor's caches. So they lie in a drawer for
/// each millisecond, and only those of the current one are put in order.
pub(crate) struct Schedule<E> {
    begin: Moment,
    drawers: Vec<Vec<Scheduled<E>>>,
    /// The drawer whose events, and all earlier ones, are in `current`.
    opened: usize,
    current: BinaryHeap<Reverse<Scheduled<E>>>,
    count: u64,
}

struct Scheduled<E> {
    at: Moment,
    order: u64,
    event: E,
}

impl<E> Schedule<E> {
    /// A schedule from `begin` up to `end`; what would happen later is forgotten.
    pub(crate) fn new(begin: Moment, end: Moment) -> Self {
        let millis = end.since(begin).as_micros().div_ceil(Self::DRAWER) as usize;
        Self {
            begin,
            drawers: (0..millis).map(|_| Vec::new()).collect(),
            opened: 0,
            current: BinaryHeap::new(),
            count: 0,
        }
    }

    /// Microseconds of a drawer.
    const DRAWER: u64 = Span::millis(1).as_micros();

    pub(crate) fn add(&mut self, at: Moment, event: E) {
        self.count += 1;
        let scheduled = Scheduled {
            at,
            order: self.count,
            event,
        };
        let drawer = (at.since(self.begin).as_micros() / Self::DRAWER) as usize;
        if drawer <= self.opened {
            self.current.push(Reverse(scheduled));
        } else if let Some(drawer) = self.drawers.get_mut(drawer) {
            drawer.push(scheduled);
        }
    }

    /// The next event and its moment.
    pub(crate) fn next(&mut self) -> Option<(Moment, E)> {
        while self.current.is_empty() {
            self.opened += 1;
            let drawer = std::mem::take(self.drawers.get_mut(self.opened)?);
            self.current.extend(drawer.into_iter().map(Reverse));
        }
        let Reverse(next) = self.current.pop()?;
        Some((next.at, next.event))
    }
}

impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<E> Eq for Scheduled<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_their_times_and_then_of_their_scheduling() {
        let at = |micros| Moment::BEGIN.after(Span::micros(micros));
        let mut schedule = Schedule::new(at(0), at(10_000));
        for (micros, event) in [
            (5_500, 'd'),
            (20, 'a'),
            (5_000, 'c'),
            (9_999, 'f'),
            (10_000, 'x'),
        ] {
            schedule.add(at(micros), event);
        }
        assert_eq!(schedule.next(), Some((at(20), 'a')));
        schedule.add(at(21), 'b');
        schedule.add(at(5_500), 'e');
        let rest: Vec<_> = std::iter::from_fn(|| schedule.next()).collect();
        let events: String = rest.iter().map(|(_, event)| event).collect();
        assert_eq!(events, "bcdef");
    }
}

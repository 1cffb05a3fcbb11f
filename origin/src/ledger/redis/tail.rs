//! Where a replica ends, precisely enough to notice that a record was replaced by another.

use std::collections::VecDeque;
use std::fmt;

use terrace_shared::purge::{Incarnation, Purge, Record, Sequence};

/// A hash over all records of a history up to one of them: 64 bits of it.
///
/// A failover can lose the last records and give their numbers to others. The number alone would not
/// show that; the chain does (R6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Chain(u64);

impl Chain {
    pub(super) fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// Digits that a record begins with, before the purge's bytes.
    pub(super) const DIGITS: usize = 16;
}

impl fmt::Display for Chain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// The place that the ledger gave a purge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) incarnation: Incarnation,
    pub(super) sequence: Sequence,
    /// The chain before it.
    pub(super) before: Chain,
    /// The chain with it.
    pub(super) chain: Chain,
}

/// Where a replica ends.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub(super) incarnation: Incarnation,
    pub(super) head: Sequence,
    pub(super) chain: Chain,
    /// The last places, to know a purge again that comes by two ways.
    recent: VecDeque<(Sequence, Chain)>,
}

/// How a place relates to a tail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Relation {
    /// It is the next one.
    Next,
    /// It is known already.
    Known,
    /// Something lies between, or one of the two histories has lost something: ask.
    Unclear,
}

impl Tail {
    const REMEMBERED: usize = 256;

    pub(super) const fn new(incarnation: Incarnation, head: Sequence, chain: Chain) -> Self {
        Self {
            incarnation,
            head,
            chain,
            recent: VecDeque::new(),
        }
    }

    pub(super) fn relation(&self, place: &Place) -> Relation {
        if place.incarnation != self.incarnation {
            return Relation::Unclear;
        }
        if place.sequence == self.head.next() && place.before == self.chain {
            return Relation::Next;
        }
        if self.passes(place.sequence, place.chain) {
            return Relation::Known;
        }
        Relation::Unclear
    }

    /// Whether this is its end, or one of its last places.
    pub(super) fn passes(&self, sequence: Sequence, chain: Chain) -> bool {
        let place = (sequence, chain);
        place == (self.head, self.chain) || self.recent.contains(&place)
    }

    /// Moves on to `head`.
    pub(super) fn advance(&mut self, head: Sequence, chain: Chain) {
        self.recent.push_back((self.head, self.chain));
        if self.recent.len() > Self::REMEMBERED {
            self.recent.pop_front();
        }
        self.head = head;
        self.chain = chain;
    }
}

/// A purge as the ledger told it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Told {
    pub(super) place: Place,
    pub(super) purge: Purge,
}

impl Told {
    /// The purge in a message of the channel: version, incarnation, number, both chains, and the purge's bytes.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let mut words = message.splitn(6, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(words.next()?).ok();
        if word()? != "1" {
            return None;
        }
        let place = Place {
            incarnation: Incarnation::from_random(u64::from_str_radix(word()?, 16).ok()?),
            sequence: Sequence::new(word()?.parse().ok()?),
            before: Chain::parse(word()?)?,
            chain: Chain::parse(word()?)?,
        };
        let purge = Purge::decode(words.next()?).ok()?;
        Some(Self { place, purge })
    }
}

/// The records that follow `base`; none if one is missing or cannot be read.
pub(super) fn read_records(base: Sequence, records: &[Option<Vec<u8>>]) -> Option<Vec<Record>> {
    let mut sequence = base;
    let mut read = Vec::with_capacity(records.len());
    for record in records {
        sequence = sequence.next();
        let bytes = record.as_deref()?.get(Chain::DIGITS..)?;
        let purge = Purge::decode(bytes).ok()?;
        read.push(Record { sequence, purge });
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64, before: u64, chain: u64) -> Place {
        Place {
            incarnation: Incarnation::from_random(7),
            sequence: Sequence::new(sequence),
            before: Chain(before),
            chain: Chain(chain),
        }
    }

    #[test]
    fn only_the_record_that_follows_on_is_the_next_one() {
        let mut tail = Tail::new(Incarnation::from_random(7), Sequence::new(4), Chain(40));
        assert_eq!(tail.relation(&place(5, 40, 50)), Relation::Next);
        assert_eq!(tail.relation(&place(4, 30, 40)), Relation::Known);
        assert_eq!(tail.relation(&place(6, 50, 60)), Relation::Unclear);
        let other = Place {
            incarnation: Incarnation::from_random(8),
            ..place(5, 40, 50)
        };
        assert_eq!(tail.relation(&other), Relation::Unclear);
        tail.advance(Sequence::new(5), Chain(50));
        assert_eq!(tail.relation(&place(4, 30, 40)), Relation::Known);
    }

    #[test]
    fn a_number_given_twice_is_noticed() {
        let tail = Tail::new(Incarnation::from_random(7), Sequence::new(5), Chain(50));
        assert_eq!(tail.relation(&place(5, 40, 51)), Relation::Unclear);
        assert_eq!(tail.relation(&place(6, 51, 60)), Relation::Unclear);
    }

    #[test]
    fn a_message_that_is_none_is_refused() {
        for message in [
            &b""[..],
            b"2 7 1 0 1 x",
            b"1 7 1 0 1",
            b"1 7 x 0 1 P",
            b"1 7 1 0 1 P",
        ] {
            assert_eq!(Told::parse(message), None);
        }
    }
}

//! The authority's ledger, the product's own, with what the simulation must remember of each record.

use std::rc::Rc;

use terrace_shared::purge::refresh::Telling;
use terrace_shared::purge::{
    Epoch, Incarnation, Ledger, LedgerLimits, Purge, PurgeMode, Record, Scope, Sequence, Update,
};
use terrace_shared::time::{ByteCount, TimestampMillis};

use crate::clock::Moment;
use crate::network::Dice;

/// Every purge of the simulation in its place.
pub(crate) struct History {
    ledger: Ledger,
    at_beginning: Ledger,
    /// Surrogate keys in use; where the ledger stood when the simulation began.
    keys: u64,
    before: u64,
    records: Vec<Entry>,
    empty_delta: u64,
    /// Bytes of a whole ledger, and where it stood when they were counted.
    whole: (u64, u64),
}

struct Entry {
    purge: Purge,
    /// Bytes of this record and all before it in a delta.
    bytes: u64,
    taken_at: Moment,
    /// When the receipt was given that starts the bound; none while it waits for replicas.
    promised_at: Option<Moment>,
}

/// What a question is answered with.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// The records after this place.
    Delta { since: u64 },
    /// The whole ledger; its bytes where a witness will read them.
    Snapshot(Option<Rc<[u8]>>),
}

impl History {
    /// Records that the authority keeps one by one (`Authority::KEPT`).
    const KEPT: u64 = 10_000;

    /// The ledger of an edge whose `keys` surrogate keys have all been purged once.
    pub(crate) fn new(keys: u64) -> Self {
        let incarnation = Incarnation::from_random(0x7e44_ace0);
        let mut ledger = Ledger::new(incarnation, LedgerLimits::default());
        for key in 0..keys {
            ledger.append(purge([key], Moment::default().timestamp()));
        }
        let empty = Update::Delta {
            incarnation,
            head: Sequence::ZERO,
            records: Vec::new(),
        };
        let before = ledger.epoch().sequence.as_u64();
        let whole = length(&Update::Snapshot(ledger.clone()).encode());
        Self {
            at_beginning: ledger.clone(),
            ledger,
            keys,
            before,
            records: Vec::new(),
            empty_delta: length(&empty.encode()),
            whole: (whole, before),
        }
    }

    /// Gives a purge of `scopes` random keys the next place.
    pub(crate) fn append(&mut self, scopes: u32, dice: &mut Dice, taken_at: Moment) -> u64 {
        let keys = (0..scopes).map(|_| dice.below(self.keys));
        let purge = purge(keys, taken_at.timestamp());
        let record = self.ledger.append(purge.clone());
        let one = Update::Delta {
            incarnation: self.ledger.epoch().incarnation,
            head: record.sequence,
            records: vec![record],
        };
        let bytes = length(&one.encode()) - self.empty_delta;
        self.records.push(Entry {
            purge,
            bytes: self.bytes_up_to(self.head()) + bytes,
            taken_at,
            promised_at: None,
        });
        self.head()
    }

    /// Notes that every receipt up to `sequence` was given at `at`.
    pub(crate) fn promise(&mut self, sequence: u64, at: Moment) {
        let places = sequence.saturating_sub(self.before) as usize;
        let given = self.records.iter_mut().take(places).rev();
        for entry in given.take_while(|entry| entry.promised_at.is_none()) {
            entry.promised_at = Some(at);
        }
    }

    /// The place of the newest purge.
    pub(crate) fn head(&self) -> u64 {
        self.before + self.records.len() as u64
    }

    /// The place before the first purge of the simulation.
    pub(crate) fn beginning(&self) -> u64 {
        self.before
    }

    pub(crate) fn taken_at(&self, sequence: u64) -> Option<Moment> {
        self.entry(sequence).map(|entry| entry.taken_at)
    }

    pub(crate) fn promised_at(&self, sequence: u64) -> Option<Moment> {
        self.entry(sequence).and_then(|entry| entry.promised_at)
    }

    pub(crate) fn purge(&self, sequence: u64) -> Option<&Purge> {
        self.entry(sequence).map(|entry| &entry.purge)
    }

    pub(crate) fn epoch(&self, sequence: u64) -> Epoch {
        Epoch {
            incarnation: self.ledger.epoch().incarnation,
            sequence: Sequence::new(sequence),
        }
    }

    /// Whether the records after `since` are sent one by one, as the edge's `Authority::updates` decides.
    pub(crate) fn answers_with_records(&self, since: u64, head: u64) -> bool {
        let is_kept = since >= head.saturating_sub(Self::KEPT);
        let length = self.delta_bytes(since, head).as_u64() as usize;
        let telling = Telling::of(head - since, length, self.ledger.mark_count());
        is_kept && telling == Telling::Records
    }

    /// How long the records after `since` up to `head` are, as bytes.
    pub(crate) fn delta_bytes(&self, since: u64, head: u64) -> ByteCount {
        let records = self.bytes_up_to(head) - self.bytes_up_to(since);
        ByteCount::bytes(self.empty_delta + records)
    }

    /// How long the whole ledger is, as bytes; counted anew after each thousand purges.
    pub(crate) fn snapshot_bytes(&mut self) -> ByteCount {
        let (bytes, counted_at) = self.whole;
        if self.head() - counted_at < 1_000 {
            return ByteCount::bytes(bytes);
        }
        let bytes = length(&self.snapshot());
        self.whole = (bytes, self.head());
        ByteCount::bytes(bytes)
    }

    /// How long the whole ledger was when that was counted last.
    pub(crate) fn whole_bytes(&self) -> ByteCount {
        ByteCount::bytes(self.whole.0)
    }

    /// The whole ledger as it travels.
    pub(crate) fn snapshot(&self) -> Rc<[u8]> {
        Update::Snapshot(self.ledger.clone()).encode().into()
    }

    /// The whole ledger as it was when it stood at `head`.
    pub(crate) fn snapshot_at(&self, head: u64) -> Rc<[u8]> {
        if head == self.head() {
            return self.snapshot();
        }
        let mut ledger = self.at_beginning.clone();
        for entry in self
            .records
            .iter()
            .take(head.saturating_sub(self.before) as usize)
        {
            ledger.append(entry.purge.clone());
        }
        Update::Snapshot(ledger).encode().into()
    }

    /// The records after `since` up to `head` as they travel.
    pub(crate) fn delta(&self, since: u64, head: u64) -> Vec<u8> {
        let records = (since + 1..=head)
            .filter_map(|sequence| {
                let purge = self.purge(sequence)?.clone();
                let sequence = Sequence::new(sequence);
                Some(Record { sequence, purge })
            })
            .collect();
        Update::Delta {
            incarnation: self.ledger.epoch().incarnation,
            head: Sequence::new(head),
            records,
        }
        .encode()
    }

    fn bytes_up_to(&self, sequence: u64) -> u64 {
        self.entry(sequence).map_or(0, |entry| entry.bytes)
    }

    fn entry(&self, sequence: u64) -> Option<&Entry> {
        let place = sequence.checked_sub(self.before + 1)?;
        self.records.get(place as usize)
    }
}

fn purge(keys: impl IntoIterator<Item = u64>, at: TimestampMillis) -> Purge {
    Purge {
        mode: PurgeMode::Hard,
        scopes: keys
            .into_iter()
            .map(|key| {
                Scope::surrogate_key(&format!("product:{key}")).expect("it is a word and a number")
            })
            .collect(),
        at,
        origin_epoch: None,
    }
}

fn length(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_counted_for_a_delta_are_those_that_it_has() {
        let mut history = History::new(100);
        let mut dice = Dice::new(1);
        for scopes in [1, 16, 3, 1, 1] {
            history.append(scopes, &mut dice, Moment::BEGIN);
        }
        let (first, last) = (history.beginning(), history.head());
        for (since, head) in [(first, last), (first + 1, last - 1), (last, last)] {
            let bytes = history.delta(since, head).len() as u64;
            assert_eq!(history.delta_bytes(since, head), ByteCount::bytes(bytes));
        }
    }

    #[test]
    fn receipts_are_promised_up_to_a_place_and_once() {
        let mut history = History::new(100);
        let mut dice = Dice::new(1);
        let first = history.append(1, &mut dice, Moment::BEGIN);
        let second = history.append(1, &mut dice, Moment::BEGIN);
        let [early, late] =
            [1, 2].map(|second| Moment::BEGIN.after(crate::clock::Span::seconds(second)));
        history.promise(first, early);
        assert_eq!(history.promised_at(first), Some(early));
        assert_eq!(history.promised_at(second), None);
        history.promise(second, late);
        assert_eq!(history.promised_at(first), Some(early));
        assert_eq!(history.promised_at(second), Some(late));
    }
}

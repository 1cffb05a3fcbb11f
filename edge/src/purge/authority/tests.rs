use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use terrace_shared::purge::{PurgeMode, Scope};
use terrace_shared::time::TimestampMillis;

use super::*;

/// A storage that outlives its authority, and can be told to fail before or after it has kept something.
#[derive(Clone, Default)]
struct Storage(Rc<RefCell<Contents>>);

#[derive(Default)]
struct Contents {
    snapshot: Option<Vec<u8>>,
    records: BTreeMap<u64, Vec<u8>>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    BeforeInsert,
    AfterInsert,
}

impl LedgerStorage for Storage {
    type Error = &'static str;

    fn snapshot(&self) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.0.borrow().snapshot.clone())
    }

    fn records(&self, after: Sequence) -> Result<Vec<(Sequence, Vec<u8>)>, Self::Error> {
        let contents = self.0.borrow();
        Ok(contents
            .records
            .range(after.as_u64() + 1..)
            .map(|(sequence, bytes)| (Sequence::new(*sequence), bytes.clone()))
            .collect())
    }

    fn insert(&mut self, sequence: Sequence, purge: &[u8]) -> Result<(), Self::Error> {
        let mut contents = self.0.borrow_mut();
        let fault = contents.fault.take();
        if fault == Some(Fault::BeforeInsert) {
            return Err("full");
        }
        let before = contents.records.insert(sequence.as_u64(), purge.to_vec());
        assert_eq!(before, None, "a place is given once");
        if fault == Some(Fault::AfterInsert) {
            return Err("cut off");
        }
        Ok(())
    }

    fn replace(&mut self, snapshot: &[u8], forget: Sequence) -> Result<(), Self::Error> {
        let mut contents = self.0.borrow_mut();
        contents.snapshot = Some(snapshot.to_vec());
        contents
            .records
            .retain(|sequence, _| *sequence > forget.as_u64());
        Ok(())
    }
}

const NOW: Timestamp = Timestamp::from_unix_seconds(1_000);

fn purge(key: &str) -> Purge {
    Purge {
        mode: PurgeMode::Hard,
        scopes: vec![Scope::surrogate_key(key).unwrap()],
        at: TimestampMillis::from_unix_millis(1_000_000),
        origin_epoch: None,
    }
}

fn open(storage: &Storage, random: u64) -> Authority<Storage> {
    Authority::open(storage.clone(), LedgerLimits::default(), || random).unwrap()
}

fn epoch(incarnation: u64, sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(incarnation),
        sequence: Sequence::new(sequence),
    }
}

fn delta(update: Update) -> Vec<u64> {
    match update {
        Update::Delta { records, .. } => records
            .iter()
            .map(|record| record.sequence.as_u64())
            .collect(),
        Update::Snapshot(ledger) => panic!("snapshot at {}", ledger.epoch()),
    }
}

fn snapshot(update: Update) -> Epoch {
    match update {
        Update::Snapshot(ledger) => ledger.epoch(),
        Update::Delta { .. } => panic!("delta"),
    }
}

#[test]
fn purges_get_places_one_after_the_other_and_survive_a_restart() {
    let storage = Storage::default();
    let mut authority = open(&storage, 7);
    assert_eq!(authority.append(purge("a"), NOW), Ok(epoch(7, 1)));
    assert_eq!(authority.append(purge("b"), NOW), Ok(epoch(7, 2)));
    let mut again = open(&storage, 8);
    assert_eq!(again.epoch(), epoch(7, 2));
    assert_eq!(again.append(purge("c"), NOW), Ok(epoch(7, 3)));
    assert_eq!(
        delta(again.updates(Some(epoch(7, 1)), || 9).unwrap()),
        [2, 3]
    );
    assert!(delta(again.updates(Some(epoch(7, 3)), || 9).unwrap()).is_empty());
}

#[test]
fn a_replica_of_nothing_or_of_another_history_gets_the_whole_ledger() {
    let mut authority = open(&Storage::default(), 7);
    authority.append(purge("a"), NOW).unwrap();
    for since in [None, Some(epoch(6, 1))] {
        assert_eq!(
            snapshot(authority.updates(since, || 9).unwrap()),
            epoch(7, 1)
        );
    }
}

#[test]
fn the_whole_ledger_is_encoded_once_while_nothing_is_purged() {
    let storage = Storage::default();
    let mut authority = open(&storage, 7);
    let whole = |authority: &mut Authority<Storage>, since| {
        let bytes = authority.answer(since, || 9).unwrap();
        snapshot(Update::decode(&bytes, LedgerLimits::default()).unwrap())
    };
    let kept_at = |authority: &Authority<Storage>| {
        let (_, bytes) = authority.encoded.as_ref().unwrap();
        bytes.as_ptr()
    };
    authority.append(purge("a"), NOW).unwrap();
    assert_eq!(whole(&mut authority, None), epoch(7, 1));
    let first = kept_at(&authority);
    for since in [None, Some(epoch(6, 1))] {
        assert_eq!(whole(&mut authority, since), epoch(7, 1));
        assert_eq!(kept_at(&authority), first, "{since:?}");
    }
    // Who stands in this history is told what is new, and only that.
    let news = authority.answer(Some(epoch(7, 1)), || 9).unwrap();
    let news = Update::decode(&news, LedgerLimits::default()).unwrap();
    assert!(delta(news).is_empty());
    // A purge, and a lost tail, are in the next one.
    authority.append(purge("b"), NOW).unwrap();
    assert_eq!(whole(&mut authority, None), epoch(7, 2));
    assert_eq!(whole(&mut authority, Some(epoch(7, 3))), epoch(9, 0));
    assert_eq!(whole(&mut authority, Some(epoch(7, 2))), epoch(9, 0));
}

#[test]
fn a_replica_that_has_seen_more_than_is_kept_begins_a_new_history() {
    let storage = Storage::default();
    let mut authority = open(&storage, 7);
    authority.append(purge("a"), NOW).unwrap();
    let update = authority.updates(Some(epoch(7, 2)), || 9).unwrap();
    assert_eq!(snapshot(update), epoch(9, 0));
    assert_eq!(open(&storage, 10).epoch(), epoch(9, 0));
}

#[test]
fn a_purge_that_the_storage_refused_has_no_place() {
    let storage = Storage::default();
    let mut authority = open(&storage, 7);
    storage.0.borrow_mut().fault = Some(Fault::BeforeInsert);
    assert_eq!(authority.append(purge("a"), NOW), Err("full"));
    assert_eq!(authority.epoch(), epoch(7, 0));
    assert_eq!(authority.append(purge("a"), NOW), Ok(epoch(7, 1)));
}

#[test]
fn a_purge_that_was_kept_although_the_answer_was_lost_is_there_after_the_restart() {
    let storage = Storage::default();
    let mut authority = open(&storage, 7);
    storage.0.borrow_mut().fault = Some(Fault::AfterInsert);
    assert!(authority.append(purge("a"), NOW).is_err());
    // The platform resets an object whose storage failed.
    assert_eq!(open(&storage, 8).epoch(), epoch(7, 1));
}

#[test]
fn what_cannot_be_read_begins_a_new_history_rather_than_a_shorter_one() {
    type Damage = fn(&mut Contents);
    let damages: [Damage; 4] = [
        |contents| contents.snapshot = None,
        |contents| contents.snapshot = Some(b"nonsense".to_vec()),
        |contents| {
            contents.records.remove(&2);
        },
        |contents| {
            contents.records.insert(2, Vec::new());
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let storage = Storage::default();
        let mut authority = open(&storage, 7);
        for key in ["a", "b", "c"] {
            authority.append(purge(key), NOW).unwrap();
        }
        damage(&mut storage.0.borrow_mut());
        assert_eq!(open(&storage, 8).epoch(), epoch(8, 0), "damage {number}");
        assert!(storage.0.borrow().records.is_empty(), "damage {number}");
    }
}

#[test]
fn old_records_are_trimmed_and_live_on_in_the_snapshot() {
    let storage = Storage::default();
    let mut authority = open(&storage, 7);
    for number in 1..=11_002 {
        authority.append(purge(&number.to_string()), NOW).unwrap();
    }
    assert_eq!(storage.0.borrow().records.len(), 10_001);
    let mut again = open(&storage, 8);
    assert_eq!(again.epoch(), epoch(7, 11_002));
    assert_eq!(again.ledger.mark_count(), authority.ledger.mark_count());
    assert_eq!(again.forgotten, authority.forgotten);
    let update = again.updates(Some(epoch(7, 10_900)), || 9).unwrap();
    assert_eq!(delta(update).len(), 102);
    let update = again.updates(Some(epoch(7, 1)), || 9).unwrap();
    assert_eq!(snapshot(update), epoch(7, 11_002));
}

#[test]
fn who_is_far_behind_gets_the_records_or_the_whole_ledger_whichever_is_shorter() {
    let mut many_keys = open(&Storage::default(), 7);
    let mut one_key = open(&Storage::default(), 7);
    for number in 1..=2_000 {
        many_keys.append(purge(&number.to_string()), NOW).unwrap();
        one_key.append(purge("a"), NOW).unwrap();
    }
    let update = many_keys.updates(Some(epoch(7, 500)), || 9).unwrap();
    assert_eq!(snapshot(update), epoch(7, 2_000), "its marks take less");
    let update = one_key.updates(Some(epoch(7, 999)), || 9).unwrap();
    assert_eq!(snapshot(update), epoch(7, 2_000));
    let update = one_key.updates(Some(epoch(7, 1_000)), || 9).unwrap();
    assert_eq!(delta(update).len(), 1_000);
    // With many marks from before, the news alone are shorter.
    for number in 2_001..=8_000 {
        many_keys.append(purge(&number.to_string()), NOW).unwrap();
    }
    let update = many_keys.updates(Some(epoch(7, 6_000)), || 9).unwrap();
    assert_eq!(delta(update).len(), 2_000);
}

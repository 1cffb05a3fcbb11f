use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use terrace_shared::purge::audit::LogPage;
use terrace_shared::purge::{Incarnation, Sequence};

use super::*;

/// A storage that outlives its desk, and can be told to fail after so many more writes: what was written before
/// is kept, as the platform keeps it.
#[derive(Clone, Default)]
struct Storage(Rc<RefCell<Contents>>);

#[derive(Default)]
struct Contents {
    snapshot: Option<Vec<u8>>,
    records: BTreeMap<u64, Vec<u8>>,
    scheduled: BTreeMap<u64, (TimestampMillis, String, Vec<u8>)>,
    log: BTreeMap<u64, (String, String)>,
    writes_left: Option<u32>,
}

type Failable<T> = Result<T, &'static str>;

impl Storage {
    fn write(&self, write: impl FnOnce(&mut Contents)) -> Failable<()> {
        let mut contents = self.0.borrow_mut();
        match &mut contents.writes_left {
            Some(0) => return Err("full"),
            Some(left) => *left -= 1,
            None => {}
        }
        write(&mut contents);
        Ok(())
    }

    fn fail_after(&self, writes: Option<u32>) {
        self.0.borrow_mut().writes_left = writes;
    }

    fn scopes_purged(&self) -> Vec<String> {
        let contents = self.0.borrow();
        let purges = contents.records.values();
        purges
            .map(|bytes| Purge::decode(bytes).unwrap().scopes[0].to_string())
            .collect()
    }
}

impl LedgerStorage for Storage {
    type Error = &'static str;

    fn snapshot(&self) -> Failable<Option<Vec<u8>>> {
        Ok(self.0.borrow().snapshot.clone())
    }

    fn records(&self, after: Sequence) -> Failable<Vec<(Sequence, Vec<u8>)>> {
        let contents = self.0.borrow();
        let records = contents.records.range(after.as_u64() + 1..);
        Ok(records
            .map(|(number, bytes)| (Sequence::new(*number), bytes.clone()))
            .collect())
    }

    fn insert(&mut self, sequence: Sequence, purge: &[u8]) -> Failable<()> {
        self.write(|contents| {
            let before = contents.records.insert(sequence.as_u64(), purge.to_vec());
            assert_eq!(before, None, "a place is given once");
        })
    }

    fn replace(&mut self, snapshot: &[u8], forget: Sequence) -> Failable<()> {
        self.write(|contents| {
            contents.snapshot = Some(snapshot.to_vec());
            let kept = |number: &u64| *number > forget.as_u64();
            contents.records.retain(|number, _| kept(number));
        })
    }
}

impl LogStorage for Storage {
    type Error = &'static str;

    fn last_line(&self) -> Failable<u64> {
        let contents = self.0.borrow();
        Ok(contents.log.keys().next_back().copied().unwrap_or_default())
    }

    fn keep_line(&mut self, number: u64, by: &str, line: &str) -> Failable<()> {
        self.write(|contents| {
            let line = (by.to_owned(), line.to_owned());
            assert_eq!(contents.log.insert(number, line), None);
        })
    }

    fn lines(&self, before: u64, by: Option<&str>, limit: usize) -> Failable<Vec<(u64, String)>> {
        let contents = self.0.borrow();
        let lines = contents.log.range(..before).rev();
        let own = lines.filter(|(_, (name, _))| by.is_none_or(|by| by == name));
        Ok(own
            .take(limit)
            .map(|(number, (_, line))| (*number, line.clone()))
            .collect())
    }

    fn forget_lines(&mut self, up_to: u64) -> Failable<()> {
        self.write(|contents| contents.log.retain(|number, _| *number > up_to))
    }
}

impl DeskStorage for Storage {
    fn scheduled(&self) -> Failable<Vec<(TimestampMillis, u64)>> {
        let contents = self.0.borrow();
        let scheduled = contents.scheduled.iter();
        let mut scheduled: Vec<_> = scheduled
            .map(|(number, (due, ..))| (*due, *number))
            .collect();
        scheduled.sort_unstable_by(|one, other| other.cmp(one));
        Ok(scheduled)
    }

    fn schedule(
        &mut self,
        number: u64,
        due: TimestampMillis,
        by: &str,
        purge: &[u8],
    ) -> Failable<()> {
        self.write(|contents| {
            let purge = (due, by.to_owned(), purge.to_vec());
            assert_eq!(contents.scheduled.insert(number, purge), None);
        })
    }

    fn scheduled_purge(&self, number: u64) -> Failable<Option<(String, Vec<u8>)>> {
        let contents = self.0.borrow();
        let found = contents.scheduled.get(&number);
        Ok(found.map(|(_, by, bytes)| (by.clone(), bytes.clone())))
    }

    fn forget_scheduled(&mut self, number: u64) -> Failable<()> {
        self.write(|contents| {
            contents.scheduled.remove(&number);
        })
    }
}

const fn at(milliseconds: u64) -> TimestampMillis {
    TimestampMillis::from_unix_millis(milliseconds)
}

fn order(by: &str, key: &str, after: Option<u64>) -> Order {
    Order {
        by: Some(by.into()),
        purge: Purge {
            mode: PurgeMode::Hard,
            scopes: vec![Scope::surrogate_key(key).unwrap()],
            at: at(0),
            origin_epoch: None,
        },
        after: after.map(Milliseconds::new),
    }
}

fn open(storage: &Storage) -> Desk<Storage> {
    open_with(storage, RateLimit::default())
}

fn open_with(storage: &Storage, rate: RateLimit) -> Desk<Storage> {
    Desk::open(storage.clone(), LedgerLimits::default(), rate, || 7).unwrap()
}

/// The answer to one order.
fn take(desk: &mut Desk<Storage>, order: Order, now: u64) -> Answer {
    desk.take(vec![order], at(now)).unwrap()[0]
}

fn taken(sequence: u64, again_at: Option<u64>) -> Answer {
    Answer::Taken(Taken {
        epoch: Epoch {
            incarnation: Incarnation::from_random(7),
            sequence: Sequence::new(sequence),
        },
        again_at: again_at.map(at),
    })
}

fn log(desk: &mut Desk<Storage>) -> Vec<LogEntry> {
    let query = LogQuery {
        limit: 1_000,
        before: None,
    };
    page(desk, query, None).entries
}

fn page(desk: &mut Desk<Storage>, query: LogQuery, by: Option<&str>) -> LogPage {
    serde_json::from_str(&desk.log_page(query, by).unwrap()).unwrap()
}

fn refused(by: Option<&str>, times: u64) -> Refusal {
    Refusal {
        by: by.map(Into::into),
        reason: "may not purge all".to_owned(),
        times,
    }
}

#[test]
fn orders_written_together_get_places_one_after_the_other() {
    let storage = Storage::default();
    let mut desk = open(&storage);
    let orders = ["a", "b", "c"].map(|key| order("ci", key, None));
    let answers = desk.take(orders.to_vec(), at(5)).unwrap();
    assert_eq!(answers, [1, 2, 3].map(|place| taken(place, None)));
    let mut again = open(&storage);
    assert_eq!(take(&mut again, order("ci", "d", None), 6), taken(4, None));
}

#[test]
fn who_calls_too_often_is_told_when_to_come_back_and_others_are_not() {
    let storage = Storage::default();
    let rate = RateLimit {
        per_second: 10,
        burst: 2,
    };
    let mut desk = open_with(&storage, rate);
    let orders = ["ci", "ci", "ci", "cms"].map(|by| order(by, "a", None));
    let retry_after = Milliseconds::new(100);
    assert_eq!(
        desk.take(orders.to_vec(), at(0)).unwrap(),
        [
            taken(1, None),
            taken(2, None),
            Answer::TooMany { retry_after },
            taken(3, None)
        ]
    );
    // What a request invalidates is nobody's call.
    for place in 4..10 {
        let order = Order {
            by: None,
            ..order("", "a", None)
        };
        assert_eq!(take(&mut desk, order, 0), taken(place, None));
    }
    assert_eq!(
        take(&mut desk, order("ci", "a", None), 100),
        taken(10, None)
    );
    let refused = &log(&mut desk)[2];
    assert_eq!(
        (refused.by.as_deref(), refused.reason.as_deref()),
        (Some("ci"), Some("too many calls"))
    );
}

#[test]
fn a_second_purge_comes_when_it_is_due_and_survives_a_restart() {
    let storage = Storage::default();
    let mut desk = open(&storage);
    assert_eq!(desk.next_due(), None);
    for (key, after, again_at) in [("late", 9_000, 9_100), ("soon", 1_000, 1_100)] {
        let answer = take(&mut desk, order("ci", key, Some(after)), 100);
        assert!(
            matches!(answer, Answer::Taken(Taken { again_at: Some(at_), .. }) if at_ == at(again_at))
        );
    }
    let mut desk = open(&storage);
    assert_eq!(desk.next_due(), Some(at(1_100)));
    desk.run_due(at(1_099)).unwrap();
    assert_eq!(storage.scopes_purged().len(), 2);
    desk.run_due(at(1_100)).unwrap();
    desk.run_due(at(1_100)).unwrap();
    assert_eq!(storage.scopes_purged()[2..], ["surrogate-key:soon"]);
    assert_eq!(desk.next_due(), Some(at(9_100)));
    let newest = &log(&mut desk)[0];
    assert_eq!(newest.outcome, LogOutcome::PurgedAgain);
    assert_eq!(
        (newest.by.as_deref(), newest.at_ms),
        (Some("ci"), at(1_100))
    );
    open(&storage).run_due(at(9_999)).unwrap();
    assert_eq!(storage.scopes_purged()[3..], ["surrogate-key:late"]);
    assert_eq!(open(&storage).next_due(), None);
}

#[test]
fn a_second_purge_says_nothing_of_an_origin_that_may_have_begun_anew() {
    let storage = Storage::default();
    let mut desk = open(&storage);
    let mut forwarded = order("ci", "a", Some(1_000));
    forwarded.purge.origin_epoch = Some(Epoch {
        incarnation: Incarnation::from_random(3),
        sequence: Sequence::new(9),
    });
    let _ = take(&mut desk, forwarded, 0);
    desk.run_due(at(1_000)).unwrap();
    let contents = storage.0.borrow();
    let of = |number| Purge::decode(&contents.records[&number]).unwrap();
    assert!(of(1).origin_epoch.is_some());
    assert_eq!((of(2).origin_epoch, of(2).at), (None, at(1_000)));
}

#[test]
fn a_storage_that_fails_at_any_write_loses_no_second_purge() {
    for writes in 0..10 {
        let storage = Storage::default();
        let mut desk = open(&storage);
        for key in ["a", "b", "c"] {
            let _ = take(&mut desk, order("ci", key, Some(1_000)), 0);
        }
        storage.fail_after(Some(writes));
        let outcome = desk.run_due(at(1_000));
        storage.fail_after(None);
        assert_eq!(outcome.is_err(), writes < 9, "{writes}");
        // The platform tries again, with what the storage holds.
        open(&storage).run_due(at(1_000)).unwrap();
        let purged = storage.scopes_purged();
        for key in ["a", "b", "c"] {
            let scope = format!("surrogate-key:{key}");
            let times = purged.iter().filter(|purged| **purged == scope).count();
            assert!((2..=3).contains(&times), "{key} {times} times, {writes}");
        }
        assert!(storage.0.borrow().scheduled.is_empty());
    }
}

#[test]
fn a_second_purge_that_cannot_be_read_purges_everything() {
    let storage = Storage::default();
    let mut desk = open(&storage);
    let _ = take(&mut desk, order("ci", "a", Some(1)), 0);
    for (_, _, bytes) in storage.0.borrow_mut().scheduled.values_mut() {
        bytes.clear();
    }
    desk.run_due(at(1)).unwrap();
    assert_eq!(storage.scopes_purged()[1], "all");
}

#[test]
fn second_purges_are_bounded_in_number_and_time_and_refused_aloud() {
    let storage = Storage::default();
    let rate = RateLimit {
        per_second: 1,
        burst: 1_000_000,
    };
    let mut desk = open_with(&storage, rate);
    let most = Desk::<Storage>::FURTHEST;
    let too_far = order("ci", "a", Some(most.as_u64() + 1));
    assert_eq!(take(&mut desk, too_far, 0), Answer::TooFarAhead { most });
    for _ in 0..Desk::<Storage>::MOST_WAITING {
        let order = order("ci", "a", Some(most.as_u64()));
        assert!(matches!(take(&mut desk, order, 0), Answer::Taken(_)));
    }
    let pending = Desk::<Storage>::MOST_WAITING;
    let one_more = take(&mut desk, order("ci", "a", Some(1)), 0);
    assert_eq!(one_more, Answer::TooManyScheduled { pending });
    let without = take(&mut desk, order("ci", "a", None), 0);
    assert!(matches!(without, Answer::Taken(_)));
    let refusals = log(&mut desk);
    let is_refused = |entry: &&LogEntry| entry.outcome == LogOutcome::Refused;
    assert_eq!(refusals.iter().filter(is_refused).count(), 1);
    // What is due at once comes in parts.
    desk.run_due(at(most.as_u64())).unwrap();
    assert_eq!(desk.next_due(), Some(at(most.as_u64())));
}

#[test]
fn the_log_says_who_did_what_and_a_token_may_see_its_own() {
    let storage = Storage::default();
    let mut desk = open(&storage);
    let _ = take(&mut desk, order("ci", "a", None), 1);
    let _ = take(&mut desk, order("cms", "b", Some(10)), 2);
    desk.refused(&refused(Some("cms"), 1), at(3)).unwrap();
    let entries = log(&mut open(&storage));
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [Some(3), Some(2), Some(1)]);
    assert_eq!(entries[0].reason.as_deref(), Some("may not purge all"));
    assert_eq!(entries[1].again_at_ms, Some(at(12)));
    assert_eq!(entries[2].scopes, ["surrogate-key:a"]);
    let query = LogQuery {
        limit: 1,
        before: None,
    };
    let own = page(&mut desk, query, Some("cms"));
    assert_eq!(own.entries, entries[..1]);
    let before = own.next_before;
    let own = page(&mut desk, LogQuery { before, ..query }, Some("cms"));
    assert_eq!(own.entries, entries[1..2]);
    let before = Some(2);
    let first = page(&mut desk, LogQuery { before, ..query }, None);
    assert_eq!(first.next_before, None);
}

#[test]
fn who_has_no_token_cannot_flood_the_log_and_is_counted() {
    let storage = Storage::default();
    let mut desk = open(&storage);
    for second in 0..=60 {
        desk.refused(&refused(None, 10), at(second * 1_000))
            .unwrap();
    }
    let times: Vec<_> = log(&mut desk).iter().map(|entry| entry.times).collect();
    assert_eq!(times, [600, 10]);
}

#[test]
fn the_log_keeps_the_newest_lines() {
    let storage = Storage::default();
    let rate = RateLimit {
        per_second: 1,
        burst: 1_000_000,
    };
    let mut desk = open_with(&storage, rate);
    for _ in 0..11_000 {
        desk.refused(&refused(Some("ci"), 1), at(0)).unwrap();
    }
    let contents = storage.0.borrow();
    assert_eq!(contents.log.len() as u64, Log::KEPT);
    assert_eq!(contents.log.keys().next_back(), Some(&11_000));
}

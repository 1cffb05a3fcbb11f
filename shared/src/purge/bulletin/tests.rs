use super::*;
use crate::bytes::hex;
use crate::purge::{Incarnation, Ledger, Purge, PurgeMode, Record, Scope};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const fn at(milliseconds: u64) -> TimestampMillis {
    TimestampMillis::from_unix_millis(milliseconds)
}

const fn epoch(incarnation: u64, sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(incarnation),
        sequence: Sequence::new(sequence),
    }
}

const fn label(asked_at: u64, from: u64, head: u64) -> Label {
    Label {
        asked_at: at(asked_at),
        from: Some(epoch(1, from)),
        head: epoch(1, head),
    }
}

const fn whole(asked_at: u64, head: Epoch) -> Label {
    Label {
        asked_at: at(asked_at),
        from: None,
        head,
    }
}

fn record(sequence: u64) -> Record {
    Record {
        sequence: Sequence::new(sequence),
        purge: Purge {
            mode: PurgeMode::Hard,
            scopes: vec![Scope::All],
            at: at(0),
            origin_epoch: None,
        },
    }
}

/// The authority's answer to who stands at `from`, when it stands at `head`.
fn answer(from: u64, head: u64) -> Vec<u8> {
    Update::Delta {
        incarnation: Incarnation::from_random(1),
        head: Sequence::new(head),
        records: (from + 1..=head).map(record).collect(),
    }
    .encode()
}

fn one(asked_at: u64, from: u64, head: u64, bytes: &[u8]) -> Bulletin<&[u8]> {
    Bulletin::beginning(label(asked_at, from, head), bytes, bytes.len())
}

/// Only lengths, as the simulation keeps them.
fn long(asked_at: u64, from: u64, head: u64, length: usize) -> Bulletin<()> {
    Bulletin::beginning(label(asked_at, from, head), (), length)
}

fn sequences(update: &Update) -> Vec<u64> {
    match update {
        Update::Delta { records, .. } => records
            .iter()
            .map(|record| record.sequence.as_u64())
            .collect(),
        Update::Snapshot(_) => panic!("it is a delta"),
    }
}

#[test]
fn answers_are_worth_what_follows_on_from_here_and_nothing_else() {
    let (one, two) = (epoch(1, 5), epoch(2, 5));
    for (from, here, worth) in [
        (5, Some(one), Worth::Confirms),
        (3, Some(one), Worth::Confirms),
        // They serve whoever stands where they begin, or after that.
        (3, Some(epoch(1, 3)), Worth::Brings),
        (3, Some(epoch(1, 4)), Worth::Brings),
        // The whole ledger before them serves whoever knows less, or another history.
        (3, Some(epoch(1, 2)), Worth::BringsAfterWhole),
        (3, None, Worth::BringsAfterWhole),
        (3, Some(two), Worth::BringsAfterWhole),
        // A purge that went through this replica is not hidden by an answer from before it.
        (3, Some(epoch(1, 6)), Worth::Nothing),
        (5, Some(epoch(1, 6)), Worth::Nothing),
    ] {
        let label = label(10_000, from, 5);
        let view_age = here.map(|_| Milliseconds::new(5_300));
        let got = label.worth(here, view_age, at(10_300));
        assert_eq!(got, worth, "{from} {here:?}");
    }
}

#[test]
fn answers_must_be_newer_than_the_view_and_not_of_the_future() {
    let label = label(10_000, 4, 5);
    for (confirmed_at, now, worth) in [
        (5_000, 10_000, Worth::Brings),
        // However old: they bring the view nearer, and it says how old it is then.
        (5_000, 90_000, Worth::Brings),
        // Clocks may differ, so they count as older than they say.
        (9_899, 10_100, Worth::Brings),
        (9_900, 10_100, Worth::Nothing),
        (10_000, 10_100, Worth::Nothing),
        (5_000, 9_999, Worth::Nothing),
    ] {
        let here = Some(epoch(1, 4));
        let view_age = at(now).saturating_since(at(confirmed_at));
        let got = label.worth(here, Some(view_age), at(now));
        assert_eq!(got, worth, "{confirmed_at} {now}");
    }
}

#[test]
fn a_whole_ledger_leads_to_answers_that_begin_where_it_stands_or_before() {
    let news = label(9_000, 3, 5);
    for (head, here, leads) in [
        (epoch(1, 3), None, true),
        (epoch(1, 5), None, true),
        (epoch(1, 7), None, true),
        (epoch(1, 2), None, false),
        (epoch(2, 4), None, false),
        (epoch(1, 4), Some(epoch(1, 2)), true),
        (epoch(1, 4), Some(epoch(1, 4)), false),
        (epoch(1, 4), Some(epoch(2, 9)), true),
    ] {
        let got = whole(1_000, head).leads_to(&news, here);
        assert_eq!(got, leads, "{head:?} {here:?}");
    }
}

#[test]
fn answers_are_put_together_and_tell_each_replica_what_it_has_missed() {
    let parts = [answer(1, 3), answer(2, 4), answer(4, 4), answer(4, 6)];
    let all = one(1_000, 1, 3, &parts[0]);
    let all = Bulletin::put_behind(Some(all), one(2_000, 2, 4, &parts[1])).unwrap();
    let all = Bulletin::put_behind(Some(all), one(3_000, 4, 4, &parts[2])).unwrap();
    assert_eq!(
        all.label,
        label(3_000, 1, 4),
        "nothing new, but asked later"
    );
    let all = Bulletin::put_behind(Some(all), one(4_000, 4, 6, &parts[3])).unwrap();
    assert_eq!(all.label, label(4_000, 1, 6));
    let bytes = all.encode();
    let read = Bulletin::decode(all.label, &bytes).unwrap();
    assert_eq!(read, all);
    for (here, told) in [
        (1, vec![2, 3, 3, 4, 5, 6]),
        (3, vec![3, 4, 5, 6]),
        (4, vec![5, 6]),
        (6, vec![]),
    ] {
        let news = read.news_after(Sequence::new(here), LedgerLimits::default());
        let news = news.unwrap();
        assert_eq!(sequences(&news), told, "{here}");
        let question = Question {
            since: all.label.from,
            asked_at: all.label.asked_at,
        };
        assert_eq!(Label::of(question, &news), all.label);
        let mut ledger = Ledger::starting_at(
            Incarnation::from_random(1),
            Sequence::new(here),
            LedgerLimits::default(),
        );
        assert_eq!(ledger.update(news), Ok(()));
        assert_eq!(ledger.epoch(), epoch(1, 6));
    }
}

#[test]
fn an_answer_that_does_not_follow_on_begins_anew_and_an_older_one_is_not_left() {
    let lying = || Some(long(5_000, 3, 7, 1));
    for (from, head) in [(8, 9), (2, 8), (5, 6)] {
        let later = long(6_000, from, head, 1);
        assert_eq!(Bulletin::put_behind(lying(), later.clone()), Some(later));
    }
    let mut other = long(6_000, 7, 8, 1);
    other.label.from = Some(epoch(2, 7));
    other.label.head = epoch(2, 8);
    assert_eq!(Bulletin::put_behind(lying(), other.clone()), Some(other));
    for asked_at in [4_000, 5_000] {
        let late = long(asked_at, 7, 8, 1);
        assert_eq!(Bulletin::put_behind(lying(), late), None);
    }
    // A clock that was far ahead when it said so does not keep others from it.
    let now = long(2_999, 7, 8, 1);
    assert_eq!(Bulletin::put_behind(lying(), now.clone()), Some(now));
}

#[test]
fn after_the_whole_ledger_answers_begin_with_nothing() {
    let whole = whole(5_000, epoch(1, 7));
    let begun = Bulletin::beginning(whole, (), 1_000_000);
    assert_eq!(begun.label, label(5_000, 7, 7));
    assert_eq!(begun.length(), 0);
    assert!(whole.leads_to(&begun.label, None));
    let all = Bulletin::put_behind(Some(begun), long(6_000, 7, 9, 10)).unwrap();
    assert_eq!((all.label, all.length()), (label(6_000, 7, 9), 10));
}

#[test]
fn the_older_half_goes_when_there_are_too_many_bytes() {
    let part = Bulletin::<()>::MOST / 8;
    let mut all = long(1_000, 0, 1, part);
    for sequence in 1..8 {
        let later = long(1_001 + sequence, sequence, sequence + 1, part);
        all = Bulletin::put_behind(Some(all), later).unwrap();
    }
    assert_eq!(
        (all.label.from, all.length()),
        (Some(epoch(1, 0)), 8 * part)
    );
    all = Bulletin::put_behind(Some(all), long(2_000, 8, 9, 1)).unwrap();
    assert_eq!(all.label, label(2_000, 5, 9));
    assert_eq!(all.length(), 3 * part + 1);
    // One that is too long by itself is not kept, and says so: it begins where it ends.
    let huge = long(3_000, 9, 10, Bulletin::<()>::MOST + 1);
    all = Bulletin::put_behind(Some(all), huge).unwrap();
    assert_eq!((all.label, all.length()), (label(3_000, 10, 10), 0));
}

#[test]
fn labels_and_bytes_are_pinned_and_anything_else_is_none() {
    let label = Label {
        asked_at: at(1_700_000_000_123),
        from: Some(epoch(0xaa, 3)),
        head: epoch(0xaa, 7),
    };
    let whole = Label {
        from: None,
        ..label
    };
    let parts = [answer(3, 4), answer(4, 7)];
    let all = one(1, 3, 4, &parts[0]);
    let all = Bulletin::put_behind(Some(all), one(2, 4, 7, &parts[1])).unwrap();
    let bytes = all.encode();
    let text = format!(
        "{}\n{}\n{}\n",
        whole.to_text(),
        label.to_text(),
        hex(&bytes)
    );
    let pinned = include_str!("../../../../tests/vectors/ledger_shared_v2.txt");
    assert_eq!(text, pinned);

    for label in [label, whole] {
        let text = label.to_text();
        assert_eq!(Label::from_text(&text), Some(label));
        assert_eq!(Label::from_text(&format!("{text} x")), None);
        assert_eq!(Label::from_text(&text.replacen('2', "1", 1)), None);
    }
    for length in 0..bytes.len() {
        assert!(
            Bulletin::decode(label, &bytes[..length]).is_err(),
            "{length}"
        );
    }
    let more = [&bytes[..], &[0]].concat();
    assert!(Bulletin::decode(label, &more).is_err());
    // What is not what its label says is not taken: another history, or the whole ledger as an answer.
    let read = Bulletin::decode(label, &bytes).unwrap();
    let limits = LedgerLimits::default();
    assert!(read.news_after(Sequence::new(3), limits).is_err());
    let ledger = Ledger::new(Incarnation::from_random(1), limits);
    let snapshot = Update::Snapshot(ledger).encode();
    let wrong = one(2, 0, 1, &snapshot);
    assert!(wrong.news_after(Sequence::ZERO, limits).is_err());
}

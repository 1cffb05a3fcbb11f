//! The rules, each by name and then all at once: random schedules of fills, purges, reads, lag,
//! crashes and a lost ledger, in a world whose every event is one call.

#[cfg(not(target_arch = "wasm32"))]
mod cascade;
#[cfg(not(target_arch = "wasm32"))]
mod model;

use super::*;
use crate::bytes::hex;
use crate::key::SurrogateKey;
use crate::purge::Incarnation;
use crate::time::TimestampMillis;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const HISTORY: Incarnation = Incarnation::from_random(7);

fn ledger() -> Ledger {
    Ledger::new(HISTORY, LedgerLimits::default())
}

fn purge(mode: PurgeMode, scopes: &[&str]) -> Purge {
    Purge {
        mode,
        scopes: scopes.iter().map(|text| text.parse().unwrap()).collect(),
        at: TimestampMillis::from_unix_millis(1_000),
        origin_epoch: None,
    }
}

fn hard(scopes: &[&str]) -> Purge {
    purge(PurgeMode::Hard, scopes)
}

fn soft(scopes: &[&str]) -> Purge {
    purge(PurgeMode::Soft, scopes)
}

fn plan() -> EntryScopes {
    let region = SurrogateKey::parse("region:TX").unwrap();
    EntryScopes::of_key("plan_catalog", "plan_catalog:v1:plan_123", [&region])
}

#[test]
fn r1_a_fill_that_began_before_a_purge_is_dropped_although_it_is_stored_after_it() {
    let mut ledger = ledger();
    let fence = Fence::at(ledger.epoch());
    ledger.append(hard(&["surrogate-key:region:TX"]));
    assert_eq!(ledger.verdict(&fence, &plan()), Verdict::Dropped);
    assert_eq!(
        ledger.verdict(&Fence::at(ledger.epoch()), &plan()),
        Verdict::Untouched
    );
}

#[test]
fn r2_each_scope_reaches_the_entry_and_others_do_not() {
    for (scope, verdict) in [
        ("all", Verdict::Dropped),
        ("surrogate-key:region:TX", Verdict::Dropped),
        ("surrogate-key:region:NY", Verdict::Untouched),
        ("exact:plan_catalog:v1:plan_123", Verdict::Dropped),
        ("exact:plan_catalog:v1:plan_12", Verdict::Untouched),
        ("prefix:plan_catalog:v1:", Verdict::Dropped),
        ("prefix:plan_catalog:v1:plan", Verdict::Dropped),
        ("prefix:plan_catalog:v2:", Verdict::Untouched),
        ("pattern:*:plan_123", Verdict::Dropped),
        ("pattern:*:plan_124", Verdict::Untouched),
        ("namespace:plan_catalog", Verdict::Dropped),
        ("host:plan_catalog", Verdict::Untouched),
    ] {
        let mut ledger = ledger();
        let fence = Fence::at(ledger.epoch());
        ledger.append(hard(&[scope]));
        assert_eq!(ledger.verdict(&fence, &plan()), verdict, "{scope}");
    }
}

#[test]
fn r2_a_later_soft_purge_does_not_hide_an_earlier_hard_one() {
    let scopes = ["surrogate-key:region:TX", "all", "pattern:plan_catalog:*"];
    for (first, second) in scopes.iter().flat_map(|a| scopes.map(|b| (*a, b))) {
        let mut ledger = ledger();
        let before = Fence::at(ledger.epoch());
        ledger.append(hard(&[first]));
        let between = Fence::at(ledger.epoch());
        ledger.append(soft(&[second]));
        assert_eq!(ledger.verdict(&before, &plan()), Verdict::Dropped);
        assert_eq!(ledger.verdict(&between, &plan()), Verdict::Softened);
    }
}

#[test]
fn r6_another_incarnation_is_dropped_whatever_its_sequence() {
    let mut old = ledger();
    old.append(hard(&["all"]));
    let fence = Fence::at(old.epoch());
    let new = Ledger::new(Incarnation::from_random(8), LedgerLimits::default());
    assert_eq!(new.verdict(&fence, &plan()), Verdict::Dropped);
}

#[test]
fn r9_an_answer_produced_under_an_older_origin_position_is_dropped_at_the_edge() {
    let origin = |sequence| Epoch {
        incarnation: Incarnation::from_random(99),
        sequence: Sequence::new(sequence),
    };
    for scope in [
        "surrogate-key:region:TX",
        "all",
        "pattern:plan_catalog:*",
        "prefix:plan_catalog:v1:pl",
    ] {
        let mut edge = ledger();
        edge.append(Purge {
            origin_epoch: Some(origin(5)),
            ..hard(&[scope])
        });
        // Filled after the edge took the purge, from an instance that had not heard of it.
        let mut fence = Fence::at(edge.epoch());
        fence.produced_at = Some(origin(4));
        assert_eq!(edge.verdict(&fence, &plan()), Verdict::Dropped, "{scope}");
        fence.produced_at = Some(origin(5));
        assert_eq!(edge.verdict(&fence, &plan()), Verdict::Untouched, "{scope}");
    }
}

#[test]
fn r9_an_answer_of_an_instance_that_lags_behind_the_same_ledger_is_dropped() {
    let mut ledger = ledger();
    let before = ledger.epoch();
    ledger.append(hard(&["surrogate-key:region:TX"]));
    let produced = |produced_at| Fence {
        filled_at: ledger.epoch(),
        produced_at: Some(produced_at),
    };
    assert_eq!(ledger.verdict(&produced(before), &plan()), Verdict::Dropped);
    assert_eq!(
        ledger.verdict(&produced(ledger.epoch()), &plan()),
        Verdict::Untouched
    );
}

#[test]
fn r9_the_ledger_knows_how_far_it_has_been_told_by_the_origin_and_so_does_its_snapshot() {
    let origin = |incarnation, sequence| Epoch {
        incarnation: Incarnation::from_random(incarnation),
        sequence: Sequence::new(sequence),
    };
    let limits = LedgerLimits {
        marks: 4,
        ..LedgerLimits::default()
    };
    let mut edge = Ledger::new(HISTORY, limits);
    assert_eq!(edge.origin_head(), None);
    let scopes = [
        "all",
        "pattern:/a*",
        "surrogate-key:b",
        "prefix:/c/",
        "host:d.example",
    ];
    for sequence in 1..=40_u64 {
        let scope = scopes[usize::try_from(sequence).unwrap() % scopes.len()];
        edge.append(Purge {
            origin_epoch: Some(origin(1, sequence)),
            ..soft(&[scope, &format!("exact:/{sequence}")])
        });
        let Ok(Update::Snapshot(copy)) =
            Update::decode(&Update::Snapshot(edge.clone()).encode(), limits)
        else {
            panic!("a snapshot is read back");
        };
        assert_eq!(copy.origin_head(), Some(origin(1, sequence)), "{scope}");
        assert_eq!(edge.origin_head(), copy.origin_head());
    }
    edge.append(Purge {
        origin_epoch: Some(origin(1, 7)),
        ..hard(&["all"])
    });
    assert_eq!(edge.origin_head(), Some(origin(1, 40)), "told again");
    edge.append(Purge {
        origin_epoch: Some(origin(2, 1)),
        ..hard(&["all"])
    });
    assert_eq!(edge.origin_head(), Some(origin(2, 1)));
}

#[test]
fn r9_what_was_produced_under_a_lost_history_of_the_origin_is_dropped_once_the_edge_knows() {
    let origin = |incarnation, sequence| Epoch {
        incarnation: Incarnation::from_random(incarnation),
        sequence: Sequence::new(sequence),
    };
    let told = |epoch| Purge {
        origin_epoch: Some(epoch),
        ..hard(&["surrogate-key:region:NY"])
    };
    let mut edge = ledger();
    edge.append(told(origin(1, 8)));
    edge.append(told(origin(2, 1)));
    // An instance that has not noticed answers, after the edge was told of the new history.
    let check = |edge: &Ledger| {
        for (produced_at, verdict) in [
            (origin(1, 9), Verdict::Dropped),
            (origin(2, 1), Verdict::Untouched),
            (origin(3, 0), Verdict::Dropped), // older or newer: nobody here can say
        ] {
            let fence = Fence {
                filled_at: edge.epoch(),
                produced_at: Some(produced_at),
            };
            assert_eq!(edge.verdict(&fence, &plan()), verdict, "{produced_at}");
        }
    };
    check(&edge);
    // A purge of the lost history that is late changes nothing of that.
    edge.append(told(origin(1, 10)));
    assert_eq!(edge.origin_head(), Some(origin(2, 1)));
    check(&edge);
    let bytes = Update::Snapshot(edge.clone()).encode();
    let Ok(Update::Snapshot(copy)) = Update::decode(&bytes, LedgerLimits::default()) else {
        panic!("a snapshot is read back");
    };
    check(&copy);
    assert_eq!(Update::Snapshot(copy).encode(), bytes);
    for incarnation in 3..100 {
        edge.append(told(origin(incarnation, 1)));
    }
    let bounded = bytes.len() + 15 * size_of::<u64>();
    assert!(Update::Snapshot(edge).encode().len() <= bounded);
}

#[test]
fn r11_above_the_cap_the_ledger_forgets_nothing_that_was_purged() {
    let limits = LedgerLimits {
        marks: 64,
        patterns: 4,
        ..LedgerLimits::default()
    };
    let mut ledger = Ledger::new(HISTORY, limits);
    let before = Fence::at(ledger.epoch());
    for number in 0..1_000 {
        ledger.append(hard(&[&format!("exact:plan:{number}")]));
    }
    assert!(ledger.mark_count() <= 64);
    for number in 0..1_000 {
        let entry = EntryScopes::of_key("n", &format!("plan:{number}"), []);
        assert_eq!(ledger.verdict(&before, &entry), Verdict::Dropped);
    }
    assert_eq!(
        ledger.verdict(&Fence::at(ledger.epoch()), &plan()),
        Verdict::Untouched
    );
    // What was never purged is only rarely taken for something that was: 2 rows of 8,192 cells hold 1,000 scopes.
    let wrong = (0..1_000)
        .map(|number| EntryScopes::from_parts("x".into(), [spread(number)].into()))
        .filter(|entry| ledger.verdict(&before, entry) != Verdict::Untouched)
        .count();
    assert!(wrong < 40, "{wrong} of 1,000 wrongly dropped");
}

/// A fingerprint as random as a hash's, of no scope that is purged.
fn spread(number: u64) -> crate::purge::Fingerprint {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    crate::purge::Fingerprint::from_bits(mixed ^ mixed.rotate_left(29))
}

#[test]
fn r11_patterns_beyond_the_cap_drop_what_they_could_have_named() {
    let limits = LedgerLimits {
        patterns: 2,
        ..LedgerLimits::default()
    };
    let mut ledger = Ledger::new(HISTORY, limits);
    let before = Fence::at(ledger.epoch());
    for pattern in [
        "pattern:a*",
        "pattern:plan_catalog*3",
        "pattern:b*",
        "pattern:c*",
    ] {
        ledger.append(hard(&[pattern]));
    }
    assert_eq!(ledger.verdict(&before, &plan()), Verdict::Dropped);
    assert_eq!(ledger.floor(), Sequence::new(2));
}

#[test]
fn r11_compaction_forgets_only_beyond_the_horizon_and_drops_what_it_cannot_judge() {
    let limits = LedgerLimits {
        horizon: DeltaSeconds::hours(10),
        ..LedgerLimits::default()
    };
    let mut ledger = Ledger::new(HISTORY, limits);
    let at = |hour: u64| TimestampMillis::from_unix_millis(hour * 3_600_000);
    let before = Fence::at(ledger.epoch());
    for hour in 0..20 {
        ledger.append(Purge {
            at: at(hour),
            ..hard(&[&format!("exact:{hour}")])
        });
    }
    ledger.compact(at(20).timestamp());
    assert_eq!(ledger.floor(), Sequence::new(10));
    assert_eq!(ledger.mark_count(), 10);
    assert_eq!(ledger.verdict(&before, &plan()), Verdict::Dropped);
    let at_floor = Fence::at(Epoch {
        incarnation: HISTORY,
        sequence: Sequence::new(10),
    });
    assert_eq!(ledger.verdict(&at_floor, &plan()), Verdict::Untouched);
    let late = EntryScopes::of_key("n", "15", []);
    assert_eq!(ledger.verdict(&at_floor, &late), Verdict::Dropped);
}

#[test]
fn a_gap_is_refused_and_a_repeat_changes_nothing() {
    let mut authority = ledger();
    let first = authority.append(hard(&["exact:a"]));
    let second = authority.append(hard(&["exact:b"]));
    let mut replica = ledger();
    assert_eq!(
        replica.apply(&second),
        Err(ApplyError::Gap {
            head: Sequence::ZERO,
            next: Sequence::new(2)
        })
    );
    assert_eq!(replica.apply(&first), Ok(()));
    assert_eq!(replica.apply(&first), Ok(()));
    assert_eq!(replica.apply(&second), Ok(()));
    assert_eq!(replica.epoch(), authority.epoch());
}

#[test]
fn r6_an_authority_that_lost_its_tail_is_noticed() {
    let mut replica = ledger();
    replica.append(hard(&["exact:a"]));
    let shorter = Update::Delta {
        incarnation: HISTORY,
        head: Sequence::ZERO,
        records: Vec::new(),
    };
    assert_eq!(
        replica.update(shorter),
        Err(ApplyError::Regressed {
            ours: Sequence::new(1),
            theirs: Sequence::ZERO
        })
    );
}

#[test]
fn bytes_are_pinned_and_read_back() {
    let mut ledger = ledger();
    let record = ledger.append(Purge {
        origin_epoch: Some(Epoch {
            incarnation: Incarnation::from_random(99),
            sequence: Sequence::new(5),
        }),
        ..hard(&["surrogate-key:a", "pattern:b*", "all"])
    });
    let delta = Update::Delta {
        incarnation: HISTORY,
        head: Sequence::new(1),
        records: vec![record.clone()],
    };
    let text = format!(
        "purge {}\ndelta {}\nsnapshot {}\n",
        hex(&record.purge.encode()),
        hex(&delta.encode()),
        hex(&Update::Snapshot(ledger).encode())
    );
    assert_eq!(
        text,
        include_str!("../../../../tests/vectors/ledger_v1.txt")
    );
    assert_eq!(Purge::decode(&record.purge.encode()), Ok(record.purge));
    match Update::decode(&delta.encode(), LedgerLimits::default()).unwrap() {
        Update::Delta { records, .. } => assert_eq!(records.len(), 1),
        Update::Snapshot(_) => panic!("a delta became a snapshot"),
    }
}

#[test]
fn damaged_bytes_are_errors_never_panics() {
    let mut ledger = ledger();
    ledger.append(soft(&["surrogate-key:a", "pattern:b*"]));
    let whole = Update::Snapshot(ledger).encode();
    for length in 0..whole.len() {
        assert!(Update::decode(&whole[..length], LedgerLimits::default()).is_err());
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        let _: Result<_, _> = Update::decode(&changed, LedgerLimits::default());
    }
}
